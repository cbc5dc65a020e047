//! Encodes requests and decodes answers of JSON-2, without a network.
//!
//! JSON-2 came with Odoo 19. A request is `POST /json/2/<model>/<method>` with an object of named
//! arguments. The answer of HTTP status 200 is the bare result, and other statuses come with an
//! object that describes the error.

mod bare_words;
mod decode;
mod encode;
mod fault;

pub use decode::{decode, decode_ids, decode_rows};
pub use encode::{encode_arguments, path};
pub use fault::Fault;

#[cfg(test)]
mod decode_tests;
#[cfg(test)]
mod encode_tests;
#[cfg(test)]
mod fault_tests;
