//! Which Odoo database a run may read.

use crate::engine::{Plan, Position};
use crate::source::Fetcher;
use crate::store::mirror_state::RunPermissions;
use ipai_odoo::Database;
use ipai_odoo::error::{Error, Result};

/// Asks Odoo which database it is, before anything is read. Refuses another one than the mirror's,
/// unless the caller allows that; then everything is read from the beginning. Returns what is known
/// about the database.
pub fn verify_database(fetcher: &Fetcher, permissions: &RunPermissions, plan: &mut Plan) -> Result<Database> {
    let found = fetcher.run(|client| client.identify().cloned())?;
    let known = &permissions.filled_from;
    match known.is_same_as(&found) {
        Some(true) => Ok(known.with(&found)),
        Some(false) if !(plan.reads_all() && permissions.any_database) => {
            Err(Error::OtherDatabase { mirror: plan.mirror.clone() })
        }
        // Nothing is known of both that could be compared.
        None if !plan.reads_all() || found == Database::default() => Ok(known.clone()),
        Some(false) | None => {
            if *known != Database::default() {
                plan.resume = Position::default();
            }
            Ok(found)
        }
    }
}

/// What is known about the database that filled the mirror, after a run that found this.
pub fn known_database(filled_from: &Database, found: &Database) -> Database {
    match filled_from.is_same_as(found) {
        Some(true) => filled_from.with(found),
        None if *filled_from == Database::default() => found.clone(),
        // Only a run that read everything may replace it.
        _ => filled_from.clone(),
    }
}
