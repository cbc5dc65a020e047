//! The compare of all ids: what Odoo has and the mirror lacks is read, what Odoo no longer shows is deleted.
//! This is the only way by which rows disappear.

use super::afar::{by_counts, by_digest, Range, EVERYTHING};
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

/// Compares the ids of both ends and reads what is missing, where that is wanted. Deletes nothing.
///
/// All of them are asked for, or only those of ranges that differ: where the source can tell digests, or where counting tells. `seen` is what
/// a run has counted that only compares where counts differ: Odoo's records and the mirror's rows.
pub(super) fn compare(run: &mut Run<'_>, read_missing: bool, seen: Option<(u64, u64)>) -> Result<Found> {
    let mut found = Found::default();
    let (ranges, counted) = match by_digest(run)? {
        Some(ranges) => (Some(ranges), false),
        None => (by_counts(run, read_missing, seen, &mut found)?, true),
    };
    match ranges {
        Some(ranges) => {
            found.odoo_count = ranges.alike;
            compare_ranges(run, &ranges.differ, read_missing, &mut found)?;
            // Halves were counted one after the other. Where Odoo has changed meanwhile, something that is gone may have passed unseen.
            let believed = counted && ranges.alike > 0 && !ranges.differ.is_empty();
            if believed && seen.is_none() && !is_explained(run, &found)? {
                found = Found::default();
                compare_range(run, EVERYTHING, read_missing, &mut found)?;
            }
        }
        None => compare_range(run, EVERYTHING, read_missing, &mut found)?,
    }
    // Ids that Odoo counts and does not list are not absent: what is gone, it must not count either.
    let mut gone = Vec::with_capacity(found.gone.len());
    for ids in found.gone.chunks(COUNTED) {
        match run.ask(|source| source.count_among(ids))? {
            0 => gone.extend_from_slice(ids),
            counted => found.odoo_count += counted,
        }
    }
    found.gone = gone;
    Ok(found)
}

/// Whether Odoo has as many records as there are rows that are not gone.
fn is_explained(run: &mut Run<'_>, found: &Found) -> Result<bool> {
    let (theirs, ours) = run.counts()?;
    Ok(ours.checked_sub(found.gone.len() as u64) == Some(theirs))
}

/// Ids that are counted in one call.
const COUNTED: usize = 5_000;

/// Missing records that are read in one call.
const READ: usize = 2_000;

/// Most ids, and most ranges of them, that are asked for at once.
pub(super) const AT_ONCE: u64 = 20_000;
pub(super) const RANGES_AT_ONCE: usize = 200;

/// Asks for the ids of ranges: for as many ranges at once as have few of them.
fn compare_ranges(run: &mut Run<'_>, ranges: &[Range], read_missing: bool, found: &mut Found) -> Result<()> {
    let mut rest = ranges;
    while !rest.is_empty() {
        let mut ids = 0;
        let few = rest.iter().take(RANGES_AT_ONCE).take_while(|range| {
            ids += range.count.unwrap_or(u64::MAX / 2);
            ids <= AT_ONCE
        });
        let (together, others) = rest.split_at(few.count().max(1));
        rest = others;
        if let [range] = together {
            compare_range(run, *range, read_missing, found)?;
            continue;
        }
        let counted: u64 = together.iter().filter_map(|range| range.count).sum();
        let asked: Vec<(i64, i64)> = together.iter().map(|range| (range.after, range.upto)).collect();
        let ids = match counted {
            0 => Vec::new(),
            _ => run.ask(|source| source.ids_among(&asked))?,
        };
        ascending(&ids, i64::MIN)?;
        for range in together {
            let from = ids.partition_point(|id| *id <= range.after);
            let to = ids.partition_point(|id| *id <= range.upto);
            let mine = &ids[from..to];
            if range.count == Some(mine.len() as u64) {
                compare_ids(run, range.after, range.upto, mine, read_missing, found)?;
                found.odoo_count += mine.len() as u64;
            } else {
                // It has changed meanwhile, or Odoo counts what it does not list.
                let range = Range { count: None, ..*range };
                compare_range(run, range, read_missing, found)?;
            }
        }
    }
    Ok(())
}

pub(super) fn ascending(ids: &[i64], after: i64) -> Result<()> {
    match ids.first().is_none_or(|first| *first > after) && ids.windows(2).all(|pair| pair[0] < pair[1]) {
        true => Ok(()),
        false => Err(Error::Malformed {
            cause: "the ids are not in ascending order".to_owned(),
        }),
    }
}

/// Compares the rows of a range with all ids that Odoo has there.
fn compare_ids(
    run: &mut Run<'_>,
    after: i64,
    upto: i64,
    ids: &[i64],
    read_missing: bool,
    found: &mut Found,
) -> Result<()> {
    let difference = run.compare(after, upto, ids)?;
    found.gone.extend(difference.gone);
    found.missing += difference.missing.len() as u64;
    if read_missing {
        read_all(run, &difference.missing)?;
    }
    Ok(())
}

/// Reads missing records, a page at a time.
pub(super) fn read_all(run: &mut Run<'_>, ids: &[i64]) -> Result<()> {
    ids.chunks(run.page_size().min(READ)).try_for_each(|ids| read(run, ids))
}

/// Half of them may fit where all were too large to be read.
fn read(run: &mut Run<'_>, ids: &[i64]) -> Result<()> {
    match run.ask(|source| source.read(ids)) {
        Err(Error::Limit { .. }) if ids.len() > 1 => {
            let (some, others) = ids.split_at(ids.len() / 2);
            read(run, some)?;
            read(run, others)
        }
        page => run.write(&page?, None),
    }
}

/// Asks for the ids of a range in windows.
///
/// As many as Odoo counted are all of them. Otherwise only an empty window is the end: a model may filter what it found after
/// Odoo cut it to the window, so that a short one proves nothing.
fn compare_range(run: &mut Run<'_>, range: Range, read_missing: bool, found: &mut Found) -> Result<()> {
    let Range { mut after, upto, count } = range;
    let mut seen = 0;
    while after < upto && count != Some(seen) {
        let ids = run.ask(|source| source.ids(after, upto))?;
        ascending(&ids, after)?;
        let Some(last) = ids.last().copied() else {
            break;
        };
        if last > upto {
            return Err(Error::Malformed {
                cause: "there are other ids than those asked for".to_owned(),
            });
        }
        compare_ids(run, after, last, &ids, read_missing, found)?;
        seen += ids.len() as u64;
        after = last;
    }
    found.odoo_count += seen;
    // Behind the last id of Odoo: a part at a time, it may be the whole mirror.
    loop {
        let rest = run.rest(after, upto)?;
        match rest.last() {
            Some(last) => after = *last,
            None => return Ok(()),
        }
        found.gone.extend(rest);
    }
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
