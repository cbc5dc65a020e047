//! Between chrono and Postgres, which counts microseconds (and days) from 2000-01-01.

use crate::error::{Error, Result};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use pgrx::pg_sys;
use pgrx::prelude::*;

const EPOCH: NaiveDate = match NaiveDate::from_ymd_opt(2000, 1, 1) {
    Some(day) => day,
    None => NaiveDate::MIN,
};

/// Odoo's years have four digits at most.
pub fn date(day: NaiveDate) -> Date {
    let days = day.signed_duration_since(EPOCH).num_days() as i32;
    // SAFETY: years 1 to 9999 are within Postgres's range.
    unsafe { Date::from_pg_epoch_days(days) }
}

/// A UTC moment as Postgres's timestamptz.
pub fn timestamptz(moment: NaiveDateTime) -> Result<TimestampWithTimeZone> {
    moment
        .signed_duration_since(EPOCH.and_time(NaiveTime::MIN))
        .num_microseconds()
        .and_then(|micros| TimestampWithTimeZone::try_from(micros).ok())
        .ok_or_else(|| Error::Internal {
            cause: "a moment is out of Postgres's range".to_owned(),
        })
}

/// The same for what may be missing.
pub fn optional_timestamptz(moment: Option<DateTime<Utc>>) -> Result<Option<TimestampWithTimeZone>> {
    moment.map(|moment| timestamptz(moment.naive_utc())).transpose()
}

/// The UTC moment; `None` for infinity, and for years that Odoo cannot read (it knows four digits).
pub fn moment(stamp: TimestampWithTimeZone) -> Option<NaiveDateTime> {
    let micros: pg_sys::TimestampTz = stamp.into();
    let since = chrono::TimeDelta::microseconds(micros);
    EPOCH
        .and_time(NaiveTime::MIN)
        .checked_add_signed(since)
        .filter(|moment| (1..=9999).contains(&moment.year()))
}
