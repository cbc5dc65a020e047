//! The one seam between what is SQL and where it runs: SPI inside of the server, the wire protocol outside.

use ipai_odoo::error::{Error, Result};
use crate::Column;
use chrono::NaiveDateTime;
use std::borrow::Cow;

/// A parameter: borrowed, so that a page's buffers are copied once, by whoever encodes them.
#[derive(Debug, Clone, Copy)]
pub enum Param<'a> {
    Bool(Option<bool>),
    Integer(Option<i32>),
    Bigint(Option<i64>),
    Double(Option<f64>),
    Text(Option<&'a str>),
    /// UTC
    Timestamptz(Option<NaiveDateTime>),
    /// bigint[] without nulls
    Bigints(&'a [i64]),
    /// text[] without nulls
    Texts(&'a [String]),
    /// A page's column, as an array of what carries its kind (`mirror::sql::carrier`).
    Column(&'a Column),
}

/// A value of an answer. Statements cast what they give to one of these types.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Integer(i32),
    Bigint(i64),
    Double(f64),
    Text(Cow<'a, str>),
    Timestamptz(NaiveDateTime),
    Texts(Vec<String>),
}

/// A row, as long as it is looked at.
pub trait Row {
    fn value(&self, column: usize) -> Result<Value<'_>>;
}

/// What is done with each row.
pub type Each<'e> = dyn FnMut(&dyn Row) -> Result<()> + 'e;

/// A part of a transaction.
pub type Part<'w> = dyn FnMut(&mut dyn Session) -> Result<()> + 'w;

/// A session of the database that has the mirrors.
///
/// An error outside of a [`savepoint`](Session::savepoint) spoils the transaction: `rollback` and nothing else may follow, and where there is
/// none (in a function) the error must be raised.
pub trait Session {
    /// Rows of a statement that changes nothing; inside of the server it takes no transaction id. All memory of the answer is free when
    /// this returns. How many rows there were.
    fn query(&mut self, sql: &str, params: &[Param<'_>], each: &mut Each<'_>) -> Result<u64>;

    /// The same for a statement that may change something; how many rows it gave or, without any, changed.
    fn execute(&mut self, sql: &str, params: &[Param<'_>], each: &mut Each<'_>) -> Result<u64>;

    /// Does `work` so that an error, which comes back as a value, undoes it alone.
    fn savepoint(&mut self, work: &mut Part<'_>) -> Result<()>;

    /// Ends the transaction where the host may do that, and does nothing in a function. No transaction is open (on the wire) or holds
    /// anything (in a procedure) before the next statement.
    fn commit(&mut self) -> Result<()>;

    /// Undoes what was not committed; an error where the host cannot.
    fn rollback(&mut self) -> Result<()>;

    /// Tells a person.
    fn notice(&mut self, message: &str);

    /// What is done ten times a second wherever anybody waits. Apart from the session, which is borrowed by the sink while the source waits.
    fn ticker(&self) -> Tick;
}

/// An error ends the wait. A plain function: inside of the server it must run on the backend's thread, outside it looks at a flag.
pub type Tick = fn() -> Result<()>;

impl dyn Session + '_ {
    /// [`Session::savepoint`] with a result.
    pub fn within<T>(&mut self, work: impl FnOnce(&mut dyn Session) -> Result<T>) -> Result<T> {
        let (mut work, mut done) = (Some(work), None);
        self.savepoint(&mut |session| {
            if let Some(work) = work.take() {
                done = Some(work(session)?);
            }
            Ok(())
        })?;
        done.ok_or(Error::Cancelled)
    }

    pub fn all<T>(&mut self, sql: &str, params: &[Param<'_>], mut read: impl FnMut(&dyn Row) -> Result<T>) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        self.query(sql, params, &mut |row| {
            rows.push(read(row)?);
            Ok(())
        })?;
        Ok(rows)
    }

    /// The first row of a statement that may change something.
    pub fn one<T>(&mut self, sql: &str, params: &[Param<'_>], mut read: impl FnMut(&dyn Row) -> Result<T>) -> Result<Option<T>> {
        let mut first = None;
        self.execute(sql, params, &mut |row| {
            if first.is_none() {
                first = Some(read(row)?);
            }
            Ok(())
        })?;
        Ok(first)
    }
}

impl dyn Row + '_ {
    /// A column that may be null.
    pub fn optional<'r, T: TryFrom<Value<'r>>>(&'r self, column: usize) -> Result<Option<T>> {
        match self.value(column)? {
            Value::Null => Ok(None),
            value => T::try_from(value).map(Some).map_err(|_| internal(format!("column {column} has another type"))),
        }
    }

    /// A column that is never null.
    pub fn get<'r, T: TryFrom<Value<'r>>>(&'r self, column: usize) -> Result<T> {
        self.optional(column)?.ok_or_else(|| internal(format!("column {column} is null")))
    }
}

macro_rules! from_value {
    ($($variant:ident => $type:ty),*) => {$(
        impl TryFrom<Value<'_>> for $type {
            type Error = ();
            fn try_from(value: Value<'_>) -> std::result::Result<Self, ()> {
                match value {
                    Value::$variant(value) => Ok(value.into()),
                    _ => Err(()),
                }
            }
        }
    )*};
}
from_value!(Bool => bool, Integer => i32, Bigint => i64, Double => f64, Text => String, Timestamptz => NaiveDateTime, Texts => Vec<String>);

pub fn internal(cause: impl std::fmt::Display) -> Error {
    Error::Internal {
        cause: cause.to_string(),
    }
}
