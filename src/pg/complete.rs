//! The end of a run that saw everything, in whichever way it was run.

use super::connection::Connection;
use super::time::optional_timestamptz;
use super::{counts, logins, mirrors, runs};
use crate::error::Result;
use crate::mirror::Mirror;
use crate::sync::{Counts, Mode, Report, Tally};

/// Records the run with both counts, moves the cursor, remembers the login. `odoo` is what Odoo counted.
pub fn complete(
    run: i64,
    mirror: &Mirror,
    shape: &str,
    report: &Report,
    odoo: Tally,
    connection: &Connection,
    uid: Option<i64>,
) -> Result<()> {
    let counts = Counts {
        odoo,
        mirror: counts::of_mirror(mirror)?,
    };
    runs::succeed(run, report, &counts)?;
    if report.complete && report.mode != Mode::Since {
        let cursor = optional_timestamptz(report.cursor)?;
        mirrors::set_reached(&mirror.name, cursor, shape, &connection.account.login)?;
    }
    if let Some(uid) = uid {
        logins::remember(connection, uid)?;
    }
    runs::purge(&mirror.name)
}
