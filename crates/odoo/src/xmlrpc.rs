//! Encodes requests and decodes answers of XML-RPC, without a network.
//!
//! The decoder accepts only a complete, well-formed answer in the expected form. `parser` lists the
//! few exceptions that real Odoo servers require.

mod answer;
mod decode;
mod encode;
mod fast_path;
mod parser;
mod scalar;
mod tag;
mod value;

#[cfg(test)]
mod decode_tests;
#[cfg(test)]
mod encode_tests;
#[cfg(test)]
mod value_tests;

pub(crate) use answer::over_limit;
pub use answer::{Answer, Fault, FaultCode, Limits};
pub use decode::{RowVisitor, decode, decode_ids, decode_rows};
pub use encode::encode_call;
pub use scalar::Scalar;
pub use value::Value;
