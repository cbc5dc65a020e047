//! Converts moments between chrono and Postgres.

use chrono::NaiveDateTime;
use ipai_mirror::time;
use ipai_odoo::error::{Error, Result};
use pgrx::pg_sys;
use pgrx::prelude::*;

/// Converts a moment (UTC) to timestamptz.
///
/// # Errors
/// An internal error if the moment is outside of Postgres's range.
pub fn timestamptz(moment: NaiveDateTime) -> Result<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(time::micros(moment))
        .map_err(|_| Error::Internal { cause: "a moment is outside of Postgres's range".to_owned() })
}

/// Converts a timestamptz to a moment (UTC).
///
/// It returns `None` for infinity and for years that Odoo cannot read, whose years have four
/// digits.
pub fn moment(stamp: TimestampWithTimeZone) -> Option<NaiveDateTime> {
    let micros: pg_sys::TimestampTz = stamp.into();
    time::moment(micros)
}
