//! One run a mirror at a time.

use super::spi;
use crate::error::{Error, Result};

/// Takes the mirror's lock until the end of the transaction, or says at once that somebody else has it.
pub fn for_transaction(mirror: &str) -> Result<()> {
    let taken = spi::query_one(
        "select pg_catalog.pg_try_advisory_xact_lock(pg_catalog.hashtext('ipai_sync'), pg_catalog.hashtext($1))",
        &[mirror.into()],
        |row| spi::column::<bool>(row, 1),
    )?;
    match taken {
        Some(true) => Ok(()),
        _ => Err(Error::Busy {
            mirror: mirror.to_owned(),
        }),
    }
}
