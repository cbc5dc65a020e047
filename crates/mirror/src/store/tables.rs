//! Creates a mirror's table, as the caller, who owns it.

use super::sql;
use super::statements::{Statements, fill, qualified, quote_ident, quote_literal};
use super::target::wrong_type;
use crate::definition::{Constant, DELETED_AT, Defined, Mirror, ODOO_ID, Table};
use crate::refusal::refused;
use crate::session::{Row, Session};
use ipai_odoo::error::{Result, SqlState};

/// A constant column and the type that a new table gives it.
pub type TypedConstant = (Constant, &'static str);

/// Name of the trigger function that keeps `updated_at`, in the schema of the tables that use it.
const UPDATED_AT_TRIGGER: &str = "keep_updated_at";

/// Creates the table of a mirror, with its trigger, comments and privileges.
pub fn create(
    session: &mut dyn Session,
    mirror: &Mirror,
    label: &str,
    constants: &[TypedConstant],
    defined: &[Defined],
) -> Result<()> {
    let table = &mirror.target;
    create_trigger_function(session, &table.schema)?;
    run_all(session, &table_statements(table, &mirror.scope.model, label, constants, defined))?;
    restrict(session, table)
}

/// Adds the column of a field.
pub fn add_column(session: &mut dyn Session, table: &Table, defined: &Defined) -> Result<()> {
    run_all(session, &column_statements(table, defined))
}

/// Name of the policy that hides marked rows. A restrictive one also holds beside policies that
/// other rules show rows by.
const HIDE_DELETED: &str = "hide_deleted";

/// Adds what a mirror needs that marks rows: the column, and for the table and its partitions the
/// policy that hides marked rows from all roles but those that bypass row-level security.
pub fn add_deletion_mark(session: &mut dyn Session, mirror: &Mirror) -> Result<()> {
    const KIND: &str = "timestamp with time zone";
    let (table, name) = (&mirror.target, qualified(&mirror.target));
    let params = [(&table.schema).into(), (&table.name).into(), HIDE_DELETED.into()];
    let read = |row: &dyn Row| Ok((row.optional::<String>(0)?, row.get::<Vec<String>>(1)?));
    let (column, open) = session.first(sql!("deletion_mark"), &params, read)?.unwrap_or_default();
    match column {
        None => {
            let text = "When a run found that Odoo no longer has the record; null as long as it has";
            let add = format!("alter table {name} add column {DELETED_AT} {KIND}");
            run_all(session, &[add, comment(table, DELETED_AT, text)])?;
        }
        Some(found) if found != KIND => return Err(wrong_type(session, mirror, DELETED_AT, KIND, &found)),
        Some(_) => {}
    }
    open.iter().try_for_each(|relation| {
        let policy = format!("policy {HIDE_DELETED} on {relation}");
        let create = format!("create {policy} as restrictive for select using ({DELETED_AT} is null)");
        let text = "Hides rows whose records no longer exist in Odoo";
        run_all(session, &[create, format!("comment on {policy} is {}", quote_literal(text))])
    })
}

/// Deletes the marked rows of a mirror, and returns their number.
pub fn delete_marked(session: &mut dyn Session, mirror: &Mirror) -> Result<u64> {
    session.run(&Statements::new(mirror).delete_marked, &[])
}

/// Drops the table of a mirror.
pub fn drop_table(session: &mut dyn Session, table: &Table) -> Result<()> {
    session.run(&format!("drop table {}", qualified(table)), &[]).map(drop)
}

/// Creates the trigger function in this schema if it is missing. Postgres runs it with the rights
/// of the role that writes a row, so a function that another role owns is refused.
fn create_trigger_function(session: &mut dyn Session, schema: &str) -> Result<()> {
    let params = [schema.into(), UPDATED_AT_TRIGGER.into()];
    match session.first(sql!("trigger_function"), &params, |row| row.get::<bool>(0))? {
        Some(true) => Ok(()),
        Some(false) => Err(refused(
            SqlState::InsufficientPrivilege,
            format!("function {schema}.{UPDATED_AT_TRIGGER}() belongs to another role"),
            "A mirror's trigger runs as the role that syncs. Mirror into another schema, or create the mirror as the \
             owner of that function.",
        )),
        None => {
            // It belongs to the tables and stays without the extension.
            let name = format!("{}.{UPDATED_AT_TRIGGER}()", quote_ident(schema));
            session.run(&fill(sql!("trigger_function_create"), &[("name", &name)]), &[])?;
            let comment = format!("comment on function {name} is 'Trigger function of mirrors: keeps updated_at'");
            session.run(&comment, &[])?;
            revoke(session, &format!("function {name}"), sql!("function_grantees"), &name)
        }
    }
}

/// Revokes what default privileges granted, and lets `service_role` sync if that role exists.
fn restrict(session: &mut dyn Session, table: &Table) -> Result<()> {
    let name = qualified(table);
    revoke(session, &format!("table {name}"), sql!("table_grantees"), &name)?;
    let service_role = "select true from pg_catalog.pg_roles where rolname = 'service_role'";
    if session.is_true(service_role, &[])? {
        session.run(&format!("grant select, insert, update, delete on table {name} to service_role"), &[])?;
    }
    Ok(())
}

/// Revokes all privileges on an object from everyone but its owner. `grantees` is a query for them.
fn revoke(session: &mut dyn Session, object: &str, grantees: &str, name: &str) -> Result<()> {
    for grantee in session.all(grantees, &[name.into()], |row| row.get::<String>(0))? {
        session.run(&format!("revoke all on {object} from {grantee}"), &[])?;
    }
    Ok(())
}

fn run_all(session: &mut dyn Session, statements: &[String]) -> Result<()> {
    statements.iter().try_for_each(|statement| session.run(statement, &[]).map(drop))
}

/// The statements that create a table, with its comments and its trigger, for its owner only.
pub(crate) fn table_statements(
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

/// The statements that add the column of a field.
pub(crate) fn column_statements(table: &Table, defined: &Defined) -> Vec<String> {
    vec![format!("alter table {} add column {}", qualified(table), column(defined)), field_comment(table, defined)]
}

/// The definition of a column, never `not null`: a field may become required later.
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
