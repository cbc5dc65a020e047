//! Counts, lists and reads records in pages.

use super::{Client, Safety, names, number, unexpected};
use crate::error::Result;
use crate::xmlrpc::{self, RowVisitor, Value};
use crate::{Scope, Transport, Wanted, domain};

impl<T: Transport> Client<T> {
    /// Counts the records of a scope, with further terms.
    ///
    /// # Errors
    /// The errors of [`Client::call`].
    pub fn search_count(&mut self, scope: &Scope, terms: Vec<domain::Term>) -> Result<u64> {
        let kwargs = vec![("context".to_owned(), scope.context())];
        let args = vec![scope.domain(terms)];
        let count = self.call(&scope.model, "search_count", args, kwargs, Safety::Harmless)?;
        count
            .as_i64()
            .and_then(|count| u64::try_from(count).ok())
            .ok_or_else(|| unexpected("search_count", "a number of records"))
    }

    /// Lists the ids of one page in ascending order.
    ///
    /// # Errors
    /// The errors of [`Client::call`].
    pub fn search(&mut self, scope: &Scope, wanted: &Wanted) -> Result<Vec<i64>> {
        self.search_ids(scope, scope.domain(wanted.terms()), Some(wanted.limit))
    }

    /// Lists those of the given ids that Odoo still returns, in ascending order.
    ///
    /// # Errors
    /// The errors of [`Client::call`].
    pub fn search_among(&mut self, scope: &Scope, ids: &[i64]) -> Result<Vec<i64>> {
        self.search_ids(scope, scope.domain([domain::one_of(ids)]), None)
    }

    /// Lists up to `limit` ids in the ranges `(after, upto]`, in ascending order.
    ///
    /// # Errors
    /// The errors of [`Client::call`].
    pub fn search_ranges(&mut self, scope: &Scope, ranges: &[(i64, i64)], limit: u64) -> Result<Vec<i64>> {
        self.search_ids(scope, scope.domain(domain::among(ranges)), Some(limit))
    }

    fn search_ids(&mut self, scope: &Scope, domain: Value, limit: Option<u64>) -> Result<Vec<i64>> {
        let args = vec![domain];
        let mut kwargs = vec![("order".to_owned(), "id".into())];
        if let Some(limit) = limit {
            kwargs.push(("limit".to_owned(), number(limit)));
        }
        kwargs.push(("context".to_owned(), scope.context()));
        self.execute_kw(&scope.model, "search", args, kwargs, Safety::Harmless, |client, body| {
            xmlrpc::decode_ids(body, &client.limits)
        })
    }

    /// Reads one page in keyset order. `page` makes an empty page for each attempt.
    ///
    /// # Errors
    /// The errors of [`Client::call`] and those of the page.
    pub fn search_read<V: RowVisitor>(
        &mut self,
        scope: &Scope,
        fields: &[String],
        wanted: &Wanted,
        page: impl FnMut() -> V,
    ) -> Result<V> {
        let arguments = search_read_arguments(scope, scope.domain(wanted.terms()), fields, Some(wanted.limit));
        self.read_rows(scope, "search_read", arguments, page)
    }

    /// Reads the records with these ids that Odoo still returns, in keyset order.
    ///
    /// # Errors
    /// The errors of [`Client::call`] and those of the page.
    pub fn search_read_ids<V: RowVisitor>(
        &mut self,
        scope: &Scope,
        fields: &[String],
        ids: &[i64],
        page: impl FnMut() -> V,
    ) -> Result<V> {
        let arguments = search_read_arguments(scope, scope.domain([domain::one_of(ids)]), fields, None);
        self.read_rows(scope, "search_read", arguments, page)
    }

    /// Reads the records with these ids, in the order of the ids. Deleted records are missing.
    ///
    /// Lists of ids include archived records, unlike with `search_read`: that method drops
    /// `active_test` from the context before it reads.
    ///
    /// # Errors
    /// The errors of [`Client::call`] and those of the page.
    pub fn read<V: RowVisitor>(
        &mut self,
        scope: &Scope,
        fields: &[String],
        ids: &[i64],
        page: impl FnMut() -> V,
    ) -> Result<V> {
        let ids = Value::Array(ids.iter().map(|id| Value::Int(*id)).collect());
        let kwargs = vec![
            ("fields".to_owned(), names(fields)),
            ("load".to_owned(), "".into()),
            ("context".to_owned(), scope.context()),
        ];
        self.read_rows(scope, "read", (vec![ids], kwargs), page)
    }

    fn read_rows<V: RowVisitor>(
        &mut self,
        scope: &Scope,
        method: &str,
        (args, kwargs): Arguments,
        mut page: impl FnMut() -> V,
    ) -> Result<V> {
        let decode = |client: &mut Self, body: &[u8]| {
            // A damaged answer may have filled a page in part, so each attempt needs a new one.
            let mut page = page();
            Ok(xmlrpc::decode_rows(body, &client.limits, &mut page)?.map(|()| page))
        };
        self.execute_kw(&scope.model, method, args, kwargs, Safety::Harmless, decode)
    }
}

/// The args and kwargs of a method.
type Arguments = (Vec<Value>, Vec<(String, Value)>);

/// The arguments of a `search_read` in keyset order.
fn search_read_arguments(scope: &Scope, domain: Value, fields: &[String], limit: Option<u64>) -> Arguments {
    let mut kwargs = vec![
        ("fields".to_owned(), names(fields)),
        ("order".to_owned(), "id".into()),
        // With an empty `load`, Odoo sends only the id of a many2one. Otherwise it computes display
        // names, which halves its speed.
        ("load".to_owned(), "".into()),
        ("context".to_owned(), scope.context()),
    ];
    if let Some(limit) = limit {
        kwargs.push(("limit".to_owned(), number(limit)));
    }
    (vec![domain], kwargs)
}
