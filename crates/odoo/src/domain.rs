//! Builds search domains of Odoo: terms and operators in prefix notation, with an implicit AND.

use crate::xmlrpc::Value;
use chrono::NaiveDateTime;

/// A term `(field, operator, value)`.
pub type Term = Value;

/// Makes a term.
pub fn term(field: &str, operator: &str, value: impl Into<Value>) -> Term {
    Value::Array(vec![field.into(), operator.into(), value.into()])
}

/// The term `write_date >= moment`, with the moment (UTC) truncated to seconds.
///
/// Only `>=` is safe. Odoo returns whole seconds and stores fractions, so Odoo 18 misses records
/// with `=` and Odoo 19 with `>`.
pub fn written_since(moment: NaiveDateTime) -> Term {
    term("write_date", ">=", moment.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// The term for records after `id` in keyset order.
pub fn after(id: i64) -> Term {
    term("id", ">", id)
}

/// The term for records up to and including `id`.
pub fn upto(id: i64) -> Term {
    term("id", "<=", id)
}

/// The greatest id that Odoo can assign.
pub const GREATEST_ID: i64 = i32::MAX as i64;

/// The terms for records with an id in one of the ranges `(after, upto]`.
pub fn among(ranges: &[(i64, i64)]) -> Vec<Term> {
    let mut terms = vec![Value::from("|"); ranges.len().saturating_sub(1)];
    for (first, last) in ranges {
        if *last < GREATEST_ID {
            terms.extend([Value::from("&"), after(*first), upto(*last)]);
        } else {
            // No id is greater, and a greater number does not fit into Odoo's column.
            terms.push(after(*first));
        }
    }
    terms
}

/// The term for exactly these records.
pub fn one_of(ids: &[i64]) -> Term {
    term("id", "in", Value::from_iter(ids.iter().copied()))
}

#[cfg(test)]
#[path = "domain_tests.rs"]
mod tests;
