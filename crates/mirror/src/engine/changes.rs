//! Applies what Odoo reports as changed, instead of a scan by write dates.

use super::run::Run;
use super::{Digest, Refused, deletion};
use crate::Page;
use chrono::{DateTime, Utc};
use ipai_odoo::error::Result;

/// What Odoo reports as changed since an earlier run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// The records that may have changed, ascending; also those that Odoo no longer shows.
    pub ids: Vec<i64>,
    /// Those that Odoo shows; `None`: the run reads them by their ids.
    pub page: Option<Page>,
    /// The digest of all records; `None` if nothing has changed.
    pub digest: Option<Digest>,
    /// Odoo's clock when it reported them.
    pub clock: Option<DateTime<Utc>>,
}

/// Writes the changed records.
pub(super) fn apply(run: &mut Run<'_>, changes: &Changes) -> Result<()> {
    run.progress.position.began = changes.clock;
    match &changes.page {
        Some(page) if page.is_empty() => Ok(()),
        Some(page) => run.write(page, None),
        None => deletion::read(run, &changes.ids, &mut |run, page| run.write(&page, None)),
    }
}

/// Whether the mirror has the rows of this digest, apart from the rejects.
pub(super) fn agrees(run: &mut Run<'_>, odoo: Digest) -> Result<bool> {
    let Some(rows) = run.timed_sink(|sink| sink.digest())? else { return Ok(false) };
    let rows = rows.digests.into_iter().fold(Digest::default(), Digest::plus);
    let expected = run.rejects()?.into_iter().fold(odoo, |digest, (id, refused)| match refused {
        Refused::Insert => digest.without(id),
        Refused::Update => digest,
        Refused::Delete => digest.plus(Digest::of(id)),
    });
    Ok(rows == expected)
}

impl Digest {
    /// The digest of one id.
    fn of(id: i64) -> Self {
        Digest { count: 1, sum: id.into(), squares: i128::from(id) * i128::from(id) }
    }

    /// The digest of the ids of two disjoint sets.
    fn plus(self, other: Self) -> Self {
        Digest { count: self.count + other.count, sum: self.sum + other.sum, squares: self.squares + other.squares }
    }

    /// The digest of the set without this id.
    fn without(self, id: i64) -> Self {
        let one = Digest::of(id);
        Digest { count: self.count.saturating_sub(1), sum: self.sum - one.sum, squares: self.squares - one.squares }
    }
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
