//! The seam between SQL and its host: SPI inside the server, the wire protocol outside.

use crate::Column;
use crate::engine::Progress;
use chrono::NaiveDateTime;
use ipai_odoo::error::{Error, Result};
use std::borrow::Cow;
use std::rc::Rc;

/// Called ten times a second while the caller waits. An error (or unwinding) ends the wait. It
/// stays on the caller's thread, which alone uses the database.
pub type Tick = Rc<dyn Fn() -> Result<()>>;

/// A parameter of a statement. It borrows, so a page is copied only once, by the host that encodes
/// it.
#[derive(Debug, Clone, Copy)]
pub enum Param<'a> {
    /// A boolean.
    Bool(Option<bool>),
    /// An integer.
    Integer(Option<i32>),
    /// A bigint.
    Bigint(Option<i64>),
    /// A double precision.
    Double(Option<f64>),
    /// A text.
    Text(Option<&'a str>),
    /// UTC.
    Timestamptz(Option<NaiveDateTime>),
    /// A bigint[] without nulls.
    Bigints(&'a [i64]),
    /// A text[] without nulls.
    Texts(&'a [String]),
    /// A column of a page, as an array of its carrier type ([`crate::store::statements::carrier`]).
    Column(&'a Column),
}

macro_rules! into_param {
    ($($type:ty => $variant:ident),*) => {$(
        impl<'a> From<$type> for Param<'a> {
            fn from(value: $type) -> Self {
                Param::$variant(Some(value))
            }
        }
        impl<'a> From<Option<$type>> for Param<'a> {
            fn from(value: Option<$type>) -> Self {
                Param::$variant(value)
            }
        }
    )*};
}
into_param!(bool => Bool, i32 => Integer, i64 => Bigint, f64 => Double, &'a str => Text, NaiveDateTime => Timestamptz);

impl<'a> From<&'a String> for Param<'a> {
    fn from(text: &'a String) -> Self {
        Param::Text(Some(text))
    }
}

impl<'a> From<&'a [i64]> for Param<'a> {
    fn from(ids: &'a [i64]) -> Self {
        Param::Bigints(ids)
    }
}

impl<'a> From<&'a [String]> for Param<'a> {
    fn from(texts: &'a [String]) -> Self {
        Param::Texts(texts)
    }
}

/// A value in a result. Statements cast their results to these types; other types are cast in SQL.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Null.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Integer(i32),
    /// A bigint.
    Bigint(i64),
    /// A double precision.
    Double(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// UTC.
    Timestamptz(NaiveDateTime),
    /// A bigint[] without nulls.
    Bigints(Vec<i64>),
    /// A text[] without nulls.
    Texts(Vec<String>),
}

/// A row of a result, for as long as it is visited. Columns count from 0.
pub trait Row {
    /// The value of a column.
    fn value(&self, column: usize) -> Result<Value<'_>>;
}

/// Visits each row.
pub type Visitor<'v> = dyn FnMut(&dyn Row) -> Result<()> + 'v;

/// Work inside a savepoint.
pub type Work<'w> = dyn FnMut(&mut dyn Session) -> Result<()> + 'w;

/// A session with the database that holds the mirrors.
///
/// After an error outside a [`savepoint`](Session::savepoint) only `rollback` may follow; where the
/// host cannot roll back (in a function), the error must be raised.
pub trait Session {
    /// Runs a statement that changes nothing, and returns the number of its rows. It sees
    /// everything committed before it, and takes no transaction id. The memory of the result is
    /// freed on return.
    fn query(&mut self, sql: &str, params: &[Param<'_>], visit: &mut Visitor<'_>) -> Result<u64>;

    /// Runs a statement that may change something, and returns the number of rows that it returned
    /// or changed.
    fn execute(&mut self, sql: &str, params: &[Param<'_>], visit: &mut Visitor<'_>) -> Result<u64>;

    /// Runs `work`. An error undoes the work alone and is returned.
    fn savepoint(&mut self, work: &mut Work<'_>) -> Result<()>;

    /// Commits, if the host may; otherwise does nothing. Until the next statement nothing is
    /// locked.
    fn commit(&mut self) -> Result<()>;

    /// Undoes everything since the last commit. Fails if the host may not.
    fn rollback(&mut self) -> Result<()>;

    /// Whether [`Session::commit`] commits.
    fn may_commit(&self) -> bool;

    /// Shows a notice to the caller.
    fn notice(&mut self, message: &str);

    /// Shows a warning to the caller.
    fn warning(&mut self, message: &str, hint: &str);

    /// Shows to the caller how far the run of a mirror is. Called after each page.
    fn progress(&mut self, mirror: &str, progress: &Progress);

    /// The function that is called ten times a second while the caller waits. It is no method: the
    /// sink holds the session while the source waits.
    fn ticker(&self) -> Tick;
}

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

    /// All rows of a query.
    pub fn all<T>(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        mut read: impl FnMut(&dyn Row) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        self.query(sql, params, &mut |row| {
            rows.push(read(row)?);
            Ok(())
        })?;
        Ok(rows)
    }

    /// The first row of a query.
    pub fn first<T>(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        read: impl FnMut(&dyn Row) -> Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.all(sql, params, read)?.into_iter().next())
    }

    /// The first row of a statement that may change something.
    pub fn change<T>(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        mut read: impl FnMut(&dyn Row) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut first = None;
        self.execute(sql, params, &mut |row| {
            if first.is_none() {
                first = Some(read(row)?);
            }
            Ok(())
        })?;
        Ok(first)
    }

    /// Runs a statement and returns the number of rows that it returned or changed.
    pub fn run(&mut self, sql: &str, params: &[Param<'_>]) -> Result<u64> {
        self.execute(sql, params, &mut |_| Ok(()))
    }

    /// A name as SQL reads it, quoted only where Postgres needs that: for hints.
    pub fn quote_ident(&mut self, name: &str) -> Result<String> {
        let quoted = self.first("select pg_catalog.quote_ident($1)", &[name.into()], |row| row.get(0))?;
        quoted.ok_or_else(|| internal("no quoted name"))
    }

    /// Whether a query that returns one boolean returned true.
    pub fn is_true(&mut self, sql: &str, params: &[Param<'_>]) -> Result<bool> {
        Ok(self.first(sql, params, |row| row.optional(0))?.flatten() == Some(true))
    }
}

impl dyn Row + '_ {
    /// A column that may be null.
    pub fn optional<'r, T: TryFrom<Value<'r>>>(&'r self, column: usize) -> Result<Option<T>> {
        match self.value(column)? {
            Value::Null => Ok(None),
            value => {
                T::try_from(value).map(Some).map_err(|_| internal(format!("column {column} has an unexpected type")))
            }
        }
    }

    /// A column that is never null.
    pub fn get<'r, T: TryFrom<Value<'r>>>(&'r self, column: usize) -> Result<T> {
        self.optional(column)?.ok_or_else(|| internal(format!("column {column} is null")))
    }

    /// A count; null is zero.
    pub fn count(&self, column: usize) -> Result<u64> {
        Ok(self.optional_count(column)?.unwrap_or(0))
    }

    /// A count that may be null.
    pub fn optional_count(&self, column: usize) -> Result<Option<u64>> {
        let count: Option<i64> = self.optional(column)?;
        Ok(count.and_then(|count| u64::try_from(count).ok()))
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
from_value!(
    Bool => bool, Integer => i32, Bigint => i64, Double => f64, Text => String, Timestamptz => NaiveDateTime,
    Bigints => Vec<i64>, Texts => Vec<String>
);

/// An error that is a mistake of this project.
pub fn internal(cause: impl std::fmt::Display) -> Error {
    Error::Internal { cause: cause.to_string() }
}

/// A count as Postgres stores it.
pub fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
