//! Counts both sides without a sync, for the count-delta views.

use crate::connection::Accounts;
use crate::engine::{Counts, Source, Tally};
use crate::session::Session;
use crate::source::OdooSource;
use crate::store::statements::Statements;
use crate::store::{counts, lock, mirrors, runs, target};
use ipai_odoo::Database;
use ipai_odoo::error::Result;
use ipai_odoo::retry::Policy;
use std::sync::Arc;

/// Counts both sides now, and stores the counts.
pub fn refresh_counts(session: &mut dyn Session, accounts: &dyn Accounts, name: &str) -> Result<Counts> {
    lock::require_primary(session)?;
    let mirror = Arc::new(mirrors::load(session, name)?.readable()?);
    target::check(session, &mirror, true)?;
    target::verify(session, name, false)?;
    let connection = accounts.of_mirror(session, &mirror)?;
    let fetcher = connection.fetcher(session, Policy::SYNC)?;
    let mut source = OdooSource::new(fetcher, Arc::clone(&mirror), &Database::default());
    let mut ours = Tally::default();
    let odoo = source.tally(None, true, &mut || {
        ours = counts::of_mirror(session, &Statements::new(&mirror))?;
        Ok(())
    });
    let odoo = odoo.map_err(|error| error.of_model(&mirror.scope.model))?;
    let counts = Counts { odoo, mirror: ours, by_flag: true };
    runs::record_counts(session, &mirror, &counts)?;
    runs::purge(session, name)?;
    Ok(counts)
}
