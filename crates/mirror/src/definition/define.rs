//! Decides which fields a new mirror has, in which columns and of which types.

use super::{Constant, FieldMap, Kind, OWN_COLUMNS, WRITE_DATE, nearest};
use ipai_odoo::Field;
use ipai_odoo::error::{Error, Result, SqlState};

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

/// Whether a mirror has the field by default. Fields that Odoo computes and large fields are
/// omitted.
pub fn by_default(field: &Field) -> bool {
    field.stored
        && field.name != "id"
        && !matches!(Kind::of(field), None | Some(Kind::Bytea))
        && field.kind != "one2many"
}

/// Whether the model has a stored write date.
pub fn has_write_date(odoo: &[Field]) -> bool {
    odoo.iter().any(|field| field.name == WRITE_DATE && field.stored)
}

/// Determines the columns of a mirror of a model with these fields.
///
/// # Errors
/// An error for the user if a field or column of the request cannot be mirrored.
pub fn define(request: &MirrorRequest, odoo: &[Field]) -> Result<Vec<Defined>> {
    if !has_write_date(odoo) && odoo.iter().all(|field| field.readonly || !field.stored) {
        // Reports and other models on SQL views, whose ids may denote other rows in the next query.
        return Err(invalid(
            format!("model \"{}\" cannot be mirrored: all its fields are read-only", request.model),
            "Mirror the models from which this one is computed.".to_owned(),
        ));
    }
    let names = field_names(request, odoo)?;
    for (field, _) in &request.columns {
        if !names.contains(field) {
            return Err(invalid(
                format!("columns contains field \"{field}\", which is not mirrored"),
                "Add it to fields, or remove it from columns.".to_owned(),
            ));
        }
    }
    let mut defined: Vec<Defined> = Vec::with_capacity(names.len());
    for name in &names {
        let one = column(request, odoo, name)?;
        if defined.iter().any(|other| other.map.field == one.map.field) {
            return Err(invalid(format!("field \"{name}\" is named twice"), "Name each field once.".to_owned()));
        }
        if defined.iter().any(|other| other.map.column == one.map.column) {
            return Err(invalid(
                format!("column \"{}\" is assigned to two fields", one.map.column),
                "Map each field to a different column.".to_owned(),
            ));
        }
        defined.push(one);
    }
    match defined.is_empty() {
        true => Err(invalid(
            "a mirror needs at least one field".to_owned(),
            "Omit the argument fields to mirror all fields that Odoo stores.".to_owned(),
        )),
        false => Ok(defined),
    }
}

/// The names of the fields: those requested, else those with a column, else all that Odoo stores.
fn field_names(request: &MirrorRequest, odoo: &[Field]) -> Result<Vec<String>> {
    let named = |wanted: &dyn Fn(&Field) -> bool| {
        let fields = odoo.iter().filter(|field| by_default(field) && wanted(field));
        fields.map(|field| field.name.clone()).collect()
    };
    Ok(match (&request.fields, &request.table) {
        (Some(fields), _) => fields.clone(),
        (None, Some(_)) if !request.columns.is_empty() => {
            request.columns.iter().map(|(field, _)| field.clone()).collect()
        }
        (None, Some(table)) => named(&|field| {
            let exists = table.iter().any(|(column, _)| *column == field.name);
            exists && !is_reserved(request, &field.name)
        }),
        (None, None) => named(&|_| true),
    })
}

/// The column for one field.
fn column(request: &MirrorRequest, odoo: &[Field], name: &str) -> Result<Defined> {
    let field = find(&request.model, odoo, name)?;
    let made = Kind::of(field).ok_or_else(|| {
        invalid(
            format!("field \"{name}\" of type {} cannot be mirrored", field.kind),
            "Leave the field out.".to_owned(),
        )
    })?;
    let mapped = request.columns.iter().find(|(other, _)| other == name);
    let column = mapped.map_or(name, |(_, column)| column.as_str());
    if is_reserved(request, column) {
        return Err(invalid(
            format!("column \"{column}\" is reserved and cannot hold field \"{name}\""),
            format!("Map the field to another column: columns => '{{\"{name}\": \"odoo_{name}\"}}'."),
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

/// The field with this name.
fn find<'a>(model: &str, odoo: &'a [Field], name: &str) -> Result<&'a Field> {
    if name == "id" {
        return Err(invalid(
            "field \"id\" is always mirrored, as column odoo_id".to_owned(),
            "Remove it from fields.".to_owned(),
        ));
    }
    odoo.iter().find(|field| field.name == name).ok_or_else(|| Error::UnknownField {
        model: model.to_owned(),
        field: name.to_owned(),
        near: nearest(name, odoo.iter().map(|field| field.name.as_str())),
    })
}

/// The type of an existing column, which must be able to hold the field.
fn existing(table: &[(String, String)], field: &Field, column: &str, made: Kind) -> Result<Kind> {
    let Some((_, format_type)) = table.iter().find(|(name, _)| name == column) else {
        let near = nearest(column, table.iter().map(|(name, _)| name.as_str()));
        return Err(Error::user(
            SqlState::UndefinedColumn,
            format!("the table has no column \"{column}\" for field \"{}\"", field.name),
        )
        .with_hint(match near.is_empty() {
            true => format!("Add a column of type {}, or map the field to another column with columns.", made.sql()),
            false => format!("Map the field to another column with columns. Similar names are: {}.", near.join(", ")),
        }));
    };
    Kind::of_column(format_type).filter(|kind| kind.takes(field)).ok_or_else(|| {
        invalid(
            format!(
                "column \"{column}\" of type {format_type} cannot hold field \"{}\" of type {}",
                field.name, field.kind
            ),
            format!("Use a column of type {} without a length or scale.", made.sql()),
        )
    })
}

/// Whether a column is reserved: it cannot hold a field.
fn is_reserved(request: &MirrorRequest, column: &str) -> bool {
    OWN_COLUMNS.contains(&column) || request.constants.iter().any(|constant| constant.column == column)
}

fn invalid(message: String, hint: String) -> Error {
    Error::user(SqlState::InvalidParameter, message).with_hint(hint)
}
