//! One run a mirror at a time.

use super::spi;
use ipai_odoo::error::{Error, Result};

/// Takes the mirror's lock until the end of the transaction, or says at once that somebody else has it.
pub fn for_transaction(mirror: &str) -> Result<()> {
    take(mirror, "pg_try_advisory_xact_lock")
}

/// Takes it for the session, over commits and errors: [`release`] gives it back.
pub fn for_session(mirror: &str) -> Result<()> {
    take(mirror, "pg_try_advisory_lock")
}

/// Waits for others that define mirrors, and keeps them waiting until the end of the transaction.
pub fn to_define() -> Result<()> {
    spi::execute(
        "select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('ipai_sync define'), 0)",
        &[],
        |_| Ok(()),
    )?;
    Ok(())
}

pub fn release(mirror: &str) -> Result<()> {
    call(mirror, "pg_advisory_unlock").map(|_| ())
}

fn take(mirror: &str, function: &str) -> Result<()> {
    match call(mirror, function)? {
        Some(true) => Ok(()),
        _ => Err(Error::Busy {
            mirror: mirror.to_owned(),
        }),
    }
}

fn call(mirror: &str, function: &str) -> Result<Option<bool>> {
    let sql = format!("select pg_catalog.{function}(pg_catalog.hashtext('ipai_sync'), pg_catalog.hashtext($1))");
    // As a statement that writes: what follows must see what the last holder of the lock committed.
    let taken = spi::execute(&sql, &[mirror.into()], |row| spi::column::<bool>(row, 1))?;
    Ok(taken.first().copied())
}
