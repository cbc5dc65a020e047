//! The compare of all ids: what Odoo has and the mirror lacks is read, what Odoo no longer shows is deleted.
//! This is the only way by which rows disappear.

use super::engine::Run;
use crate::error::{Error, Result};

/// What one run may delete.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guard {
    /// So many rows at any rate.
    always: u64,
    /// The part of the rows, 0 to 1.
    ratio: f64,
}

impl Guard {
    /// Nothing at all.
    pub const NOTHING: Guard = Guard { always: 0, ratio: 0.0 };

    /// A handful always, a part of a large mirror.
    pub fn ratio(ratio: f64) -> Self {
        Guard { always: 100, ratio }
    }

    /// How many of `rows` may go.
    pub fn allows(&self, rows: u64) -> u64 {
        self.always
            .max((rows as f64 * self.ratio.clamp(0.0, 1.0)).floor() as u64)
    }

    /// An error where more rows would go than may.
    pub(super) fn check(&self, mirror: &str, gone: u64, total: u64) -> Result<()> {
        let allowed = self.allows(total);
        if gone <= allowed {
            return Ok(());
        }
        Err(Error::RefusedDeletion {
            mirror: mirror.to_owned(),
            rows: gone,
            total,
            allowed,
        })
    }
}

/// What a complete compare found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Records that Odoo has.
    pub odoo_count: u64,
    /// Rows that Odoo no longer shows.
    pub gone: Vec<i64>,
    /// Records that the mirror lacked.
    pub missing: u64,
}

/// Asks for all ids in windows and reads what is missing, where that is wanted. Deletes nothing.
///
/// Only an empty window is the end: a model may filter what it found after Odoo cut it to the window, so that a short one
/// proves nothing.
pub(super) fn compare(run: &mut Run<'_>, read_missing: bool) -> Result<Found> {
    let mut found = Found::default();
    let mut after = 0;
    loop {
        let (ids, page_size) = run.ask(|source| Ok((source.ids(after)?, source.page_size().max(1))))?;
        let ascending = ids.first().is_none_or(|first| *first > after) && ids.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending {
            return Err(Error::Malformed {
                cause: "the ids are not in ascending order".to_owned(),
            });
        }
        let Some(last) = ids.last().copied() else {
            break;
        };
        let difference = run.compare(after, last, &ids)?;
        found.odoo_count += ids.len() as u64;
        found.gone.extend(difference.gone);
        found.missing += difference.missing.len() as u64;
        if read_missing {
            for ids in difference.missing.chunks(page_size) {
                let page = run.ask(|source| source.read(ids))?;
                run.write(&page, None)?;
            }
        }
        after = last;
    }
    // Behind the last id of Odoo: a part at a time, it may be the whole mirror.
    loop {
        let rest = run.rest(after)?;
        match rest.last() {
            Some(last) => after = *last,
            None => break,
        }
        found.gone.extend(rest);
    }
    if !found.gone.is_empty() {
        // Ids that Odoo counts and does not list are not absent. What is gone stays until a run sees both agree.
        let counted = run.ask(|source| source.count())?;
        if counted > found.odoo_count {
            found.odoo_count = counted;
            found.gone.clear();
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_rows_or_a_part_may_go() {
        assert_eq!(Guard::ratio(0.2).allows(0), 100);
        assert_eq!(Guard::ratio(0.2).allows(499), 100);
        assert_eq!(Guard::ratio(0.2).allows(1_000), 200);
        assert_eq!(Guard::ratio(0.0).allows(1_000), 100);
        assert_eq!(Guard::ratio(1.0).allows(1_000), 1_000);
        assert_eq!(Guard::ratio(17.0).allows(1_000), 1_000);
        assert_eq!(Guard::ratio(f64::NAN).allows(1_000), 100);
    }
}
