//! The functions that users call. Each is thin: arguments in, one call, rows out.

use super::connection::{self, Connection};
use super::report::{or_raise, warning};
use super::runs::signed;
use super::sink::{timestamptz, PgSink};
use super::{lock, logins, mirrors, runs, target};
use crate::error::{Error, Result};
use crate::fetch::OdooSource;
use crate::mirror::sample_metrics;
use crate::odoo::retry::Policy;
use crate::odoo::Scope;
use crate::sync::{self, Plan, Report};
use chrono::{DateTime, NaiveDateTime};
use pgrx::prelude::*;
use std::sync::Arc;
use std::time::Instant;

/// Version of the Odoo server, for example `19.0`.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn odoo_version(server: default!(Option<String>, "NULL")) -> String {
    or_raise(version_of(server))
}

fn version_of(server: Option<String>) -> Result<String> {
    let connection = Connection::open(&server_or_only(server)?)?;
    let fetcher = connection.fresh_fetcher(Policy::NONE)?;
    Ok(fetcher.run(|client| client.version())?.server_version)
}

type Check = (
    String,
    String,
    String,
    String,
    String,
    i64,
    f64,
    String,
    bool,
    Option<i64>,
    Option<String>,
    Option<String>,
);

/// Connects, logs in and looks at each mirrored model.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn check_connection(
    server: default!(Option<String>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(server, String),
        name!(url, String),
        name!(dbname, String),
        name!(odoo_version, String),
        name!(login, String),
        name!(uid, i64),
        name!(latency_ms, f64),
        name!(model, String),
        name!(readable, bool),
        name!(records, Option<i64>),
        name!(problem, Option<String>),
        name!(hint, Option<String>),
    ),
> {
    TableIterator::new(or_raise(check(server)))
}

fn check(server: Option<String>) -> Result<Vec<Check>> {
    let connection = Connection::open(&server_or_only(server)?)?;
    let mut models = mirrors::models(&connection.server)?;
    if models.is_empty() {
        models.push(sample_metrics::MODEL.to_owned());
    }
    let fetcher = connection.fresh_fetcher(Policy::NONE)?;
    let asked = Instant::now();
    let version = fetcher.run(|client| client.version())?;
    let latency = asked.elapsed();
    let uid = fetcher.run(|client| client.authenticate())?;
    let mut rows = Vec::new();
    for model in models {
        let scope = Scope {
            model: model.clone(),
            domain: Vec::new(),
            lang: None,
            company_ids: Vec::new(),
        };
        // A model that cannot be read is a finding; an Odoo that cannot be reached any more is an error.
        let counted = match fetcher.run(move |client| client.search_count(&scope, Vec::new())) {
            Err(error) if matches!(error.sqlstate(), "42501" | "42704" | "38000") => Err(error),
            other => Ok(other?),
        };
        rows.push((
            connection.server.clone(),
            connection.url(),
            connection.account.dbname.clone(),
            version.server_version.clone(),
            connection.account.login.clone(),
            uid,
            (latency.as_secs_f64() * 10_000.0).round() / 10.0,
            model,
            counted.is_ok(),
            counted.as_ref().ok().map(|count| signed(*count)),
            counted.as_ref().err().map(Error::to_string),
            counted.as_ref().err().and_then(Error::hint),
        ));
    }
    Ok(rows)
}

/// Binds a mirror to a server.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn alter_mirror(mirror: Option<String>, server: Option<String>) {
    or_raise(alter(mirror, server));
}

fn alter(mirror: Option<String>, server: Option<String>) -> Result<()> {
    mirrors::set_server(&given(mirror, "mirror")?, &given(server, "server")?)
}

type Figures = (
    Option<i64>,
    String,
    String,
    bool,
    i64,
    i64,
    i64,
    i64,
    i64,
    i64,
    i64,
    i64,
    f64,
);

/// Brings a mirror into step with Odoo, in the caller's transaction.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn sync_mirror(
    mirror: Option<String>,
    since: default!(Option<TimestampWithTimeZone>, "NULL"),
    max_rows: default!(Option<i32>, "NULL"),
    dry_run: default!(Option<bool>, "false"),
    max_delete_ratio: default!(Option<f64>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(run, Option<i64>),
        name!(mirror, String),
        name!(mode, String),
        name!(dry_run, bool),
        name!(fetched, i64),
        name!(inserted, i64),
        name!(updated, i64),
        name!(unchanged, i64),
        name!(deleted, i64),
        name!(odoo_count, i64),
        name!(mirror_count, i64),
        name!(delta, i64),
        name!(seconds, f64),
    ),
> {
    let request = Request {
        mirror,
        since,
        max_rows,
        dry_run: dry_run.unwrap_or(false),
        max_delete_ratio,
    };
    TableIterator::once(or_raise(request.run()))
}

/// What the caller of a sync asks for.
struct Request {
    mirror: Option<String>,
    since: Option<TimestampWithTimeZone>,
    max_rows: Option<i32>,
    dry_run: bool,
    max_delete_ratio: Option<f64>,
}

impl Request {
    fn run(self) -> Result<Figures> {
        let began = Instant::now();
        let mirror = mirrors::load(&given(self.mirror, "mirror")?)?;
        let plan = Plan {
            mirror: mirror.name.clone(),
            since: self.since.map(moment).transpose()?,
            max_rows: self.max_rows.map(at_least_one).transpose()?,
            dry_run: self.dry_run,
            max_delete_ratio: self.max_delete_ratio.map_or(Ok(mirror.max_delete_ratio), ratio)?,
        };
        target::check(&mirror, plan.dry_run)?;
        let connection = Connection::open(&mirror.server)?;
        if !plan.dry_run {
            lock::for_transaction(&mirror.name)?;
            mirrors::register(&mirror)?;
        }
        let mirror = Arc::new(mirror);
        let mut source = OdooSource::new(connection.fetcher(Policy::SYNC)?, Arc::clone(&mirror));
        let mut sink = PgSink::new(&mirror, plan.dry_run);
        let report = sync::run(&mut source, &mut sink, &plan)?;
        let uid = source.uid()?;
        drop(source);
        let run = match plan.dry_run {
            true => {
                warn_of_refusal(&plan, &report);
                None
            }
            false => {
                if let Some(uid) = uid {
                    logins::remember(&connection, uid)?;
                }
                if let Some(cursor) = report.cursor {
                    mirrors::set_cursor(&mirror.name, timestamptz(cursor.naive_utc())?)?;
                }
                runs::record(&plan, &report, self.since)?
            }
        };
        Ok((
            run,
            plan.mirror,
            report.mode.name().to_owned(),
            plan.dry_run,
            signed(report.fetched),
            signed(report.inserted),
            signed(report.updated),
            signed(report.unchanged),
            signed(report.deleted),
            signed(report.odoo_count),
            signed(report.mirror_count),
            signed(report.odoo_count) - signed(report.mirror_count),
            (began.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0,
        ))
    }
}

/// A dry run counts deletions that a real one would refuse.
fn warn_of_refusal(plan: &Plan, report: &Report) {
    let allowed = sync::allowed_deletions(report.mirror_count, plan.max_delete_ratio);
    if report.deleted > allowed {
        warning(
            format!(
                "a real run would refuse to delete {} rows: {allowed} are allowed",
                report.deleted
            ),
            format!(
                "If Odoo is right, allow it: select * from ipai.sync_mirror('{}', max_delete_ratio => 1);",
                plan.mirror
            ),
        );
    }
}

fn server_or_only(server: Option<String>) -> Result<String> {
    match server {
        Some(server) => Ok(server),
        None => connection::only_server("Name one: select * from ipai.check_connection('...');"),
    }
}

/// Microseconds between 1970-01-01, where chrono counts from, and 2000-01-01, where Postgres does.
const EPOCH_SHIFT: i64 = 946_684_800_000_000;

fn moment(since: TimestampWithTimeZone) -> Result<NaiveDateTime> {
    let micros: pg_sys::TimestampTz = since.into();
    micros
        .checked_add(EPOCH_SHIFT)
        .and_then(DateTime::from_timestamp_micros)
        .map(|moment| moment.naive_utc())
        // Odoo reads four digits of a year.
        .filter(|moment| (1..=9999).contains(&chrono::Datelike::year(moment)))
        .ok_or_else(|| {
            argument(
                "since is not a moment that Odoo knows",
                "Give a date between the years 1 and 9999.",
            )
        })
}

fn at_least_one(max_rows: i32) -> Result<u64> {
    match u64::try_from(max_rows) {
        Ok(rows) if rows > 0 => Ok(rows),
        _ => Err(argument(
            "max_rows must be at least 1",
            "Leave it out to read everything.",
        )),
    }
}

fn ratio(ratio: f64) -> Result<f64> {
    match (0.0..=1.0).contains(&ratio) {
        true => Ok(ratio),
        false => Err(argument(
            "max_delete_ratio must be between 0 and 1",
            "0.2 allows a fifth of the rows to be deleted in one run, 1 allows all.",
        )),
    }
}

/// An argument that may not be null. (A STRICT function would silently do nothing.)
fn given(value: Option<String>, name: &str) -> Result<String> {
    value.ok_or_else(|| {
        argument(
            &format!("{name} must not be null"),
            "select name, server from ipai.mirrors shows the mirrors.",
        )
    })
}

fn argument(message: &str, hint: &str) -> Error {
    Error::InvalidArgument {
        message: message.to_owned(),
        hint: hint.to_owned(),
    }
}
