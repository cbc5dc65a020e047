//! Builds contexts and domains of Odoo: terms and operators in prefix notation, joined by AND.

use crate::value::Value;
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

/// Most ids in one request, which then has 80 kB. Proxies limit the size of a request.
pub const IDS_PER_REQUEST: usize = 2_000;

/// The term for exactly these records, at most [`IDS_PER_REQUEST`].
pub fn one_of(ids: &[i64]) -> Term {
    term("id", "in", Value::from_iter(ids.iter().copied()))
}

/// The terms for records after the id `last` that were written since a moment (UTC), or that have
/// the id `also`.
pub fn page(last: i64, since: Option<NaiveDateTime>, also: Option<i64>) -> Vec<Term> {
    let mut terms = vec![after(last)];
    match (since, also) {
        (Some(since), Some(id)) => terms.extend(["|".into(), one_of(&[id]), written_since(since)]),
        (Some(since), None) => terms.push(written_since(since)),
        (None, _) => {}
    }
    terms
}

/// The records of one model that a mirror reads.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Name of the model, such as `res.partner`.
    pub model: String,
    /// The mirror's own domain, which restricts every request.
    pub domain: Vec<Value>,
    /// Language of translated values. `None` is Odoo's source language.
    pub lang: Option<String>,
    /// `allowed_company_ids`. An empty list is the user's default company.
    pub company_ids: Vec<i64>,
}

impl Scope {
    /// The mirror's domain after the terms of a request.
    pub(super) fn domain(&self, terms: impl IntoIterator<Item = Value>) -> Value {
        terms.into_iter().chain(self.domain.iter().cloned()).collect()
    }

    /// The context of every request. `active_test` makes Odoo include archived records.
    pub(super) fn context(&self) -> Value {
        let mut context = vec![("active_test".to_owned(), Value::Bool(false))];
        if let Some(lang) = &self.lang {
            context.push(("lang".to_owned(), lang.as_str().into()));
        }
        if !self.company_ids.is_empty() {
            context.push(("allowed_company_ids".to_owned(), self.company_ids.iter().copied().collect()));
        }
        Value::Struct(context)
    }
}

#[cfg(test)]
#[path = "domain_tests.rs"]
mod tests;
