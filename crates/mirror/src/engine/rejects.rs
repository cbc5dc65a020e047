//! Tries again what was set aside: what the table refused, and what Odoo could not send.

use super::deletion;
use super::run::Run;
use crate::Page;
use ipai_odoo::error::Result;

/// What the mirror lacks of a reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A new row.
    Insert,
    /// New values of a row, which keeps its old ones.
    Update,
    /// The deletion of a row whose record no longer exists in Odoo.
    Delete,
}

impl Refused {
    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Refused::Insert => "insert",
            Refused::Update => "update",
            Refused::Delete => "delete",
        }
    }

    /// What has this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Refused::Insert, Refused::Update, Refused::Delete].into_iter().find(|refused| refused.name() == name)
    }
}

/// How many rows the mirror of this many records has if they differ by the rejects alone.
pub(super) fn expected_rows(records: u64, rejects: &[(i64, Refused)]) -> Option<u64> {
    let number = |which| rejects.iter().filter(|(_, refused)| *refused == which).count() as u64;
    (records + number(Refused::Delete)).checked_sub(number(Refused::Insert))
}

impl Run<'_> {
    pub(super) fn rejects(&mut self) -> Result<Vec<(i64, Refused)>> {
        self.timed_sink(|sink| sink.rejects())
    }

    /// Reads the rejects and writes them together: records that exchange unique values fit only
    /// together. Deletes the rows of those that no longer exist in Odoo. If calls fail for too
    /// long, the next run tries the rest.
    ///
    /// What this run has set aside is read again as well: the addon may be the cause, and records
    /// are read by id without it.
    pub(super) fn retry_rejects(&mut self) -> Result<()> {
        let mut rejects = self.rejects()?;
        if rejects.is_empty() || self.plan.dry_run {
            return Ok(());
        }
        let ids: Vec<i64> = rejects.iter().map(|(id, _)| *id).collect();
        let mut page = Page::default();
        let read = deletion::read(self, &ids, &mut |_, part| {
            page.append(part);
            Ok(())
        });
        match read {
            Err(error) if self.has_lost_patience() => {
                let Some((_, untried)) = error.record() else { return Err(error) };
                rejects.retain(|(id, _)| *id < untried);
            }
            read => read?,
        }
        let is_absent = |id: &i64| page.ids.binary_search(id).is_err() && !self.unreadable.contains(id);
        let absent = rejects.iter().filter(|(id, _)| is_absent(id));
        let (without_row, with_row): (Vec<_>, Vec<_>) = absent.partition(|(_, refused)| *refused == Refused::Insert);
        let ids = |rejects: Vec<&(i64, Refused)>| rejects.into_iter().map(|(id, _)| *id).collect::<Vec<i64>>();
        let (absent, _) = deletion::verify_absent(self, &ids(with_row))?;
        self.timed_sink(|sink| sink.forget(&ids(without_row)))?;
        deletion::delete(self, &absent)?;
        match page.is_empty() {
            true => self.commit(),
            false => self.write(&page, None),
        }
    }
}
