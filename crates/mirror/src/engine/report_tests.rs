use super::*;

fn newest(text: &str) -> Option<Newest> {
    let written = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok()?;
    Some(Newest { written, id: 7 })
}

fn position(newest: Option<Newest>, began: Option<Newest>) -> Position {
    Position { newest, began: utc(began), ..Position::default() }
}

fn utc(newest: Option<Newest>) -> Option<DateTime<Utc>> {
    newest.map(|newest| newest.written.and_utc())
}

#[test]
fn cursor_is_the_smaller_of_write_date_and_start() {
    let (early, late) = (newest("2026-01-06 10:00:00"), newest("2026-01-06 12:00:00"));
    assert_eq!(position(early, late).cursor(), utc(early));
    assert_eq!(position(late, early).cursor(), utc(early));
    assert_eq!(position(None, early).cursor(), utc(early));
    assert_eq!(position(early, None).cursor(), None);
}

#[test]
fn cursor_settles_after_the_overlap_window() {
    let (ten, overlap) = (newest("2026-01-06 10:00:00"), TimeDelta::minutes(10));
    assert_eq!(position(ten, newest("2026-01-06 10:10:01")).settled(overlap), Some(7));
    for began in ["2026-01-06 10:10:00", "2026-01-06 09:00:00"] {
        assert_eq!(position(ten, newest(began)).settled(overlap), None);
    }
    let late = newest("2026-01-07 10:00:00");
    assert_eq!(position(ten, late).settled(TimeDelta::MAX), None);
    assert_eq!(position(ten, None).settled(overlap), None);
    assert_eq!(position(None, late).settled(overlap), Some(NO_RECORD));
    // A resumed run only knows the time.
    assert_eq!(position(ten.map(|ten| Newest { id: 0, ..ten }), late).settled(overlap), None);
}
