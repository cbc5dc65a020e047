//! Tests of the creation date of a company.

use super::*;

#[test]
fn only_dates_in_odoos_notation_are_accepted() {
    let answer = |date: &str| {
        let company = Value::Struct(vec![("create_date".to_owned(), date.into())]);
        creation_date(&Value::Array(vec![company])).map(|moment| moment.to_string())
    };
    assert_eq!(answer("2026-01-06 10:00:00").as_deref(), Some("2026-01-06 10:00:00"));
    for text in
        ["", "2026-01-06", "2026-01-06 10:00:60", "+12026-01-06 10:00:00", "2026-1-6 10:00:00", "2026-01-06 10:00:00.5"]
    {
        assert_eq!(answer(text), None, "{text}");
    }
    assert_eq!(creation_date(&Value::Array(Vec::new())), None);
    assert_eq!(creation_date(&Value::Bool(false)), None);
}
