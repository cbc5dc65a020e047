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

/// Just these records.
pub fn one_of(ids: &[i64]) -> Term {
    term("id", "in", Value::Array(ids.iter().map(|id| Value::Int(*id)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;

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
