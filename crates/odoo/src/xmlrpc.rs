//! The wire: XML-RPC values, the request that carries them, and the answer read back.
//!
//! Pure, and strict about what an answer is: either a whole, well-formed document in the expected shape, or an error.
//! It is lenient only where real Odoo servers are sloppy (see `decode`).

pub mod decode;
pub mod encode;
mod fast_path;
pub mod value;

#[cfg(test)]
mod decode_tests;
#[cfg(test)]
mod encode_tests;
#[cfg(test)]
mod value_tests;

pub use decode::{Answer, Fault, FaultCode, Limits, RowVisitor, Scalar, decode, decode_ids, decode_rows};
pub use encode::encode_call;
pub use value::Value;
