//! Converts moments and dates to and from the numbers by which Postgres stores them.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};

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

/// The moment (UTC) that many microseconds after 2000-01-01.
///
/// It returns `None` for infinity and for years that Odoo cannot read, whose years have four
/// digits.
pub fn moment(micros: i64) -> Option<NaiveDateTime> {
    let since = TimeDelta::microseconds(micros);
    EPOCH.and_time(NaiveTime::MIN).checked_add_signed(since).filter(|moment| (1..=9999).contains(&moment.year()))
}
