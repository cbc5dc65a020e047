//! Deletes the rows whose records no longer exist in Odoo. This is the only code that deletes rows.

use super::IdRange;
use super::run::Run;
use ipai_odoo::error::{Error, Result};

/// How many rows one run may delete.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guard {
    /// This many rows, whatever the size of the mirror.
    always: u64,
    /// A share of the rows, from 0 to 1.
    ratio: f64,
}

impl Guard {
    /// Allows no deletion.
    pub const NOTHING: Guard = Guard { always: 0, ratio: 0.0 };

    /// Allows 100 rows, or this share of the rows if that is more.
    pub fn ratio(ratio: f64) -> Self {
        Guard { always: 100, ratio }
    }

    /// How many of `rows` may be deleted.
    pub fn allows(&self, rows: u64) -> u64 {
        self.always.max((rows as f64 * self.ratio.clamp(0.0, 1.0)).floor() as u64)
    }

    fn check(&self, mirror: &str, absent: u64, total: u64) -> Result<()> {
        let allowed = self.allows(total);
        if absent <= allowed {
            return Ok(());
        }
        Err(Error::RefusedDeletion { mirror: mirror.to_owned(), rows: absent, total, allowed })
    }
}

/// How the ids of Odoo and of the mirror differ.
#[derive(Debug, Default)]
struct Difference {
    /// Records in Odoo.
    records: u64,
    /// Records without a row. [`compare`] has read them, unless the run is dry.
    missing: u64,
    /// Rows without a record.
    absent: Vec<i64>,
}

/// Reads the records that the mirror lacks and deletes the rows that Odoo no longer has. Returns
/// the number of records in Odoo.
pub(super) fn reconcile(run: &mut Run<'_>) -> Result<u64> {
    let scanned = run.progress.inserted;
    let difference = compare(run)?;
    if run.plan.dry_run {
        // A dry run wrote nothing: the records that its scan would insert are among the missing
        // ones.
        run.progress.inserted = scanned.max(difference.missing);
    } else {
        let rows = run.timed_sink(|sink| sink.count())?;
        run.plan.guard.check(&run.plan.mirror, difference.absent.len() as u64, rows)?;
    }
    if !difference.absent.is_empty() {
        run.progress.deleted = run.timed_sink(|sink| sink.delete(&difference.absent))?;
        run.commit()?;
    }
    Ok(difference.records)
}

/// Ids that one `search_count` verifies.
const VERIFIED_PER_CALL: usize = 5_000;

/// Compares the ids of Odoo with those of the mirror, by digest where the source computes digests,
/// else by listing all ids.
fn compare(run: &mut Run<'_>) -> Result<Difference> {
    let mut difference = Difference::default();
    let (ranges, expected) = match differing_ranges(run, &mut difference)? {
        Some((ranges, expected)) => (ranges, Some(expected)),
        None => (vec![IdRange::ALL], None),
    };
    compare_ids(run, ranges, expected, &mut difference)?;
    // Some models count records that `search` does not return. Delete a row only if `search_count`
    // also reports zero for its id.
    let mut absent = Vec::with_capacity(difference.absent.len());
    for ids in difference.absent.chunks(VERIFIED_PER_CALL) {
        match run.timed_source(|source| source.count(Some(ids)))? {
            0 => absent.extend_from_slice(ids),
            counted => difference.records += counted,
        }
    }
    difference.absent = absent;
    Ok(difference)
}

/// The ranges whose digests differ, and how many records Odoo has in them; `None` without digests.
fn differing_ranges(run: &mut Run<'_>, difference: &mut Difference) -> Result<Option<(Vec<IdRange>, u64)>> {
    let Some(ours) = run.timed_sink(|sink| sink.digest())? else {
        return Ok(None);
    };
    let Some(theirs) = run.timed_source(|source| source.digest(&ours.bounds))? else {
        return Ok(None);
    };
    let (mut ranges, mut expected) = (Vec::<IdRange>::new(), 0);
    for ((theirs, ours), bounds) in theirs.iter().zip(&ours.digests).zip(ours.bounds.windows(2)) {
        if theirs == ours {
            difference.records += theirs.count;
            continue;
        }
        expected += theirs.count;
        match ranges.last_mut() {
            Some(last) if last.upto == bounds[0] => last.upto = bounds[1],
            _ => ranges.push(IdRange { after: bounds[0], upto: bounds[1] }),
        }
    }
    Ok(Some((ranges, expected)))
}

/// Records that one call reads by id.
const READ_PER_CALL: usize = 2_000;

/// Merges the ids of both ends in these ranges. `expected` is the number of records that Odoo has
/// there, if that is known.
fn compare_ids(
    run: &mut Run<'_>,
    ranges: Vec<IdRange>,
    expected: Option<u64>,
    difference: &mut Difference,
) -> Result<()> {
    let mut theirs = SourceIds { ranges: ranges.clone(), window: Vec::new().into_iter().peekable(), expected };
    let mut ours = SinkIds { ranges, window: Vec::new().into_iter().peekable() };
    let mut missing = Vec::new();
    loop {
        match (theirs.peek(run)?, ours.peek(run)?) {
            (None, None) => break,
            (Some(record), Some(row)) if record == row => {
                difference.records += 1;
                theirs.window.next();
                ours.window.next();
            }
            (Some(record), row) if row.is_none_or(|row| record < row) => {
                difference.records += 1;
                missing.push(record);
                theirs.window.next();
                if missing.len() == READ_PER_CALL {
                    read_missing(run, std::mem::take(&mut missing), difference)?;
                }
            }
            (_, row) => {
                difference.absent.extend(row);
                ours.window.next();
            }
        }
    }
    read_missing(run, missing, difference)
}

type Window = std::iter::Peekable<std::vec::IntoIter<i64>>;

/// The ids of Odoo in ascending order, one window at a time.
struct SourceIds {
    ranges: Vec<IdRange>,
    window: Window,
    /// The number of ids, if it is known and all may fit into one window.
    expected: Option<u64>,
}

/// Id ranges in one call, so that a request stays small.
const RANGES_PER_CALL: usize = 200;

impl SourceIds {
    fn peek(&mut self, run: &mut Run<'_>) -> Result<Option<i64>> {
        while self.window.peek().is_none() && !self.ranges.is_empty() {
            let asked = self.ranges.len().min(RANGES_PER_CALL);
            let ids = run.timed_source(|source| source.ids(&self.ranges[..asked]))?;
            validate(&ids, &self.ranges[..asked])?;
            // Unless one answer has all expected ids, only an empty one shows that none is left.
            let is_complete = self.expected.take() == Some(ids.len() as u64) && asked == self.ranges.len();
            match ids.last() {
                _ if is_complete => self.ranges.clear(),
                Some(last) => skip_to(&mut self.ranges, *last),
                None => drop(self.ranges.drain(..asked)),
            }
            self.window = ids.into_iter().peekable();
        }
        Ok(self.window.peek().copied())
    }
}

/// The ids of the mirror in ascending order, one window at a time.
struct SinkIds {
    ranges: Vec<IdRange>,
    window: Window,
}

impl SinkIds {
    fn peek(&mut self, run: &mut Run<'_>) -> Result<Option<i64>> {
        while self.window.peek().is_none() && !self.ranges.is_empty() {
            let range = self.ranges[0];
            let ids = run.timed_sink(|sink| sink.ids(range))?;
            match ids.last() {
                Some(last) => skip_to(&mut self.ranges, *last),
                None => drop(self.ranges.remove(0)),
            }
            self.window = ids.into_iter().peekable();
        }
        Ok(self.window.peek().copied())
    }
}

/// Removes the ids up to this one from the ranges.
fn skip_to(ranges: &mut Vec<IdRange>, id: i64) {
    let passed = ranges.partition_point(|range| range.upto <= id);
    ranges.drain(..passed);
    if let Some(first) = ranges.first_mut() {
        first.after = first.after.max(id);
    }
}

/// Refuses ids that are not in ascending order or were not asked for.
fn validate(ids: &[i64], ranges: &[IdRange]) -> Result<()> {
    let was_asked_for = |id: &i64| {
        let range = ranges.get(ranges.partition_point(|range| range.upto < *id));
        range.is_some_and(|range| range.contains(*id))
    };
    let cause = if !ids.windows(2).all(|pair| pair[0] < pair[1]) {
        "the ids are not in ascending order"
    } else if !ids.iter().all(was_asked_for) {
        "there are other ids than those asked for"
    } else {
        return Ok(());
    };
    Err(Error::Malformed { cause: cause.to_owned() })
}

fn read_missing(run: &mut Run<'_>, ids: Vec<i64>, difference: &mut Difference) -> Result<()> {
    difference.missing += ids.len() as u64;
    if run.plan.dry_run {
        return Ok(());
    }
    let page_size = run.plan.page_size.max(1);
    ids.chunks(page_size).try_for_each(|ids| read(run, ids))
}

/// Reads records by id. An answer over the size limit is asked for again in halves.
fn read(run: &mut Run<'_>, ids: &[i64]) -> Result<()> {
    match run.timed_source(|source| source.read(ids)) {
        Err(Error::Limit { .. }) if ids.len() > 1 => {
            let (some, others) = ids.split_at(ids.len() / 2);
            read(run, some)?;
            read(run, others)
        }
        page => run.write(&page?, None),
    }
}

#[cfg(test)]
#[path = "deletion_tests.rs"]
mod tests;
