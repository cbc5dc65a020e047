//! Defines what is mirrored: models, fields, column types and drift.

mod define;
mod drift;
mod kind;
mod nearest;
mod spec;

pub use define::{Defined, MirrorRequest, by_default, define, has_write_date};
pub use drift::{Drift, Problem, drift};
pub use kind::Kind;
pub use nearest::nearest;
pub use spec::{ACTIVE, Constant, FieldMap, Mirror, ODOO_ID, OWN_COLUMNS, Table, WRITE_DATE};

#[cfg(test)]
mod define_tests;
