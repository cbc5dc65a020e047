//! Deletes the rows whose records no longer exist in Odoo. This is the only code of a run that
//! deletes rows. The sink may mark them instead.

use super::IdRange;
use super::run::{Run, plausible};
use crate::Page;
use ipai_odoo::domain::IDS_PER_REQUEST;
use ipai_odoo::error::{Error, Result};
use std::time::Duration;

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
}

/// How the ids of Odoo and of the mirror differ.
#[derive(Debug, Default)]
struct Difference {
    records: u64,
    /// Records without a row. [`compare`] has read them, unless the run is dry.
    missing: u64,
    /// Rows without a record.
    absent: Vec<i64>,
}

/// Reads missing records, deletes rows without a record, and returns Odoo's number of records.
pub(super) fn reconcile(run: &mut Run<'_>) -> Result<u64> {
    let scanned = run.progress.inserted;
    let difference = compare(run)?;
    if run.plan.dry_run {
        // A dry run wrote nothing, so the records that its scan would insert are missing as well.
        run.progress.inserted = scanned.max(difference.missing);
    }
    delete(run, &difference.absent)?;
    Ok(difference.records)
}

/// Deletes rows whose records no longer exist in Odoo, if the guard agrees.
pub(super) fn delete(run: &mut Run<'_>, absent: &[i64]) -> Result<()> {
    if absent.is_empty() {
        return Ok(());
    }
    if !run.plan.dry_run {
        let total = run.timed_sink(|sink| sink.tally())?.total + run.progress.deleted;
        let (rows, allowed) = (run.progress.deleted + absent.len() as u64, run.plan.guard.allows(total));
        if rows > allowed {
            return Err(Error::RefusedDeletion { mirror: run.plan.mirror.clone(), rows, total, allowed });
        }
    }
    run.progress.deleted += run.timed_sink(|sink| sink.delete(absent))?;
    run.commit()
}

/// How often Odoo must confirm that it has none of the mirror's records, with a pause before each.
const CONFIRMATIONS: u32 = 2;
const PAUSE: Duration = Duration::from_secs(3);

/// Compares the ids of both sides in windows, and reads the records that the mirror lacks.
fn compare(run: &mut Run<'_>) -> Result<Difference> {
    let mut difference = Difference::default();
    let rejects = run.rejects()?;
    let is_reject = |id: &i64| rejects.binary_search_by_key(id, |(reject, _)| *reject).is_ok();
    let (mut ranges, mut expected) = differing_ranges(run, &mut difference)?;
    let (mut missing, mut most) = (Vec::new(), plausible(0));
    while !ranges.is_empty() {
        let (listed, records) = list_records(run, &mut ranges, expected.take())?;
        let rows = list_rows(run, listed)?;
        difference.records += records.len() as u64;
        difference.absent.extend(rows.iter().filter(|id| records.binary_search(id).is_err()));
        // Rejects are read afterwards, together.
        missing.extend(records.into_iter().filter(|id| rows.binary_search(id).is_err() && !is_reject(id)));
        if missing.len() >= IDS_PER_REQUEST || ranges.is_empty() {
            difference.missing += missing.len() as u64;
            if difference.missing > most {
                most = run.count_anew(difference.missing)?;
            }
            if !run.plan.dry_run {
                read(run, &missing, &mut |run, page| run.write(&page, None))?;
            }
            missing.clear();
        }
    }
    // While Odoo rewrites a table, as an upgrade of a module may, requests find the table empty.
    let is_empty = difference.absent.len() as u64 >= run.timed_sink(|sink| sink.tally())?.total;
    let confirmations = if is_empty && !difference.absent.is_empty() { CONFIRMATIONS } else { 0 };
    for remaining in (0..=confirmations).rev() {
        let counted;
        (difference.absent, counted) = verify_absent(run, &difference.absent)?;
        difference.records += counted;
        if remaining > 0 {
            run.timed_source(|source| source.pause(PAUSE))?;
        }
    }
    Ok(difference)
}

/// The ids of which Odoo counts no record, and how many it counts of the others. Some models count
/// records that `search` does not return: a row is deleted only if `search_count` also reports zero
/// for its id.
pub(super) fn verify_absent(run: &mut Run<'_>, ids: &[i64]) -> Result<(Vec<i64>, u64)> {
    let (mut absent, mut others) = (Vec::new(), 0);
    for ids in ids.chunks(IDS_PER_REQUEST) {
        match run.timed_source(|source| source.count(Some(ids)))? {
            0 => absent.extend_from_slice(ids),
            counted => others += counted,
        }
    }
    Ok((absent, others))
}

/// The ranges whose digests differ, with Odoo's number of ids in them; all ids without digests.
fn differing_ranges(run: &mut Run<'_>, difference: &mut Difference) -> Result<(Vec<IdRange>, Option<u64>)> {
    let everything = (vec![IdRange::ALL], None);
    let Some(ours) = run.timed_sink(|sink| sink.digest())? else {
        return Ok(everything);
    };
    let Some(theirs) = run.timed_source(|source| source.digest(&ours.bounds))? else {
        return Ok(everything);
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
    Ok((ranges, Some(expected)))
}

/// Id ranges in one call, so that a request stays small.
const RANGES_PER_CALL: usize = 200;

/// Lists a window of Odoo's ids in the ranges, and splits off the ranges that the window covers.
/// `expected` is the number of ids in all ranges, if it is known.
fn list_records(
    run: &mut Run<'_>,
    ranges: &mut Vec<IdRange>,
    expected: Option<u64>,
) -> Result<(Vec<IdRange>, Vec<i64>)> {
    let asked = &ranges[..ranges.len().min(RANGES_PER_CALL)];
    let ids = run.timed_source(|source| source.ids(asked))?;
    validate_ids(&ids, asked)?;
    // Unless one answer has all expected ids, only an empty one shows that none is left.
    let is_complete = expected == Some(ids.len() as u64) && asked.len() == ranges.len();
    let upto = match ids.last() {
        Some(last) if !is_complete => *last,
        _ => asked.last().map_or(i64::MAX, |range| range.upto),
    };
    Ok((split_off(ranges, upto), ids))
}

fn list_rows(run: &mut Run<'_>, ranges: Vec<IdRange>) -> Result<Vec<i64>> {
    let mut rows = Vec::new();
    for mut range in ranges {
        while range.after < range.upto {
            let ids = run.timed_sink(|sink| sink.ids(range))?;
            range.after = ids.last().copied().unwrap_or(range.upto);
            rows.extend(ids);
        }
    }
    Ok(rows)
}

/// Removes the ids up to this one from the ranges, and returns their ranges.
fn split_off(ranges: &mut Vec<IdRange>, id: i64) -> Vec<IdRange> {
    let passed = ranges.partition_point(|range| range.upto <= id);
    let mut removed: Vec<IdRange> = ranges.drain(..passed).collect();
    if let Some(first) = ranges.first_mut().filter(|range| range.after < id) {
        removed.push(IdRange { upto: id, ..*first });
        first.after = id;
    }
    removed
}

/// Refuses ids that are not in ascending order or were not asked for.
pub(crate) fn validate_ids(ids: &[i64], ranges: &[IdRange]) -> Result<()> {
    let was_asked_for = |id: &i64| {
        let range = ranges.get(ranges.partition_point(|range| range.upto < *id));
        range.is_some_and(|range| range.contains(*id))
    };
    let cause = if !ids.is_sorted_by(|one, other| one < other) {
        "the ids are not in ascending order"
    } else if !ids.iter().all(was_asked_for) {
        "there are other ids than those asked for"
    } else {
        return Ok(());
    };
    Err(Error::Malformed { cause: cause.to_owned() })
}

/// What happens to a page of records that were read by id.
type Take<'t> = dyn FnMut(&mut Run<'_>, Page) -> Result<()> + 't;

/// Reads records by id.
pub(super) fn read(run: &mut Run<'_>, ids: &[i64], take: &mut Take<'_>) -> Result<()> {
    let per_call = run.plan.page_size.clamp(1, IDS_PER_REQUEST);
    ids.chunks(per_call).try_for_each(|ids| read_in_halves(run, ids, take))
}

/// Records that Odoo cannot send together are requested again in halves. One that it cannot send
/// alone is set aside.
fn read_in_halves(run: &mut Run<'_>, ids: &[i64], take: &mut Take<'_>) -> Result<()> {
    match run.timed_source(|source| source.read(ids)) {
        Err(Error::Records { .. } | Error::Value { .. }) if ids.len() > 1 => {
            let (some, others) = ids.split_at(ids.len() / 2);
            read_in_halves(run, some, take)?;
            read_in_halves(run, others, take)
        }
        Err(error) => {
            run.set_aside(error)?;
            run.commit()
        }
        Ok(page) => take(run, page),
    }
}

#[cfg(test)]
#[path = "deletion_tests.rs"]
mod tests;
