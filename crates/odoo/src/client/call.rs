//! Describes a call of a method, and what the client allows for it.

use super::Kwargs;
use crate::error::{Error, Result, SqlState};
use crate::value::{LARGEST, Value};

/// Whether the client may send a call again that Odoo may have received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// The call changes nothing in Odoo, so the client may repeat it.
    Harmless,
    /// The call changes nothing, and the caller can ask for fewer records. The client repeats it
    /// once, and not after a time limit or a long time: if the page is too heavy, it fails again.
    Divisible,
    /// The call may change data in Odoo, so the client sends it once.
    Once,
}

/// A call of a method of a model.
#[derive(Debug, Clone)]
pub struct Call<'c> {
    pub(crate) model: &'c str,
    pub(crate) method: &'c str,
    /// The ids of the records, if the method works on records.
    ids: Option<Value>,
    /// Arguments that XML-RPC sends by position and JSON-2 by name.
    args: Vec<(&'static str, Value)>,
    /// Arguments by position whose names the caller does not know.
    unnamed: Vec<Value>,
    /// Arguments that both wire formats send by name.
    kwargs: Kwargs,
    pub(super) safety: Safety,
    /// Whether the call itself logs in, as JSON-2 does with each request.
    pub(super) is_login: bool,
    /// Largest answer in bytes after decompression.
    pub(super) max_bytes: usize,
}

/// The largest answer with one fact: a version, a uid, a count, one small record.
pub(super) const FACT: usize = 1 << 20;
/// The largest list of models or of a model's fields.
const LIST: usize = 32 << 20;

/// The largest list of this many elements of at most `bytes` bytes each.
fn list_of(number: usize, bytes: usize) -> usize {
    number.saturating_mul(bytes).saturating_add(FACT).min(LARGEST)
}

impl<'c> Call<'c> {
    fn new(model: &'c str, method: &'c str, max_bytes: usize) -> Self {
        let (ids, args, unnamed, kwargs) = (None, Vec::new(), Vec::new(), Vec::new());
        Call { model, method, ids, args, unnamed, kwargs, safety: Safety::Harmless, is_login: false, max_bytes }
    }

    /// A call that changes nothing and asks for one fact about the user, before the login.
    pub(super) fn for_login(method: &'c str) -> Self {
        Call { is_login: true, ..Call::new("res.users", method, FACT) }
    }

    /// A call that changes nothing and asks for one fact.
    pub fn for_fact(model: &'c str, method: &'c str) -> Self {
        Call::new(model, method, FACT)
    }

    /// A call that changes nothing and lists models or fields.
    pub fn for_list(model: &'c str, method: &'c str) -> Self {
        Call::new(model, method, LIST)
    }

    /// A call that changes nothing and lists at most this many ids.
    pub fn for_ids(model: &'c str, method: &'c str, number: u64) -> Self {
        Call::new(model, method, list_of(usize::try_from(number).unwrap_or(usize::MAX), 64))
    }

    /// A call that changes nothing and returns this many digests.
    pub fn for_digests(model: &'c str, method: &'c str, number: usize) -> Self {
        Call::new(model, method, list_of(number, 512))
    }

    /// A call that changes nothing and reads records.
    pub fn for_page(model: &'c str, method: &'c str) -> Self {
        Call { safety: Safety::Divisible, ..Call::new(model, method, LARGEST) }
    }

    /// A call that changes nothing and reads the changed records of several mirrors.
    pub(super) fn for_changes(model: &'c str, method: &'c str) -> Self {
        Call::new(model, method, LARGEST)
    }

    /// A call that may change data, with any result.
    pub fn once(model: &'c str, method: &'c str) -> Self {
        Call { safety: Safety::Once, ..Call::new(model, method, LARGEST) }
    }

    /// Sets the records on which the method works.
    pub fn on(self, ids: Value) -> Self {
        Call { ids: Some(ids), ..self }
    }

    /// Sets the arguments. XML-RPC sends `args` by position, and JSON-2 by name.
    pub fn with(self, args: Vec<(&'static str, Value)>, kwargs: Kwargs) -> Self {
        Call { args, kwargs, ..self }
    }

    /// Sets arguments by position without their names. JSON-2 can only send one list of ids.
    pub fn with_unnamed(self, unnamed: Vec<Value>, kwargs: Kwargs) -> Self {
        Call { unnamed, kwargs, ..self }
    }

    /// Whether there are arguments without names, which may not be what JSON-2 takes them for.
    pub(super) fn has_unnamed(&self) -> bool {
        !self.unnamed.is_empty()
    }

    /// Whether JSON-2 can send the arguments.
    pub(super) fn fits_json2(&self) -> bool {
        match self.unnamed.as_slice() {
            [] => true,
            [ids] => record_ids(ids).is_some(),
            _ => false,
        }
    }

    /// The arguments by position, in the order of XML-RPC.
    pub(crate) fn positional_arguments(&self) -> Value {
        let args = self.args.iter().map(|(_, value)| value);
        self.ids.iter().chain(args).chain(&self.unnamed).cloned().collect()
    }

    /// The arguments by name in XML-RPC.
    pub(crate) fn kwargs(&self) -> Value {
        Value::Struct(self.kwargs.clone())
    }

    /// All arguments by name, as JSON-2 sends them.
    ///
    /// # Errors
    /// An error for the user if an argument has no name.
    pub(crate) fn named_arguments(&self) -> Result<Vec<(&str, Value)>> {
        let ids = match self.unnamed.as_slice() {
            [] => self.ids.clone(),
            [ids] => Some(record_ids(ids).ok_or_else(unnamed_arguments)?),
            _ => return Err(unnamed_arguments()),
        };
        let args = self.args.iter().map(|(name, value)| (*name, value.clone()));
        let kwargs = self.kwargs.iter().map(|(name, value)| (name.as_str(), value.clone()));
        Ok(ids.map(|ids| ("ids", ids)).into_iter().chain(args).chain(kwargs).collect())
    }
}

/// The list of ids in an argument that is one id or a list of ids.
fn record_ids(argument: &Value) -> Option<Value> {
    match argument {
        Value::Int(id) => Some(Value::from_iter([*id])),
        Value::Array(ids) if !ids.is_empty() && ids.iter().all(|id| id.as_i64().is_some()) => Some(argument.clone()),
        _ => None,
    }
}

fn unnamed_arguments() -> Error {
    Error::user(SqlState::InvalidParameter, "JSON-2 cannot send arguments by position").with_hint(
        "Give the ids of the records alone in args, as in '[[1, 2]]', and the other arguments by name in kwargs. The \
         option protocol 'xmlrpc' of the server allows arguments by position.",
    )
}
