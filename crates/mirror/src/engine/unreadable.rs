//! Sets aside records that Odoo cannot send, so that a run reads the others.

use super::run::Run;
use super::{IdRange, Scan};
use ipai_odoo::error::{Error, Result};

impl Run<'_> {
    /// Sets aside the record that causes this error, and returns its id. Returns the error if no
    /// single record causes it, if a changed field may, if Odoo cannot send others either, or if
    /// there are too many.
    pub(super) fn set_aside(&mut self, error: Error) -> Result<i64> {
        let Some((_, id)) = error.record().filter(|_| !self.has_lost_patience()) else {
            return Err(error);
        };
        let mut excluded: Vec<i64> = self.rejects()?.into_iter().map(|(reject, _)| reject).collect();
        if let Err(place) = excluded.binary_search(&id) {
            excluded.insert(place, id);
            let may_be_drift = !self.plan.fields_are_checked && error.may_be_of_field();
            if may_be_drift || !self.can_read_another(&excluded)? {
                return Err(error);
            }
        }
        self.timed_sink(|sink| sink.set_aside(id, &error))?;
        self.unreadable.insert(id);
        Ok(id)
    }

    /// Whether calls of this run have failed for so long that it sets no more records aside. It may
    /// always set aside the first, so that the next run can begin behind it.
    pub(super) fn has_lost_patience(&self) -> bool {
        !self.unreadable.is_empty() && self.lost >= self.plan.patience
    }

    /// Whether a scan can read another record: the one in the middle, the first or the last one of
    /// a list without `excluded`. Ends a scan that is under way.
    fn can_read_another(&mut self, excluded: &[i64]) -> Result<bool> {
        let mut ids = self.timed_source(|source| source.ids(&[IdRange::ALL]))?;
        ids.retain(|id| excluded.binary_search(id).is_err());
        for id in [ids.get(ids.len() / 2), ids.first(), ids.last()].into_iter().flatten() {
            let scan = Scan { after: *id - 1, limit: Some(1), ..Scan::default() };
            self.timed_source(|source| source.start(scan))?;
            match self.timed_source(|source| source.next_page()) {
                Ok(Some(_)) => return Ok(true),
                Err(error) if error.record().is_none() => return Err(error),
                _ => {}
            }
        }
        Ok(false)
    }
}
