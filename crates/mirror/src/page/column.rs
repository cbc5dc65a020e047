//! Defines a column of a page: the cells of one field.

use super::Packed;
use crate::definition::Kind;
use chrono::{NaiveDate, NaiveDateTime};
use std::ops::Range;

/// The cells of one column, one per row.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// UTF-8 text.
    Text(Packed),
    /// Integers of 32 bits.
    Integer(Vec<Option<i32>>),
    /// Integers of 64 bits.
    Bigint(Vec<Option<i64>>),
    /// Doubles.
    Double(Vec<Option<f64>>),
    /// Decimal numbers as text, exact and of any size.
    Numeric(Packed),
    /// Booleans.
    Boolean(Vec<Option<bool>>),
    /// Dates.
    Date(Vec<Option<NaiveDate>>),
    /// Moments in UTC.
    Timestamptz(Vec<Option<NaiveDateTime>>),
    /// Arrays as text in the syntax of Postgres: `{1,2}`.
    BigintArray(Packed),
    /// JSON documents as text.
    Jsonb(Packed),
    /// Binary data.
    Bytea(Packed),
}

impl Column {
    /// An empty column of this type.
    pub(super) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Text => Column::Text(Packed::default()),
            Kind::Integer => Column::Integer(Vec::new()),
            Kind::Bigint => Column::Bigint(Vec::new()),
            Kind::Double => Column::Double(Vec::new()),
            Kind::Numeric => Column::Numeric(Packed::default()),
            Kind::Boolean => Column::Boolean(Vec::new()),
            Kind::Date => Column::Date(Vec::new()),
            Kind::Timestamptz => Column::Timestamptz(Vec::new()),
            Kind::BigintArray => Column::BigintArray(Packed::default()),
            Kind::Jsonb => Column::Jsonb(Packed::default()),
            Kind::Bytea => Column::Bytea(Packed::default()),
        }
    }

    /// Appends an unset cell.
    pub(super) fn push_null(&mut self) {
        match self {
            Column::Text(cells)
            | Column::Numeric(cells)
            | Column::BigintArray(cells)
            | Column::Jsonb(cells)
            | Column::Bytea(cells) => cells.push(None),
            Column::Integer(cells) => cells.push(None),
            Column::Bigint(cells) => cells.push(None),
            Column::Double(cells) => cells.push(None),
            Column::Boolean(cells) => cells.push(None),
            Column::Date(cells) => cells.push(None),
            Column::Timestamptz(cells) => cells.push(None),
        }
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        match self {
            Column::Text(cells)
            | Column::Numeric(cells)
            | Column::BigintArray(cells)
            | Column::Jsonb(cells)
            | Column::Bytea(cells) => cells.len(),
            Column::Integer(cells) => cells.len(),
            Column::Bigint(cells) => cells.len(),
            Column::Double(cells) => cells.len(),
            Column::Boolean(cells) => cells.len(),
            Column::Date(cells) => cells.len(),
            Column::Timestamptz(cells) => cells.len(),
        }
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cells in a range.
    pub(super) fn part(&self, rows: Range<usize>) -> Self {
        match self {
            Column::Text(cells) => Column::Text(cells.part(rows)),
            Column::Integer(cells) => Column::Integer(cells[rows].to_vec()),
            Column::Bigint(cells) => Column::Bigint(cells[rows].to_vec()),
            Column::Double(cells) => Column::Double(cells[rows].to_vec()),
            Column::Numeric(cells) => Column::Numeric(cells.part(rows)),
            Column::Boolean(cells) => Column::Boolean(cells[rows].to_vec()),
            Column::Date(cells) => Column::Date(cells[rows].to_vec()),
            Column::Timestamptz(cells) => Column::Timestamptz(cells[rows].to_vec()),
            Column::BigintArray(cells) => Column::BigintArray(cells.part(rows)),
            Column::Jsonb(cells) => Column::Jsonb(cells.part(rows)),
            Column::Bytea(cells) => Column::Bytea(cells.part(rows)),
        }
    }

    /// A column of the same type and length with unset cells.
    pub(super) fn unset(&self) -> Self {
        let mut column = self.part(0..0);
        for _ in 0..self.len() {
            column.push_null();
        }
        column
    }
}
