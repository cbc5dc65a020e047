//! Defines a column of a page: the cells of one field.

use super::Packed;
use crate::definition::Kind;
use chrono::{NaiveDate, NaiveDateTime};
use std::ops::Range;

/// Defines [`Column`], whose variants are those of [`Kind`], and what all variants have in common.
macro_rules! columns {
    ($($(#[$doc:meta])* $kind:ident($cells:ty),)*) => {
        /// The cells of one column, one per row.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Column {
            $($(#[$doc])* $kind($cells),)*
        }

        impl Column {
            pub(crate) fn new(kind: Kind) -> Self {
                match kind {
                    $(Kind::$kind => Column::$kind(<$cells>::default()),)*
                }
            }

            pub(crate) fn push_null(&mut self) {
                match self {
                    $(Column::$kind(cells) => cells.push(None),)*
                }
            }

            /// Number of cells.
            pub fn len(&self) -> usize {
                match self {
                    $(Column::$kind(cells) => cells.len(),)*
                }
            }

            /// Appends the cells of a column of the same kind.
            pub(crate) fn append(&mut self, other: Column) {
                match (self, other) {
                    $((Column::$kind(cells), Column::$kind(more)) => cells.extend(more.iter().map(|cell| cell.to_owned())),)*
                    _ => {}
                }
            }

            pub(crate) fn part(&self, rows: Range<usize>) -> Self {
                let (first, count) = (rows.start, rows.len());
                match self {
                    $(Column::$kind(cells) => {
                        Column::$kind(cells.iter().skip(first).take(count).map(|cell| cell.to_owned()).collect())
                    })*
                }
            }
        }
    };
}

columns! {
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
    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
