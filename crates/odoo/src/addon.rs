//! The addon `ipai_sync` in Odoo, where it is installed: whole pages in one compact text, and digests of ranges of ids
//! (`docs/reference/bulk-export-format.md`). It gives what `search_read` gives, many times faster; whatever goes wrong with it, the same can be read without.

use super::client::{Client, Safety, Scope, Wanted, names, number, unexpected};
use super::{Transport, bulk_page, domain};
use crate::error::{Error, Result};
use crate::xmlrpc::{RowVisitor, Scalar, Value};

const MODEL: &str = "ipai.sync";
/// What this library understands.
const PROTOCOL: i64 = 1;

/// What is remembered of an Odoo, so that no call is spent on asking again. It proves nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// What Odoo gave the login.
    pub uid: Option<i64>,
    pub addon: Addon,
    /// `database.uuid`, where the addon told it.
    pub uuid: Option<String>,
}

/// Whether Odoo has the addon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Addon {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    Missing,
    Present,
    /// It is not to be used, there or not.
    Unwanted,
}

impl<T: Transport> Client<T> {
    /// What is known about this server so far.
    pub fn server_info(&self) -> &ServerInfo {
        &self.known
    }

    /// Why the addon is not used any more, although it was found.
    pub fn addon_failure(&self) -> Option<&Error> {
        self.addon_failure.as_ref()
    }

    /// Whether the addon is to be used.
    pub fn has_addon(&self) -> bool {
        self.known.addon == Addon::Present && self.addon_failure.is_none()
    }

    /// Finds out whether the addon is there: one small call.
    pub fn look_for_addon(&mut self) -> Result<()> {
        if self.known.addon == Addon::Unwanted {
            return Ok(());
        }
        let info = match self.call(MODEL, "info", Vec::new(), Vec::new(), Safety::Harmless) {
            Err(error) if says_no(&error) => None,
            info => Some(info?),
        };
        let info = info.filter(|info| info.get("protocol").and_then(Value::as_i64) == Some(PROTOCOL));
        self.known.addon = match info {
            Some(_) => Addon::Present,
            None => Addon::Missing,
        };
        let uuid = info.as_ref().and_then(|info| info.get("uuid")?.as_str());
        self.known.uuid = uuid.map(str::to_owned);
        self.database.uuid = self.known.uuid.clone();
        Ok(())
    }

    /// Does it by the addon, where that is there. `None`: it is not, or it failed, and is not asked again.
    pub fn by_addon<R>(&mut self, work: impl FnOnce(&mut Self) -> Result<R>) -> Result<Option<R>> {
        if !self.has_addon() {
            return Ok(None);
        }
        match work(self) {
            Err(error) if says_no(&error) => {
                if matches!(error, Error::UnknownModel { .. } | Error::UnknownMethod { .. }) {
                    self.known.addon = Addon::Missing;
                    self.known.uuid = None;
                }
                self.give_up_addon(error);
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    /// Uses the addon no more.
    pub fn give_up_addon(&mut self, why: Error) {
        self.addon_failure = Some(why);
        // What it told may be of another database than what comes now.
        self.database.uuid = None;
    }

    /// One page in keyset order into `page`, as [`Client::search_read`] gives it, with all records in lists of ids.
    pub fn export<V: RowVisitor>(&mut self, scope: &Scope, fields: &[String], wanted: &Wanted, page: V) -> Result<V> {
        self.export_domain(scope, fields, scope.domain(wanted.terms()), wanted.limit, page)
    }

    fn export_domain<V: RowVisitor>(
        &mut self,
        scope: &Scope,
        fields: &[String],
        domain: Value,
        limit: u64,
        mut page: V,
    ) -> Result<V> {
        let args = vec![scope.model.as_str().into(), domain, names(fields), number(limit)];
        let most = self.limits.max_bytes;
        match self.call(MODEL, "export", args, context(scope), Safety::Harmless)? {
            Value::String(text) => {
                let received = bulk_page::decode_rows(&text, most, &mut page)?;
                self.received = received.bytes;
                if received.uuid.is_some() {
                    self.known.uuid = received.uuid;
                    self.database.uuid = self.known.uuid.clone();
                }
                Ok(page)
            }
            _ => Err(unexpected("export", "a text")),
        }
    }

    /// The first ids in these ranges `(after, upto]`, in ascending order.
    pub fn export_ids(&mut self, scope: &Scope, ranges: &[(i64, i64)], limit: u64) -> Result<Vec<i64>> {
        let (id, domain) = (["id".to_owned()], scope.domain(domain::among(ranges)));
        Ok(self.export_domain(scope, &id, domain, limit, Ids::default())?.ids)
    }

    /// How many ids there are in `(bounds[0], bounds[1]]`, `(bounds[1], bounds[2]]` and so on, their sum and that of their squares.
    pub fn digest(&mut self, scope: &Scope, bounds: &[i64]) -> Result<Vec<[i128; 3]>> {
        // A term about ids, as wherever ids are asked for: models may show other records where there is none (ir.attachment).
        let ends = bounds.first().copied().map(domain::after).into_iter();
        let ends = ends.chain(bounds.last().copied().map(domain::upto));
        let args = vec![
            scope.model.as_str().into(),
            scope.domain(ends),
            Value::Array(bounds.iter().map(|bound| Value::Int(*bound)).collect()),
        ];
        let answer = self.call(MODEL, "digest", args, context(scope), Safety::Harmless)?;
        let digests = answer
            .as_array()
            .map(|ranges| ranges.iter().map(read_digest).collect::<Option<Vec<_>>>());
        match digests.flatten() {
            Some(digests) if digests.len() + 1 == bounds.len() => Ok(digests),
            _ => Err(unexpected("digest", "a list of digests")),
        }
    }
}

/// Rows of which only the id is wanted.
#[derive(Default)]
struct Ids {
    ids: Vec<i64>,
    rows: usize,
}

impl RowVisitor for Ids {
    fn column(&mut self, member: &str) -> Option<usize> {
        (member == "id").then_some(0)
    }

    fn value(&mut self, _column: usize, value: Scalar<'_>) -> Result<()> {
        match value {
            Scalar::Int(id) => {
                self.ids.push(id);
                Ok(())
            }
            _ => Err(unexpected("export", "ids")),
        }
    }

    fn end_row(&mut self) -> Result<()> {
        self.rows += 1;
        match self.ids.len() == self.rows {
            true => Ok(()),
            false => Err(unexpected("export", "ids")),
        }
    }
}

fn context(scope: &Scope) -> Vec<(String, Value)> {
    vec![("context".to_owned(), scope.context())]
}

/// `[count, sum, squares]`, the sums as text: XML-RPC has no integers of that size.
fn read_digest(range: &Value) -> Option<[i128; 3]> {
    match range.as_array()? {
        [count, sum, squares] => {
            let count = u32::try_from(count.as_i64()?).ok()?;
            Some([
                count.into(),
                sum.as_str()?.parse().ok()?,
                squares.as_str()?.parse().ok()?,
            ])
        }
        _ => None,
    }
}

/// Whether Odoo, or what came for its answer, is the reason. The network is not: without the addon it would fail too.
fn says_no(error: &Error) -> bool {
    matches!(
        error,
        Error::UnknownModel { .. }
            | Error::UnknownMethod { .. }
            | Error::UnknownField { .. }
            | Error::OdooAccess { .. }
            | Error::OdooFault { .. }
            | Error::NoneReturned { .. }
            | Error::Malformed { .. }
            | Error::Value { .. }
    )
}
