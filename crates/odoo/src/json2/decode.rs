//! Decodes results of JSON-2 into trees, rows or ids, while it reads the document.

use super::bare_words;
use crate::error::{Error, Result};
use crate::text::{is_control, without_control};
use crate::value::{Limits, RowVisitor, Scalar, Value, over_limit};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use std::borrow::Cow;
use std::fmt;

/// Decodes a result into a tree of values. For pages of rows, `decode_rows` uses less memory.
///
/// # Errors
/// `Malformed` if the body is not one complete document, and `Limit` if it is too large.
pub fn decode(body: &[u8], limits: &Limits) -> Result<Value> {
    let text = open(body, limits)?;
    let mut failure = None;
    let mut values =
        Values { limits: *limits, depth: 0, failure: &mut failure, has_words: matches!(text, Cow::Owned(_)) };
    let value = read(&text, &mut values);
    finish(value, failure, body).map(Value::from)
}

/// Decodes an array of objects (the result of `search_read`) and passes each row to the visitor.
/// Fails like [`decode`], and with the errors of the visitor.
pub fn decode_rows<V: RowVisitor + ?Sized>(body: &[u8], limits: &Limits, visitor: &mut V) -> Result<()> {
    let text = open(body, limits)?;
    let mut failure = None;
    let values = Values { limits: *limits, depth: 2, failure: &mut failure, has_words: matches!(text, Cow::Owned(_)) };
    let rows = read(&text, Rows { values, visitor });
    finish(rows, failure, body)
}

/// Decodes an array of integers (the result of `search`). Fails like [`decode`].
pub fn decode_ids(body: &[u8], limits: &Limits) -> Result<Vec<i64>> {
    let text = open(body, limits)?;
    finish(read(&text, Ids), None, body)
}

/// Checks size and encoding, and replaces bare words.
fn open<'a>(body: &'a [u8], limits: &Limits) -> Result<Cow<'a, str>> {
    if body.len() > limits.max_bytes {
        return Err(over_limit(limits.max_bytes));
    }
    if body.trim_ascii().is_empty() {
        return Err(malformed("it is empty"));
    }
    let text = std::str::from_utf8(body).map_err(|_| malformed("it is not UTF-8"))?;
    Ok(bare_words::replace(text))
}

/// Reads a document from its first byte to its last.
fn read<'a, S: DeserializeSeed<'a>>(text: &'a str, seed: S) -> serde_json::Result<S::Value> {
    let mut document = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut document)?;
    document.end()?;
    Ok(value)
}

/// The result, or the error: that of the visitor, or else of the document. The text of serde's
/// error may quote the document, so only its kind and position are used.
fn finish<T>(read: serde_json::Result<T>, failure: Option<Error>, body: &[u8]) -> Result<T> {
    let error = match read {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if let Some(failure) = failure {
        return Err(failure);
    }
    let (line, column) = (error.line(), error.column());
    Err(match error.classify() {
        Category::Eof => malformed(&format!("it ends too early, after {} bytes", body.len())),
        Category::Data => malformed(&format!("a value has an unexpected type (line {line}, column {column})")),
        Category::Syntax | Category::Io => malformed(&format!("it is not JSON (line {line}, column {column})")),
    })
}

fn malformed(cause: &str) -> Error {
    Error::Malformed { cause: cause.to_owned() }
}

/// Reads one value.
struct Values<'f> {
    limits: Limits,
    /// Number of arrays and objects that enclose the value.
    depth: usize,
    /// The error behind the one that serde returns.
    failure: &'f mut Option<Error>,
    /// Whether strings may stand for bare words.
    has_words: bool,
}

impl Values<'_> {
    /// The reader of a value inside an array or object.
    fn inner<E: serde::de::Error>(&mut self) -> std::result::Result<Values<'_>, E> {
        if self.depth >= self.limits.depth() {
            let cause = format!("it is nested deeper than {}", self.limits.depth());
            return Err(fail(self.failure, malformed(&cause)));
        }
        Ok(Values { limits: self.limits, depth: self.depth + 1, failure: self.failure, has_words: self.has_words })
    }

    /// Refuses a bare word in place of the name of a member.
    fn check_name<E: serde::de::Error>(&mut self, name: &str) -> std::result::Result<(), E> {
        match self.has_words && bare_words::double(name).is_some() {
            true => Err(fail(self.failure, malformed("the name of a member is not a string"))),
            false => Ok(()),
        }
    }

    fn text<'a>(&self, text: Cow<'a, str>) -> Scalar<'a> {
        match bare_words::double(&text).filter(|_| self.has_words) {
            Some(double) => Scalar::Double(double),
            // Neither XML nor a Postgres text can hold NUL.
            None if text.contains('\0') => Scalar::String(text.replace('\0', "").into()),
            None => Scalar::String(text),
        }
    }
}

/// Keeps an error, and returns the one that ends the reading.
fn fail<E: serde::de::Error>(place: &mut Option<Error>, error: Error) -> E {
    *place = Some(error);
    E::custom("")
}

impl<'a> DeserializeSeed<'a> for &mut Values<'_> {
    type Value = Scalar<'a>;

    fn deserialize<D: Deserializer<'a>>(self, document: D) -> std::result::Result<Scalar<'a>, D::Error> {
        document.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for &mut Values<'_> {
    type Value = Scalar<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Scalar<'a>, E> {
        Ok(Scalar::Nil)
    }

    fn visit_bool<E>(self, boolean: bool) -> std::result::Result<Scalar<'a>, E> {
        Ok(Scalar::Bool(boolean))
    }

    fn visit_i64<E>(self, integer: i64) -> std::result::Result<Scalar<'a>, E> {
        Ok(Scalar::Int(integer))
    }

    fn visit_u64<E>(self, integer: u64) -> std::result::Result<Scalar<'a>, E> {
        // Beyond 64 bits with a sign, only the magnitude is left.
        Ok(i64::try_from(integer).map_or(Scalar::Double(integer as f64), Scalar::Int))
    }

    fn visit_f64<E>(self, double: f64) -> std::result::Result<Scalar<'a>, E> {
        Ok(Scalar::Double(double))
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> std::result::Result<Scalar<'a>, E> {
        Ok(self.text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Scalar<'a>, E> {
        Ok(self.text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut array: A) -> std::result::Result<Scalar<'a>, A::Error> {
        let mut inner = self.inner()?;
        let mut elements = Vec::new();
        while let Some(element) = array.next_element_seed(&mut inner)? {
            elements.push(element.into());
        }
        Ok(Scalar::Tree(Value::Array(elements)))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut object: A) -> std::result::Result<Scalar<'a>, A::Error> {
        let mut inner = self.inner()?;
        let mut members = Vec::new();
        while let Some(Name(name)) = object.next_key()? {
            inner.check_name(&name)?;
            let value = object.next_value_seed(&mut inner)?;
            members.push((name.replace('\0', ""), value.into()));
        }
        Ok(Scalar::Tree(Value::Struct(members)))
    }
}

/// Reads an array of rows.
struct Rows<'f, 'v, V: ?Sized> {
    values: Values<'f>,
    visitor: &'v mut V,
}

impl<'a, V: RowVisitor + ?Sized> DeserializeSeed<'a> for Rows<'_, '_, V> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, document: D) -> std::result::Result<(), D::Error> {
        document.deserialize_seq(self)
    }
}

impl<'a, V: RowVisitor + ?Sized> Visitor<'a> for Rows<'_, '_, V> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut rows: A) -> std::result::Result<(), A::Error> {
        while rows.next_element_seed(Row(&mut self))?.is_some() {}
        Ok(())
    }
}

/// Reads one row.
struct Row<'r, 'f, 'v, V: ?Sized>(&'r mut Rows<'f, 'v, V>);

impl<'a, V: RowVisitor + ?Sized> DeserializeSeed<'a> for Row<'_, '_, '_, V> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, document: D) -> std::result::Result<(), D::Error> {
        document.deserialize_map(self)
    }
}

impl<'a, V: RowVisitor + ?Sized> Visitor<'a> for Row<'_, '_, '_, V> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> std::result::Result<(), A::Error> {
        let Rows { values, visitor } = self.0;
        while let Some(Name(name)) = members.next_key()? {
            values.check_name(&name)?;
            let column = visitor.column(&name);
            let value = match members.next_value_seed(&mut *values)? {
                Scalar::Tree(tree) => Scalar::Tree(carried(tree)),
                value => value,
            };
            if let Some(column) = column {
                visitor.value(column, value).map_err(|error| fail(values.failure, error))?;
            }
        }
        visitor.end_row().map_err(|error| fail(values.failure, error))
    }
}

/// Removes control characters from the texts of a document, as Odoo does in XML and the addon does
/// in documents. So the wire format and the addon make no difference. Texts outside of documents
/// keep them.
fn carried(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains(is_control) => Value::String(without_control(&text)),
        Value::Array(elements) => Value::Array(elements.into_iter().map(carried).collect()),
        Value::Struct(members) => {
            Value::Struct(members.into_iter().map(|(name, value)| (without_control(&name), carried(value))).collect())
        }
        other => other,
    }
}

/// The name of a member.
struct Name<'a>(Cow<'a, str>);

impl<'a> serde::Deserialize<'a> for Name<'a> {
    fn deserialize<D: Deserializer<'a>>(document: D) -> std::result::Result<Self, D::Error> {
        struct Names;
        impl<'a> Visitor<'a> for Names {
            type Value = Name<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'a str) -> std::result::Result<Name<'a>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> std::result::Result<Name<'a>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        document.deserialize_str(Names)
    }
}

/// Reads an array of ids.
struct Ids;

impl<'a> DeserializeSeed<'a> for Ids {
    type Value = Vec<i64>;

    fn deserialize<D: Deserializer<'a>>(self, document: D) -> std::result::Result<Vec<i64>, D::Error> {
        serde::Deserialize::deserialize(document)
    }
}
