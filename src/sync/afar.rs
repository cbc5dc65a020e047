//! Where the ids of both ends differ, found out from afar: by digests, or by counting. Whatever is not sure is a range to be looked at closely.

use super::engine::Run;
use super::reconcile::{ascending, read_all, Found, AT_ONCE, RANGES_AT_ONCE};
use crate::error::Result;
use std::cmp::Ordering;

/// Ids in `(after, upto]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub after: i64,
    pub upto: i64,
    /// How many of them Odoo counted, just these.
    pub count: Option<u64>,
}

/// All ids.
pub(super) const EVERYTHING: Range = Range {
    after: 0,
    upto: i64::MAX,
    count: None,
};

/// What a look from afar found.
#[derive(Default)]
pub(super) struct Ranges {
    /// Records in those that are alike.
    pub alike: u64,
    /// The others, in ascending order.
    pub differ: Vec<Range>,
}

impl Ranges {
    fn add(&mut self, range: Range) {
        match self.differ.last_mut() {
            Some(last) if last.upto == range.after => {
                last.upto = range.upto;
                last.count = last.count.zip(range.count).map(|(one, other)| one + other);
            }
            _ => self.differ.push(range),
        }
    }
}

/// Ranges of a digest, or so.
const RANGES: i64 = 1_000;

/// Ranges to the ids of a page, at most: many ids of small mirrors come at once.
const PARTS: usize = 20;

/// The greatest id that Odoo can give.
const GREATEST: i64 = i32::MAX as i64;

/// One call, however many records there are.
pub(super) fn by_digest(run: &mut Run<'_>) -> Result<Option<Ranges>> {
    let greatest = run.greatest()?;
    if greatest >= GREATEST {
        return Ok(None);
    }
    let width = (greatest / RANGES + 1).max(i64::try_from(run.page_size() / PARTS).unwrap_or(0));
    let mut bounds = vec![0];
    bounds.extend((1..RANGES).map(|n| n * width).take_while(|bound| *bound < greatest));
    bounds.extend([greatest, GREATEST].iter().filter(|bound| **bound > 0));
    let Some(theirs) = run.ask(|source| source.digest(&bounds))? else {
        return Ok(None);
    };
    let ours = run.digest(&bounds)?;
    let mut ranges = Ranges::default();
    for ((theirs, ours), range) in theirs.iter().zip(&ours).zip(bounds.windows(2)) {
        match theirs == ours {
            true => ranges.alike += theirs.count,
            false => ranges.add(Range {
                after: range[0],
                upto: range[1],
                count: Some(theirs.count),
            }),
        }
    }
    Ok(Some(ranges))
}

/// Counts, where that takes fewer calls than asking for all ids.
///
/// What Odoo has where the mirror has no row is counted, and read, first. The mirror has whatever Odoo has then, so that as many records are the
/// same ones, in all as well as in each range, as far as nothing changes between two counts. Where the mirror has too many holes for that, or
/// Odoo counts there what it does not list, equal counts pass for equal ids if they did before (`seen`).
pub(super) fn by_counts(
    run: &mut Run<'_>,
    read_missing: bool,
    seen: Option<(u64, u64)>,
    found: &mut Found,
) -> Result<Option<Ranges>> {
    let ours = run.count()?;
    // What a list of all ids takes.
    let calls = ours / run.window() as u64 + 1;
    let greatest = run.greatest()?;
    if greatest >= GREATEST {
        return Ok(None);
    }
    let (theirs, ours) = match seen {
        Some(counts) => counts,
        None => run.counts()?,
    };
    if calls == 1 {
        // One list, and with the count it is known to be whole. That there is nothing at all, a list must say.
        let mut ranges = Ranges::default();
        ranges.add(Range {
            count: Some(theirs).filter(|theirs| *theirs > 0),
            ..EVERYTHING
        });
        return Ok(Some(ranges));
    }
    let most = (calls - 1).saturating_mul(HOLES_AT_ONCE).min(MOST_HOLES);
    let holes = run.holes(usize::try_from(most).unwrap_or(usize::MAX))?;
    let parts = holes.map(|holes| in_parts(holes, greatest));
    let Some(parts) = parts.filter(|parts| (parts.len() as u64) < calls) else {
        return match seen {
            Some(_) => by_halves(run, theirs, ours),
            None => Ok(None),
        };
    };
    let mut came = Vec::new();
    let mut all_listed = true;
    for holes in parts {
        let counted = run.ask(|source| source.count_between(&holes))?;
        if came.len() as u64 + counted > AT_ONCE {
            return Ok(None);
        }
        if counted > 0 {
            let ids = run.ask(|source| source.ids_among(&holes))?;
            ascending(&ids, came.last().copied().unwrap_or(0))?;
            all_listed &= ids.len() as u64 >= counted;
            came.extend(ids);
        }
    }
    if !read_missing && !came.is_empty() {
        // What is missing stays so, and halves of it would not add up.
        return Ok(None);
    }
    read_all(run, &came)?;
    let (theirs, ours) = match came.is_empty() && theirs == ours {
        true => (theirs, ours),
        // They were counted before this was found out, and Odoo goes on.
        false => run.counts()?,
    };
    found.missing = came.len() as u64;
    match ours.cmp(&theirs) {
        Ordering::Equal if all_listed => Ok(Some(Ranges {
            alike: theirs,
            differ: Vec::new(),
        })),
        Ordering::Greater if all_listed => by_halves(run, theirs, ours),
        // Odoo counts what it does not list, or something went meanwhile.
        _ if seen.is_some() => by_halves(run, theirs, ours),
        _ => Ok(None),
    }
}

/// Holes that are kept in memory, at most.
const MOST_HOLES: u64 = 100_000;

/// What is counted at once: so many ids of short holes, or a [`LONG`]th of them of long ones.
const HOLES_AT_ONCE: u64 = RANGES_AT_ONCE as u64 * LONG as u64;

/// Ids of a hole that is as much work to look into as any longer one.
const LONG: i64 = 16;

/// All ids without a row, by call.
fn in_parts(holes: Vec<(i64, i64)>, greatest: i64) -> Vec<Vec<(i64, i64)>> {
    let mut parts: Vec<Vec<(i64, i64)>> = Vec::new();
    let mut room = 0;
    for (after, upto) in holes.into_iter().chain([(greatest, GREATEST)]) {
        let weight = u64::try_from((upto - after).min(LONG)).unwrap_or(0);
        if weight > room {
            parts.push(Vec::new());
            room = HOLES_AT_ONCE;
        }
        room -= weight;
        if let Some(part) = parts.last_mut() {
            part.push((after, upto));
        }
    }
    parts
}

/// Halves the ids again and again and counts, where that takes fewer calls than asking for all ids. Most counts are what remains of older
/// ones: they only say where to look, and prove nothing.
fn by_halves(run: &mut Run<'_>, theirs: u64, ours: u64) -> Result<Option<Ranges>> {
    let page = run.page_size() as u64;
    let few = theirs.abs_diff(ours).max(1);
    let calls = few * (u64::from((ours / few / page).max(1).ilog2()) + 2);
    // What a list of all ids takes. More may differ than the counts tell, so that halves take more calls than it seems.
    let mut left_over = ours / run.window() as u64;
    if calls >= left_over {
        return Ok(None);
    }
    let greatest = run.greatest()?;
    if greatest >= GREATEST {
        return Ok(None);
    }
    let mut ranges = Ranges::default();
    let behind = run.ask(|source| source.count_between(&[(greatest, GREATEST)]))?;
    let mut open = vec![(0, greatest, theirs.saturating_sub(behind), ours)];
    while let Some((after, upto, theirs, ours)) = open.pop() {
        if theirs == ours {
            ranges.alike += theirs;
        } else if theirs.max(ours) <= page || upto - after < 2 {
            ranges.add(Range {
                after,
                upto,
                count: None,
            });
        } else if left_over == 0 {
            return Ok(None);
        } else {
            left_over -= 1;
            let half = after + (upto - after) / 2;
            let left = run.ask(|source| source.count_between(&[(after, half)]))?;
            let ours_left = run.digest(&[after, half])?.first().map_or(0, |digest| digest.count);
            // The lower half comes off first.
            open.push((half, upto, theirs.saturating_sub(left), ours.saturating_sub(ours_left)));
            open.push((after, half, left, ours_left));
        }
    }
    if behind > 0 {
        ranges.add(Range {
            after: greatest,
            upto: GREATEST,
            count: None,
        });
    }
    Ok(Some(ranges))
}
