//! What is mirrored: which model, into which columns, and how a value of Odoo becomes a cell of the table.

mod cell;
mod kind;
mod page;
pub mod sample_metrics;
mod spec;
pub mod sql;

pub use kind::Kind;
pub use page::{Column, Page, PageBuilder};
pub use spec::{FieldMap, Mirror, Table, ACTIVE};

#[cfg(test)]
mod page_tests;
