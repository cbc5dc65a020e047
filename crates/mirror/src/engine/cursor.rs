//! The cursor: the high-water mark from which the next incremental run reads.

use crate::Newest;
use chrono::{DateTime, TimeDelta, Utc};

/// The cursor after a complete run: the greatest write date seen, but never later than Odoo's clock
/// at the start of the run. A record written during the run may have been passed already, and a
/// write date in the future would hide changes from every later run. Never a local clock.
pub fn after_run(newest: Option<Newest>, began: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    Some(newest?.written.and_utc().min(began?))
}

/// The newest record, if the run began after its overlap window. Then everything written until that
/// record is committed and was read, and only newer changes can arrive. Odoo shows whole seconds,
/// so the second of the record must be over as well.
pub fn settled(newest: Option<Newest>, began: Option<DateTime<Utc>>, overlap: TimeDelta) -> Option<i64> {
    let newest = newest.filter(|newest| newest.id > 0)?;
    (began?.naive_utc() - newest.written >= overlap.checked_add(&SECOND)?).then_some(newest.id)
}

/// The resolution of the times that Odoo shows.
pub const SECOND: TimeDelta = TimeDelta::seconds(1);

#[cfg(test)]
#[path = "cursor_tests.rs"]
mod tests;
