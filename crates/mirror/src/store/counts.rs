//! The counts of both sides, for the count-delta views.

use super::statements::Statements;
use super::{mirrors, runs, target};
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

/// Counts both sides. Odoo's total is known already. `ours` counts the mirror while Odoo works.
pub fn of_both(
    source: &mut OdooSource,
    mirror: &Mirror,
    total: u64,
    ours: impl FnOnce() -> Result<Tally>,
) -> Result<Counts> {
    let active = mirror.flag(ACTIVE).map(|_| ACTIVE.to_owned());
    let flag = mirror.flag_field.clone().filter(|_| mirror.flag_column().is_some());
    let fields = active.iter().chain(&flag).cloned().collect();
    let (counted, ours) = source.count_flags(fields, ours)?;
    let mut counted = counted.into_iter();
    let odoo = Tally { total, active: active.and_then(|_| counted.next()), flagged: flag.and_then(|_| counted.next()) };
    Ok(Counts { odoo, mirror: ours })
}

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
    let total = source.count(None)?;
    let counts = of_both(&mut source, &mirror, total, || of_mirror(session, &Statements::new(&mirror)))?;
    runs::record_counts(session, name, &counts)?;
    runs::purge(session, name)?;
    Ok(counts)
}
