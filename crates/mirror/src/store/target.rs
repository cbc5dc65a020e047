//! Checks the target table before anything is asked of Odoo.

use super::sql;
use crate::definition::sample_metrics;
use crate::session::Session;
use crate::{Mirror, Table};
use ipai_odoo::error::{Error, Result, SqlState};

/// Checks that the current role can sync this mirror: the table exists, has the columns and the
/// key, and the role may write it and sees all of its rows.
pub fn check(session: &mut dyn Session, mirror: &Mirror, dry_run: bool) -> Result<()> {
    let table = mirror.target.display();
    let oid = find(session, mirror)?;
    let columns = columns(mirror);
    let params = [oid.into(), columns.as_slice().into()];
    let missing = session.all(sql!("target_missing_columns"), &params, |row| row.get::<String>(0))?;
    if !missing.is_empty() {
        return Err(Error::user(
            SqlState::UndefinedColumn,
            format!("table \"{table}\" lacks the column {}", missing.join(", ")),
        )
        .with_hint(format!("Add it, or correct the fields of mirror \"{}\".", mirror.name)));
    }
    check_privileges(session, &table, oid, dry_run)?;
    check_key(session, mirror, oid)
}

/// Checks that a unique index exists on the key, which the upsert needs.
fn check_key(session: &mut dyn Session, mirror: &Mirror, oid: i64) -> Result<()> {
    let key = key(mirror);
    let params = [oid.into(), key.as_slice().into()];
    let found = session.all(sql!("target_unique_indexes"), &params, |row| row.optional::<String>(0))?;
    // Beside a deferrable index Postgres upserts by no other index either.
    let deferrable = found.iter().flatten().next();
    if deferrable.is_none() && !found.is_empty() {
        return Ok(());
    }
    let names = key.iter().map(|column| session.quote_ident(column)).collect::<Result<Vec<_>>>()?.join(", ");
    let qualified =
        format!("{}.{}", session.quote_ident(&mirror.target.schema)?, session.quote_ident(&mirror.target.name)?);
    let (table, create) = (mirror.target.display(), format!("create unique index on {qualified} ({names});"));
    Err(match deferrable {
        Some(constraint) => Error::user(
            SqlState::UndefinedObject,
            format!("the unique constraint of table \"{table}\" on {names} is deferrable"),
        )
        .with_hint(format!("alter table {qualified} drop constraint {}; {create}", session.quote_ident(constraint)?)),
        None => Error::user(SqlState::UndefinedObject, format!("table \"{table}\" has no unique index on {names}"))
            .with_hint(create),
    })
}

/// The columns of a table with their types, or `None` if there is no such table.
pub fn existing_columns(session: &mut dyn Session, table: &Table) -> Result<Option<Vec<(String, String)>>> {
    let params = [(&table.schema).into(), (&table.name).into()];
    let found = session.first(sql!("target_relation"), &params, |row| Ok((row.get::<i64>(0)?, row.get::<bool>(1)?)))?;
    match found {
        None => Ok(None),
        Some((_, false)) => Err(Error::user(
            SqlState::DuplicateTable,
            format!("\"{}\" already exists and is no table", table.display()),
        )
        .with_hint("Name another target.")),
        Some((oid, true)) => {
            session.all(sql!("target_columns"), &[oid.into()], |row| Ok((row.get(0)?, row.get(1)?))).map(Some)
        }
    }
}

fn find(session: &mut dyn Session, mirror: &Mirror) -> Result<i64> {
    let params = [(&mirror.target.schema).into(), (&mirror.target.name).into()];
    let oid = session.first(sql!("target_find"), &params, |row| row.get(0))?;
    oid.ok_or_else(|| {
        Error::user(SqlState::UndefinedTable, format!("table \"{}\" does not exist", mirror.target.display()))
            .with_hint(match mirror.name.as_str() {
                sample_metrics::NAME => {
                    format!("The migration {} creates it: supabase db push, or psql -f.", sample_metrics::MIGRATION)
                }
                _ => "Create it again, or drop the mirror.".to_owned(),
            })
    })
}

fn key(mirror: &Mirror) -> Vec<String> {
    let constants = mirror.constants.iter().map(|constant| constant.column.clone());
    constants.chain(["odoo_id".to_owned()]).collect()
}

fn columns(mirror: &Mirror) -> Vec<String> {
    let own = mirror.fields.iter().map(|map| map.column.clone());
    key(mirror).into_iter().chain(own).collect()
}

fn check_privileges(session: &mut dyn Session, table: &str, oid: i64, dry_run: bool) -> Result<()> {
    let needed = match dry_run {
        true => "select",
        false => "select, insert, update, delete",
    };
    let params = [oid.into(), needed.into()];
    let missing = session.all(sql!("target_missing_privileges"), &params, |row| row.get::<String>(0))?;
    if !missing.is_empty() {
        return Err(Error::user(SqlState::InsufficientPrivilege, format!("permission denied for table \"{table}\""))
            .with_hint(format!(
                "The role that syncs needs {needed}. Missing: {}. Sync as the owner of the table, or as service_role.",
                missing.join(", ")
            )));
    }
    // Rows that this role cannot see would count as missing, and could never be deleted.
    match session.is_true("select not pg_catalog.row_security_active($1::oid)", &[oid.into()])? {
        true => Ok(()),
        false => Err(Error::user(
            SqlState::InsufficientPrivilege,
            format!("row-level security hides rows of table \"{table}\" from this role"),
        )
        .with_hint(
            "Sync as the owner of the table, or as a role that bypasses row-level security, such as service_role.",
        )),
    }
}
