//! Jobs of pg_cron, if the database has it.

use super::sql;
use crate::session::Session;
use ipai_odoo::error::Result;

/// Whether this role can read pg_cron's jobs. A table that is only named like pg_cron's does not
/// count.
pub fn usable(session: &mut dyn Session) -> Result<bool> {
    // A role that may only sync may lack the right to ask.
    // Without the extension, the function does not exist.
    let may_ask = "select pg_catalog.has_function_privilege(pg_catalog.to_regprocedure('ipai.has_cron()'), 'execute')";
    Ok(session.is_true(may_ask, &[])? && session.is_true("select ipai.has_cron()", &[])?)
}

/// Jobs of `ipai.sync_now` with their mirrors, each for one run that begins after it was created.
pub fn jobs_for_once(session: &mut dyn Session, mirrors: &[String]) -> Result<Vec<(String, i64)>> {
    if !usable(session)? {
        return Ok(Vec::new());
    }
    session.all(sql!("cron_jobs_for_once"), &[mirrors.into()], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Removes jobs.
pub fn unschedule(session: &mut dyn Session, jobs: &[i64]) -> Result<()> {
    let sql = "select cron.unschedule(jobid) from cron.job where jobid = any ($1)";
    session.run(sql, &[jobs.into()]).map(drop)
}

/// Removes the current user's schedule of a mirror.
pub fn forget(session: &mut dyn Session, mirror: &str) -> Result<()> {
    match usable(session)? {
        true => session.run("select ipai.unschedule_sync($1)", &[mirror.into()]).map(drop),
        false => Ok(()),
    }
}
