//! Between chrono and Postgres, which counts microseconds (and days) from 2000-01-01.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime};
use ipai_odoo::error::{Error, Result};
use pgrx::pg_sys;
use pgrx::prelude::*;

const EPOCH: NaiveDate = match NaiveDate::from_ymd_opt(2000, 1, 1) {
    Some(day) => day,
    None => NaiveDate::MIN,
};

/// Days since then. Odoo's years have four digits at most.
pub fn days(day: NaiveDate) -> i32 {
    day.signed_duration_since(EPOCH).num_days() as i32
}

/// Microseconds since then, of a UTC moment; some 290,000 years fit.
pub fn micros(moment: NaiveDateTime) -> i64 {
    let since = moment.signed_duration_since(EPOCH.and_time(NaiveTime::MIN));
    since.num_microseconds().unwrap_or(i64::MAX)
}

/// A UTC moment as Postgres's timestamptz.
pub fn timestamptz(moment: NaiveDateTime) -> Result<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(micros(moment)).map_err(|_| Error::Internal {
        cause: "a moment is out of Postgres's range".to_owned(),
    })
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
