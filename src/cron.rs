//! pg_cron's jobs, where there is a pg_cron.

use super::spi;
use ipai_odoo::error::Result;

/// Whether this role can look at pg_cron's jobs. What is only called like them may be anybody's.
pub fn usable() -> Result<bool> {
    let ask = |sql| spi::query_one(sql, &[], |row| spi::column::<bool>(row, 1));
    // A role that may only sync need not know.
    if ask("select pg_catalog.has_function_privilege('ipai.has_cron()', 'execute')")? != Some(true) {
        return Ok(false);
    }
    Ok(ask("select ipai.has_cron()")?.unwrap_or(false))
}

/// Jobs of `ipai.sync_now`, which are there for one run that begins after them.
pub fn jobs_for_once(mirror: &str) -> Result<Vec<i64>> {
    if !usable()? {
        return Ok(Vec::new());
    }
    spi::query(
        "select j.jobid from cron.job j where j.jobname = 'ipai_sync now ' || $1 and j.username = current_user",
        &[mirror.into()],
        |row| spi::column(row, 1),
    )
}

/// Takes jobs away.
pub fn unschedule(jobs: &[i64]) -> Result<()> {
    spi::execute(
        "select cron.unschedule(j.jobid) from cron.job j where j.jobid = any ($1)",
        &[jobs.to_vec().into()],
        |_| Ok(()),
    )?;
    Ok(())
}

/// Takes the current user's schedule of a mirror away.
pub fn forget(mirror: &str) -> Result<()> {
    if usable()? {
        spi::execute("select ipai.unschedule_sync($1)", &[mirror.into()], |_| Ok(()))?;
    }
    Ok(())
}
