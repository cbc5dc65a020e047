//! Decides which fields a new mirror has, in which columns and of which types.

use super::{ACTIVE_FIELDS, Constant, FieldMap, Kind, OWN_COLUMNS, WRITE_DATE, nearest, sensitive};
use crate::refusal::{invalid, refused};
use ipai_odoo::Field;
use ipai_odoo::error::{Error, Result, SqlState};
use ipai_odoo::text::quote_literal;
use serde_json::Value as Json;

/// Longest name in bytes. Postgres truncates longer ones.
const LONGEST_NAME: usize = 63;

/// The request for a mirror.
#[derive(Debug, Clone, Default)]
pub struct MirrorRequest {
    /// Name of the model.
    pub model: String,
    /// Names of the fields. With `None`, [`define`] chooses them.
    pub fields: Option<Vec<String>>,
    /// Fields whose column has another name, with that name.
    pub columns: Vec<(String, String)>,
    /// Columns with the same value in all rows.
    pub constants: Vec<Constant>,
    /// The columns of an existing table with their types, or `None` for a new table.
    pub table: Option<Vec<(String, String)>>,
}

/// A column of the mirror with the field that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defined {
    /// Field, column and type.
    pub map: FieldMap,
    /// Label of the field.
    pub label: String,
    /// Help text of the field.
    pub help: Option<String>,
}

/// Why a mirror leaves the field out by default, or `None` if it has the field.
pub fn omission(model: &str, field: &Field) -> Option<String> {
    let reason = match Kind::of(field) {
        _ if field.name == "id" => "always mirrored, as column odoo_id",
        None => "its type cannot be mirrored",
        _ if !field.stored => "Odoo computes it",
        Some(Kind::Bytea) => "it may be large",
        _ if field.kind == "one2many" => "the other model has it as a many2one",
        _ => return sensitive(model, field).map(|what| format!("it looks like {what}")),
    };
    Some(reason.to_owned())
}

/// Whether the model has a stored write date.
pub fn has_write_date(odoo: &[Field]) -> bool {
    odoo.iter().any(|field| field.name == WRITE_DATE && field.stored)
}

/// The field of the model that is false for archived records. Odoo knows no other names.
pub fn active_field(odoo: &[Field]) -> Option<&Field> {
    ACTIVE_FIELDS
        .iter()
        .find_map(|name| odoo.iter().find(|field| field.name == **name))
        .filter(|field| field.kind == "boolean")
}

/// Determines the columns of a mirror of a model with these fields, or refuses the request.
pub fn define(request: &MirrorRequest, odoo: &[Field]) -> Result<Vec<Defined>> {
    let names = field_names(request, odoo);
    if let Some((field, _)) = request.columns.iter().find(|(field, _)| !names.contains(field)) {
        return Err(invalid(
            format!("columns contains field \"{field}\", which is not mirrored"),
            "Add it to fields, or remove it from columns.",
        ));
    }
    if names.is_empty() {
        let hint = "Omit the argument fields to mirror all fields that Odoo stores.";
        return Err(invalid("a mirror needs at least one field", hint));
    }
    define_fields(request, &names, odoo)
}

/// Determines the columns of these fields, or refuses the request.
pub fn define_fields(request: &MirrorRequest, names: &[String], odoo: &[Field]) -> Result<Vec<Defined>> {
    let mut defined: Vec<Defined> = Vec::with_capacity(names.len());
    for name in names {
        let one = column(request, odoo, name)?;
        if defined.iter().any(|other| other.map.field == one.map.field) {
            return Err(invalid(format!("field \"{name}\" is named twice"), "Name each field once."));
        }
        if defined.iter().any(|other| other.map.column == one.map.column) {
            return Err(invalid(
                format!("column \"{}\" is assigned to two fields", one.map.column),
                "Map each field to a different column.",
            ));
        }
        defined.push(one);
    }
    Ok(defined)
}

/// The names of the fields, with the one that tells archived records, if the table can hold it.
fn field_names(request: &MirrorRequest, odoo: &[Field]) -> Vec<String> {
    let mut names = requested_names(request, odoo);
    if let Some(active) = active_field(odoo).filter(|field| !names.is_empty() && !names.contains(&field.name)) {
        let column = column_of(request, &active.name);
        let is_free = || !names.iter().any(|name| column_of(request, name) == column) && !is_reserved(request, column);
        let holds = |(name, kind): &(String, String)| name == column && kind == Kind::Boolean.sql();
        if request.table.as_ref().is_none_or(|table| table.iter().any(holds) && is_free()) {
            names.push(active.name.clone());
        }
    }
    names
}

/// The column of a field: the one that the request maps it to, or the one of the same name.
fn column_of<'a>(request: &'a MirrorRequest, field: &'a str) -> &'a str {
    let mapped = request.columns.iter().find(|(name, _)| name == field);
    mapped.map_or(field, |(_, column)| column)
}

/// The names of the fields: those requested, else those with a column, else all that Odoo stores.
fn requested_names(request: &MirrorRequest, odoo: &[Field]) -> Vec<String> {
    let default = odoo.iter().filter(|field| omission(&request.model, field).is_none());
    let default = default.map(|field| field.name.clone());
    match (&request.fields, &request.table) {
        (Some(fields), _) => fields.clone(),
        (None, Some(_)) if !request.columns.is_empty() => {
            request.columns.iter().map(|(field, _)| field.clone()).collect()
        }
        (None, Some(table)) => default
            .filter(|name| table.iter().any(|(column, _)| column == name) && !is_reserved(request, name))
            .collect(),
        (None, None) => default.collect(),
    }
}

fn column(request: &MirrorRequest, odoo: &[Field], name: &str) -> Result<Defined> {
    if name == "id" {
        return Err(invalid("field \"id\" is always mirrored, as column odoo_id", "Remove it from fields."));
    }
    let field = odoo.iter().find(|field| field.name == name).ok_or_else(|| Error::UnknownField {
        model: request.model.clone(),
        field: name.to_owned(),
        near: nearest(name, odoo.iter().map(|field| field.name.as_str())),
    })?;
    let made = Kind::of(field).ok_or_else(|| {
        invalid(format!("field \"{name}\" of type {} cannot be mirrored", field.kind), "Leave the field out.")
    })?;
    let column = column_of(request, name);
    if is_reserved(request, column) {
        return Err(invalid(
            format!("column \"{column}\" is reserved and cannot hold field \"{name}\""),
            format!(
                "Map the field to another column: columns => {}.",
                quote_literal(&format!("{{{}: {}}}", Json::from(name), Json::from(format!("odoo_{name}"))))
            ),
        ));
    }
    if column.is_empty() || column.len() > LONGEST_NAME || column.contains('\0') {
        return Err(invalid(
            format!("invalid column name \"{column}\""),
            format!("Map field \"{name}\" to a column with a name of 1 to {LONGEST_NAME} bytes."),
        ));
    }
    let kind = match &request.table {
        None => made,
        Some(table) => existing(table, field, column, made)?,
    };
    Ok(Defined {
        map: FieldMap { field: name.to_owned(), column: column.to_owned(), kind },
        label: field.label.clone(),
        help: field.help.clone(),
    })
}

/// The type of an existing column, which must be able to hold the field.
fn existing(table: &[(String, String)], field: &Field, column: &str, made: Kind) -> Result<Kind> {
    let Some((_, format_type)) = table.iter().find(|(name, _)| name == column) else {
        let message = format!("the table has no column \"{column}\" for field \"{}\"", field.name);
        let near = nearest(column, table.iter().map(|(name, _)| name.as_str()));
        let hint = match near.is_empty() {
            true => format!("Add a column of type {}, or map the field to another column with columns.", made.sql()),
            false => format!("Map the field to another column with columns. Similar names are: {}.", near.join(", ")),
        };
        return Err(refused(SqlState::UndefinedColumn, message, hint));
    };
    Kind::of_column(format_type).filter(|kind| kind.takes(field)).ok_or_else(|| {
        let (name, kind) = (&field.name, &field.kind);
        invalid(
            format!("column \"{column}\" of type {format_type} cannot hold field \"{name}\" of type {kind}"),
            format!("Use a column of type {} without a length or scale.", made.sql()),
        )
    })
}

fn is_reserved(request: &MirrorRequest, column: &str) -> bool {
    OWN_COLUMNS.contains(&column) || request.constants.iter().any(|constant| constant.column == column)
}
