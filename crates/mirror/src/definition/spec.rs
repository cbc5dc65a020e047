//! A mirror: everything that the sync of one model needs to know.

use super::{Drift, Kind};
use ipai_odoo::Scope;
use serde::{Deserialize, Serialize};

/// A table of the local database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub schema: String,
    pub name: String,
}

/// One field of Odoo and the column that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldMap {
    /// Name of the field in Odoo.
    pub field: String,
    /// Name of the column in the target table.
    pub column: String,
    #[serde(rename = "type")]
    pub kind: Kind,
}

/// One column of a mirror that holds the same in every row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constant {
    pub column: String,
    /// As text; the column may have any type.
    pub value: String,
}

/// One Odoo model mirrored into one table.
#[derive(Debug, Clone)]
pub struct Mirror {
    pub name: String,
    /// Foreign server of the Odoo database.
    pub server: String,
    pub target: Table,
    pub scope: Scope,
    pub fields: Vec<FieldMap>,
    /// Those of the fields that a run leaves out, because Odoo no longer has them so.
    pub drift: Vec<Drift>,
    /// Columns that hold the same in every row of this mirror: part of its key, so that several mirrors can share a table.
    pub constants: Vec<Constant>,
    /// Whether the model tells when a record was last written.
    pub has_write_date: bool,
    /// Most records asked for in one call.
    pub page_size: u32,
    /// Largest part of the rows (0 to 1) that one run may delete; 100 rows are always allowed.
    pub max_delete_ratio: f64,
    /// Boolean field of Odoo that marks alerts, to be counted.
    pub flag_field: Option<String>,
}

impl Table {
    /// As a person reads it: `schema.name`.
    pub fn display(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

impl Mirror {
    /// The column of the field that marks alerts.
    pub fn flag_column(&self) -> Option<&str> {
        self.flag_field.as_deref().and_then(|field| self.flag(field))
    }

    /// The column of a boolean field, where it is mirrored.
    pub fn flag(&self, field: &str) -> Option<&str> {
        let map = self
            .fields
            .iter()
            .find(|map| map.field == field && map.kind == Kind::Boolean)?;
        Some(&map.column)
    }

    /// Whether records hold lists of other records' ids, or may: a table of one's own may have them as JSON.
    pub fn has_lists(&self) -> bool {
        let list = |kind| matches!(kind, Kind::BigintArray | Kind::Jsonb);
        self.fields.iter().any(|map| list(map.kind))
    }

    /// Fields to ask Odoo for: those of the columns, and the write date, by which the cursor moves.
    /// (`id` always comes.)
    pub fn wanted_fields(&self) -> Vec<String> {
        let mut fields: Vec<String> = self.fields.iter().map(|map| map.field.clone()).collect();
        if self.has_write_date && !fields.iter().any(|field| field == WRITE_DATE) {
            fields.push(WRITE_DATE.to_owned());
        }
        fields
    }
}

/// Key column of every mirror table: the record's id in Odoo.
pub const ODOO_ID: &str = "odoo_id";

/// Columns of a mirror table that are not the mirror's to write.
pub const OWN_COLUMNS: [&str; 3] = [ODOO_ID, "inserted_at", "updated_at"];

/// Odoo's field of records that can be archived.
pub const ACTIVE: &str = "active";

/// Odoo's log-access field that tells when a record was last written.
pub const WRITE_DATE: &str = "write_date";
