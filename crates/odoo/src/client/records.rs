//! Counts, lists and reads records in pages.

use super::call::FACT;
use super::{Call, Client, kwargs, names, number, unexpected};
use crate::domain::Term;
use crate::error::Result;
use crate::fault::Meaning;
use crate::value::{Limits, RowVisitor, Value};
use crate::{Failure, Reply, Resend, Scope, Transport, Wire};

/// The call that counts the records of a scope with further terms.
fn count_call(scope: &Scope, terms: Vec<Term>) -> Call<'_> {
    let context = kwargs([("context", scope.context())]);
    Call::for_fact(&scope.model, "search_count").with(vec![("domain", scope.domain(terms))], context)
}

/// The count in an answer.
fn count_in(answer: &Value) -> Result<u64> {
    let count = answer.as_i64().and_then(|count| u64::try_from(count).ok());
    count.ok_or_else(|| unexpected("search_count", "a number of records"))
}

impl<T: Transport> Client<T> {
    /// Counts the records of a scope, with further terms.
    pub fn search_count(&mut self, scope: &Scope, terms: Vec<Term>) -> Result<u64> {
        count_in(&self.call(&count_call(scope, terms))?)
    }

    /// Counts the records of a scope with each of several lists of further terms, at the same time.
    /// What fails for a reason that may pass is asked again by itself.
    pub fn search_counts(&mut self, scope: &Scope, each: Vec<Vec<Term>>) -> Result<Vec<u64>> {
        let uid = self.known.uid.map_or_else(|| self.authenticate(), Ok)?;
        let wire = self.wire();
        let request = |terms: &Vec<Term>| wire.request(&self.account, uid, &count_call(scope, terms.clone()));
        let requests = each.iter().map(request).collect::<Result<_>>()?;
        let replies = self.transport.send_all(requests, FACT);
        let count = |(terms, reply): (Vec<Term>, std::result::Result<Reply, Failure>)| {
            let reply = match reply {
                Ok(reply) => reply,
                Err(Failure { error, resend: Resend::Never }) if !self.lacks_json2(&error) => {
                    return Err(self.account.cleaner().error(error));
                }
                Err(_) => return self.search_count(scope, terms),
            };
            match wire.decode(&reply, &Limits::of_bytes(FACT))? {
                Ok(count) => count_in(&count),
                Err(fault) => match fault.meaning(&self.account, &count_call(scope, Vec::new()), uid) {
                    Meaning::Error(error) => Err(error),
                    // The call itself finds out what to do about it.
                    _ => self.search_count(scope, terms),
                },
            }
        };
        each.into_iter().zip(replies).map(count).collect()
    }

    /// Lists the ids of the first `limit` records of a scope with further terms, ascending.
    pub fn search(&mut self, scope: &Scope, terms: impl IntoIterator<Item = Term>, limit: u64) -> Result<Vec<i64>> {
        let arguments = kwargs([("order", "id".into()), ("limit", number(limit)), ("context", scope.context())]);
        let call = Call::for_ids(&scope.model, "search", limit).with(vec![("domain", scope.domain(terms))], arguments);
        self.execute_kw(&call, Wire::decode_ids)
    }

    /// Reads the first `limit` records of a scope with further terms, in keyset order. `page` makes
    /// an empty page for each attempt.
    pub fn search_read<V: RowVisitor>(
        &mut self,
        scope: &Scope,
        fields: &[String],
        terms: impl IntoIterator<Item = Term>,
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
        let call = Call::for_page(&scope.model, "search_read");
        self.read_rows(&call.with(vec![("domain", scope.domain(terms))], arguments), page)
    }

    /// Reads the records with these ids, in the order of the ids. Deleted records are missing.
    ///
    /// Lists of ids include archived records, unlike with `search_read`: that method drops
    /// `active_test` from the context before it reads.
    pub fn read<V: RowVisitor>(
        &mut self,
        scope: &Scope,
        fields: &[String],
        ids: &[i64],
        page: impl FnMut() -> V,
    ) -> Result<V> {
        let arguments = kwargs([("fields", names(fields)), ("load", "".into()), ("context", scope.context())]);
        let call = Call::for_page(&scope.model, "read").on(ids.iter().copied().collect());
        self.read_rows(&call.with(Vec::new(), arguments), page)
    }

    fn read_rows<V: RowVisitor>(&mut self, call: &Call<'_>, mut page: impl FnMut() -> V) -> Result<V> {
        // A damaged answer may have filled a page in part, so each attempt needs a new one.
        self.execute_kw(call, |wire, reply, limits| wire.decode_rows(reply, limits, page()))
    }
}
