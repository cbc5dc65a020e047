//! Locks: one run per mirror at a time, one definition at a time.

use super::sql;
use crate::refusal::refused;
use crate::session::Session;
use ipai_odoo::error::{Error, LockHolder, Result, SqlState};

/// The class of the locks of mirrors.
const MIRROR: &str = "ipai_sync";
/// The class of the locks of followers.
const FOLLOWER: &str = "ipai_sync follow";

/// Refuses to write on a read replica. Its locks are not those of the primary either.
pub fn require_primary(session: &mut dyn Session) -> Result<()> {
    if !session.is_true("select pg_catalog.pg_is_in_recovery()", &[])? {
        return Ok(());
    }
    Err(refused(
        SqlState::ReadOnly,
        "this server is a read replica",
        "Repeat the call on the primary. The replica receives the rows from there.",
    ))
}

/// Takes the lock of a mirror until the end of the transaction, or fails at once if it is taken.
pub fn for_transaction(session: &mut dyn Session, mirror: &str) -> Result<()> {
    take(session, mirror, "pg_try_advisory_xact_lock")
}

/// Takes the lock of a mirror for the session, over commits and errors, until [`release`].
pub fn for_session(session: &mut dyn Session, mirror: &str) -> Result<()> {
    take(session, mirror, "pg_try_advisory_lock")
}

/// Waits for other sessions that define mirrors, and blocks them until the end of the transaction.
pub fn to_define(session: &mut dyn Session) -> Result<()> {
    let sql = "select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('ipai_sync define'), 0)";
    session.run(sql, &[]).map(drop)
}

/// Releases the lock that [`for_session`] took.
pub fn release(session: &mut dyn Session, mirror: &str) -> Result<()> {
    call(session, MIRROR, mirror, "pg_advisory_unlock").map(drop)
}

/// Takes the lock of the follower of a server for the session. Returns whether it was free.
pub fn follow(session: &mut dyn Session, server: &str) -> Result<bool> {
    call(session, FOLLOWER, server, "pg_try_advisory_lock")
}

/// Releases the lock that [`follow`] took.
pub fn unfollow(session: &mut dyn Session, server: &str) -> Result<()> {
    call(session, FOLLOWER, server, "pg_advisory_unlock").map(drop)
}

/// The session that holds the lock of the follower of a server.
pub fn other_follower(session: &mut dyn Session, server: &str) -> Result<Option<LockHolder>> {
    holder(session, FOLLOWER, server)
}

fn holder(session: &mut dyn Session, class: &str, key: &str) -> Result<Option<LockHolder>> {
    session.first(sql!("lock_holder"), &[class.into(), key.into()], |row| {
        Ok(LockHolder { pid: row.get(0)?, detail: row.get(1)? })
    })
}

fn take(session: &mut dyn Session, mirror: &str, function: &str) -> Result<()> {
    match call(session, MIRROR, mirror, function)? {
        true => Ok(()),
        false => {
            let holder = holder(session, MIRROR, mirror)?;
            Err(Error::Busy { mirror: mirror.to_owned(), holder })
        }
    }
}

fn call(session: &mut dyn Session, class: &str, key: &str, function: &str) -> Result<bool> {
    let sql = format!("select pg_catalog.{function}(pg_catalog.hashtext($1), pg_catalog.hashtext($2))");
    Ok(session.change(&sql, &[class.into(), key.into()], |row| row.get(0))? == Some(true))
}
