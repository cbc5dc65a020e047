//! Parses and checks the arguments of `create_mirror`.

use crate::definition::OWN_COLUMNS;
use crate::refusal::invalid;
use crate::session::Session;
use crate::store::sql;
use crate::store::statements::{qualified, quote_literal};
use crate::store::tables::TypedConstant;
use crate::{Constant, Table};
use ipai_odoo::error::Result;
use serde_json::Value as Json;

/// Parses `schema.table` as SQL does.
pub fn table_named(session: &mut dyn Session, text: &str) -> Result<Table> {
    let parts = session.first(sql!("table_name"), &[text.into()], |row| row.optional::<Vec<String>>(0))?;
    let fits = |part: &String| part.len() <= 63;
    match parts.flatten().filter(|parts| parts.iter().all(fits)).as_deref() {
        Some([name]) => Ok(Table { schema: "ipai".to_owned(), name: name.clone() }),
        Some([schema, name]) => Ok(Table { schema: schema.clone(), name: name.clone() }),
        _ => Err(invalid(
            "target is not the name of a table",
            "It is schema.table, or the name of a table in schema ipai, each of at most 63 bytes; names with capitals \
             or spaces in double quotes.",
        )),
    }
}

pub fn columns(json: Option<&Json>) -> Result<Option<Vec<(String, String)>>> {
    let refused = || {
        invalid(
            "columns is not a map of columns",
            "It is a JSON object, '{\"field\": \"column\"}'; '{}' where the columns of the table have the fields' names.",
        )
    };
    let Some(json) = json else { return Ok(None) };
    let members = json.as_object().ok_or_else(refused)?.iter();
    let columns = members.map(|(field, column)| Some((field.clone(), column.as_str()?.to_owned())));
    columns.collect::<Option<_>>().map(Some).ok_or_else(refused)
}

/// Parses the constant columns, sorted by name, with the types that a new table gives them.
pub fn constants(json: Option<&Json>) -> Result<Vec<TypedConstant>> {
    let refused = || {
        invalid(
            "constants is not an object of constant columns",
            "It is a JSON object of column names and values, '{\"tenant\": \"acme\"}'; values are texts, whole numbers or \
             booleans.",
        )
    };
    let Some(json) = json else { return Ok(Vec::new()) };
    let members = json.as_object().ok_or_else(refused)?;
    let mut constants = Vec::with_capacity(members.len());
    for (column, value) in members {
        let (value, kind) = match value {
            Json::String(text) => (text.clone(), "text"),
            Json::Bool(flag) => (flag.to_string(), "boolean"),
            Json::Number(number) if number.is_i64() => (number.to_string(), "bigint"),
            _ => return Err(refused()),
        };
        if OWN_COLUMNS.contains(&column.as_str()) || column.is_empty() || column.len() > 63 {
            return Err(refused());
        }
        constants.push((Constant { column: column.clone(), value }, kind));
    }
    constants.sort_by(|(one, _), (other, _)| one.column.cmp(&other.column));
    Ok(constants)
}

/// Types whose values have one spelling each. Otherwise equal values could look like two mirrors.
const CONSTANT_TYPES: [&str; 7] = ["text", "character varying", "smallint", "integer", "bigint", "boolean", "uuid"];

/// Gives the constant the spelling that its column stores, if the table exists.
pub fn normalize_constant(
    session: &mut dyn Session,
    constant: &mut Constant,
    target: &Table,
    columns: &[(String, String)],
) -> Result<()> {
    let Some((_, kind)) = columns.iter().find(|(column, _)| *column == constant.column) else {
        return Ok(());
    };
    let table = qualified(target);
    let params = [(&table).into(), (&constant.column).into()];
    let is_nondeterministic = session.is_true(sql!("nondeterministic_column"), &params)?;
    if is_nondeterministic || !CONSTANT_TYPES.contains(&kind.as_str()) {
        return Err(invalid(
            format!("column \"{}\" of type {kind} cannot tell mirrors apart", constant.column),
            "A constant column has one of the types text, smallint, integer, bigint, boolean and uuid, and a \
             deterministic collation.",
        ));
    }
    let sql = format!("select ({}::{kind})::text", quote_literal(&constant.value));
    if let Some(Some(value)) = session.first(&sql, &[], |row| row.optional::<String>(0))? {
        constant.value = value;
    }
    Ok(())
}
