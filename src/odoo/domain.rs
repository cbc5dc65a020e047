//! Odoo's search domains: lists of terms and operators in prefix notation, an implicit AND between them.

use crate::xmlrpc::Value;
use chrono::NaiveDateTime;

/// `(field, operator, value)`.
pub type Term = Value;

pub fn term(field: &str, operator: &str, value: impl Into<Value>) -> Term {
    Value::Array(vec![field.into(), operator.into(), value.into()])
}

/// `write_date >= moment`: only ever `>=`. Odoo shows whole seconds and stores more, so that 18 misses rows
/// with `=` and 19 loses them with `>`. Seconds are cut, never rounded up.
pub fn written_since(moment: NaiveDateTime) -> Term {
    term("write_date", ">=", moment.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// The records after `id` in keyset order.
pub fn after(id: i64) -> Term {
    term("id", ">", id)
}

/// The records up to `id`.
pub fn upto(id: i64) -> Term {
    term("id", "<=", id)
}

/// The records with ids in these ranges `(after, upto]`.
pub fn between(ranges: &[(i64, i64)]) -> Vec<Value> {
    let mut terms = vec![Value::from("|"); ranges.len().saturating_sub(1)];
    for (first, last) in ranges {
        terms.extend([Value::from("&"), after(*first), upto(*last)]);
    }
    terms
}

/// Just these records.
pub fn one_of(ids: &[i64]) -> Term {
    term("id", "in", Value::Array(ids.iter().map(|id| Value::Int(*id)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;

    #[test]
    fn ranges_are_joined_in_prefix_notation() {
        assert_eq!(between(&[]), []);
        assert_eq!(between(&[(1, 2)]), ["&".into(), after(1), upto(2)]);
        let (or, and) = (Value::from("|"), Value::from("&"));
        let expected = [
            or.clone(),
            or,
            and.clone(),
            after(1),
            upto(2),
            and.clone(),
            after(5),
            upto(7),
            and,
            after(7),
            upto(9),
        ];
        assert_eq!(between(&[(1, 2), (5, 7), (7, 9)]), expected);
    }

    #[test]
    fn a_moment_is_cut_to_seconds() -> Result<(), Box<dyn std::error::Error>> {
        let moment = NaiveDate::from_ymd_opt(2026, 1, 6)
            .and_then(|day| day.and_hms_micro_opt(23, 59, 59, 999_999))
            .ok_or("no such moment")?;
        let expected = Value::Array(vec!["write_date".into(), ">=".into(), "2026-01-06 23:59:59".into()]);
        assert_eq!(written_since(moment), expected);
        Ok(())
    }
}
