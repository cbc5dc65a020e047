//! The reference mirror: `ipai.sample.metric` into `ipai.ipai_sample_metrics`, the table that the first
//! migration makes. A mirror like any other: only its description is built in.

use super::{FieldMap, Kind, Table};

pub const NAME: &str = "sample_metrics";
pub const MODEL: &str = "ipai.sample.metric";
/// What marks a metric as an alert.
pub const FLAG_FIELD: &str = "is_alert";
/// The migration that makes the table.
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

pub fn target() -> Table {
    Table {
        schema: "ipai".to_owned(),
        name: "ipai_sample_metrics".to_owned(),
    }
}

/// Columns have the names of their fields.
pub fn fields() -> Vec<FieldMap> {
    FIELDS
        .iter()
        .map(|(name, kind)| FieldMap {
            field: (*name).to_owned(),
            column: (*name).to_owned(),
            kind: *kind,
        })
        .collect()
}
