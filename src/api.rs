//! The functions that users call. Each is thin: arguments in, one call, rows out. Here those that sync; `define` makes mirrors,
//! `odoo` asks Odoo.

mod define;
mod odoo;

use super::complete::{complete, learned};
use super::connection::{self, Connection};
use super::report::{or_raise, warning};
use super::runs::signed;
use super::sink::PgSink;
use super::time::moment;
use super::{counts, drift, interrupt, lock, mirrors, origin, runs, subtransaction, target};
use ipai_odoo::error::{Error, Result};
use ipai_mirror::source::OdooSource;
use ipai_odoo::retry::Policy;
use ipai_mirror::engine::{self, Counts, Mode, Plan, Position, Report};
use chrono::{NaiveDateTime, TimeDelta};
use pgrx::prelude::*;
use std::sync::Arc;
use std::time::Instant;

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
    TableIterator::once(or_raise(
        subtransaction::cancellable(|| request.run()).map_err(with_a_way_out),
    ))
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
        let name = given(self.mirror, "mirror", MIRRORS)?;
        // Whoever's variable is unset did not mean a real run.
        let dry_run = self
            .dry_run
            .ok_or_else(|| argument("dry_run must not be null", "It is true or false."))?;
        let mut mirror = mirrors::load(&name)?;
        let bound = self.since.map(known_to_odoo).transpose()?;
        let max_rows = self.max_rows.map(at_least_one).transpose()?;
        let max_delete_ratio = self.max_delete_ratio.map(ratio).transpose()?;
        if bound.is_some() && !mirror.has_write_date {
            return Err(argument(
                "Odoo does not tell when records of this model were written",
                "Leave since out.",
            ));
        }
        target::check(&mirror, dry_run)?;
        let connection = Connection::open(&mirror.server)?;
        if !dry_run {
            lock::for_transaction(&mirror.name)?;
            // As the last holder of the lock left it.
            mirrors::register(&mirror)?;
            mirror = mirrors::load(&name)?;
        }
        // After the lock: another run may have filled the mirror as somebody else until then.
        let leave = mirrors::leave(&mirror, &connection.account.login, max_delete_ratio)?;
        let mut plan = Plan {
            mirror: mirror.name.clone(),
            mode: bound.map_or(Mode::Full, |_| Mode::Since),
            bound,
            also: None,
            resume: Position::default(),
            cursor: None,
            // A later run finds out whether the cursor has settled.
            overlap: TimeDelta::MAX,
            max_rows,
            dry_run,
            guard: leave.guard,
        };
        let fetcher = connection.fetcher(Policy::SYNC, interrupt::tick)?;
        let filled_from = origin::admit(&fetcher, &leave, &mut plan)?;
        let known = drift::look(&fetcher, &mut mirror, plan.reads_all())?;
        if !dry_run {
            drift::note(&mirror, &known)?;
        }
        let shape = mirrors::shape(&mirror)?;
        let mirror = Arc::new(mirror.readable()?);
        let mut source = OdooSource::new(fetcher, Arc::clone(&mirror)).only_from(&filled_from);
        let last = runs::last_tally(&mirror.name)?;
        let mut sink = PgSink::new(&mirror, plan.dry_run).knowing(&mirror, last);
        let report = sync::run(&mut source, &mut sink, &plan)?;
        let run = match plan.dry_run {
            true => {
                warn_of_refusal(&plan, &report);
                None
            }
            false => {
                let odoo = counts::after_run(&mut source, &mirror, &report, last, || sink.tally())?;
                let counts = Counts {
                    odoo,
                    mirror: sink.tally()?,
                };
                let learned = learned(&source, &filled_from)?;
                let run = runs::record(&mirror.name, &shape, self.since, &report)?;
                complete(run, &mirror, &shape, &report, counts, &connection, &learned)?;
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

/// A sync that outlives its statement_timeout is told how it can last longer.
fn with_a_way_out(error: Error) -> Error {
    match error {
        Error::Postgres {
            sqlstate,
            message,
            detail,
            hint: None,
        } if message.contains("statement timeout") => Error::Postgres {
            sqlstate,
            message,
            detail,
            hint: Some(
                "Nothing was lost, and nothing kept: a function is all or nothing. A long sync runs in the background: \
                 select ipai.sync_now(...), or ipai.schedule_sync(...)."
                    .to_owned(),
            ),
        },
        other => other,
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

const MIRRORS: &str = "select name, server from ipai.mirrors shows the mirrors.";

/// An argument that may not be null. (A STRICT function would silently do nothing.)
fn given(value: Option<String>, name: &str, hint: &str) -> Result<String> {
    value.ok_or_else(|| argument(&format!("{name} must not be null"), hint))
}

fn argument(message: &str, hint: &str) -> Error {
    Error::InvalidArgument {
        message: message.to_owned(),
        hint: hint.to_owned(),
    }
}
