//! The log of runs, `ipai.run_log`: one row a run, changed only by that run. View `ipai.sync_runs` shows it.

use super::spi;
use super::time::{moment, optional_timestamptz, timestamptz};
use ipai_odoo::error::{Error, Result};
use ipai_mirror::Newest;
use crate::guc;
use ipai_mirror::engine::{Counts, Mode, Position, Report, SoFar, Start, Tally, Unfinished};
use pgrx::prelude::*;

/// A run that begins: its number.
pub fn begin(mirror: &str, shape: &str, start: &Start, cursor: Option<TimestampWithTimeZone>) -> Result<i64> {
    let position = start.position();
    let rows = spi::execute(
        "insert into ipai.run_log (mirror, mode, state, resumes, shape, bound, position, odoo_clock, newest, cursor_before) \
         values ($1, $2, 'running', $3, $4, $5, $6, $7, $8, $9) returning run",
        &[
            mirror.into(),
            start.mode.name().into(),
            start.resumed.map(|unfinished| unfinished.run).into(),
            shape.into(),
            start.bound.map(timestamptz).transpose()?.into(),
            position.id.into(),
            optional_timestamptz(position.began)?.into(),
            position.newest.map(|newest| timestamptz(newest.written)).transpose()?.into(),
            cursor.into(),
        ],
        |row| spi::column(row, 1),
    )?;
    number(rows)
}

/// A run in the caller's transaction, which nobody sees before it is complete: its number. It took as long as the report says.
pub fn record(mirror: &str, shape: &str, since: Option<TimestampWithTimeZone>, report: &Report) -> Result<i64> {
    let rows = spi::execute(
        "insert into ipai.run_log (mirror, mode, state, started_at, shape, bound) values ($1, $2, 'running', \
         pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $3), $4, $5) returning run",
        &[
            mirror.into(),
            report.mode.name().into(),
            (report.waiting + report.writing).as_secs_f64().into(),
            shape.into(),
            since.into(),
        ],
        |row| spi::column(row, 1),
    )?;
    number(rows)
}

/// What a run reads, where it found that to be other than it was. One that reads everything begins `anew` then.
pub fn set_shape(run: i64, shape: &str, anew: bool) -> Result<()> {
    spi::execute(
        "update ipai.run_log set shape = $2, position = case when $3 then 0 else position end, odoo_clock = case when not $3 then \
         odoo_clock end, newest = case when not $3 then newest end, resumes = case when not $3 then resumes end where run = $1",
        &[run.into(), shape.into(), anew.into()],
        |_| Ok(()),
    )?;
    Ok(())
}

/// How far a run is.
pub fn checkpoint(run: i64, so_far: &SoFar) -> Result<()> {
    spi::execute(
        "update ipai.run_log set mode = $2, bound = $3, position = $4, odoo_clock = $5, newest = $6, pages = $7, fetched = $8, \
         total = $9, inserted = $10, updated = $11, unchanged = $8 - $10 - $11, seconds_waiting = $12, seconds_writing = $13 \
         where run = $1",
        &[
            run.into(),
            so_far.mode.name().into(),
            so_far.bound.map(timestamptz).transpose()?.into(),
            so_far.position.id.into(),
            optional_timestamptz(so_far.position.began)?.into(),
            so_far.position.newest.map(|newest| timestamptz(newest.written)).transpose()?.into(),
            signed(so_far.pages).into(),
            signed(so_far.fetched).into(),
            so_far.total.map(signed).into(),
            signed(so_far.inserted).into(),
            signed(so_far.updated).into(),
            so_far.waiting.as_secs_f64().into(),
            so_far.writing.as_secs_f64().into(),
        ],
        |_| Ok(()),
    )?;
    Ok(())
}

/// A run that is complete.
pub fn succeed(run: i64, report: &Report, counts: &Counts) -> Result<()> {
    spi::execute(
        "update ipai.run_log set state = 'succeeded', finished_at = pg_catalog.clock_timestamp(), mode = $2, pages = $3, \
         fetched = $4, inserted = $5, updated = $6, unchanged = $7, deleted = $8, odoo_count = $9, odoo_active = $10, \
         odoo_alerts = $11, mirror_count = $12, mirror_active = $13, mirror_alerts = $14, cursor_after = $15, \
         seconds_waiting = $16, seconds_writing = $17, complete = $18 where run = $1",
        &[
            run.into(),
            report.mode.name().into(),
            signed(report.pages).into(),
            signed(report.fetched).into(),
            signed(report.inserted).into(),
            signed(report.updated).into(),
            signed(report.unchanged).into(),
            signed(report.deleted).into(),
            signed(counts.odoo.total).into(),
            counts.odoo.active.map(signed).into(),
            counts.odoo.alerts.map(signed).into(),
            signed(counts.mirror.total).into(),
            counts.mirror.active.map(signed).into(),
            counts.mirror.alerts.map(signed).into(),
            optional_timestamptz(report.cursor)?.into(),
            report.waiting.as_secs_f64().into(),
            report.writing.as_secs_f64().into(),
            report.complete.into(),
        ],
        |_| Ok(()),
    )?;
    Ok(())
}

/// A run that ended in an error.
pub fn fail(run: i64, error: &Error) -> Result<()> {
    let state = match error {
        Error::RefusedDeletion { .. } => "refused",
        // A person cancels; a timeout comes again until somebody does something.
        error if error.sqlstate() == "57014" && !error.to_string().contains("statement timeout") => "cancelled",
        _ => "failed",
    };
    spi::execute(
        "update ipai.run_log set state = $2, finished_at = pg_catalog.clock_timestamp(), sqlstate = $3, message = $4, \
         detail = $5, hint = $6 where run = $1",
        &[
            run.into(),
            state.into(),
            error.sqlstate().into(),
            error.to_string().into(),
            error.detail().into(),
            error.hint().into(),
        ],
        |_| Ok(()),
    )?;
    Ok(())
}

/// Both counts, taken without a sync.
pub fn record_counts(mirror: &str, counts: &Counts) -> Result<()> {
    spi::execute(
        "insert into ipai.run_log (mirror, mode, state, finished_at, odoo_count, odoo_active, odoo_alerts, mirror_count, \
         mirror_active, mirror_alerts) values ($1, 'counts', 'succeeded', pg_catalog.clock_timestamp(), $2, $3, $4, $5, $6, $7)",
        &[
            mirror.into(),
            signed(counts.odoo.total).into(),
            counts.odoo.active.map(signed).into(),
            counts.odoo.alerts.map(signed).into(),
            signed(counts.mirror.total).into(),
            counts.mirror.active.map(signed).into(),
            counts.mirror.alerts.map(signed).into(),
        ],
        |_| Ok(()),
    )?;
    Ok(())
}

/// Odoo's counts as they were last taken, where the mirror's agreed with them and no run has changed it since: one that did not
/// end well counts nothing.
pub fn last_tally(mirror: &str) -> Result<Option<Tally>> {
    spi::query_one(
        "select c.odoo_count, c.odoo_active, c.odoo_alerts from (select * from ipai.run_log where mirror = $1 and odoo_count is not \
         null order by run desc limit 1) c where (c.odoo_count, c.odoo_active, c.odoo_alerts) is not distinct from \
         (c.mirror_count, c.mirror_active, c.mirror_alerts) and not exists (select from ipai.run_log l where l.mirror = $1 and l.run > c.run and \
         l.inserted + l.updated > 0)",
        &[mirror.into()],
        |row| {
            let count = |column| -> Result<Option<u64>> {
                Ok(spi::optional::<i64>(row, column)?.and_then(|count| u64::try_from(count).ok()))
            };
            Ok(Tally {
                total: count(1)?.unwrap_or(0),
                active: count(2)?,
                alerts: count(3)?,
            })
        },
    )
}

/// The last run of the mirror as it is now, where it did not end well. A refused one had read everything, and is not gone on
/// with: what changes meanwhile must arrive.
pub fn unfinished(mirror: &str, shape: &str) -> Result<Option<Unfinished>> {
    let last = spi::query_one(
        "select run, mode, bound, position, odoo_clock, newest, state in ('succeeded', 'refused'), shape is not distinct from $2 \
         from ipai.run_log where mirror = $1 and mode in ('full', 'incremental', 'reconcile') and (state <> 'succeeded' or complete) \
         order by run desc limit 1",
        &[mirror.into(), shape.into()],
        |row| {
            let mode: String = spi::column(row, 2)?;
            let usable = !spi::column::<bool>(row, 7)? && spi::column::<bool>(row, 8)?;
            let unfinished = Unfinished {
                run: spi::column(row, 1)?,
                mode: Mode::from_name(&mode).unwrap_or_default(),
                bound: spi::optional(row, 3)?.and_then(moment),
                position: Position {
                    id: spi::column(row, 4)?,
                    began: spi::optional(row, 5)?.and_then(moment).map(|moment| moment.and_utc()),
                    newest: spi::optional(row, 6)?
                        .and_then(moment)
                        .map(|written| Newest { written, id: 0 }),
                },
            };
            Ok(usable.then_some(unfinished))
        },
    )?;
    Ok(last.flatten())
}

/// Forgets runs that ended long ago, but for the last one of each kind that later runs look at.
pub fn purge(mirror: &str) -> Result<()> {
    spi::execute(
        "delete from ipai.run_log r where r.mirror = $1 and coalesce(r.finished_at, r.started_at) < \
         pg_catalog.clock_timestamp() - pg_catalog.make_interval(days => $2) and r.run < (select max(l.run) from ipai.run_log l \
         where l.mirror = $1) and r.run is distinct from (select max(l.run) from ipai.run_log l where l.mirror = $1 and \
         l.odoo_count is not null) and r.run is distinct from (select max(l.run) from ipai.run_log l where l.mirror = $1 and l.complete) \
         and r.run is distinct from (select max(l.run) from ipai.run_log l where l.mirror = $1 and l.mode = 'full' and l.complete)",
        &[mirror.into(), guc::keep_runs_days().into()],
        |_| Ok(()),
    )?;
    Ok(())
}

fn number(rows: Vec<i64>) -> Result<i64> {
    rows.first().copied().ok_or_else(|| Error::Internal {
        cause: "the run has no number".to_owned(),
    })
}

/// A count as Postgres has it.
pub fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
