//! The end of a run that saw everything, in whichever way it was run.

use super::connection::Connection;
use super::report::warning;
use super::time::optional_timestamptz;
use super::{logins, mirrors, origin, runs};
use ipai_odoo::error::Result;
use ipai_mirror::source::{Learned, OdooSource};
use ipai_mirror::Mirror;
use ipai_odoo::Database;
use ipai_mirror::engine::{Counts, Mode, Report};

/// Records the run with both counts, moves the cursor, remembers what Odoo has told.
pub fn complete(
    run: i64,
    mirror: &Mirror,
    shape: &str,
    report: &Report,
    counts: Counts,
    connection: &Connection,
    learned: &Learned,
) -> Result<()> {
    runs::succeed(run, report, &counts)?;
    if report.complete && report.mode != Mode::Since {
        let cursor = optional_timestamptz(report.cursor)?;
        mirrors::set_reached(
            &mirror.name,
            cursor.map(|cursor| (cursor, report.settled)),
            shape,
            &connection.account.login,
            &learned.database,
        )?;
    }
    logins::remember(connection, &learned.known)?;
    runs::purge(&mirror.name)
}

/// What is known of Odoo after a run. Where the addon of Odoo failed, the run read on without it, and says so.
pub fn learned(source: &OdooSource, filled_from: &Database) -> Result<Learned> {
    let mut learned = source.learned()?;
    learned.database = origin::learned(filled_from, &learned.database);
    if let Some(error) = &learned.addon_failure {
        warning(
            format!("the addon ipai_sync of Odoo was given up for this run: {error}"),
            "Nothing is missing: the run read on without it, more slowly. The next full run tries it again.".to_owned(),
        );
    }
    Ok(learned)
}
