//! The next start of a pg_cron schedule, and its time zone.

use crate::cron_schedule;
use crate::time::{moment, timestamptz};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::ffi::CStr;

/// The next start of a pg_cron job with this schedule, in the time zone of pg_cron; null if it
/// never starts. No schedule raises an error.
#[pg_extern(immutable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn next_run(schedule: &str, after: Timestamp) -> Option<Timestamp> {
    // With and without a time zone Postgres counts the same microseconds.
    let after = TimestampWithTimeZone::try_from(pg_sys::Timestamp::from(after)).ok()?;
    let next = timestamptz(cron_schedule::next(schedule, moment(after)?)?).ok()?;
    Timestamp::try_from(pg_sys::TimestampTz::from(next)).ok()
}

/// The time zone of pg_cron's schedules: `cron.timezone`, which pg_cron has since version 1.5, or
/// else GMT.
// current_setting() shows it only to superusers; a role that sees a late mirror may know it.
#[pg_extern(stable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
fn cron_timezone() -> String {
    // SAFETY: plain lookups, whose results belong to Postgres and are copied at once. An unknown
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
