//! Encodes requests and decodes answers of XML-RPC, without a network.
//!
//! The decoder accepts only a complete, well-formed answer in the expected form. `parser` lists the
//! few exceptions that real Odoo servers require.

mod decode;
mod encode;
mod fast_path;
mod parser;
mod value;

#[cfg(test)]
mod decode_tests;
#[cfg(test)]
mod encode_tests;
#[cfg(test)]
mod value_tests;

pub use decode::{RowVisitor, decode, decode_ids, decode_rows};
pub use encode::encode_call;
pub use value::{Scalar, Value};

use crate::error::Error;

/// Limits on the resources that decoding one answer may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Deepest nesting of arrays and structs. The parser recurses, so it treats values above 128 as
    /// 128.
    pub max_depth: usize,
    /// Largest size of the body, in bytes after decompression.
    pub max_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_depth: 64, max_bytes: LARGEST }
    }
}

/// Largest answer of all, in bytes after decompression. A page of 5,000 metrics has 6 MB.
pub(crate) const LARGEST: usize = 256 << 20;

/// The error for an answer of more than `max_bytes` bytes.
pub(crate) fn over_limit(max_bytes: usize) -> Error {
    let hint = match max_bytes {
        LARGEST.. => "Lower the page size of the mirror, or leave out large fields.",
        _ => {
            "Odoo's own answer to this call is far smaller. Check that the url option of the server is the address of \
             Odoo itself."
        }
    };
    Error::Limit { limit: format!("{} MB for one answer", max_bytes.div_ceil(1 << 20)), hint: hint.to_owned() }
}

/// Upper bound of [`Limits::max_depth`]: more than any answer needs, and safe for the stack.
const DEEPEST: usize = 128;

/// An error that Odoo reports, with the code and text that Odoo sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The kind of the error.
    pub code: FaultCode,
    /// The message. For an unexpected error it is a complete Python traceback.
    pub string: String,
}

/// The `faultCode`: an integer from `/xmlrpc/2`, a text from `/xmlrpc/1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultCode {
    /// An integer, as XML-RPC specifies.
    Int(i64),
    /// A text such as `AccessDenied`, or the last line of a traceback.
    Text(String),
}

/// The content of a well-formed answer: a result or a fault.
pub type Answer<T> = std::result::Result<T, Fault>;
