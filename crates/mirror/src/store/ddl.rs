//! The DDL statements of a mirror's table.

use super::sql;
use super::statements::{fill, qualified, quote_ident, quote_literal};
use crate::definition::{Constant, Defined, ODOO_ID, Table};

/// A constant column and the type that a new table gives it.
pub type TypedConstant = (Constant, &'static str);

/// Name of the trigger function that keeps `updated_at`, in the schema of the tables that use it.
pub const UPDATED_AT_TRIGGER: &str = "keep_updated_at";

/// Creates the trigger function. It belongs to the tables, not to the extension: it stays when the
/// extension is dropped.
pub fn create_trigger_function(schema: &str) -> Vec<String> {
    let name = format!("{}.{UPDATED_AT_TRIGGER}()", quote_ident(schema));
    vec![
        fill(sql!("trigger_function_create"), &[("name", &name)]),
        format!("comment on function {name} is 'Trigger function of mirrors: keeps updated_at'"),
    ]
}

/// Creates the table, with its comments and its trigger, for its owner only.
pub fn create_table(
    table: &Table,
    model: &str,
    label: &str,
    constants: &[TypedConstant],
    columns: &[Defined],
) -> Vec<String> {
    let name = qualified(table);
    let constants = constants.iter().map(|(constant, kind)| (constant.column.as_str(), *kind));
    let keys = constants.clone().chain([(ODOO_ID, "bigint")]);
    let key: Vec<String> = keys.clone().map(|(name, _)| quote_ident(name)).collect();
    let mut lines: Vec<String> = keys.map(|(name, kind)| format!("{} {kind} not null", quote_ident(name))).collect();
    lines.extend(columns.iter().map(column));
    lines.push("inserted_at timestamptz not null default now()".to_owned());
    lines.push("updated_at timestamptz not null default now()".to_owned());
    lines.push(format!("primary key ({})", key.join(", ")));
    let mut statements = vec![
        format!("create table {name} (\n  {}\n)", lines.join(",\n  ")),
        format!("alter table {name} enable row level security"),
        fill(
            sql!("trigger_create"),
            &[("trigger", UPDATED_AT_TRIGGER), ("table", &name), ("schema", &quote_ident(&table.schema))],
        ),
        format!("comment on trigger {UPDATED_AT_TRIGGER} on {name} is 'Moves updated_at where a row really changes'"),
        format!(
            "comment on table {name} is {}",
            quote_literal(&format!("{label}: mirror of Odoo's {model}, kept by ipai_sync."))
        ),
    ];
    let own = [
        (ODOO_ID, "Id of the record in Odoo"),
        ("inserted_at", "When the row came into this table"),
        ("updated_at", "When the row last changed here; a sync that finds it unchanged leaves it"),
    ];
    let constant = constants.map(|(name, _)| (name, "The same in every row of one mirror, and part of the key"));
    statements.extend(constant.chain(own).map(|(column, text)| comment(table, column, text)));
    statements.extend(columns.iter().map(|column| field_comment(table, column)));
    statements
}

/// Adds a column for a field.
pub fn add_column(table: &Table, defined: &Defined) -> Vec<String> {
    vec![format!("alter table {} add column {}", qualified(table), column(defined)), field_comment(table, defined)]
}

/// The definition of a column. It is never `not null`: old records may lack a field that became
/// required later.
fn column(defined: &Defined) -> String {
    format!("{} {}", quote_ident(&defined.map.column), defined.map.kind.sql())
}

/// The comment of a field's column: the label of the field and its help.
fn field_comment(table: &Table, defined: &Defined) -> String {
    let help = defined.help.as_ref().map_or(String::new(), |help| format!(": {help}"));
    comment(table, &defined.map.column, &format!("{}{help}", defined.label))
}

fn comment(table: &Table, column: &str, text: &str) -> String {
    format!("comment on column {}.{} is {}", qualified(table), quote_ident(column), quote_literal(text))
}
