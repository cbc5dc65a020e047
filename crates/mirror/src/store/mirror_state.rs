//! What runs write about a mirror: its cursor, the database that it was filled from, and what a run
//! may do.

use super::{runs, sql};
use crate::engine::{Guard, State};
use crate::session::{Session, internal};
use crate::{FieldMap, Mirror};
use chrono::{NaiveDateTime, TimeDelta};
use ipai_odoo::Database;
use ipai_odoo::error::Result;
use ipai_odoo::xmlrpc::Value;

/// What one run may do to the rows of the mirror.
pub struct RunPermissions {
    /// How many rows the run may delete.
    pub guard: Guard,
    /// What is known about the Odoo database that the mirror was filled from.
    pub filled_from: Database,
    /// Whether a full run may read another database.
    pub any_database: bool,
}

/// The permissions of a run. A run as another Odoo user than the last one deletes nothing by
/// itself, because that user may see fewer records. A caller who gives a ratio means it; a caller
/// who allows all deletions means another database as well.
pub fn permissions(
    session: &mut dyn Session,
    mirror: &Mirror,
    login: &str,
    max_delete_ratio: Option<f64>,
) -> Result<RunPermissions> {
    let sql = "select filled_as, filled_from, filled_company from ipai.mirrors where name = $1";
    let filled = session.first(sql, &[(&mirror.name).into()], |row| {
        let database = Database { uuid: row.optional(1)?, company: row.optional(2)? };
        Ok((row.optional::<String>(0)?, database))
    })?;
    let (filled_as, filled_from) = filled.unwrap_or_default();
    let guard = match (max_delete_ratio, filled_as.filter(|filled_as| filled_as != login)) {
        (Some(ratio), _) => Guard::ratio(ratio),
        (None, Some(_)) => Guard::NOTHING,
        (None, None) => Guard::ratio(mirror.max_delete_ratio),
    };
    Ok(RunPermissions { guard, filled_from, any_database: max_delete_ratio.is_some_and(|ratio| ratio >= 1.0) })
}

/// Stores from which Odoo database the mirror is filled. Writes nothing if it is known.
pub fn set_filled_from(session: &mut dyn Session, name: &str, database: &Database) -> Result<()> {
    let params = [name.into(), database.uuid.as_deref().into(), database.company.into()];
    session.run(sql!("mirror_set_filled_from"), &params).map(drop)
}

/// What a complete run reached.
pub struct Reached<'a> {
    /// The new cursor (UTC), if there is one, and the record at it if that has settled.
    pub cursor: Option<(NaiveDateTime, Option<i64>)>,
    /// The fingerprint that the run read.
    pub fingerprint: &'a str,
    /// The Odoo user of the run.
    pub login: &'a str,
    /// The database that the run read.
    pub database: &'a Database,
}

/// Stores what a complete run reached. Writes nothing if it is known.
pub fn set_reached(session: &mut dyn Session, name: &str, reached: &Reached<'_>) -> Result<()> {
    let params = [
        name.into(),
        reached.cursor.map(|(cursor, _)| cursor).into(),
        reached.fingerprint.into(),
        reached.login.into(),
        reached.database.uuid.as_deref().into(),
        reached.cursor.and_then(|(_, settled)| settled).into(),
        reached.database.company.into(),
    ];
    session.run(sql!("mirror_set_reached"), &params).map(drop)
}

/// The fingerprint of the mirror's definition: a hash of everything that decides which rows and
/// values the mirror has. A cursor holds only for the fingerprint that it was reached with.
pub fn fingerprint(session: &mut dyn Session, mirror: &Mirror) -> Result<String> {
    let domain: Vec<_> = mirror.scope.domain.iter().map(Value::to_json).collect();
    let read: Vec<&FieldMap> = mirror.read_fields().collect();
    let definition = serde_json::json!([
        mirror.server,
        mirror.scope.model,
        domain,
        mirror.scope.lang,
        mirror.scope.company_ids,
        read,
        mirror.has_write_date,
    ]);
    let sql = "select pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to($1, 'UTF8')), 'hex')";
    let hash = session.first(sql, &[(&definition.to_string()).into()], |row| row.get(0))?;
    hash.ok_or_else(|| internal("no hash"))
}

/// The state that earlier runs left.
pub fn state(session: &mut dyn Session, name: &str, fingerprint: &str) -> Result<State> {
    let state = session.first(sql!("mirror_state"), &[name.into(), fingerprint.into()], |row| {
        Ok(State {
            cursor: row.optional(0)?,
            overlap: seconds(row.get(1)?),
            reconcile_every: seconds(row.get(2)?),
            full_at: row.optional(3)?,
            settled: row.optional(4)?,
            unfinished: None,
        })
    })?;
    let mut state = state.ok_or_else(|| internal("the mirror is not registered"))?;
    state.unfinished = runs::unfinished(session, name, fingerprint)?;
    Ok(state)
}

fn seconds(seconds: f64) -> TimeDelta {
    // Bounded, so that a sum with a moment of Odoo does not overflow.
    TimeDelta::seconds(seconds.clamp(0.0, 1e11) as i64)
}
