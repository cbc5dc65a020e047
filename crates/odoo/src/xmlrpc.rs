//! Encodes requests and decodes answers of XML-RPC, without a network.
//!
//! The decoder accepts only a complete, well-formed answer in the expected form. `parser` lists the
//! few exceptions that real Odoo servers require.

mod decode;
mod encode;
mod fast_path;
mod parser;
mod scalar;

#[cfg(test)]
mod decode_tests;
#[cfg(test)]
mod encode_tests;

pub use decode::{decode, decode_ids, decode_rows};
pub use encode::encode_call;

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
