#![allow(clippy::unwrap_used)]
use super::*;
use chrono::{NaiveDate, NaiveTime, Timelike};
use proptest::prelude::*;

fn moment(text: &str) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").unwrap()
}

/// The next moment after a Thursday, 2026-01-08 10:07:30.
fn after_thursday(schedule: &str) -> String {
    next(schedule, moment("2026-01-08 10:07:30")).map_or("never".to_owned(), |next| next.to_string())
}

#[test]
fn five_fields_are_minute_hour_day_month_weekday() {
    for (schedule, expected) in [
        ("* * * * *", "2026-01-08 10:08:00"),
        ("*/15 * * * *", "2026-01-08 10:15:00"),
        ("7 * * * *", "2026-01-08 11:07:00"),
        ("0,30 * * * *", "2026-01-08 10:30:00"),
        ("50-55/2 * * * *", "2026-01-08 10:50:00"),
        ("0 3 * * *", "2026-01-09 03:00:00"),
        ("0 */6 * * *", "2026-01-08 12:00:00"),
        ("0 0 1 * *", "2026-02-01 00:00:00"),
        ("0 0 1 1 *", "2027-01-01 00:00:00"),
        ("0 9 * * 1-5", "2026-01-09 09:00:00"),
        ("0 9 * * 1", "2026-01-12 09:00:00"),
        ("  5\t4   * *\t* ", "2026-01-09 04:05:00"),
        ("05 04 * * *", "2026-01-09 04:05:00"),
        ("1,* * * * *", "2026-01-08 10:08:00"),
        ("*,1 4 * * *", "2026-01-09 04:00:00"),
        ("*/90 * * * *", "2026-01-08 11:00:00"),
    ] {
        assert_eq!(after_thursday(schedule), expected, "{schedule}");
    }
}

#[test]
fn months_and_weekdays_have_names() {
    for (schedule, expected) in [
        ("0 0 1 mar *", "2026-03-01 00:00:00"),
        ("0 0 1 Jun-AUG *", "2026-06-01 00:00:00"),
        ("0 0 1 feb,dec *", "2026-02-01 00:00:00"),
        ("0 0 * * Sat", "2026-01-10 00:00:00"),
        ("0 0 * * MON-wed", "2026-01-12 00:00:00"),
        // Sunday is both 0 and 7.
        ("0 0 * * sun", "2026-01-11 00:00:00"),
        ("0 0 * * 0", "2026-01-11 00:00:00"),
        ("0 0 * * 7", "2026-01-11 00:00:00"),
        ("0 0 * * 6-7", "2026-01-10 00:00:00"),
    ] {
        assert_eq!(after_thursday(schedule), expected, "{schedule}");
    }
}

#[test]
fn a_day_matches_either_field_unless_one_begins_with_a_star() {
    for (schedule, expected) in [
        // Both restricted: the 20th, and every Monday.
        ("0 0 20 * 1", "2026-01-12 00:00:00"),
        ("0 0 9 * 1", "2026-01-09 00:00:00"),
        // A star with a step is a star: odd days that are Mondays (the 12th is none).
        ("0 0 */2 * 1", "2026-01-19 00:00:00"),
        ("0 0 10 * */2", "2026-01-10 00:00:00"),
        ("0 0 9 * */2", "2026-04-09 00:00:00"),
        // The same days, not written with a star.
        ("0 0 9 * 0-6/2", "2026-01-09 00:00:00"),
        ("0 0 * * *", "2026-01-09 00:00:00"),
    ] {
        assert_eq!(after_thursday(schedule), expected, "{schedule}");
    }
}

#[test]
fn a_dollar_is_the_last_day_of_the_month() {
    let next = |after| next("30 5 $ * *", moment(after)).unwrap().to_string();
    assert_eq!(next("2026-01-08 00:00:00"), "2026-01-31 05:30:00");
    assert_eq!(next("2026-02-01 00:00:00"), "2026-02-28 05:30:00");
    assert_eq!(next("2028-02-01 00:00:00"), "2028-02-29 05:30:00");
    assert_eq!(next("2026-04-30 05:30:00"), "2026-05-31 05:30:00");
    // Or a Monday.
    assert_eq!(after_thursday("0 0 $ * 1"), "2026-01-12 00:00:00");
    for schedule in ["0 0 1,$ * *", "0 0 $-31 * *", "0 0 $/2 * *", "$ * * * *", "0 0 * * $"] {
        assert_eq!(after_thursday(schedule), "never", "{schedule}");
    }
}

#[test]
fn seconds_count_from_the_run_before() {
    for (schedule, expected) in [
        ("1 second", "2026-01-08 10:07:31"),
        ("30 seconds", "2026-01-08 10:08:00"),
        (" 59 Seconds ", "2026-01-08 10:08:29"),
        ("5seconds", "2026-01-08 10:07:35"),
    ] {
        assert_eq!(after_thursday(schedule), expected, "{schedule}");
    }
    for schedule in
        ["0 seconds", "60 seconds", "-1 seconds", "1.5 seconds", "seconds", "1 secondss", "30 s", "5 minutes"]
    {
        assert_eq!(after_thursday(schedule), "never", "{schedule}");
    }
}

#[test]
fn some_schedules_have_names() {
    for (schedule, expected) in [
        ("@yearly", "2027-01-01 00:00:00"),
        ("@annually", "2027-01-01 00:00:00"),
        ("@monthly", "2026-02-01 00:00:00"),
        ("@weekly", "2026-01-11 00:00:00"),
        ("@daily", "2026-01-09 00:00:00"),
        ("@midnight", "2026-01-09 00:00:00"),
        ("@hourly", "2026-01-08 11:00:00"),
        (" @hourly ", "2026-01-08 11:00:00"),
        // When the server starts.
        ("@reboot", "never"),
        ("@restart", "never"),
        ("@Hourly", "never"),
        ("@sometimes", "never"),
    ] {
        assert_eq!(after_thursday(schedule), expected, "{schedule}");
    }
}

#[test]
fn what_never_comes_or_is_no_schedule_is_none() {
    for schedule in [
        "",
        "   ",
        "every day",
        "* * * *",
        "* * * * * *",
        "0 * * * * * 2026",
        "0 0 31 2 *",
        "0 0 30 feb *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 0 *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "1/5 * * * *",
        "/5 * * * *",
        "5- * * * *",
        "-5 * * * *",
        "+5 * * * *",
        "9-5 * * * *",
        "5-64/30 * * * *",
        "0 0 * * sat-sun",
        "1,,2 * * * *",
        ", * * * *",
        "* * mon * *",
        "* * * monday *",
        "jan * * * *",
        "* * * * mon/2",
        "*/99999999999999999999 * * * *",
        "*/65536 * * * *",
        // Croner's own.
        "0 0 L * *",
        "0 0 15W * *",
        "0 0 * * 5L",
        "0 0 * * 1#2",
        "0 0 ? * *",
        "0 0 1 * +1",
        "*/15 * * * *; drop table x",
        "\u{1f680} * * * *",
        "ſun * * * *",
    ] {
        assert_eq!(after_thursday(schedule), "never", "{schedule}");
    }
}

#[test]
fn the_next_moment_is_later_than_this_one() {
    let next = |after| next("*/15 * * * *", moment(after)).unwrap().to_string();
    assert_eq!(next("2026-01-08 10:14:59.999999"), "2026-01-08 10:15:00");
    assert_eq!(next("2026-01-08 10:15:00"), "2026-01-08 10:30:00");
    assert_eq!(next("2026-01-08 10:15:00.000001"), "2026-01-08 10:30:00");
    assert_eq!(next("2026-12-31 23:59:00"), "2027-01-01 00:00:00");
}

#[test]
fn the_rarest_day_is_found_and_no_further_one_is_looked_for() {
    // 2100 is no leap year, and a 29 February on a certain weekday is 40 years away at most.
    assert_eq!(next("0 0 29 2 *", moment("2096-03-01 00:00:00")).unwrap().to_string(), "2104-02-29 00:00:00");
    // The star makes both fields count: a 29 February that is a Sunday.
    for year in 1996..2400 {
        let march = NaiveDate::from_ymd_opt(year, 3, 1).unwrap().and_time(NaiveTime::MIN);
        assert!(next("0 0 29 2 */7", march).is_some(), "{year}");
    }
}

#[test]
fn a_moment_far_away_is_no_panic() {
    for after in [NaiveDateTime::MIN, NaiveDateTime::MAX, moment("0001-01-01 00:00:00"), moment("9999-12-31 23:59:59")]
    {
        for schedule in ["* * * * *", "0 0 29 2 *", "0 0 31 2 *", "59 seconds", "@yearly"] {
            let found = next(schedule, after);
            assert!(found.is_none_or(|found| found > after), "{schedule} {after}");
        }
    }
}

// Against the way pg_cron does it: every minute is asked
// --------------------------------------------------------------------------------

/// The values of a well-formed field.
fn values(field: &str, low: u32, high: u32) -> Vec<u32> {
    let number = |text: &str| text.parse::<u32>().unwrap();
    let part = |part: &str| -> Vec<u32> {
        let (span, step) = part.split_once('/').map_or((part, 1), |(span, step)| (span, number(step)));
        match (span, span.split_once('-')) {
            ("*", _) => (low..=high).step_by(step as usize).collect(),
            (_, Some((from, to))) => (number(from)..=number(to)).step_by(step as usize).collect(),
            (single, None) => vec![number(single)],
        }
    };
    field.split(',').flat_map(part).collect()
}

struct Oracle {
    minutes: Vec<u32>,
    hours: Vec<u32>,
    /// None: the last one of the month.
    days: Option<Vec<u32>>,
    months: Vec<u32>,
    weekdays: Vec<u32>,
    both: bool,
}

impl Oracle {
    fn new(fields: &[String]) -> Self {
        Oracle {
            minutes: values(&fields[0], 0, 59),
            hours: values(&fields[1], 0, 23),
            days: (fields[2] != "$").then(|| values(&fields[2], 1, 31)),
            months: values(&fields[3], 1, 12),
            weekdays: values(&fields[4], 0, 7).iter().map(|weekday| weekday % 7).collect(),
            both: fields[2].starts_with('*') || fields[4].starts_with('*'),
        }
    }

    fn runs_at(&self, minute: NaiveDateTime) -> bool {
        let day = match &self.days {
            None => (minute + TimeDelta::days(1)).day() == 1,
            Some(days) => days.contains(&minute.day()),
        };
        let weekday = self.weekdays.contains(&minute.weekday().num_days_from_sunday());
        self.minutes.contains(&minute.minute())
            && self.hours.contains(&minute.hour())
            && self.months.contains(&minute.month())
            && if self.both { day && weekday } else { day || weekday }
    }
}

fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
    let span = (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
    let part = prop_oneof![
        (low..=high).prop_map(|value| value.to_string()),
        span.clone(),
        (span, 1..=high).prop_map(|(span, step)| format!("{span}/{step}")),
        (1..=high).prop_map(|step| format!("*/{step}")),
        Just("*".to_owned()),
    ];
    prop::collection::vec(part, 1..3).prop_map(|parts| parts.join(","))
}

fn schedule() -> impl Strategy<Value = Vec<String>> {
    let day = prop_oneof![4 => field(1, 31), 1 => Just("$".to_owned())];
    (field(0, 59), field(0, 23), day, field(1, 12), field(0, 7))
        .prop_map(|(minute, hour, day, month, weekday)| vec![minute, hour, day, month, weekday])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_minute_is_left_out_and_none_is_made_up(fields in schedule(), start in 0i64..40_000_000) {
        let after = moment("2024-01-01 00:00:00") + TimeDelta::seconds(start);
        let found = next(&fields.join(" "), after);
        let oracle = Oracle::new(&fields);
        if let Some(found) = found {
            prop_assert!(found > after && found.second() == 0 && oracle.runs_at(found));
        }
        let minutes = (1..3_000).map(|minutes| after.with_second(0).unwrap() + TimeDelta::minutes(minutes));
        for minute in minutes.take_while(|minute| Some(*minute) != found) {
            prop_assert!(!oracle.runs_at(minute), "{minute}");
        }
    }

    #[test]
    fn no_text_is_a_panic(text in "([*0-9a-zA-Z@$#?LW+/,-]{0,6}[ \t]{0,2}){0,8}", other in "\\PC{0,40}") {
        let after = moment("2026-01-08 10:07:30");
        for text in [text, other] {
            prop_assert!(next(&text, after).is_none_or(|found| found > after));
        }
    }
}
