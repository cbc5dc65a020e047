//! Finds drift: mirrored fields that Odoo no longer has, or whose type changed. A run omits them.

use super::FieldMap;
use ipai_odoo::Field;
use serde::{Deserialize, Serialize};

/// A mirrored field that a run can no longer read into its column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// Name of the field in Odoo.
    pub field: String,
    /// What happened to it.
    #[serde(flatten)]
    pub problem: Problem,
}

/// What happened to a mirrored field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "problem", rename_all = "lowercase")]
pub enum Problem {
    /// Odoo no longer has the field, or the user may not read it.
    Gone,
    /// The column cannot hold the new type of the field.
    Changed {
        /// The new type in Odoo.
        #[serde(rename = "type")]
        kind: String,
    },
}

/// Compares the mirrored fields with the fields that Odoo has.
pub fn drift(fields: &[FieldMap], odoo: &[Field]) -> Vec<Drift> {
    let look = |map: &FieldMap| {
        let problem = match odoo.iter().find(|field| field.name == map.field) {
            Some(field) if map.kind.takes(field) => return None,
            Some(field) => Problem::Changed { kind: field.kind.clone() },
            None => Problem::Gone,
        };
        Some(Drift { field: map.field.clone(), problem })
    };
    fields.iter().filter_map(look).collect()
}
