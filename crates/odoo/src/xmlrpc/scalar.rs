//! Defines values as the decoder hands them over: without a tree for scalars.

use super::tag::Tag;
use super::value::Value;
use base64::prelude::{BASE64_STANDARD, Engine};
use std::borrow::Cow;

/// One value of an answer. Text borrows from the body unless the decoder had to unescape it.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'a> {
    /// `<nil/>`
    Nil,
    /// `<boolean>`
    Bool(bool),
    /// `<int>`, `<i4>`, `<i8>` and other integer elements
    Int(i64),
    /// `<double>`
    Double(f64),
    /// `<string>`, or a value without a type
    String(Cow<'a, str>),
    /// `<dateTime.iso8601>`, as Odoo wrote it
    DateTime(Cow<'a, str>),
    /// `<base64>`, decoded
    Base64(Vec<u8>),
    /// An array or a struct
    Tree(Value),
}

impl<'a> Scalar<'a> {
    /// Parses the text of a type element.
    ///
    /// # Errors
    /// The problem with the text, if it is not of the element's type.
    pub(super) fn of(tag: Tag, text: Cow<'a, str>) -> std::result::Result<Self, &'static str> {
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
}

impl From<Scalar<'_>> for Value {
    fn from(scalar: Scalar<'_>) -> Self {
        match scalar {
            Scalar::Nil => Value::Nil,
            Scalar::Bool(boolean) => Value::Bool(boolean),
            Scalar::Int(integer) => Value::Int(integer),
            Scalar::Double(double) => Value::Double(double),
            Scalar::String(text) => Value::String(text.into_owned()),
            Scalar::DateTime(text) => Value::DateTime(text.into_owned()),
            Scalar::Base64(bytes) => Value::Base64(bytes),
            Scalar::Tree(value) => value,
        }
    }
}

impl From<Value> for Scalar<'_> {
    fn from(value: Value) -> Self {
        match value {
            Value::Nil => Scalar::Nil,
            Value::Bool(boolean) => Scalar::Bool(boolean),
            Value::Int(integer) => Scalar::Int(integer),
            Value::Double(double) => Scalar::Double(double),
            Value::String(text) => Scalar::String(text.into()),
            Value::DateTime(text) => Scalar::DateTime(text.into()),
            Value::Base64(bytes) => Scalar::Base64(bytes),
            tree @ (Value::Array(_) | Value::Struct(_)) => Scalar::Tree(tree),
        }
    }
}
