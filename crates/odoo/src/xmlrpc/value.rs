//! Defines values of XML-RPC, as trees and as the decoder hands them over, and converts them.

use super::parser::Tag;
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Number, Value as Json};
use std::borrow::Cow;

/// One value of XML-RPC. A struct is a list of members and not a map, which keeps the order of the
/// document and needs no hashing.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `<nil/>`. Odoo accepts it in a request and never sends it.
    Nil,
    /// `<boolean>`. Odoo also sends `false` for an unset text, date or many2one.
    Bool(bool),
    /// `<int>`, `<i4>`, `<i8>` and other integer elements.
    Int(i64),
    /// `<double>`. Odoo also sends NaN and infinities, which XML-RPC does not define.
    Double(f64),
    /// `<string>`, or a value without a type.
    String(String),
    /// `<dateTime.iso8601>`, as Odoo wrote it.
    DateTime(String),
    /// `<base64>`, decoded.
    Base64(Vec<u8>),
    /// `<array>`
    Array(Vec<Value>),
    /// `<struct>`, members in the order of the document.
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
    /// Parses the text of a type element. The error is the problem with the text.
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
