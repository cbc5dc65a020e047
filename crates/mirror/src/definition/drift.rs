//! What has become of the mirrored fields in Odoo. A run leaves out what drifted, and goes on with the rest.

use super::{FieldMap, Mirror};
use ipai_odoo::Field;
use ipai_odoo::error::{Error, Result, SqlState};
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
    /// The fields that a run reads.
    pub fn read_fields(&self) -> impl Iterator<Item = &FieldMap> {
        let drifted = |map: &FieldMap| self.drift.iter().any(|drift| drift.field == map.field);
        self.fields.iter().filter(move |map| !drifted(map))
    }

    /// The known drift of which nothing was found: fields that came back.
    pub fn back<'a>(&'a self, found: &'a [Drift]) -> impl Iterator<Item = &'a Drift> {
        let again = |known: &Drift| found.iter().any(|drift| drift.field == known.field);
        self.drift.iter().filter(move |known| !again(known))
    }

    /// Takes over what was `found`, and gives what was known. Fields that came back are read by a run that reads `all` records only,
    /// which fills them for all rows.
    pub fn drifts(&mut self, mut found: Vec<Drift>, all: bool) -> Vec<Drift> {
        if !all {
            let back: Vec<Drift> = self.back(&found).cloned().collect();
            found.extend(back);
        }
        std::mem::replace(&mut self.drift, found)
    }

    /// The same mirror with the fields that can be read.
    pub fn readable(&self) -> Result<Mirror> {
        let fields: Vec<FieldMap> = self.read_fields().cloned().collect();
        match fields.is_empty() {
            true => Err(Error::user(
                SqlState::UndefinedColumn,
                format!("Odoo has none of the fields of mirror \"{}\" any more", self.name),
            )
            .with_hint("Drop the mirror, and mirror the model anew: ipai.drop_mirror(), ipai.create_mirror().")),
            false => Ok(Mirror { fields, ..self.clone() }),
        }
    }
}
