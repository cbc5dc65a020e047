//! The counts of both sides, for the count-delta views.

use super::mirrors;
use super::runs;
use super::statements::Statements;
use super::target;
use crate::Mirror;
use crate::connection::Accounts;
use crate::definition::ACTIVE;
use crate::engine::{Counts, Source, Tally};
use crate::session::Session;
use crate::source::OdooSource;
use ipai_odoo::Database;
use ipai_odoo::error::Result;
use ipai_odoo::retry::Policy;
use std::sync::Arc;

/// Counts Odoo's records. The total is known already.
pub fn of_odoo(source: &mut OdooSource, mirror: &Mirror, total: u64) -> Result<Tally> {
    let flag = mirror.flag_field.as_deref().filter(|_| mirror.flag_column().is_some());
    Ok(Tally {
        total,
        active: mirror.flag(ACTIVE).map(|_| source.count_where(ACTIVE)).transpose()?,
        flagged: flag.map(|field| source.count_where(field)).transpose()?,
    })
}

/// Counts the rows of the mirror.
pub fn of_mirror(session: &mut dyn Session, statements: &Statements) -> Result<Tally> {
    let tally = session.first(&statements.counts, &[], |row| {
        Ok(Tally { total: row.count(0)?, active: row.optional_count(1)?, flagged: row.optional_count(2)? })
    })?;
    Ok(tally.unwrap_or_default())
}

/// Counts both sides now, and stores the counts.
pub fn refresh(session: &mut dyn Session, accounts: &dyn Accounts, name: &str, keep_days: i32) -> Result<Counts> {
    let mirror = Arc::new(mirrors::load_registered(session, name, None)?.readable()?);
    target::check(session, &mirror, true)?;
    let connection = accounts.open(session, &mirror.server)?;
    let fetcher = connection.fetcher(session, Policy::SYNC)?;
    let mut source = OdooSource::new(fetcher, Arc::clone(&mirror), &Database::default());
    let total = source.count(None)?;
    let counts =
        Counts { odoo: of_odoo(&mut source, &mirror, total)?, mirror: of_mirror(session, &Statements::new(&mirror))? };
    runs::record_counts(session, name, &counts)?;
    runs::purge(session, name, keep_days)?;
    Ok(counts)
}
