use super::*;
use chrono::NaiveDateTime;

fn written(text: &str) -> Option<Newest> {
    let written = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok()?;
    Some(Newest { written, id: 7 })
}

fn utc(newest: Option<Newest>) -> Option<DateTime<Utc>> {
    newest.map(|newest| newest.written.and_utc())
}

#[test]
fn cursor_is_the_smaller_of_write_date_and_start() {
    let (early, late) = (written("2026-01-06 10:00:00"), written("2026-01-06 12:00:00"));
    assert_eq!(after_run(early, utc(late)), utc(early));
    assert_eq!(after_run(late, utc(early)), utc(early));
    assert_eq!(after_run(None, utc(early)), None);
    assert_eq!(after_run(early, None), None);
}

#[test]
fn cursor_settles_after_the_overlap_window() {
    let (ten, overlap) = (written("2026-01-06 10:00:00"), TimeDelta::minutes(10));
    assert_eq!(settled(ten, utc(written("2026-01-06 10:10:01")), overlap), Some(7));
    for began in ["2026-01-06 10:10:00", "2026-01-06 09:00:00"] {
        assert_eq!(settled(ten, utc(written(began)), overlap), None);
    }
    let late = utc(written("2026-01-07 10:00:00"));
    assert_eq!(settled(ten, late, TimeDelta::MAX), None);
    assert_eq!(settled(ten, None, overlap), None);
    assert_eq!(settled(None, late, overlap), None);
    // A resumed run only knows the time.
    assert_eq!(settled(ten.map(|ten| Newest { id: 0, ..ten }), late, overlap), None);
}
