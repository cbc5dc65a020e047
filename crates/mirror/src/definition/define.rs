//! From what somebody asks for to the columns of a mirror: which fields, into which columns, of which types.

use super::spec::{Constant, FieldMap, OWN_COLUMNS, WRITE_DATE};
use super::{Kind, nearest};
use ipai_odoo::Field;
use ipai_odoo::error::{Error, Result, SqlState};

/// Postgres cuts longer names.
const LONGEST_NAME: usize = 63;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct MirrorRequest {
    pub model: String,
    /// Fields by name; `None` leaves the choice to [`define`].
    pub fields: Option<Vec<String>>,
    /// Columns of fields that are not to have the field's name.
    pub columns: Vec<(String, String)>,
    pub constants: Vec<Constant>,
    /// The columns that are there already, with their types, where the table is.
    pub table: Option<Vec<(String, String)>>,
}

/// A column of the mirror and the field that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defined {
    pub map: FieldMap,
    pub label: String,
    pub help: Option<String>,
}

/// Whether a mirror has the field unless it is told otherwise: what Odoo has to compute, and what is large, is left out.
pub fn by_default(field: &Field) -> bool {
    field.stored
        && field.name != "id"
        && !matches!(Kind::of(field), None | Some(Kind::Bytea))
        && field.kind != "one2many"
}

/// Whether the model tells when a record was last written.
pub fn has_write_date(odoo: &[Field]) -> bool {
    odoo.iter().any(|field| field.name == WRITE_DATE && field.stored)
}

/// The columns of a mirror of a model with these fields.
pub fn define(wish: &MirrorRequest, odoo: &[Field]) -> Result<Vec<Defined>> {
    if !has_write_date(odoo) && odoo.iter().all(|field| field.readonly || !field.stored) {
        // Reports and other models on SQL views: their ids may mean something else at the next look.
        return Err(invalid(
            format!(
                "model \"{}\" cannot be mirrored: nothing in it can be written",
                wish.model
            ),
            "It is a view of other models. Mirror those.".to_owned(),
        ));
    }
    let names = chosen(wish, odoo)?;
    for (field, _) in &wish.columns {
        if !names.contains(field) {
            return Err(invalid(
                format!("columns names the field \"{field}\", which is not mirrored"),
                "Add it to fields, or take it out of columns.".to_owned(),
            ));
        }
    }
    let mut defined: Vec<Defined> = Vec::with_capacity(names.len());
    for name in &names {
        let one = column(wish, odoo, name)?;
        if defined.iter().any(|other| other.map.field == one.map.field) {
            return Err(invalid(
                format!("field \"{name}\" is named twice"),
                "Name each field once.".to_owned(),
            ));
        }
        if defined.iter().any(|other| other.map.column == one.map.column) {
            return Err(invalid(
                format!("column \"{}\" is to hold two fields", one.map.column),
                "Give each field a column of its own.".to_owned(),
            ));
        }
        defined.push(one);
    }
    match defined.is_empty() {
        true => Err(invalid(
            "a mirror needs at least one field".to_owned(),
            "Leave fields out to mirror all that Odoo stores.".to_owned(),
        )),
        false => Ok(defined),
    }
}

/// The fields by name: those asked for, else those that have a column, else all that Odoo stores.
fn chosen(wish: &MirrorRequest, odoo: &[Field]) -> Result<Vec<String>> {
    let named = |wanted: &dyn Fn(&Field) -> bool| {
        let fields = odoo.iter().filter(|field| by_default(field) && wanted(field));
        fields.map(|field| field.name.clone()).collect()
    };
    Ok(match (&wish.fields, &wish.table) {
        (Some(fields), _) => fields.clone(),
        (None, Some(_)) if !wish.columns.is_empty() => wish.columns.iter().map(|(field, _)| field.clone()).collect(),
        (None, Some(table)) => named(&|field| {
            let there = table.iter().any(|(column, _)| *column == field.name);
            there && !taken(wish, &field.name)
        }),
        (None, None) => named(&|_| true),
    })
}

/// Where one field goes.
fn column(wish: &MirrorRequest, odoo: &[Field], name: &str) -> Result<Defined> {
    let field = find(&wish.model, odoo, name)?;
    let made = Kind::of(field).ok_or_else(|| {
        invalid(
            format!("field \"{name}\" of type {} cannot be mirrored", field.kind),
            "Leave it out.".to_owned(),
        )
    })?;
    let mapped = wish.columns.iter().find(|(other, _)| other == name);
    let column = mapped.map_or(name, |(_, column)| column.as_str());
    if taken(wish, column) {
        return Err(invalid(
            format!("column \"{column}\" is the mirror's own, and cannot hold field \"{name}\""),
            format!("Give it another column: columns => '{{\"{name}\": \"odoo_{name}\"}}'."),
        ));
    }
    if column.is_empty() || column.len() > LONGEST_NAME || column.contains('\0') {
        return Err(invalid(
            format!("\"{column}\" cannot be the name of a column"),
            format!("Give field \"{name}\" a column with a name of 1 to {LONGEST_NAME} bytes."),
        ));
    }
    let kind = match &wish.table {
        None => made,
        Some(table) => existing(table, field, column, made)?,
    };
    Ok(Defined {
        map: FieldMap {
            field: name.to_owned(),
            column: column.to_owned(),
            kind,
        },
        label: field.label.clone(),
        help: field.help.clone(),
    })
}

/// A field that can be named.
fn find<'a>(model: &str, odoo: &'a [Field], name: &str) -> Result<&'a Field> {
    if name == "id" {
        return Err(invalid(
            "field \"id\" is always mirrored, as column odoo_id".to_owned(),
            "Leave it out of fields.".to_owned(),
        ));
    }
    odoo.iter()
        .find(|field| field.name == name)
        .ok_or_else(|| Error::UnknownField {
            model: model.to_owned(),
            field: name.to_owned(),
            near: nearest(name, odoo.iter().map(|field| field.name.as_str())),
        })
}

/// The type of a column that is there already, if it can hold the field.
fn existing(table: &[(String, String)], field: &Field, column: &str, made: Kind) -> Result<Kind> {
    let Some((_, format_type)) = table.iter().find(|(name, _)| name == column) else {
        let near = nearest(column, table.iter().map(|(name, _)| name.as_str()));
        return Err(Error::user(
            SqlState::UndefinedColumn,
            format!("the table has no column \"{column}\" for field \"{}\"", field.name),
        )
        .with_hint(match near.is_empty() {
            true => format!("Add it, with type {}, or name another with columns.", made.sql()),
            false => format!("Name another with columns. There are: {}.", near.join(", ")),
        }));
    };
    Kind::of_column(format_type)
        .filter(|kind| kind.takes(field))
        .ok_or_else(|| {
            invalid(
                format!(
                    "column \"{column}\" of type {format_type} cannot hold field \"{}\" of type {}",
                    field.name, field.kind
                ),
                format!("It takes a column of type {}, without a length or scale.", made.sql()),
            )
        })
}

/// Whether a column is not for a field.
fn taken(wish: &MirrorRequest, column: &str) -> bool {
    OWN_COLUMNS.contains(&column) || wish.constants.iter().any(|constant| constant.column == column)
}

fn invalid(message: String, hint: String) -> Error {
    Error::user(SqlState::InvalidParameter, message).with_hint(hint)
}
