//! Parses the texts of XML-RPC's scalar elements.

use super::parser::Tag;
use crate::value::Scalar;
use base64::prelude::{BASE64_STANDARD, Engine};
use std::borrow::Cow;

/// Parses the text of a type element. The error is the problem with the text.
pub(super) fn scalar<'a>(tag: Tag, text: Cow<'a, str>) -> std::result::Result<Scalar<'a>, &'static str> {
    // XML counts fewer characters as white space than Rust.
    let trimmed = || text.trim_matches([' ', '\t', '\n', '\r']);
    match tag {
        Tag::String => Ok(Scalar::String(text)),
        Tag::Int => trimmed().parse().map(Scalar::Int).map_err(|_| "an integer is invalid or exceeds 64 bits"),
        Tag::Boolean if trimmed() == "0" => Ok(Scalar::Bool(false)),
        Tag::Boolean if trimmed() == "1" => Ok(Scalar::Bool(true)),
        Tag::Boolean => Err("a boolean is neither 0 nor 1"),
        Tag::Double => trimmed().parse().map(Scalar::Double).map_err(|_| "a double is not a number"),
        Tag::DateTime => Ok(Scalar::DateTime(text)),
        Tag::Base64 => {
            // Python wraps base64 at 76 characters.
            let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
            BASE64_STANDARD.decode(digits).map(Scalar::Base64).map_err(|_| "base64 cannot be decoded")
        }
        _ => Err("a value has a type that XML-RPC does not define"),
    }
}
