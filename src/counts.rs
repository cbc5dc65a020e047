//! Both counts of a mirror, for the count-delta views.

use super::runs::signed;
use super::{connection::Connection, interrupt, mirrors, runs, spi, target};
use ipai_odoo::error::Result;
use ipai_mirror::source::OdooSource;
use ipai_mirror::store::statements::Statements;
use ipai_mirror::{Mirror, ACTIVE};
use ipai_odoo::retry::Policy;
use ipai_mirror::engine::{Counts, Mode, Report, Source, Tally};
use std::sync::Arc;

/// Odoo's counts, of which the total is known already.
pub fn of_odoo(source: &mut OdooSource, mirror: &Mirror, total: u64) -> Result<Tally> {
    let alerts = mirror.alert_field.as_deref().filter(|_| mirror.alert_flag().is_some());
    Ok(Tally {
        total,
        active: mirror.flag(ACTIVE).map(|_| source.count_where(ACTIVE)).transpose()?,
        alerts: alerts.map(|field| source.count_where(field)).transpose()?,
    })
}

/// Both after a run: where nothing has changed, Odoo is asked nothing, but for a full run, which proves it. `last` is what was
/// counted last, alike on both sides; the mirror's counts tell whether it is still about the same fields.
pub fn after_run(
    source: &mut OdooSource,
    mirror: &Mirror,
    report: &Report,
    last: Option<Tally>,
    ours: impl FnOnce() -> Result<Tally>,
) -> Result<Tally> {
    let unchanged = report.mode != Mode::Full && report.changed_nothing();
    match last.filter(|last| unchanged && last.total == report.odoo_count) {
        Some(last) if last == ours()? => Ok(last),
        _ => of_odoo(source, mirror, report.odoo_count),
    }
}

/// How many rows the mirror has.
pub fn rows(statements: &Statements) -> Result<u64> {
    let rows = spi::query_alone(&statements.total, |row| spi::column::<i64>(row, 1))?;
    Ok(rows.first().and_then(|rows| u64::try_from(*rows).ok()).unwrap_or(0))
}

/// The mirror's counts.
pub fn of_mirror(statements: &Statements) -> Result<Tally> {
    let tally = spi::query_one(&statements.counts, &[], |row| {
        let count = |column| -> Result<Option<u64>> {
            let count: Option<i64> = spi::optional(row, column)?;
            Ok(count.and_then(|count| u64::try_from(count).ok()))
        };
        Ok(Tally {
            total: count(1)?.unwrap_or(0),
            active: count(2)?,
            alerts: count(3)?,
        })
    })?;
    Ok(tally.unwrap_or_default())
}

/// Asks Odoo now and keeps both counts; gives Odoo's total and the mirror's.
pub fn refresh(name: &str) -> Result<(i64, i64)> {
    let mirror = Arc::new(mirrors::load_registered(name, None)?.readable()?);
    target::check(&mirror, true)?;
    let connection = Connection::open(&mirror.server)?;
    let mut source = OdooSource::new(connection.fetcher(Policy::SYNC, interrupt::tick)?, Arc::clone(&mirror));
    let total = source.count()?;
    let counts = Counts {
        odoo: of_odoo(&mut source, &mirror, total)?,
        mirror: of_mirror(&Statements::new(&mirror))?,
    };
    runs::record_counts(name, &counts)?;
    runs::purge(name)?;
    Ok((signed(counts.odoo.total), signed(counts.mirror.total)))
}
