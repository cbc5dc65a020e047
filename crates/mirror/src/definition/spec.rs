//! Defines a mirror: what a run reads from Odoo, and into which table.

use super::{Kind, Masks};
use crate::refusal::refused;
use ipai_odoo::error::{Result, SqlState};
use ipai_odoo::{Field, Scope};
use serde::{Deserialize, Serialize};

/// A table of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Name of the schema.
    pub schema: String,
    /// Name of the table.
    pub name: String,
}

/// A field of Odoo and the column that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldMap {
    /// Name of the field in Odoo.
    pub field: String,
    /// Name of the column in the target table.
    pub column: String,
    /// Type of the column.
    #[serde(rename = "type")]
    pub kind: Kind,
}

/// A column that has the same value in all rows of a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constant {
    /// Name of the column.
    pub column: String,
    /// The value as text. The column may have any type.
    pub value: String,
}

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
    /// The table changes the values that a run writes, as a trigger may do.
    Altered,
    /// XML-RPC cannot carry some of the values.
    Uncarried,
}

/// A mirror: a model of Odoo and the table that holds its records.
#[derive(Debug, Clone)]
pub struct Mirror {
    /// Name of the mirror.
    pub name: String,
    /// Name of the server; `None` for the only one.
    pub server: Option<String>,
    /// The table that holds the rows.
    pub target: Table,
    /// Whether the table has partitions.
    pub is_partitioned: bool,
    /// The records to read.
    pub scope: Scope,
    /// The mirrored fields.
    pub fields: Vec<FieldMap>,
    /// The drifted fields, which a run omits.
    pub drift: Vec<Drift>,
    /// Columns with the same value in all rows, part of the key: several mirrors can share a table.
    pub constants: Vec<Constant>,
    /// Whether the model has a write date.
    pub has_write_date: bool,
    /// Largest number of records in a page.
    pub page_size: u32,
    /// Largest part of the rows (0 to 1) that one run may delete. It may always delete 100 rows.
    pub max_delete_ratio: f64,
    /// The most records that the table may refuse before a run fails.
    pub max_rejects: u32,
    /// Boolean field of Odoo that flags records, which the mirror counts.
    pub flag_field: Option<String>,
    /// What is stored in place of the values of some fields.
    pub masks: Masks,
    /// Whether rows whose records no longer exist are marked with [`DELETED_AT`], not deleted.
    pub marks_deleted: bool,
}

impl Table {
    /// The name for messages: `schema.name`.
    pub fn display(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

impl Mirror {
    /// The column of the field that flags records.
    pub fn flag_column(&self) -> Option<&str> {
        self.flag_field.as_deref().and_then(|field| self.flag(field))
    }

    /// The columns of the key: the constants and the Odoo id.
    pub fn key(&self) -> impl Iterator<Item = &str> {
        self.constants.iter().map(|constant| constant.column.as_str()).chain([ODOO_ID])
    }

    /// The column that marks rows, if runs use it.
    pub fn mark_column(&self) -> Option<&'static str> {
        self.marks_deleted.then_some(DELETED_AT)
    }

    /// The column of a boolean field, if the mirror has it.
    pub fn flag(&self, field: &str) -> Option<&str> {
        let map = self.fields.iter().find(|map| map.field == field && map.kind == Kind::Boolean)?;
        Some(&map.column)
    }

    /// The mirrored field that is false for archived records.
    pub fn active_field(&self) -> Option<&'static str> {
        ACTIVE_FIELDS.into_iter().find(|field| self.flag(field).is_some())
    }

    /// The boolean fields whose true values are counted.
    pub fn flags(&self) -> Vec<String> {
        let own = self.flag_field.as_deref().filter(|_| self.flag_column().is_some());
        self.active_field().into_iter().chain(own).map(str::to_owned).collect()
    }

    /// Whether columns may hold lists of ids, which an existing table may store as JSON.
    pub fn has_lists(&self) -> bool {
        self.fields.iter().any(|map| matches!(map.kind, Kind::BigintArray | Kind::Jsonb))
    }

    /// Whether columns may hold files, each of which may have many megabytes.
    pub fn has_files(&self) -> bool {
        self.fields.iter().any(|map| map.kind == Kind::Bytea)
    }

    /// The fields to request, with the write date for the cursor. Odoo always sends `id`.
    pub fn wanted_fields(&self) -> Vec<String> {
        let mut fields: Vec<String> = self.fields.iter().map(|map| map.field.clone()).collect();
        if self.has_write_date && !fields.iter().any(|field| field == WRITE_DATE) {
            fields.push(WRITE_DATE.to_owned());
        }
        fields
    }

    /// The fields without the drifted ones.
    pub fn read_fields(&self) -> impl Iterator<Item = &FieldMap> {
        let drifted = |map: &FieldMap| self.drift.iter().any(|drift| drift.field == map.field);
        self.fields.iter().filter(move |map| !drifted(map))
    }

    /// Known drift that is no longer found: fields that Odoo has again.
    pub fn back<'a>(&'a self, found: &'a [Drift]) -> impl Iterator<Item = &'a Drift> {
        let again = |known: &Drift| found.iter().any(|drift| drift.field == known.field);
        self.drift.iter().filter(move |known| !again(known))
    }

    /// Replaces the known drift with the drift that was found, and returns the old one. Fields that
    /// Odoo has again stay drifted unless the run reads `all` records and fills them in all rows.
    /// Fields that the table alters stay drifted until `refresh_mirror`. A run that resumes another
    /// one does not try again what that one could not read.
    pub fn replace_drift(&mut self, mut found: Vec<Drift>, all: bool, resumes: bool) -> Vec<Drift> {
        let stays = |known: &&Drift| match known.problem {
            Problem::Altered => true,
            Problem::Uncarried => !all || resumes,
            Problem::Gone | Problem::Changed { .. } => !all,
        };
        let kept: Vec<Drift> = self.back(&found).filter(stays).cloned().collect();
        found.extend(kept);
        std::mem::replace(&mut self.drift, found)
    }

    /// The mirror without its drifted fields. An error if no field is left.
    pub fn readable(&self) -> Result<Mirror> {
        let fields: Vec<FieldMap> = self.read_fields().cloned().collect();
        if fields.is_empty() {
            return Err(refused(
                SqlState::UndefinedColumn,
                format!("Odoo no longer has any field of mirror \"{}\"", self.name),
                "Drop the mirror and create it again: ipai.drop_mirror(), ipai.create_mirror().",
            ));
        }
        Ok(Mirror { fields, ..self.clone() })
    }
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

/// Key column of every mirror table: the record's id in Odoo.
pub const ODOO_ID: &str = "odoo_id";

/// Column with the time at which a run marked the row, because its record no longer exists.
pub const DELETED_AT: &str = "deleted_at";

/// Columns of a mirror table that hold no field.
pub const OWN_COLUMNS: [&str; 4] = [ODOO_ID, "inserted_at", "updated_at", DELETED_AT];

/// Odoo's fields that are false for archived records: the first that a model has.
pub const ACTIVE_FIELDS: [&str; 2] = ["active", "x_active"];

/// Odoo's field with the write date of a record.
pub const WRITE_DATE: &str = "write_date";
