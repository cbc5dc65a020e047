//! Computes the next start of a pg_cron schedule.
//!
//! pg_cron reads schedules like Vixie's cron, and also `$` (the last day of the month) and seconds.
//! The calendar comes from croner, whose own grammar accepts more.

use chrono::{Datelike, NaiveDateTime, TimeDelta};
use croner::parser::CronParser;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A 29 February on a given weekday recurs within 40 years. A schedule without a start in that time
/// never starts.
const YEARS: i32 = 40;

/// The next start after `after`, or `None` if there is none or pg_cron refuses the schedule.
pub fn next(schedule: &str, after: NaiveDateTime) -> Option<NaiveDateTime> {
    let schedule = schedule.trim();
    match seconds(schedule) {
        Some(seconds) => after.checked_add_signed(TimeDelta::seconds(seconds)),
        None => occurrence(five_fields(schedule), after),
    }
}

/// Parses `30 seconds`, an interval between two starts.
fn seconds(schedule: &str) -> Option<i64> {
    let schedule = schedule.to_ascii_lowercase();
    let number = schedule.strip_suffix('s').unwrap_or(&schedule).strip_suffix("second")?;
    number.trim().parse().ok().filter(|seconds| (1..60).contains(seconds))
}

/// The fields of a name such as `@daily`. `@reboot` has none.
fn five_fields(schedule: &str) -> &str {
    match schedule {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        fields => fields,
    }
}

fn occurrence(schedule: &str, after: NaiveDateTime) -> Option<NaiveDateTime> {
    let fields: Vec<_> = schedule.split([' ', '\t']).filter(|field| !field.is_empty()).collect();
    let &[minute, hour, day, month, weekday] = fields.as_slice() else {
        return None;
    };
    let days = match day {
        "$" => "L".to_owned(),
        day => list(day, 1, &[])?,
    };
    let year = after.year();
    // The range of years bounds the search.
    let pattern = format!(
        "0 {} {} {days} {} {} {year}-{}",
        list(minute, 0, &[])?,
        list(hour, 0, &[])?,
        list(month, 1, &MONTHS)?,
        list(weekday, 0, &WEEKDAYS)?,
        year + YEARS
    );
    // Vixie's rule: a day must match both fields if one of them begins with a star; otherwise one
    // match is enough.
    let both = day.starts_with('*') || weekday.starts_with('*');
    let cron = CronParser::builder().dom_and_dow(both).build().parse(&pattern).ok()?;
    cron.find_next_occurrence(&after, false).ok()
}

/// Converts a field for croner, with names as numbers. `first` is the number of the first name.
fn list(field: &str, first: usize, names: &[&str]) -> Option<String> {
    let parts: Option<Vec<_>> = field.split(',').map(|part| range(part, first, names)).collect();
    Some(parts?.join(","))
}

/// Checks an element: `*`, `1` or `1-5`; `*` and `1-5` may have a step.
fn range(part: &str, first: usize, names: &[&str]) -> Option<String> {
    let (span, step) = part.split_once('/').map_or((part, "1"), |(span, step)| (span, step));
    let value = |text: &str| number(text).or_else(|| named(text, first, names));
    match span.split_once('-') {
        // Croner accepts a star in a list only with a step.
        None if span == "*" => Some(format!("*/{}", number(step)?)),
        None if span == part => Some(value(span)?.to_string()),
        None => None,
        Some((from, to)) => Some(format!("{}-{}/{}", value(from)?, value(to)?, number(step)?)),
    }
}

fn number(text: &str) -> Option<usize> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn named(text: &str, first: usize, names: &[&str]) -> Option<usize> {
    let place = names.iter().position(|name| name.eq_ignore_ascii_case(text))?;
    Some(place + first)
}

#[cfg(test)]
#[path = "cron_schedule_tests.rs"]
mod tests;
