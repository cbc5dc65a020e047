//! Defines values of XML-RPC and converts them from and to JSON.

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Number, Value as Json};

/// One value of XML-RPC.
///
/// A struct is a list of members and not a map. A list keeps the order of the document, and
/// building it needs no hashing.
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

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text)
    }
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Value::Bool(boolean)
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Value::Int(integer)
    }
}

impl From<f64> for Value {
    fn from(double: f64) -> Self {
        Value::Double(double)
    }
}

/// Makes an array.
impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Value::Array(elements.into_iter().map(T::into).collect())
    }
}
