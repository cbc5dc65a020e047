//! Checks the target table before anything is asked of Odoo.

use super::sql;
use super::statements::qualified;
use crate::definition::{Kind, Mask, ODOO_ID};
use crate::refusal::refused;
use crate::session::{Session, internal};
use crate::{Mirror, Table};
use ipai_odoo::error::{Error, Result, SqlState};

/// What a run needs to know of its table.
struct Found {
    missing_columns: Vec<String>,
    missing_privileges: Vec<String>,
    hides_rows: bool,
    /// A deferrable constraint on the key.
    deferrable: Option<String>,
    has_key: bool,
    /// The type of the column with Odoo's ids.
    key_type: Option<String>,
    encoding: String,
    is_partitioned: bool,
}

/// Checks that the database can hold Odoo's texts, that the table has columns and key, and that the
/// role may write and see all of its rows.
pub fn check(session: &mut dyn Session, mirror: &Mirror, dry_run: bool) -> Result<()> {
    let table = mirror.target.display();
    let needed = if dry_run { "select" } else { "select, insert, update, delete" };
    let key: Vec<String> = mirror.key().map(str::to_owned).collect();
    let fields = mirror.fields.iter().map(|map| map.column.clone());
    let mark = mirror.mark_column().map(str::to_owned);
    let columns: Vec<String> = key.iter().cloned().chain(fields).chain(mark).collect();
    let params = [
        (&mirror.target.schema).into(),
        (&mirror.target.name).into(),
        columns.as_slice().into(),
        needed.into(),
        key.as_slice().into(),
    ];
    let found = session.first(sql!("target_check"), &params, |row| {
        Ok(Found {
            missing_columns: row.get(0)?,
            missing_privileges: row.get(1)?,
            hides_rows: row.get(2)?,
            deferrable: row.optional(3)?,
            has_key: row.get(4)?,
            key_type: row.optional(5)?,
            encoding: row.get(6)?,
            is_partitioned: row.get(7)?,
        })
    })?;
    let Some(found) = found else {
        let hint = "Create it again, or drop the mirror with ipai.drop_mirror().";
        return Err(refused(SqlState::UndefinedTable, format!("table \"{table}\" does not exist"), hint));
    };
    if found.encoding != "UTF8" {
        return Err(refused(
            SqlState::FeatureNotSupported,
            "a mirror needs a database with the encoding UTF8",
            "Use a database made with: create database ... template template0 encoding 'UTF8';",
        )
        .with_detail(format!("The encoding of this database is {}.", found.encoding)));
    }
    if !found.missing_columns.is_empty() {
        return Err(refused(
            SqlState::UndefinedColumn,
            format!("table \"{table}\" lacks the column {}", found.missing_columns.join(", ")),
            format!("Add it, or correct the fields of mirror \"{}\".", mirror.name),
        ));
    }
    if let Some(key_type) = found.key_type.filter(|key_type| !KEY_TYPES.contains(&key_type.as_str())) {
        return Err(wrong_type(session, mirror, ODOO_ID, KEY_TYPES[0], &key_type));
    }
    if !found.missing_privileges.is_empty() {
        let hint = format!(
            "The role that syncs needs {needed}. Missing: {}. Sync as the owner of the table, or as service_role.",
            found.missing_privileges.join(", ")
        );
        return Err(refused(SqlState::InsufficientPrivilege, format!("permission denied for table \"{table}\""), hint));
    }
    // Rows that this role cannot see would count as missing, and could never be deleted.
    if found.hides_rows {
        return Err(refused(
            SqlState::InsufficientPrivilege,
            format!("row-level security hides rows of table \"{table}\" from this role"),
            "Sync as the owner of the table, or as a role that bypasses row-level security, such as service_role.",
        ));
    }
    if found.has_key && found.deferrable.is_none() {
        return Ok(());
    }
    let names = key.iter().map(|column| session.quote_ident(column)).collect::<Result<Vec<_>>>()?.join(", ");
    // Quoted only where Postgres needs that.
    let (schema, name) = (session.quote_ident(&mirror.target.schema)?, session.quote_ident(&mirror.target.name)?);
    let create = format!("create unique index on {schema}.{name} ({names});");
    // ON CONFLICT fails if a deferrable unique index is on these columns, even beside another one.
    let (message, hint) = match found.deferrable {
        Some(constraint) => (
            format!("the unique constraint of table \"{table}\" on {names} is deferrable"),
            format!("alter table {schema}.{name} drop constraint {}; {create}", session.quote_ident(&constraint)?),
        ),
        None => {
            let message = format!("table \"{table}\" has no unique index on {names}");
            let hint = match found.is_partitioned {
                true => format!("Partition the table by these columns or some of them, and then: {create}"),
                false => create,
            };
            (message, hint)
        }
    };
    Err(refused(SqlState::UndefinedObject, message, hint))
}

/// Types of the column with Odoo's ids.
const KEY_TYPES: [&str; 2] = ["bigint", "integer"];

/// Checks that each column still has the type that the mirror was defined with, or a wider one.
/// Another type may change values, and each run would write the rows again. `table` is the table's
/// oid.
pub fn check_types(session: &mut dyn Session, mirror: &Mirror, table: i64) -> Result<()> {
    let columns = columns(session, table)?;
    for map in &mirror.fields {
        let Some((_, found)) = columns.iter().find(|(column, _)| *column == map.column) else { continue };
        if !Kind::of_column(found).is_some_and(|kind| kind.holds(map.kind)) {
            return Err(wrong_type(session, mirror, &map.column, map.kind.sql(), found));
        }
    }
    Ok(())
}

/// Refuses a mirror that leaves a column empty by which a policy protects rows: rows in which it is
/// null are visible to all users. `also` are columns that the mirror no longer defines.
pub fn check_owners(session: &mut dyn Session, mirror: &Mirror, also: &[String]) -> Result<()> {
    let Some(column) = empty_owner(session, mirror, also)? else { return Ok(()) };
    let message = would_leave_empty(mirror, &column);
    Err(refused(SqlState::ObjectNotInState, message, OWNER_HINT).with_detail(OWNER_DETAIL))
}

/// Warns of such a column that no mirror fills: the user may fill it later.
pub fn warn_of_owners(session: &mut dyn Session, mirror: &Mirror, columns: &[String]) -> Result<()> {
    if let Some(column) = empty_owner(session, mirror, columns)? {
        session.warning(&would_leave_empty(mirror, &column), &format!("{OWNER_DETAIL} {OWNER_HINT}"));
    }
    Ok(())
}

const OWNER_DETAIL: &str = "A policy of the table tells by this column who owns a row. Every signed-in user would see \
                            the rows in which it is null.";
const OWNER_HINT: &str = "Let the Odoo user read the field, and mirror it without the mask redact. Or protect the \
                          table by other columns with ipai.protect_mirror().";

fn would_leave_empty(mirror: &Mirror, column: &str) -> String {
    format!("mirror \"{}\" would leave column \"{column}\" of table \"{}\" empty", mirror.name, mirror.target.display())
}

fn empty_owner(session: &mut dyn Session, mirror: &Mirror, also: &[String]) -> Result<Option<String>> {
    let unmasked = mirror.fields.iter().filter(|map| mirror.masks.of(&map.field) != Some(Mask::Redact));
    let filled: Vec<String> = unmasked.map(|map| map.column.as_str()).chain(mirror.key()).map(str::to_owned).collect();
    let params = [(&mirror.target.schema).into(), (&mirror.target.name).into(), also.into(), filled.as_slice().into()];
    session.first(sql!("owner_columns"), &params, |row| row.get::<String>(0))
}

pub(super) fn wrong_type(
    session: &mut dyn Session,
    mirror: &Mirror,
    column: &str,
    expected: &str,
    found: &str,
) -> Error {
    let table = mirror.target.display();
    let name = session.quote_ident(column).unwrap_or_else(|_| column.to_owned());
    let alter = format!("alter table {} alter column {name} type {expected};", qualified(&mirror.target));
    refused(SqlState::DatatypeMismatch, format!("column \"{column}\" of table \"{table}\" has another type"), alter)
        .with_detail(format!("Mirror \"{}\" needs the type {expected}. The column has the type {found}.", mirror.name))
}

/// Locks the table, and checks that it is the one that the mirror was registered with, and that it
/// runs no code of a role that this one does not trust. Returns its oid. Only if the run `writes`,
/// a table that is not registered yet is registered.
pub fn verify(session: &mut dyn Session, mirror: &str, writes: bool) -> Result<i64> {
    let sql = "select (ipai.verify_tables(array[$1], $2))[1]::oid::bigint";
    let found = session.first(sql, &[mirror.into(), writes.into()], |row| row.get(0))?;
    found.ok_or_else(|| internal("verify_tables returned no row"))
}

/// The same for the tables of several mirrors, which are only read.
pub fn verify_all(session: &mut dyn Session, mirrors: &[String]) -> Result<()> {
    session.run("select ipai.verify_tables($1, false)", &[mirrors.into()]).map(drop)
}

/// What is done under a lock of the table.
#[derive(Debug, Clone, Copy)]
pub enum Access {
    /// Rows are read.
    Read,
    /// Rows are written.
    Write,
}

/// Locks the table. Another table may have taken its name since [`verify`].
pub fn lock(session: &mut dyn Session, table: &Table, oid: i64, access: Access) -> Result<()> {
    let mode = match access {
        Access::Read => "access share",
        Access::Write => "row exclusive",
    };
    let params = [(&table.schema).into(), (&table.name).into(), oid.into(), mode.into()];
    session.first("select ipai.lock_table($1::name, $2::name, $3::oid, $4)", &params, |_| Ok(())).map(drop)
}

/// The columns of a table with their types, or `None` if there is no such table. Refuses one that
/// runs code of a role that this one does not trust.
pub fn existing_columns(session: &mut dyn Session, table: &Table) -> Result<Option<Vec<(String, String)>>> {
    let params = [(&table.schema).into(), (&table.name).into()];
    let found = session.first(sql!("target_relation"), &params, |row| Ok((row.get::<i64>(0)?, row.get::<bool>(1)?)))?;
    match found {
        None => Ok(None),
        Some((_, false)) => {
            let message = format!("\"{}\" already exists and is no table", table.display());
            Err(refused(SqlState::DuplicateTable, message, "Name another target."))
        }
        Some((oid, true)) => {
            session.first("select ipai.require_trusted(array[$1::oid::regclass])", &[oid.into()], |_| Ok(()))?;
            columns(session, oid).map(Some)
        }
    }
}

fn columns(session: &mut dyn Session, table: i64) -> Result<Vec<(String, String)>> {
    session.all(sql!("target_columns"), &[table.into()], |row| Ok((row.get(0)?, row.get(1)?)))
}
