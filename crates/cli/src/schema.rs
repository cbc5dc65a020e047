//! The schema `ipai` in a database without the extension: the same SQL, applied by the program.

use crate::session::WireSession;
use include_dir::{Dir, DirEntry, include_dir};
use ipai_mirror::refusal::refused;
use ipai_mirror::session::{Session, internal};
use ipai_odoo::error::{Error, Result, SqlState};

/// The SQL that needs nothing of the extension.
static CORE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sql/core");
/// The steps between releases.
static UPDATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sql/updates");

/// The version of the program and of its SQL.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a database has.
#[derive(Debug, PartialEq, Eq)]
pub enum Installed {
    /// Nothing.
    Nothing,
    /// The extension, in this version.
    Extension(String),
    /// What `ipai-sync init` created, in this version.
    Schema(String),
}

/// Finds out what a database has.
pub fn installed(session: &mut dyn Session) -> Result<Installed> {
    let sql = "select extversion from pg_catalog.pg_extension where extname = 'ipai_sync'";
    if let Some(version) = session.first(sql, &[], |row| row.get(0))? {
        return Ok(Installed::Extension(version));
    }
    let (has_tables, version) = session
        .first(include_str!("sql/installed.sql"), &[], |row| Ok((row.get::<bool>(0)?, row.optional::<String>(1)?)))?
        .ok_or_else(|| internal("no row"))?;
    match version {
        Some(version) => Ok(Installed::Schema(version)),
        None if has_tables => Err(refused(
            SqlState::ObjectNotInState,
            "the schema ipai has a table \"mirrors\" that ipai-sync init did not create, or that belongs to a role \
             that this login does not trust",
            "Connect as the owner of the schema ipai. If another role put the table there, drop the schema first.",
        )),
        None => Ok(Installed::Nothing),
    }
}

/// Refuses a database that has another version than the program, or none.
pub fn require(session: &mut dyn Session) -> Result<()> {
    let other = |version: &str, hint: &str| {
        let message = format!("the database has version {version} of ipai_sync, and the program version {VERSION}");
        Err(refused(SqlState::ObjectNotInState, message, hint))
    };
    match installed(session)? {
        Installed::Nothing => Err(refused(
            SqlState::UndefinedObject,
            "the database has no tables of ipai_sync",
            "Create them: ipai-sync init",
        )),
        Installed::Extension(version) | Installed::Schema(version) if version == VERSION => Ok(()),
        Installed::Extension(version) => other(&version, "Use the program and the extension in the same version."),
        Installed::Schema(version) if is_older(&version, VERSION) => other(&version, "Upgrade it: ipai-sync init"),
        Installed::Schema(version) => other(&version, "Use a program of that version or a newer one."),
    }
}

/// What `init` did.
#[derive(Debug, PartialEq, Eq)]
pub enum Applied {
    /// It created everything.
    Created,
    /// It upgraded an older version.
    Upgraded(String),
    /// The database had this version.
    Unchanged,
}

/// Creates the schema, or upgrades it, in one transaction.
pub fn apply(session: &mut WireSession) -> Result<Applied> {
    let lock = "select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('ipai_sync init'), 0)";
    (session as &mut dyn Session).first(lock, &[], |_| Ok(()))?;
    let applied = match installed(session)? {
        Installed::Extension(version) => {
            return Err(refused(
                SqlState::DuplicateObject,
                format!("the database has the extension ipai_sync, version {version}"),
                "It has the same tables and views, so the program works without init. To use the program alone, drop \
                 the extension first: the mirror tables stay.",
            ));
        }
        Installed::Schema(version) if version == VERSION => Applied::Unchanged,
        Installed::Schema(version) if is_older(&version, VERSION) => {
            for step in steps(&version) {
                session.run_script(step)?;
            }
            session.run_script(&idempotent())?;
            Applied::Upgraded(version)
        }
        Installed::Schema(version) => {
            return Err(refused(
                SqlState::ObjectNotInState,
                format!("the database has version {version} of ipai_sync, and the program version {VERSION}"),
                "Use a program of that version or a newer one.",
            ));
        }
        Installed::Nothing => {
            session.run_script(&created())?;
            Applied::Created
        }
    };
    session.commit()?;
    Ok(applied)
}

/// The SQL of a new installation, as a migration.
pub fn migration() -> String {
    format!(
        "-- The schema of ipai_sync {VERSION} for a database without the extension. Printed by:\n\
         -- ipai-sync init --print-sql\n\nbegin;\n\n{}\ncommit;\n",
        created()
    )
}

/// Removes what [`apply`] created. The mirror tables stay, and so do the functions that policies
/// call.
pub fn remove(session: &mut WireSession) -> Result<()> {
    match installed(session)? {
        Installed::Schema(_) => {}
        Installed::Extension(_) => {
            return Err(refused(
                SqlState::ObjectNotInState,
                "the database has the extension ipai_sync",
                "drop extension ipai_sync; The mirror tables stay.",
            ));
        }
        Installed::Nothing => {
            return Err(refused(
                SqlState::UndefinedObject,
                "the database has no tables of ipai_sync",
                "Nothing to do.",
            ));
        }
    }
    let mut script = String::new();
    for (kind, created) in [
        ("view", "create or replace view ipai."),
        ("function", "create or replace function ipai."),
        ("table", "create table ipai."),
    ] {
        let mut names: Vec<String> =
            scripts("tables").chain(scripts("objects")).flat_map(|sql| named(sql, created)).collect();
        if kind == "function" {
            names.push("ipai.schema_version".to_owned());
        }
        script.push_str(&format!("drop {kind} {};\n", names.join(", ")));
    }
    session.run_script(&script).map_err(|error| match error.sqlstate() {
        "2BP01" => error.with_hint("Drop the objects that the DETAIL names first."),
        _ => error,
    })?;
    session.commit()
}

/// The names of the objects that a script creates with these words.
fn named(sql: &str, created: &str) -> Vec<String> {
    let lines = sql.lines().filter_map(|line| line.strip_prefix(created));
    lines.map(|rest| format!("ipai.{}", rest.split(['(', ' ']).next().unwrap_or_default())).collect()
}

/// The statements of a new installation.
fn created() -> String {
    let tables: String = scripts("tables").map(|sql| format!("{sql}\n")).collect();
    let rows: String = scripts("rows").map(|sql| format!("{sql}\n")).collect();
    format!("create schema if not exists ipai;\n\n{tables}{}{rows}", idempotent())
}

/// The statements that every installation and upgrade runs.
fn idempotent() -> String {
    let objects: String = scripts("objects").map(|sql| format!("{sql}\n")).collect();
    format!("{objects}{}\n", include_str!("sql/schema_version.sql").replace("{version}", VERSION))
}

/// The scripts of a folder of `sql/core`, in the order of their numbers.
fn scripts(folder: &str) -> impl Iterator<Item = &'static str> {
    let mut files: Vec<_> = CORE.get_dir(folder).into_iter().flat_map(Dir::files).collect();
    files.sort_by_key(|file| file.path());
    files.into_iter().filter_map(include_dir::File::contents_utf8)
}

/// The steps from a version to that of the program.
fn steps(version: &str) -> Vec<&'static str> {
    let files = UPDATES.entries().iter().filter_map(DirEntry::as_file);
    let mut steps: Vec<_> = files
        .filter_map(|file| {
            let name = file.path().file_stem()?.to_str()?;
            let from = name.split_once("--")?.0;
            (!is_older(from, version)).then(|| Some((triple(from), file.contents_utf8()?)))?
        })
        .collect();
    steps.sort();
    steps.into_iter().map(|(_, sql)| sql).collect()
}

fn is_older(version: &str, other: &str) -> bool {
    triple(version) < triple(other)
}

/// A version as numbers.
fn triple(version: &str) -> Vec<u64> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// The error of a role that may not create the schema gets the statement that mends it.
pub fn explain(error: Error) -> Error {
    match (error.sqlstate(), error.hint()) {
        ("42501", None) => error.with_hint(
            "Connect as the role that is to own the schema ipai: on Supabase as postgres; elsewhere grant create on \
             the database to it.",
        ),
        _ => error,
    }
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
