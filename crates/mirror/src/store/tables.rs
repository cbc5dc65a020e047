//! Creates a mirror's table, as the caller, who owns it.

use super::ddl::{self, TypedConstant, UPDATED_AT_TRIGGER};
use super::sql;
use super::statements::{qualified, quote_ident};
use crate::definition::Defined;
use crate::refusal::refused;
use crate::session::Session;
use crate::{Mirror, Table};
use ipai_odoo::error::{Result, SqlState};

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
    run_all(session, &ddl::create_table(table, &mirror.scope.model, label, constants, defined))?;
    restrict(session, table)
}

/// Adds the column of a field.
pub fn add_column(session: &mut dyn Session, table: &Table, defined: &Defined) -> Result<()> {
    run_all(session, &ddl::add_column(table, defined))
}

/// Drops the table of a mirror.
pub fn drop(session: &mut dyn Session, table: &Table) -> Result<()> {
    session.run(&format!("drop table {}", qualified(table)), &[]).map(std::mem::drop)
}

/// Creates the trigger function of the schema's mirrors. It runs as the role that writes a row, so
/// a function of another role is refused.
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
            run_all(session, &ddl::create_trigger_function(schema))?;
            let name = format!("{}.{UPDATED_AT_TRIGGER}()", quote_ident(schema));
            revoke(session, &format!("function {name}"), sql!("function_grantees"), &name)
        }
    }
}

/// Revokes what default privileges granted, and lets `service_role` sync if that role exists.
fn restrict(session: &mut dyn Session, table: &Table) -> Result<()> {
    let name = qualified(table);
    revoke(session, &format!("table {name}"), sql!("table_grantees"), &name)?;
    let has_service_role = "select true from pg_catalog.pg_roles where rolname = 'service_role'";
    if session.is_true(has_service_role, &[])? {
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
    statements.iter().try_for_each(|statement| session.run(statement, &[]).map(std::mem::drop))
}
