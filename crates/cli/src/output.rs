//! Prints results: tables for people, JSON for machines.

use comfy_table::{Table, presets};
use ipai_mirror::session::{Param, Session, internal};
use ipai_odoo::error::{Error, Result};
use ipai_odoo::text::Cleaner;
use serde_json::{Map, Value, json};

/// Width of text for people, in characters: that of a usual terminal.
const WIDTH: usize = 80;

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

/// Prints what checks found, each in a block, or as a JSON array.
pub fn print_findings(rows: &Rows, as_json: bool) -> Result<()> {
    if as_json {
        return print_json(&json!(rows));
    }
    let blocks: Vec<_> = rows.iter().map(finding).collect();
    print_line(&blocks.join("\n\n"));
    Ok(())
}

/// A finding in lines: its state and object, the facts, and the remedy. The remedy is not wrapped,
/// because it may be a command to copy.
fn finding(row: &Map<String, Value>) -> String {
    let text = |name: &str| row.get(name).map(cell).unwrap_or_default();
    let line = |mark: &str, text: &str| format!("{mark:<8} {text}");
    let mut lines = vec![line(&text("state"), &format!("{} {}", text("check"), text("object")))];
    lines.extend(wrapped(&text("finding"), WIDTH - 9).iter().map(|part| line("", part)));
    match text("remedy") {
        remedy if remedy.is_empty() => {}
        remedy => lines.push(line("remedy", &remedy)),
    }
    lines.join("\n")
}

/// A text in lines of this width. A word that is longer has a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Prints a value in one line of JSON.
pub fn print_json(value: &Value) -> Result<()> {
    print_line(&serde_json::to_string(value).map_err(internal)?);
    Ok(())
}

/// Prints a line to the standard output. A closed output is no error.
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
    let mut text = format!("ERROR:  {}", shown(&error.to_string()));
    for (level, part) in [("DETAIL", error.detail().as_deref()), ("HINT", hint)] {
        if let Some(part) = part {
            text.push_str(&format!("\n{level}:  {}", shown(part)));
        }
    }
    text
}

/// A text of the database or of Odoo as a terminal may show it, without control characters.
pub fn shown(text: &str) -> String {
    Cleaner::default().text(text)
}

/// A text with the commands of the program in place of the names of the extension's functions.
///
/// `ipai.command_hint()` replaces whole statements; this replaces names such as
/// `ipai.create_mirror()`.
pub fn with_commands(text: &str) -> String {
    let commands = [
        ("alter_mirror", "alter-mirror"),
        ("check_connection", "check"),
        ("create_mirror", "create-mirror"),
        ("drop_mirror", "drop-mirror"),
        ("odoo_call", "odoo-call"),
        ("refresh_mirror", "refresh-mirror"),
        ("run_sync", "run"),
    ];
    commands.into_iter().fold(text.to_owned(), |text, (function, command)| {
        text.replace(&format!("ipai.{function}()"), &format!("ipai-sync {command}"))
    })
}

/// A text as a word of a command for a shell, which executes nothing in it.
pub fn shell_word(text: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => shown(text),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipai_odoo::error::SqlState;

    #[test]
    fn texts_cannot_control_the_terminal() {
        let error = Error::user(SqlState::InvalidParameter, "a \u{1b}[2Jb").with_detail("\u{202e}c");
        let text = error_text(&error, Some("d\u{7}"));
        assert_eq!(text, "ERROR:  a \u{fffd}[2Jb\nDETAIL:  \u{fffd}c\nHINT:  d\u{fffd}");
        assert_eq!(cell(&json!("x\u{1b}]0;y")), "x\u{fffd}]0;y");
    }

    #[test]
    fn findings_fit_a_terminal_of_80_columns() {
        let row = |state: &str, finding: &str, remedy: Value| {
            Map::from_iter([
                ("check".to_owned(), json!("policies")),
                ("object".to_owned(), json!("ipai.metrics")),
                ("state".to_owned(), json!(state)),
                ("finding".to_owned(), json!(finding)),
                ("remedy".to_owned(), remedy),
            ])
        };
        let long = "each of these words is short, but the sentence is wider than a terminal: \u{1b}[2J and so on";
        let url = "x".repeat(100);
        assert_eq!(
            finding(&row("problem", long, json!("select 1;"))),
            "problem  policies ipai.metrics\n         \
             each of these words is short, but the sentence is wider than a\n         \
             terminal: \u{fffd}[2J and so on\n\
             remedy   select 1;"
        );
        assert_eq!(
            finding(&row("ok", &format!("at {url} now"), Value::Null)),
            format!("ok       policies ipai.metrics\n         at\n         {url}\n         now")
        );
    }

    #[test]
    fn shell_executes_nothing_in_a_word() {
        for (text, word) in [
            ("x_studio.field-1", "x_studio.field-1"),
            ("$(id)", "'$(id)'"),
            ("it's `id`", r"'it'\''s `id`'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }

    #[test]
    fn names_of_functions_become_commands() {
        let hint = "To give up the whole mirror: ipai.drop_mirror(). Then ipai.create_mirror(), ipai.protect_mirror().";
        let worded =
            "To give up the whole mirror: ipai-sync drop-mirror. Then ipai-sync create-mirror, ipai.protect_mirror().";
        assert_eq!(with_commands(hint), worded);
    }
}
