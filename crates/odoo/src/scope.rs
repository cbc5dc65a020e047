//! Describes which records a request reads, and turns that into domains and contexts of Odoo.

use crate::domain;
use crate::xmlrpc::Value;
use chrono::NaiveDateTime;

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

/// A request for one page of records in keyset order.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Lower bound of the write date (UTC), or `None` for records of any age.
    pub since: Option<NaiveDateTime>,
    /// Id of a record to read regardless of its write date.
    pub also: Option<i64>,
    /// Only records with a greater id.
    pub after: i64,
    /// Largest number of records.
    pub limit: u64,
}

impl Wanted {
    /// The terms of a domain that select the page.
    pub fn terms(&self) -> impl Iterator<Item = Value> {
        let since = self.since.map(|since| match self.also {
            None => vec![domain::written_since(since)],
            Some(id) => vec!["|".into(), domain::one_of(&[id]), domain::written_since(since)],
        });
        std::iter::once(domain::after(self.after)).chain(since.into_iter().flatten())
    }
}
