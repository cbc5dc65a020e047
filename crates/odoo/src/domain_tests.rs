//! Tests of domains.

use super::*;
use chrono::NaiveDate;

#[test]
fn ranges_are_joined_with_or_in_prefix_notation() {
    let (or, and) = (Value::from("|"), Value::from("&"));
    assert_eq!(among(&[(0, i64::MAX)]), [after(0)]);
    assert_eq!(among(&[(1, 20)]), [and.clone(), after(1), upto(20)]);
    let expected = [or.clone(), or, and.clone(), after(1), upto(20), and, after(50), upto(70), after(70)];
    assert_eq!(among(&[(1, 20), (50, 70), (70, GREATEST_ID)]), expected);
}

#[test]
fn moment_is_truncated_to_seconds() -> Result<(), Box<dyn std::error::Error>> {
    let moment = NaiveDate::from_ymd_opt(2026, 1, 6)
        .and_then(|day| day.and_hms_micro_opt(23, 59, 59, 999_999))
        .ok_or("no such moment")?;
    let expected = Value::Array(vec!["write_date".into(), ">=".into(), "2026-01-06 23:59:59".into()]);
    assert_eq!(written_since(moment), expected);
    Ok(())
}

#[test]
fn request_for_ids_has_less_than_100_kb() {
    let ids = [GREATEST_ID; IDS_PER_REQUEST];
    let request = crate::xmlrpc::encode_call("execute_kw", &[("domain", &one_of(&ids))]);
    assert!(request.is_ok_and(|request| request.len() < 98_000));
}
