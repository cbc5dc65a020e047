//! The functions that users call. Each is thin: arguments in, one call, rows out.

use super::complete::complete;
use super::connection::{self, Connection};
use super::report::{or_raise, warning};
use super::runs::signed;
use super::sink::PgSink;
use super::time::moment;
use super::{counts, interrupt, lock, mirrors, runs, target};
use crate::error::{Error, Result};
use crate::fetch::OdooSource;
use crate::odoo::retry::Policy;
use crate::sync::{self, Mode, Plan, Position, Report};
use chrono::NaiveDateTime;
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
    let fetcher = connection.fresh_fetcher()?;
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
    let scopes = mirrors::scopes(&connection.server)?;
    let fetcher = connection.fresh_fetcher()?;
    let asked = Instant::now();
    let version = fetcher.run(|client| client.version())?;
    let latency = asked.elapsed();
    let uid = fetcher.run(|client| client.authenticate())?;
    let mut rows = Vec::new();
    for scope in scopes {
        let model = scope.model.clone();
        // A model that cannot be read is a finding; an Odoo that cannot be reached any more is an error.
        let counted = match fetcher.run(move |client| client.search_count(&scope, Vec::new())) {
            Err(
                error @ (Error::OdooAccess { .. }
                | Error::UnknownModel { .. }
                | Error::UnknownField { .. }
                | Error::OdooFault { .. }),
            ) => Err(error),
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

/// Asks Odoo for its counts now.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn refresh_counts(
    mirror: default!(Option<String>, "NULL"),
) -> TableIterator<
    'static,
    (
        name!(mirror, String),
        name!(odoo_total, i64),
        name!(mirror_total, i64),
        name!(delta, i64),
    ),
> {
    TableIterator::new(or_raise(refresh(mirror)))
}

fn refresh(mirror: Option<String>) -> Result<Vec<(String, i64, i64, i64)>> {
    let names = mirror.map_or_else(mirrors::enabled, |name| Ok(vec![name]))?;
    let mut rows = Vec::with_capacity(names.len());
    for name in names {
        let (odoo, ours) = counts::refresh(&name)?;
        rows.push((name, odoo, ours, odoo - ours));
    }
    Ok(rows)
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
        dry_run,
        max_delete_ratio,
    };
    TableIterator::once(or_raise(request.run()))
}

/// What the caller of a sync asks for.
struct Request {
    mirror: Option<String>,
    since: Option<TimestampWithTimeZone>,
    max_rows: Option<i32>,
    dry_run: Option<bool>,
    max_delete_ratio: Option<f64>,
}

impl Request {
    fn run(self) -> Result<Figures> {
        let began = Instant::now();
        let name = given(self.mirror, "mirror")?;
        // Whoever's variable is unset did not mean a real run.
        let dry_run = self
            .dry_run
            .ok_or_else(|| argument("dry_run must not be null", "It is true or false."))?;
        let mirror = mirrors::load(&name)?;
        let bound = self.since.map(known_to_odoo).transpose()?;
        let max_rows = self.max_rows.map(at_least_one).transpose()?;
        let max_delete_ratio = self.max_delete_ratio.map(ratio).transpose()?;
        target::check(&mirror, dry_run)?;
        let connection = Connection::open(&mirror.server)?;
        if !dry_run {
            lock::for_transaction(&mirror.name)?;
            mirrors::register(&mirror)?;
        }
        let plan = Plan {
            mirror: mirror.name.clone(),
            mode: bound.map_or(Mode::Full, |_| Mode::Since),
            bound,
            resume: Position::default(),
            cursor: None,
            max_rows,
            dry_run,
            // After the lock: another run may have filled the mirror as somebody else until then.
            guard: mirrors::guard(&mirror, &connection.account.login, max_delete_ratio)?,
        };
        let mirror = Arc::new(mirror);
        let fetcher = connection.fetcher(Policy::SYNC, interrupt::tick)?;
        let mut source = OdooSource::new(fetcher, Arc::clone(&mirror));
        let mut sink = PgSink::new(&mirror, plan.dry_run);
        let report = sync::run(&mut source, &mut sink, &plan)?;
        let run = match plan.dry_run {
            true => {
                warn_of_refusal(&plan, &report);
                None
            }
            false => {
                let odoo = counts::after_run(&mut source, &mirror, &report, runs::last_tally(&mirror.name)?)?;
                let uid = source.uid()?;
                let shape = mirrors::shape(&mirror)?;
                let run = runs::record(&mirror.name, &shape, self.since, &report)?;
                complete(run, &mirror, &shape, &report, odoo, &connection, uid)?;
                Some(run)
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
    let allowed = plan.guard.allows(report.mirror_count);
    if report.deleted > allowed {
        warning(
            format!(
                "a real run would refuse to delete {} rows: {allowed} are allowed",
                report.deleted
            ),
            format!(
                "If Odoo is right, allow it: select * from ipai.sync_mirror({}, max_delete_ratio => 1);",
                connection::literal(&plan.mirror)
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

fn known_to_odoo(since: TimestampWithTimeZone) -> Result<NaiveDateTime> {
    moment(since).ok_or_else(|| {
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

/// A part of the rows.
pub fn ratio(ratio: f64) -> Result<f64> {
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
