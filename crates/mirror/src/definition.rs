//! What is mirrored: models, fields, column types, and what has become of them in Odoo.

mod define;
mod drift;
mod kind;
mod nearest;
pub mod sample_metrics;
mod spec;

pub use define::{by_default, define, has_write_date, Defined, MirrorRequest};
pub use drift::{drift, Drift, Problem};
pub use kind::Kind;
pub use nearest::nearest;
pub use spec::{Constant, FieldMap, Mirror, Table, ACTIVE, ODOO_ID, OWN_COLUMNS, WRITE_DATE};

#[cfg(test)]
mod define_tests;
