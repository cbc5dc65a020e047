//! Reads pages and digests through the addon `ipai_sync` of Odoo (`docs/how-to/bulk-export.md`).
//!
//! The addon returns the same data as `search_read`, many times faster. If the addon fails, the
//! client can read the same data without it.

use super::{Call, Client, kwargs, names, number, unexpected};
use crate::domain::Term;
use crate::error::{Error, Result};
use crate::text::Cleaner;
use crate::value::{RowVisitor, Scalar, Value};
use crate::{Addon, Scope, ServerInfo, Transport, Wire, bulk_page, domain};

/// The addon's model.
const MODEL: &str = "ipai.sync";
/// The version of the addon's protocol that the client understands.
const PROTOCOL: i64 = 1;

impl<T: Transport> Client<T> {
    /// The facts known about the server.
    pub fn server_info(&self) -> &ServerInfo {
        &self.known
    }

    /// The error because of which the client stopped using the addon.
    pub fn addon_failure(&self) -> Option<&Error> {
        self.addon_failure.as_ref()
    }

    /// Whether Odoo has the addon and the client uses it.
    pub fn has_addon(&self) -> bool {
        self.known.addon == Addon::Present && self.addon_failure.is_none()
    }

    /// Finds out whether Odoo has the addon and whether it works, with one small call.
    pub fn look_for_addon(&mut self) -> Result<()> {
        if self.known.addon == Addon::Unwanted {
            return Ok(());
        }
        let found = match self.call(&Call::for_fact(MODEL, "info")) {
            Ok(info) => refuse_other_protocol(&info).map(|()| Some(info)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) if concerns_addon(&error) => Err(error.to_string()),
            Err(error) => return Err(error),
        };
        self.known.addon = match &found {
            Ok(Some(_)) => Addon::Present,
            Ok(None) => Addon::Missing,
            Err(_) => Addon::Failing { is_due: false },
        };
        let (info, problem) = match found {
            Ok(info) => (info, None),
            Err(problem) => (None, Some(problem)),
        };
        self.known.addon_problem = problem;
        self.has_changes = Some(info.as_ref().is_some_and(|info| info.get("changes").is_some()));
        self.set_uuid(info.as_ref().and_then(|info| info.get("uuid")?.as_str()));
        Ok(())
    }

    pub(super) fn set_uuid(&mut self, uuid: Option<&str>) {
        self.known.uuid = uuid.map(|uuid| Cleaner::default().line(uuid));
        self.database.uuid = self.known.uuid.clone();
    }

    /// Runs `work` if the client uses the addon, and returns `None` if it does not.
    ///
    /// If `work` fails for a reason that concerns the addon, the client stops using the addon and
    /// returns `None` as well. It returns errors that would also occur without the addon.
    pub fn by_addon<R>(&mut self, work: impl FnOnce(&mut Self) -> Result<R>) -> Result<Option<R>> {
        if !self.has_addon() {
            return Ok(None);
        }
        match work(self) {
            Err(error) if concerns_addon(&error) => {
                if is_missing(&error) {
                    (self.known.addon, self.known.uuid) = (Addon::Missing, None);
                }
                self.give_up_addon(error);
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    /// Stops using the addon, for this reason.
    pub fn give_up_addon(&mut self, why: Error) {
        self.addon_failure = Some(why);
        // The uuid may be that of another database than the one that answers now.
        self.database.uuid = None;
    }

    /// Whether the records of the model are rows of a table, not of a view. Only the addon knows.
    pub fn has_table(&mut self, model: &str) -> Result<Option<bool>> {
        if !self.has_addon() {
            self.look_for_addon()?;
        }
        self.by_addon(|client| {
            let answer =
                client.call(&Call::for_fact(MODEL, "has_table").with(vec![("model", model.into())], kwargs([])))?;
            answer.as_bool().ok_or_else(|| unexpected("has_table", "a boolean"))
        })
    }

    /// Lists up to `limit` ids in the ranges `(after, upto]`, in ascending order.
    pub fn export_ids(&mut self, scope: &Scope, ranges: &[(i64, i64)], limit: u64) -> Result<Vec<i64>> {
        let call = Call::for_ids(MODEL, "export", limit);
        Ok(self.export_by(call, scope, &["id".to_owned()], domain::among(ranges), limit, Ids::default())?.ids)
    }

    /// Reads one bulk page in keyset order into `page`. The values are those of
    /// [`Client::search_read`], but lists of ids include archived records.
    pub fn export<V: RowVisitor>(
        &mut self,
        scope: &Scope,
        fields: &[String],
        terms: impl IntoIterator<Item = Term>,
        limit: u64,
        page: V,
    ) -> Result<V> {
        self.export_by(Call::for_page(MODEL, "export"), scope, fields, terms, limit, page)
    }

    fn export_by<V: RowVisitor>(
        &mut self,
        call: Call<'_>,
        scope: &Scope,
        fields: &[String],
        terms: impl IntoIterator<Item = Term>,
        limit: u64,
        mut page: V,
    ) -> Result<V> {
        let args = vec![
            ("model", scope.model.as_str().into()),
            ("domain", scope.domain(terms)),
            ("fields", names(fields)),
            ("limit", number(limit)),
        ];
        let call = call.with(args, kwargs([("context", scope.context())]));
        let answer = self.call(&call)?;
        let text = answer.as_str().ok_or_else(|| unexpected("export", "a text"))?;
        let received = bulk_page::decode_rows(text, call.max_bytes, self.wire() == Wire::Json2, &mut page)?;
        self.received = received.bytes;
        if received.uuid.is_some() {
            self.set_uuid(received.uuid.as_deref());
        }
        Ok(page)
    }

    /// Reads the digests of the id ranges `(bounds[0], bounds[1]]`, `(bounds[1], bounds[2]]` and so
    /// on: the number of ids, their sum and the sum of their squares.
    pub fn digest(&mut self, scope: &Scope, bounds: &[i64]) -> Result<Vec<[i128; 3]>> {
        // Like every request for ids, the domain has a term about ids. Some models (ir.attachment)
        // return other records if it has none.
        let ends = bounds.first().map(|id| domain::after(*id)).into_iter();
        let ends = ends.chain(bounds.last().map(|id| domain::upto(*id)));
        let args = vec![
            ("model", scope.model.as_str().into()),
            ("domain", scope.domain(ends)),
            ("bounds", bounds.iter().copied().collect()),
        ];
        let call = Call::for_digests(MODEL, "digest", bounds.len());
        let answer = self.call(&call.with(args, kwargs([("context", scope.context())])))?;
        let digests = answer.as_array().and_then(|ranges| ranges.iter().map(read_digest).collect::<Option<Vec<_>>>());
        let digests = digests.filter(|digests| digests.len() + 1 == bounds.len());
        digests.ok_or_else(|| unexpected("digest", "a list of digests"))
    }
}

/// Receives rows and keeps only their ids.
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
        let Scalar::Int(id) = value else { return Err(unexpected("export", "ids")) };
        self.ids.push(id);
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        self.rows += 1;
        if self.ids.len() == self.rows { Ok(()) } else { Err(unexpected("export", "ids")) }
    }
}

/// Reads `[count, sum, squares]`. The sums are text, because they exceed the integers of XML-RPC.
fn read_digest(range: &Value) -> Option<[i128; 3]> {
    let [count, sum, squares] = range.as_array()? else { return None };
    let count = u32::try_from(count.as_i64()?).ok()?;
    Some([count.into(), sum.as_str()?.parse().ok()?, squares.as_str()?.parse().ok()?])
}

/// Refuses the addon if its methods mean something else. The error is for the operator.
fn refuse_other_protocol(info: &Value) -> std::result::Result<(), String> {
    match info.get("protocol").and_then(Value::as_i64) {
        Some(PROTOCOL) => Ok(()),
        Some(other) => Err(format!("it has protocol {other}, and this version of ipai_sync reads protocol {PROTOCOL}")),
        None => Err("it does not tell its protocol".to_owned()),
    }
}

/// Whether the error means that Odoo does not have the addon.
fn is_missing(error: &Error) -> bool {
    matches!(error, Error::UnknownModel { .. } | Error::UnknownMethod { .. })
}

/// Whether an error concerns the addon. Errors of the network would also occur without it.
fn concerns_addon(error: &Error) -> bool {
    matches!(
        error,
        Error::UnknownModel { .. }
            | Error::UnknownMethod { .. }
            | Error::UnknownField { .. }
            | Error::OdooAccess(_)
            | Error::OdooFault { .. }
            | Error::NoneReturned { .. }
            | Error::Malformed { .. }
            | Error::Value { .. }
    )
}
