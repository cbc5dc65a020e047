//! What has become of the mirrored fields in Odoo. A run leaves out what drifted, and goes on with the rest.

use super::{FieldMap, Mirror};
use crate::error::{Error, Result};
use crate::odoo::Field;
use serde::{Deserialize, Serialize};

/// A mirrored field that can no longer be read as it is mirrored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// Name of the field in Odoo.
    pub field: String,
    #[serde(flatten)]
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "problem", rename_all = "lowercase")]
pub enum Problem {
    /// Odoo does not have it any more, or does not let this user read it.
    Gone,
    /// Its column cannot hold its new type.
    Changed {
        /// Odoo's type now.
        #[serde(rename = "type")]
        kind: String,
    },
}

/// Compares the mirrored fields with those that Odoo has.
pub fn drift(fields: &[FieldMap], odoo: &[Field]) -> Vec<Drift> {
    let look = |map: &FieldMap| {
        let problem = match odoo.iter().find(|field| field.name == map.field) {
            Some(field) if map.kind.takes(field) => return None,
            Some(field) => Problem::Changed {
                kind: field.kind.clone(),
            },
            None => Problem::Gone,
        };
        Some(Drift {
            field: map.field.clone(),
            problem,
        })
    };
    fields.iter().filter_map(look).collect()
}

impl Mirror {
    /// What was found, and what was known and not found again: fields that came back are read by a full run only, which
    /// fills them for all rows.
    pub fn drift_with(&self, found: Vec<Drift>) -> Vec<Drift> {
        let known = self.drift.iter();
        let back = known.filter(|known| !found.iter().any(|drift| drift.field == known.field));
        let back: Vec<Drift> = back.cloned().collect();
        found.into_iter().chain(back).collect()
    }

    /// The same mirror with the fields that can be read.
    pub fn readable(&self) -> Result<Mirror> {
        let mut mirror = self.clone();
        mirror
            .fields
            .retain(|map| !self.drift.iter().any(|drift| drift.field == map.field));
        match mirror.fields.is_empty() {
            true => Err(Error::UndefinedColumn {
                message: format!("Odoo has none of the fields of mirror \"{}\" any more", self.name),
                hint: "Drop the mirror, and mirror the model anew: ipai.drop_mirror(), ipai.create_mirror()."
                    .to_owned(),
            }),
            false => Ok(mirror),
        }
    }
}
