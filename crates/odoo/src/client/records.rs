//! Counts, lists and reads records in pages.

use super::{Client, Kwargs, Safety, kwargs, names, number, unexpected};
use crate::error::Result;
use crate::xmlrpc::{self, RowVisitor, Value};
use crate::{Scope, Transport, Wanted, domain};

impl<T: Transport> Client<T> {
    /// Counts the records of a scope, with further terms.
    pub fn search_count(&mut self, scope: &Scope, terms: Vec<domain::Term>) -> Result<u64> {
        let (args, context) = (vec![scope.domain(terms)], kwargs([("context", scope.context())]));
        let count = self.call(&scope.model, "search_count", args, context, Safety::Harmless)?;
        let count = count.as_i64().and_then(|count| u64::try_from(count).ok());
        count.ok_or_else(|| unexpected("search_count", "a number of records"))
    }

    /// Lists the ids of one page in ascending order.
    pub fn search(&mut self, scope: &Scope, wanted: &Wanted) -> Result<Vec<i64>> {
        self.search_ids(scope, scope.domain(wanted.terms()), Some(wanted.limit))
    }

    /// Lists those of the given ids that Odoo still returns, in ascending order.
    pub fn search_among(&mut self, scope: &Scope, ids: &[i64]) -> Result<Vec<i64>> {
        self.search_ids(scope, scope.domain([domain::one_of(ids)]), None)
    }

    /// Lists up to `limit` ids in the ranges `(after, upto]`, in ascending order.
    pub fn search_ranges(&mut self, scope: &Scope, ranges: &[(i64, i64)], limit: u64) -> Result<Vec<i64>> {
        self.search_ids(scope, scope.domain(domain::among(ranges)), Some(limit))
    }

    fn search_ids(&mut self, scope: &Scope, domain: Value, limit: Option<u64>) -> Result<Vec<i64>> {
        let mut arguments = kwargs([("order", "id".into())]);
        arguments.extend(limit.map(|limit| ("limit".to_owned(), number(limit))));
        arguments.extend(kwargs([("context", scope.context())]));
        self.execute_kw(&scope.model, "search", vec![domain], arguments, Safety::Harmless, xmlrpc::decode_ids)
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
        self.search_read_domain(scope, fields, scope.domain(wanted.terms()), Some(wanted.limit), page)
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
        self.search_read_domain(scope, fields, scope.domain([domain::one_of(ids)]), None, page)
    }

    fn search_read_domain<V: RowVisitor>(
        &mut self,
        scope: &Scope,
        fields: &[String],
        domain: Value,
        limit: Option<u64>,
        page: impl FnMut() -> V,
    ) -> Result<V> {
        let mut arguments = kwargs([
            ("fields", names(fields)),
            ("order", "id".into()),
            // With an empty `load`, Odoo sends only the id of a many2one. Otherwise it computes
            // display names, which halves its speed.
            ("load", "".into()),
            ("context", scope.context()),
        ]);
        arguments.extend(limit.map(|limit| ("limit".to_owned(), number(limit))));
        self.read_rows(scope, "search_read", domain, arguments, page)
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
        let arguments = kwargs([("fields", names(fields)), ("load", "".into()), ("context", scope.context())]);
        self.read_rows(scope, "read", ids.iter().copied().collect(), arguments, page)
    }

    fn read_rows<V: RowVisitor>(
        &mut self,
        scope: &Scope,
        method: &str,
        which: Value,
        arguments: Kwargs,
        mut page: impl FnMut() -> V,
    ) -> Result<V> {
        self.execute_kw(&scope.model, method, vec![which], arguments, Safety::Harmless, |body, limits| {
            // A damaged answer may have filled a page in part, so each attempt needs a new one.
            let mut page = page();
            Ok(xmlrpc::decode_rows(body, limits, &mut page)?.map(|()| page))
        })
    }
}
