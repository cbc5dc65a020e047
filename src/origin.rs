//! Which Odoo database a run may read: the one that filled the mirror, unless the caller says that another one is meant.

use super::mirrors::Leave;
use ipai_odoo::error::{Error, Result};
use ipai_mirror::source::Fetcher;
use ipai_odoo::Database;
use ipai_mirror::engine::{Plan, Position};

/// Asks Odoo which database it is, before anything is read or noted, and returns what is known of the one to read. Where it is another
/// one, or may be, all of it is read, and nothing is gone on with that was read from the one before.
pub fn admit(fetcher: &Fetcher, leave: &Leave, plan: &mut Plan) -> Result<Database> {
    let told = fetcher.run(|client| client.identify().cloned())?;
    let known = &leave.filled_from;
    match known.is_same_as(&told) {
        Some(true) => Ok(known.with(&told)),
        Some(false) if !(plan.reads_all() && leave.any_database) => Err(Error::OtherDatabase {
            mirror: plan.mirror.clone(),
        }),
        // Nothing that is known of both.
        None if !plan.reads_all() || told == Database::default() => Ok(known.clone()),
        // From now on that counts which is told now.
        Some(false) | None => {
            if *known != Database::default() {
                plan.resume = Position::default();
            }
            Ok(told)
        }
    }
}

/// What is known of the database that filled the mirror, after a run in which this was told.
pub fn learned(filled_from: &Database, told: &Database) -> Database {
    match filled_from.is_same_as(told) {
        Some(true) => filled_from.with(told),
        None if *filled_from == Database::default() => told.clone(),
        // Only who has asked for all that there is may replace it.
        _ => filled_from.clone(),
    }
}
