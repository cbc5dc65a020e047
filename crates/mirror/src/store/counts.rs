//! The counts of a mirror's rows.

use super::statements::Statements;
use crate::engine::Tally;
use crate::session::Session;
use ipai_odoo::error::Result;

/// Counts the rows of the mirror.
pub fn of_mirror(session: &mut dyn Session, statements: &Statements) -> Result<Tally> {
    let tally = session.first(&statements.counts, &[], |row| {
        Ok(Tally { total: row.count(0)?, active: row.optional_count(1)?, flagged: row.optional_count(2)? })
    })?;
    Ok(tally.unwrap_or_default())
}
