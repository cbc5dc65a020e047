//! Defines values that Odoo sends and receives in both wire formats, as trees and as decoders pass
//! them on, what receives them, and the limits of an answer.

use crate::error::{Error, Result};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Number, Value as Json};
use std::borrow::Cow;

/// One value. A struct is a list of members and not a map, which keeps the order of the document
/// and needs no hashing.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `<nil/>`, which Odoo accepts in a request and never sends, or `null` of JSON.
    Nil,
    /// `<boolean>`. Odoo also sends `false` for an unset text, date or many2one.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A double. Odoo also sends NaN and infinities, which neither XML-RPC nor JSON defines.
    Double(f64),
    /// A text.
    String(String),
    /// `<dateTime.iso8601>` of XML-RPC, as Odoo wrote it.
    DateTime(String),
    /// `<base64>` of XML-RPC, decoded.
    Base64(Vec<u8>),
    /// An array.
    Array(Vec<Value>),
    /// A struct of XML-RPC or an object of JSON, members in the order of the document.
    Struct(Vec<(String, Value)>),
}

impl Value {
    /// A member of a struct. Of members with the same name it returns the last, as Python does.
    pub fn get(&self, member: &str) -> Option<&Value> {
        Some(&self.as_struct()?.iter().rev().find(|(name, _)| name == member)?.1)
    }

    /// The integer, if it is one.
    pub fn as_i64(&self) -> Option<i64> {
        let Value::Int(integer) = self else { return None };
        Some(*integer)
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        let Value::String(text) = self else { return None };
        Some(text)
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        let Value::Bool(boolean) = self else { return None };
        Some(*boolean)
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        let Value::Array(elements) = self else { return None };
        Some(elements)
    }

    /// The members, if it is a struct.
    pub fn as_struct(&self) -> Option<&[(String, Value)]> {
        let Value::Struct(members) = self else { return None };
        Some(members)
    }

    /// The content of a binary field of Odoo 20, which is a struct of base64, size and perhaps a
    /// file name. Odoo 18 and 19 send the base64 itself.
    pub fn binary_content(&self) -> Option<&Value> {
        self.get("size")?;
        self.get("content")
    }

    /// Converts the value to JSON. Values that JSON cannot express become strings: NaN and
    /// infinities in the notation of Postgres, binary data in base64.
    pub fn to_json(&self) -> Json {
        match self {
            Value::Nil => Json::Null,
            Value::Bool(boolean) => Json::Bool(*boolean),
            Value::Int(integer) => Json::from(*integer),
            Value::Double(double) => match Number::from_f64(*double) {
                Some(number) => Json::Number(number),
                None if double.is_nan() => Json::from("NaN"),
                None if *double > 0.0 => Json::from("Infinity"),
                None => Json::from("-Infinity"),
            },
            Value::String(text) | Value::DateTime(text) => Json::from(text.as_str()),
            Value::Base64(bytes) => Json::String(BASE64_STANDARD.encode(bytes)),
            Value::Array(elements) => elements.iter().map(Value::to_json).collect(),
            Value::Struct(members) => members.iter().map(|(name, value)| (name.as_str(), value.to_json())).collect(),
        }
    }

    /// Converts JSON to a value. Null becomes nil, and an integer beyond 64 bits becomes a double.
    pub fn from_json(json: Json) -> Value {
        match json {
            Json::Null => Value::Nil,
            Json::Bool(boolean) => Value::Bool(boolean),
            Json::Number(number) => match number.as_i64() {
                Some(integer) => Value::Int(integer),
                None => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::String(text),
            Json::Array(elements) => elements.into_iter().map(Value::from_json).collect(),
            Json::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (name, Value::from_json(value)));
                Value::Struct(members.collect())
            }
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident),*) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Value::$variant(value.into())
            }
        }
    )*};
}

from!(&str => String, String => String, bool => Bool, i64 => Int, f64 => Double);

/// Makes an array.
impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Value::Array(elements.into_iter().map(T::into).collect())
    }
}

/// One value of an answer. Text borrows from the body unless the decoder had to unescape it.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'a> {
    /// `<nil/>` or `null`
    Nil,
    /// A boolean
    Bool(bool),
    /// An integer
    Int(i64),
    /// A double
    Double(f64),
    /// A text
    String(Cow<'a, str>),
    /// `<dateTime.iso8601>` of XML-RPC, as Odoo wrote it
    DateTime(Cow<'a, str>),
    /// `<base64>` of XML-RPC, decoded
    Base64(Vec<u8>),
    /// An array or a struct
    Tree(Value),
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

/// A receiver of the rows of an answer.
///
/// The decoder passes on rows while it reads the document. If decoding fails later, the receiver
/// must discard all of them. An error of the receiver ends the decoding, which returns it.
pub trait RowVisitor {
    /// The column of a member, or `None` to skip it. Called for each member of each row.
    fn column(&mut self, member: &str) -> Option<usize>;
    /// Receives one value of the current row.
    fn value(&mut self, column: usize, value: Scalar<'_>) -> Result<()>;
    /// Ends the current row.
    fn end_row(&mut self) -> Result<()>;
}

/// Limits on the resources that decoding one answer may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Deepest nesting of arrays and structs. The parsers recurse, so they treat values above 128
    /// as 128.
    pub max_depth: usize,
    /// Largest size of the body, in bytes after decompression.
    pub max_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_depth: 64, max_bytes: LARGEST }
    }
}

impl Limits {
    /// The limits for an answer of at most this many bytes.
    pub(crate) fn of_bytes(max_bytes: usize) -> Self {
        Limits { max_bytes, ..Limits::default() }
    }

    /// The deepest nesting that a parser may accept.
    pub(crate) fn depth(&self) -> usize {
        self.max_depth.min(DEEPEST)
    }
}

/// Largest answer of all, in bytes after decompression. A page of 5,000 metrics has 6 MB in XML-RPC
/// and 1.7 MB in JSON-2.
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

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
