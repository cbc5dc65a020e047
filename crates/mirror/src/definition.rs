//! Defines what is mirrored: models, fields, column types and drift.

mod define;
mod kind;
mod nearest;
mod spec;

pub use define::{Defined, MirrorRequest, by_default, define, has_write_date};
pub use kind::Kind;
pub use nearest::nearest;
pub use spec::{ACTIVE, Constant, Drift, FieldMap, Mirror, ODOO_ID, OWN_COLUMNS, Problem, Table, WRITE_DATE, drift};

#[cfg(test)]
mod define_tests;
