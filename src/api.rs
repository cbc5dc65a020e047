//! The functions that users call. Each is thin: arguments in, one call, rows out. Here are the
//! functions that sync; `define` has those that define mirrors, `odoo` those that ask Odoo.
// The rows of a function are tuples, because pgrx derives its SQL from them.
#![allow(clippy::type_complexity)]

mod define;
mod odoo;

use crate::connection::ServerAccounts;
use crate::report::or_raise;
use crate::session::{SpiSession, moment};
use crate::subtransaction;
use chrono::NaiveDateTime;
use ipai_mirror::changes::Answers;
use ipai_mirror::connection::Fetchers;
use ipai_mirror::refresh_counts;
use ipai_mirror::refusal::invalid;
use ipai_mirror::run_mirror::{Host, RunRequest, RunScope, run_mirror};
use ipai_mirror::run_mirrors;
use ipai_mirror::session::{Session, signed};
use ipai_mirror::store::mirrors;
use ipai_odoo::error::{Error, Result};
use pgrx::prelude::*;
use std::time::Instant;

/// This backend as the host of runs.
pub fn host(session: &mut dyn Session) -> Host<'_> {
    Host {
        session,
        accounts: &ServerAccounts,
        fetchers: Fetchers::default(),
        answers: Answers::default(),
        guard: |work| subtransaction::guarded(work),
        now: || moment(pgrx::datum::datetime_support::clock_timestamp()).unwrap_or_default(),
    }
}

/// Counts both sides now.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
fn refresh_counts(
    mirror: default!(Option<String>, "NULL"),
) -> TableIterator<'static, (name!(mirror, String), name!(odoo_total, i64), name!(mirror_total, i64), name!(delta, i64))>
{
    let refresh = || {
        let session = &mut SpiSession::of_function()?;
        let names = match mirror {
            Some(name) => vec![name],
            None => mirrors::enabled(session)?,
        };
        let refresh = |name: String| {
            let counts = refresh_counts::refresh_counts(session, &ServerAccounts, &name)?;
            let (odoo, ours) = (signed(counts.odoo.total), signed(counts.mirror.total));
            Ok((name, odoo, ours, odoo - ours))
        };
        names.into_iter().map(refresh).collect::<Result<Vec<_>>>()
    };
    TableIterator::new(or_raise(refresh()))
}

/// Syncs a mirror with Odoo, in the caller's transaction.
#[pg_extern]
#[search_path(pg_catalog, pg_temp)]
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
    let sync = || {
        let began = Instant::now();
        let request = RunRequest {
            scope: RunScope::Records {
                since: since.map(known_to_odoo).transpose()?,
                max_rows: max_rows.map(at_least_one).transpose()?,
            },
            // A null is probably a mistake: it must not start a real run.
            dry_run: dry_run.ok_or_else(|| invalid("dry_run must not be null", "It is true or false."))?,
            max_delete_ratio: max_delete_ratio.map(run_mirrors::ratio).transpose()?,
        };
        let name = require(mirror, "mirror", MIRRORS)?;
        let session = &mut SpiSession::of_function()?;
        let finished = run_mirror(&mut host(session), &name, request)?;
        let (report, progress) = (&finished.report, &finished.report.progress);
        Ok((
            finished.run,
            name,
            progress.mode.name().to_owned(),
            request.dry_run,
            signed(progress.fetched),
            signed(progress.inserted),
            signed(progress.updated),
            signed(progress.unchanged()),
            signed(progress.deleted),
            signed(report.counts.odoo.total),
            signed(report.counts.mirror.total),
            signed(report.counts.odoo.total) - signed(report.counts.mirror.total),
            (began.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0,
        ))
    };
    let result = subtransaction::guarded(sync);
    TableIterator::once(or_raise(result.map_err(with_way_out)))
}

/// Adds a hint to the error of a sync that a time-out cancelled.
fn with_way_out(error: Error) -> Error {
    match &error {
        Error::Postgres(timeout) if timeout.timed_out && timeout.sqlstate == "57014" && timeout.hint.is_none() => error
            .with_hint(
                "Nothing was lost, and nothing was kept: a function is all or nothing. Run a long sync in the \
                 background: select ipai.sync_now(...), or ipai.schedule_sync(...).",
            ),
        _ => error,
    }
}

fn known_to_odoo(since: TimestampWithTimeZone) -> Result<NaiveDateTime> {
    moment(since)
        .ok_or_else(|| invalid("since is not a moment that Odoo knows", "Give a date between the years 1 and 9999."))
}

fn at_least_one(max_rows: i32) -> Result<u64> {
    let rows = u64::try_from(max_rows).ok().filter(|rows| *rows > 0);
    rows.ok_or_else(|| invalid("max_rows must be at least 1", "Leave it out to read everything."))
}

const MIRRORS: &str = "select name, server from ipai.mirrors shows the mirrors.";

/// Refuses a null argument. A STRICT function would silently do nothing.
fn require(value: Option<String>, name: &str, hint: &str) -> Result<String> {
    value.ok_or_else(|| invalid(format!("{name} must not be null"), hint))
}
