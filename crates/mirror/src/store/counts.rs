//! The counts of both sides, for the count-delta views.

use super::statements::Statements;
use super::{mirrors, runs, target};
use crate::connection::Accounts;
use crate::engine::{Counts, Source, Tally};
use crate::session::Session;
use crate::source::OdooSource;
use ipai_odoo::Database;
use ipai_odoo::error::Result;
use ipai_odoo::retry::Policy;
use std::sync::Arc;

/// Counts the rows of the mirror.
pub fn of_mirror(session: &mut dyn Session, statements: &Statements) -> Result<Tally> {
    let tally = session.first(&statements.counts, &[], |row| {
        Ok(Tally { total: row.count(0)?, active: row.optional_count(1)?, flagged: row.optional_count(2)? })
    })?;
    Ok(tally.unwrap_or_default())
}

/// Counts both sides now, and stores the counts.
pub fn refresh(session: &mut dyn Session, accounts: &dyn Accounts, name: &str) -> Result<Counts> {
    let mirror = Arc::new(mirrors::load(session, name)?.readable()?);
    target::check(session, &mirror, true)?;
    let connection = accounts.of_mirror(session, &mirror)?;
    let fetcher = connection.fetcher(session, Policy::SYNC)?;
    let mut source = OdooSource::new(fetcher, Arc::clone(&mirror), &Database::default());
    let mut ours = Tally::default();
    let odoo = source.tally(None, &mut || {
        ours = of_mirror(session, &Statements::new(&mirror))?;
        Ok(())
    })?;
    let counts = Counts { odoo, mirror: ours };
    runs::record_counts(session, name, &counts)?;
    runs::purge(session, name)?;
    Ok(counts)
}
