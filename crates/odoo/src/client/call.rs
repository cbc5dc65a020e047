//! Describes a call of a method, and what the client allows for it.

use super::Kwargs;
use crate::xmlrpc::{LARGEST, Value};

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
    pub(super) model: &'c str,
    pub(super) method: &'c str,
    pub(super) args: Value,
    pub(super) kwargs: Value,
    pub(super) safety: Safety,
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
        let (args, kwargs) = (Value::Array(Vec::new()), Value::Struct(Vec::new()));
        Call { model, method, args, kwargs, safety: Safety::Harmless, max_bytes }
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

    /// A call that may change data, with any result.
    pub fn once(model: &'c str, method: &'c str) -> Self {
        Call { safety: Safety::Once, ..Call::new(model, method, LARGEST) }
    }

    /// Sets the arguments.
    pub fn with(self, args: Vec<Value>, kwargs: Kwargs) -> Self {
        Call { args: Value::Array(args), kwargs: Value::Struct(kwargs), ..self }
    }
}
