//! Describes the sample mirror: `ipai.sample.metric` in `ipai.ipai_sample_metrics`.
//!
//! The first migration creates the table. Only the description of the mirror is built in.

use super::{FieldMap, Kind, Table};

/// Name of the mirror.
pub const NAME: &str = "sample_metrics";
/// Name of the model.
pub const MODEL: &str = "ipai.sample.metric";
/// The field that flags metrics.
pub const FLAG_FIELD: &str = "is_alert";
/// The migration that creates the table.
pub const MIGRATION: &str = "migrations/202601130001_IPAI_SAMPLE_METRICS.sql";

const FIELDS: [(&str, Kind); 10] = [
    ("name", Kind::Text),
    ("code", Kind::Text),
    ("date", Kind::Date),
    ("brand_id", Kind::Bigint),
    ("store_id", Kind::Bigint),
    ("value", Kind::Double),
    ("unit", Kind::Text),
    ("is_alert", Kind::Boolean),
    ("notes", Kind::Text),
    ("active", Kind::Boolean),
];

/// The table.
pub fn target() -> Table {
    Table { schema: "ipai".to_owned(), name: "ipai_sample_metrics".to_owned() }
}

/// The mirrored fields. Columns have the names of their fields.
pub fn fields() -> Vec<FieldMap> {
    FIELDS
        .iter()
        .map(|(name, kind)| FieldMap { field: (*name).to_owned(), column: (*name).to_owned(), kind: *kind })
        .collect()
}
