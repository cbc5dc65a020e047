//! Converts moments and dates between chrono and Postgres.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime};
use ipai_odoo::error::{Error, Result};
use pgrx::pg_sys;
use pgrx::prelude::*;

/// The day from which Postgres counts days and microseconds.
const EPOCH: NaiveDate = match NaiveDate::from_ymd_opt(2000, 1, 1) {
    Some(day) => day,
    None => NaiveDate::MIN,
};

/// Days since 2000-01-01. The result fits, because Odoo's years have at most four digits.
pub fn days(day: NaiveDate) -> i32 {
    day.signed_duration_since(EPOCH).num_days() as i32
}

/// Microseconds from 2000-01-01 to a moment (UTC). The range is about 290,000 years.
pub fn micros(moment: NaiveDateTime) -> i64 {
    let since = moment.signed_duration_since(EPOCH.and_time(NaiveTime::MIN));
    since.num_microseconds().unwrap_or(i64::MAX)
}

/// Converts a moment (UTC) to timestamptz.
///
/// # Errors
/// An internal error if the moment is outside of Postgres's range.
pub fn timestamptz(moment: NaiveDateTime) -> Result<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(micros(moment))
        .map_err(|_| Error::Internal { cause: "a moment is outside of Postgres's range".to_owned() })
}

/// Converts a timestamptz to a moment (UTC).
///
/// It returns `None` for infinity and for years that Odoo cannot read, whose years have four
/// digits.
pub fn moment(stamp: TimestampWithTimeZone) -> Option<NaiveDateTime> {
    let micros: pg_sys::TimestampTz = stamp.into();
    let since = chrono::TimeDelta::microseconds(micros);
    EPOCH.and_time(NaiveTime::MIN).checked_add_signed(since).filter(|moment| (1..=9999).contains(&moment.year()))
}
