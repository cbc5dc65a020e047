//! What is mirrored: which model, into which columns, and how a value of Odoo becomes a cell of the table.

mod cell;
pub mod ddl;
mod define;
mod drift;
mod kind;
mod nearest;
mod packed;
mod page;
pub mod sample_metrics;
mod spec;
pub mod sql;

pub use define::{by_default, define, has_write_date, Defined, Wish};
pub use drift::{drift, Drift, Problem};
pub use kind::Kind;
pub use nearest::nearest;
pub use packed::Packed;
pub use page::{Column, Newest, Page, PageBuilder};
pub use spec::{Constant, FieldMap, Mirror, Table, ACTIVE, OWN_COLUMNS};

#[cfg(test)]
mod define_tests;
#[cfg(test)]
mod page_tests;
