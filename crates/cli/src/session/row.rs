//! Reads the columns of a result.

use super::failure;
use chrono::NaiveDateTime;
use ipai_mirror::session::{Row, Value, internal};
use ipai_mirror::time;
use ipai_odoo::error::Result;
use std::borrow::Cow;
use std::error::Error;
use tokio_postgres::types::{FromSql, Type};

/// A row as the server sent it, in binary format.
pub struct WireRow(pub tokio_postgres::Row);

impl Row for WireRow {
    fn value(&self, column: usize) -> Result<Value<'_>> {
        let described = self.0.columns().get(column).ok_or_else(|| internal(format!("no column {column}")))?;
        match *described.type_() {
            Type::BOOL => self.read(column, Value::Bool),
            Type::INT4 => self.read(column, Value::Integer),
            Type::INT8 => self.read(column, Value::Bigint),
            Type::FLOAT8 => self.read(column, Value::Double),
            Type::TEXT => self.read(column, |text: &str| Value::Text(Cow::Borrowed(text))),
            Type::INT8_ARRAY => self.read(column, Value::Bigints),
            Type::TEXT_ARRAY => self.read(column, Value::Texts),
            Type::TIMESTAMPTZ => self.read(column, |Moment(moment)| moment.map_or(Value::Null, Value::Timestamptz)),
            ref other => Err(internal(format!("a column of type {other}"))),
        }
    }
}

impl WireRow {
    fn read<'r, T: FromSql<'r>>(&'r self, column: usize, wrap: impl Fn(T) -> Value<'r>) -> Result<Value<'r>> {
        let value: Option<T> = self.0.try_get(column).map_err(failure::of_statement)?;
        Ok(value.map_or(Value::Null, wrap))
    }
}

/// A timestamptz, or `None` for infinity and for years that Odoo cannot read.
struct Moment(Option<NaiveDateTime>);

impl<'r> FromSql<'r> for Moment {
    fn from_sql(_: &Type, raw: &'r [u8]) -> std::result::Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Moment(time::moment(i64::from_be_bytes(raw.try_into()?))))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMPTZ
    }
}
