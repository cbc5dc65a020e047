//! The compare of all ids: what Odoo has and the mirror lacks is read, what Odoo no longer shows is deleted.
//! This is the only way by which rows disappear.

use super::engine::Run;
use crate::error::{Error, Result};

/// Rows that one run may delete: a handful always, a part of a large mirror, more only when the caller says so.
pub fn allowed_deletions(rows: u64, max_delete_ratio: f64) -> u64 {
    const ALWAYS: u64 = 100;
    ALWAYS.max((rows as f64 * max_delete_ratio.clamp(0.0, 1.0)).floor() as u64)
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
        let last = ids.last().copied();
        let difference = run.compare(after, last.unwrap_or(i64::MAX), &ids)?;
        found.odoo_count += ids.len() as u64;
        found.gone.extend(difference.gone);
        found.missing += difference.missing.len() as u64;
        if read_missing {
            for ids in difference.missing.chunks(page_size) {
                let page = run.ask(|source| source.read(ids))?;
                run.write(&page)?;
            }
        }
        match last {
            Some(id) => after = id,
            None => break,
        }
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

/// The guard: an error where more rows would go than may go in one run.
pub(super) fn guard(mirror: &str, gone: u64, total: u64, max_delete_ratio: f64) -> Result<()> {
    let allowed = allowed_deletions(total, max_delete_ratio);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_rows_or_a_part_may_go() {
        assert_eq!(allowed_deletions(0, 0.2), 100);
        assert_eq!(allowed_deletions(499, 0.2), 100);
        assert_eq!(allowed_deletions(1_000, 0.2), 200);
        assert_eq!(allowed_deletions(1_000, 0.0), 100);
        assert_eq!(allowed_deletions(1_000, 1.0), 1_000);
        assert_eq!(allowed_deletions(1_000, 17.0), 1_000);
        assert_eq!(allowed_deletions(1_000, f64::NAN), 100);
    }
}
