//! Creates a mirror's table, as the caller, who owns it.

use super::ddl::{self, UPDATED_AT_TRIGGER};
use super::sql;
use super::statements::{qualified, quote_ident};
use crate::definition::Defined;
use crate::session::Session;
use crate::{Constant, Mirror, Table};
use ipai_odoo::error::{Error, Result, SqlState};

/// A constant column and the type that a new table gives it.
pub type TypedConstant = (Constant, &'static str);

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
    let constants: Vec<_> =
        constants.iter().map(|(constant, kind)| ddl::ConstantColumn { name: &constant.column, kind }).collect();
    run_all(session, &ddl::create_table(table, &mirror.scope.model, label, &constants, defined))?;
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
        Some(false) => Err(Error::user(
            SqlState::InsufficientPrivilege,
            format!("function {schema}.{UPDATED_AT_TRIGGER}() belongs to another role"),
        )
        .with_hint(
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
    match session.is_true(has_service_role, &[])? {
        true => {
            let grant = format!("grant select, insert, update, delete on table {name} to service_role");
            session.run(&grant, &[]).map(std::mem::drop)
        }
        false => Ok(()),
    }
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
