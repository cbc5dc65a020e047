//! pg_cron's clock, for the views: when a schedule comes next, and in which time zone.

use crate::cron_schedule;
use crate::time::{moment, timestamptz};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::ffi::CStr;

/// When pg_cron begins a job of this schedule next, in its time zone; null where it never does. No
/// error for any schedule: views call it.
#[pg_extern(immutable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn next_run(schedule: &str, after: Timestamp) -> Option<Timestamp> {
    // With and without a time zone Postgres counts the same microseconds.
    let after = TimestampWithTimeZone::try_from(pg_sys::Timestamp::from(after)).ok()?;
    let next = timestamptz(cron_schedule::next(schedule, moment(after)?)?).ok()?;
    Timestamp::try_from(pg_sys::TimestampTz::from(next)).ok()
}

/// The time zone of pg_cron's schedules: what `cron.timezone` says, which pg_cron has since its
/// version 1.5, else GMT.
// SQL's current_setting() refuses it to all but superusers, and who may see that a mirror is late
// may know it.
#[pg_extern(stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn cron_timezone() -> String {
    // SAFETY: plain look-ups; what they give is Postgres's own, and is copied at once. An unknown
    // zone is a null pointer.
    let zone = unsafe {
        let zone = pg_sys::GetConfigOption(c"cron.timezone".as_ptr(), true, false);
        match zone.is_null() || pg_sys::pg_tzset(zone).is_null() {
            true => None,
            false => CStr::from_ptr(zone).to_str().ok(),
        }
    };
    zone.filter(|zone| !zone.is_empty()).unwrap_or("GMT").to_owned()
}
