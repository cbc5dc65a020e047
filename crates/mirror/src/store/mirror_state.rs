//! The state of a mirror, `ipai.mirror_state`: what its runs reached, and what the next may do.

use super::sql;
use crate::engine::{Guard, Mode, NO_RECORD, Position, Scanned, State, Unfinished};
use crate::session::{Row, Session, internal};
use crate::{FieldMap, Mirror, Newest};
use chrono::{NaiveDateTime, TimeDelta};
use ipai_odoo::Database;
use ipai_odoo::error::Result;
use ipai_odoo::value::Value;

/// What earlier runs left.
pub struct Stored {
    /// A hash of everything that decides which rows and values the mirror has. A cursor holds only
    /// for the fingerprint that it was reached with.
    pub fingerprint: String,
    /// The state, for the planner.
    pub state: State,
    /// Whether the flags were counted after the last run that changed rows.
    pub flags_are_counted: bool,
    /// The page size that worked after a larger page had failed; 0 without a failure.
    pub safe_page_size: u32,
    /// What Odoo's addon returned when the mirror was last brought up to date by it.
    pub token: Option<String>,
    /// The token from the start of the interrupted run.
    pub unfinished_token: Option<String>,
    /// The Odoo user of the last complete run.
    filled_as: Option<String>,
    /// What is known about the Odoo database that the mirror was filled from.
    filled_from: Database,
}

/// What one run may do to the rows of the mirror.
pub struct RunPermissions {
    /// How many rows the run may delete.
    pub guard: Guard,
    /// What is known about the Odoo database that the mirror was filled from.
    pub filled_from: Database,
    /// Whether a full run may read another database.
    pub any_database: bool,
}

/// Loads the state of a mirror, for its current definition.
pub fn load(session: &mut dyn Session, mirror: &Mirror) -> Result<Stored> {
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
        mirror.masks.fields,
        // Another key makes other values. Without a key, the run fails before it reads.
        mirror.masks.key.as_ref().map(|key| key.hex("ipai_sync")),
    ])
    .to_string();
    let flags = mirror.readable().map(|mirror| mirror.flags()).unwrap_or_default();
    let params = [(&mirror.name).into(), (&definition).into(), flags.as_slice().into()];
    let stored = session.first(sql!("mirror_state"), &params, |row| {
        Ok(Stored {
            fingerprint: row.get(0)?,
            flags_are_counted: row.get(15)?,
            safe_page_size: u32::try_from(row.get::<i32>(16)?).map_err(internal)?,
            token: row.optional(18)?,
            unfinished_token: row.optional(19)?,
            filled_as: row.optional(1)?,
            filled_from: Database { uuid: row.optional(2)?, company: row.optional(3)? },
            state: State {
                cursor: row.optional(4)?,
                settled: row.optional(5)?.filter(|id| *id != NO_RECORD),
                is_clock: row.optional(5)? == Some(NO_RECORD),
                has_ids_only: !mirror.has_write_date && row.get(17)?,
                has_token: row.optional::<String>(18)?.is_some(),
                overlap: seconds(row.get(6)?),
                reconcile_every: seconds(row.get(7)?),
                full_at: row.optional(8)?,
                unfinished: row.optional(9)?.map(|run| unfinished(row, run)).transpose()?,
            },
        })
    })?;
    stored.ok_or_else(|| internal("the mirror is not registered"))
}

/// The mirrors that have a token of Odoo's addon.
pub fn with_token(session: &mut dyn Session) -> Result<Vec<String>> {
    session.all("select mirror from ipai.mirror_state where token is not null", &[], |row| row.get(0))
}

fn unfinished(row: &dyn Row, run: i64) -> Result<Unfinished> {
    let mode: String = row.get(10)?;
    Ok(Unfinished {
        run,
        mode: Mode::from_name(&mode).unwrap_or_default(),
        bound: row.optional(11)?,
        position: Position {
            id: row.get(12)?,
            began: row.optional(13)?.map(|began: NaiveDateTime| began.and_utc()),
            newest: row.optional(14)?.map(|written| Newest { written, id: 0 }),
        },
    })
}

fn seconds(seconds: f64) -> TimeDelta {
    // Bounded, so that a sum with a moment of Odoo does not overflow.
    TimeDelta::seconds(seconds.clamp(0.0, 1e11) as i64)
}

impl Stored {
    /// Whether this Odoo user is another one than that of the last complete run.
    pub fn is_other_user(&self, login: &str) -> bool {
        self.filled_as.as_ref().is_some_and(|filled_as| filled_as != login)
    }

    /// The permissions of a run. A run as another Odoo user than the last one deletes nothing by
    /// itself, because that user may see fewer records. A caller who gives a ratio means it; a
    /// caller who allows all deletions means another database as well.
    pub fn permissions(&self, mirror: &Mirror, login: &str, max_delete_ratio: Option<f64>) -> RunPermissions {
        RunPermissions {
            guard: match max_delete_ratio {
                Some(ratio) => Guard::ratio(ratio),
                None if self.is_other_user(login) => Guard::NOTHING,
                None => Guard::ratio(mirror.max_delete_ratio),
            },
            filled_from: self.filled_from.clone(),
            any_database: max_delete_ratio.is_some_and(|ratio| ratio >= 1.0),
        }
    }
}

/// Stores from which Odoo database the mirror is filled. Writes nothing if it is known.
pub fn set_filled_from(session: &mut dyn Session, name: &str, database: &Database) -> Result<()> {
    let params = [name.into(), database.uuid.as_deref().into(), database.company.into()];
    session.run(sql!("mirror_set_filled_from"), &params).map(drop)
}

/// Stores what a run reached that failed after it had read everything, so that the next run need
/// not read it again.
pub fn set_cursor(
    session: &mut dyn Session,
    name: &str,
    fingerprint: &str,
    scanned: &Scanned,
    token: Option<&str>,
) -> Result<()> {
    let cursor = scanned.cursor.map(|cursor| cursor.naive_utc());
    let params = [name.into(), cursor.into(), scanned.settled.into(), fingerprint.into(), token.into()];
    session.run(sql!("mirror_set_cursor"), &params).map(drop)
}

/// Stores the page size that worked after a larger page had failed. Writes nothing if it is known.
pub fn set_safe_page_size(session: &mut dyn Session, name: &str, size: u32) -> Result<()> {
    let params = [name.into(), i32::try_from(size).map_err(internal)?.into()];
    session.run(sql!("mirror_set_safe_page_size"), &params).map(drop)
}

/// Stores why the last run did not use the addon, although Odoo has it. Writes nothing if it is
/// known.
pub fn set_degraded(session: &mut dyn Session, name: &str, why: Option<&str>) -> Result<()> {
    session.run(sql!("mirror_set_degraded"), &[name.into(), why.into()]).map(drop)
}

/// Stores when an API key of the Odoo user expires (UTC). Writes nothing if it is known.
pub fn set_key_expiry(session: &mut dyn Session, name: &str, expires: Option<NaiveDateTime>) -> Result<()> {
    session.run(sql!("mirror_set_key_expiry"), &[name.into(), expires.into()]).map(drop)
}

/// Stores when an API key of the Odoo user expires (UTC), for all mirrors of a server.
pub fn set_key_expiry_of_server(session: &mut dyn Session, server: &str, expires: Option<NaiveDateTime>) -> Result<()> {
    session.run(sql!("server_set_key_expiry"), &[server.into(), expires.into()]).map(drop)
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
    /// What Odoo's addon returned, if the run has asked it.
    pub token: Option<&'a str>,
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
        reached.token.into(),
    ];
    session.run(sql!("mirror_set_reached"), &params).map(drop)
}
