//! Defines what is mirrored: models, fields, column types and drift.

mod define;
mod kind;
mod mask;
mod nearest;
mod sensitive;
mod spec;

pub use define::{Defined, MirrorRequest, active_field, define, define_fields, has_write_date, omission};
pub use kind::Kind;
pub use mask::{Mask, MaskKey, Masks};
pub use nearest::nearest;
pub use sensitive::sensitive;
pub use spec::{
    ACTIVE_FIELDS, Constant, DELETED_AT, Drift, FieldMap, Mirror, ODOO_ID, OWN_COLUMNS, Problem, Table, WRITE_DATE,
    drift,
};

#[cfg(test)]
mod define_tests;
