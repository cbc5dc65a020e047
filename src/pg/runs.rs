//! The log of runs, `ipai.sync_runs`: one row a run.

use super::spi;
use crate::error::Result;
use crate::sync::{Plan, Report};
use pgrx::prelude::*;

/// Records a run that succeeded, in the run's own transaction; its number.
pub fn record(plan: &Plan, report: &Report, since: Option<TimestampWithTimeZone>) -> Result<Option<i64>> {
    let rows = spi::execute(
        "insert into ipai.sync_runs (mirror, mode, state, started_at, finished_at, since, fetched, inserted, updated, \
         unchanged, deleted, odoo_count, mirror_count, seconds_waiting, seconds_writing) values ($1, $2, 'succeeded', \
         pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $3), pg_catalog.clock_timestamp(), $4, $5, $6, $7, \
         $8, $9, $10, $11, $12, $13) returning run",
        &[
            plan.mirror.as_str().into(),
            report.mode.name().into(),
            (report.waiting + report.writing).as_secs_f64().into(),
            since.into(),
            signed(report.fetched).into(),
            signed(report.inserted).into(),
            signed(report.updated).into(),
            signed(report.unchanged).into(),
            signed(report.deleted).into(),
            signed(report.odoo_count).into(),
            signed(report.mirror_count).into(),
            report.waiting.as_secs_f64().into(),
            report.writing.as_secs_f64().into(),
        ],
        |row| spi::column(row, 1),
    )?;
    Ok(rows.first().copied())
}

/// A count as Postgres has it.
pub fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
