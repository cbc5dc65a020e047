//! Converts moments and dates between chrono and Postgres.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime};
use ipai_mirror::session::internal;
use ipai_odoo::error::Result;
use pgrx::pg_sys;
use pgrx::prelude::*;

/// Microseconds from 1970-01-01 to 2000-01-01, from where Postgres counts.
const EPOCH: i64 = 946_684_800_000_000;

/// Days since 2000-01-01, which is day 730,120 of the common era.
pub fn days(day: NaiveDate) -> i32 {
    day.num_days_from_ce() - 730_120
}

/// Microseconds from 2000-01-01 to a moment (UTC).
pub fn micros(moment: NaiveDateTime) -> i64 {
    moment.and_utc().timestamp_micros() - EPOCH
}

/// Converts a moment (UTC) to timestamptz. Fails outside of Postgres's range.
pub fn timestamptz(moment: NaiveDateTime) -> Result<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(micros(moment)).map_err(|_| internal("a moment is outside of Postgres's range"))
}

/// Converts a timestamptz to a moment (UTC), or `None` for infinity and for years that Odoo cannot
/// read, whose years have four digits.
pub fn moment(stamp: TimestampWithTimeZone) -> Option<NaiveDateTime> {
    let moment = DateTime::from_timestamp_micros(pg_sys::TimestampTz::from(stamp).checked_add(EPOCH)?)?.naive_utc();
    (1..=9999).contains(&moment.year()).then_some(moment)
}
