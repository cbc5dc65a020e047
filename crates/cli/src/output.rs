//! Prints results: tables for people, JSON for machines.

use comfy_table::{Table, presets};
use ipai_mirror::session::{Param, Session, internal};
use ipai_odoo::error::{Error, Result};
use serde_json::{Map, Value, json};

/// Rows with named columns.
pub type Rows = Vec<Map<String, Value>>;

/// The rows of a query.
pub fn rows(session: &mut dyn Session, query: &str, params: &[Param<'_>]) -> Result<Rows> {
    let sql = format!("select pg_catalog.row_to_json(q)::text from ({query}) q");
    session.all(&sql, params, |row| serde_json::from_str(&row.get::<String>(0)?).map_err(internal))
}

/// Prints rows as a table, or as a JSON array.
pub fn print_rows(rows: &Rows, as_json: bool) -> Result<()> {
    if as_json {
        return print_json(&json!(rows));
    }
    let Some(first) = rows.first() else {
        return Ok(());
    };
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(first.keys());
    for row in rows {
        table.add_row(row.values().map(cell));
    }
    print_line(&table.to_string());
    Ok(())
}

/// Prints a value in one line of JSON.
pub fn print_json(value: &Value) -> Result<()> {
    print_line(&serde_json::to_string(value).map_err(internal)?);
    Ok(())
}

/// Prints a line to the standard output. That nobody reads it any more is no error.
pub fn print_line(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// An error with its parts, for machines.
pub fn error_json(error: &Error, hint: Option<&str>) -> Value {
    json!({
        "sqlstate": error.sqlstate(),
        "message": error.to_string(),
        "detail": error.detail(),
        "hint": hint,
    })
}

/// An error with its parts, one in a line, as psql shows it.
pub fn error_text(error: &Error, hint: Option<&str>) -> String {
    let mut text = format!("ERROR:  {error}");
    for (level, part) in [("DETAIL", error.detail().as_deref()), ("HINT", hint)] {
        if let Some(part) = part {
            text.push_str(&format!("\n{level}:  {part}"));
        }
    }
    text
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
