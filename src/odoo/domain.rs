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

/// Ids that are as little work for Odoo as a range.
const LISTED: i64 = 16;

/// The records with ids in these ranges `(after, upto]`: short ones are listed.
pub fn between(ranges: &[(i64, i64)]) -> Vec<Value> {
    let (short, long): (Vec<(i64, i64)>, Vec<_>) = ranges.iter().partition(|(after, upto)| upto - after <= LISTED);
    let listed: Vec<i64> = short.into_iter().flat_map(|(after, upto)| after + 1..=upto).collect();
    let listed = (!listed.is_empty()).then(|| one_of(&listed));
    let mut terms = vec![Value::from("|"); (long.len() + usize::from(listed.is_some())).saturating_sub(1)];
    terms.extend(listed);
    for (first, last) in long {
        terms.extend([Value::from("&"), after(first), upto(last)]);
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
        assert_eq!(between(&[(1, 20)]), ["&".into(), after(1), upto(20)]);
        let (or, and) = (Value::from("|"), Value::from("&"));
        let expected = [
            or.clone(),
            or,
            and.clone(),
            after(1),
            upto(20),
            and.clone(),
            after(50),
            upto(70),
            and,
            after(70),
            upto(90),
        ];
        assert_eq!(between(&[(1, 20), (50, 70), (70, 90)]), expected);
    }

    #[test]
    fn short_ranges_are_listed() {
        assert_eq!(between(&[(1, 2), (5, 7)]), [one_of(&[2, 6, 7])]);
        let expected = ["|".into(), one_of(&[1, 100]), "&".into(), after(20), upto(40)];
        assert_eq!(between(&[(0, 1), (20, 40), (99, 100)]), expected);
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
