//! Keeps a mirror equal to Odoo: one loop, [`run`], between a [`Source`] and a [`Sink`]. It knows
//! neither the network nor the database behind these two traits.

mod changes;
mod deletion;
mod planner;
mod rejects;
mod report;
mod run;
mod unreadable;

pub use changes::Changes;
pub use deletion::Guard;
pub(crate) use deletion::validate_ids;
pub use planner::{Requested, Start, State, Unfinished, plan_run};
pub use rejects::Refused;
pub use report::{Counts, Mode, NO_RECORD, Position, Progress, Report, Scanned, Tally};
pub use run::{Failed, Plan, run};

use crate::Page;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use ipai_odoo::error::{Error, Result};
use std::time::Duration;

#[cfg(test)]
mod model;
#[cfg(test)]
mod run_tests;

/// The resolution of the times that Odoo shows.
pub const SECOND: TimeDelta = TimeDelta::seconds(1);

/// Which records a run reads page by page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scan {
    /// Only records written at or after this moment (UTC).
    pub since: Option<NaiveDateTime>,
    /// This record as well, whatever its write date.
    pub also: Option<i64>,
    /// Only records with a higher id.
    pub after: i64,
    /// The newest write date that earlier runs saw (UTC).
    pub newest: Option<NaiveDateTime>,
    /// At most this many records.
    pub limit: Option<u64>,
}

/// The ids in `(after, upto]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// Below the first id.
    pub after: i64,
    /// The last id.
    pub upto: i64,
}

impl IdRange {
    /// Every id that Odoo can assign.
    pub const ALL: IdRange = IdRange { after: 0, upto: i64::MAX };

    /// Whether the range includes this id.
    pub fn contains(&self, id: i64) -> bool {
        self.after < id && id <= self.upto
    }
}

/// Where records come from.
pub trait Source {
    /// Starts a scan. The first page may be under way when this returns.
    fn start(&mut self, scan: Scan) -> Result<()>;

    /// Returns the next page of the scan, in ascending order of ids, or `None` after the last. The
    /// source fetches the following page while the caller writes this one. An error ends the scan;
    /// if [`Error::record`] names a record, the source has returned all those before it.
    fn next_page(&mut self) -> Result<Option<Page>>;

    /// Counts all records, or those of `ids` that exist. Ends a scan that is under way.
    fn count(&mut self, ids: Option<&[i64]>) -> Result<u64>;

    /// Counts the records: in total, unless `total` is known, and those with each flag if `flags`
    /// is true. The source works while `meanwhile` runs.
    fn tally(&mut self, total: Option<u64>, flags: bool, meanwhile: &mut dyn FnMut() -> Result<()>) -> Result<Tally>;

    /// Returns the first ids in `ranges` (disjoint, ascending), in ascending order. The answer is
    /// empty only if no id is left in them; the caller asks again for the ids after the last one.
    fn ids(&mut self, ranges: &[IdRange]) -> Result<Vec<i64>>;

    /// Returns a digest of the ids between neighbouring `bounds`, or `None` if the source cannot.
    fn digest(&mut self, bounds: &[i64]) -> Result<Option<Vec<Digest>>>;

    /// Reads the records with these ids that still exist. [`Error::Records`] and [`Error::Value`]
    /// say that fewer of them may succeed.
    fn read(&mut self, ids: &[i64]) -> Result<Page>;

    /// Waits. An error ends the run.
    fn pause(&mut self, pause: Duration) -> Result<()>;

    /// The source's clock at its first answer, if it had one.
    fn clock(&self) -> Option<DateTime<Utc>>;
}

/// Where records go. A dry sink counts what it would do and changes nothing.
pub trait Sink {
    /// Writes the rows that are new or differ, and touches no other. What the table refuses becomes
    /// a reject; an error if there are too many.
    fn write(&mut self, page: &Page) -> Result<Written>;

    /// Makes a record that Odoo cannot send a reject; the error if there are too many.
    fn set_aside(&mut self, id: i64, error: &Error) -> Result<()>;

    /// The rejects, ascending: what this run and earlier ones set aside, and the table has not
    /// accepted since. A dry sink knows only its own.
    fn rejects(&mut self) -> Result<Vec<(i64, Refused)>>;

    /// Forgets rejects that exist neither in Odoo nor in the mirror.
    fn forget(&mut self, ids: &[i64]) -> Result<()>;

    /// The ids of rows that are known to be outdated although their records have no new write
    /// date, ascending.
    fn outdated(&mut self) -> Result<Vec<i64>>;

    /// Counts the rows of the mirror: in total, and those with each flag.
    fn tally(&mut self) -> Result<Tally>;

    /// Returns the first ids of rows in `range`, ascending; none only if no row is left in it.
    fn ids(&mut self, range: IdRange) -> Result<Vec<i64>>;

    /// Returns digests of the rows' ids, or `None` if an id exceeds what Odoo can assign.
    fn digest(&mut self) -> Result<Option<Digests>>;

    /// Deletes or marks the rows with these ids and returns their number. Rows for which the table
    /// refuses that become rejects.
    fn delete(&mut self, ids: &[i64]) -> Result<u64>;

    /// Commits what was written, together with how far the run is.
    fn commit(&mut self, progress: &Progress) -> Result<()>;

    /// Shows a notice to the caller of the run.
    fn notice(&mut self, message: &str);
}

/// The rows that one page changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// New rows.
    pub inserted: u64,
    /// Changed rows.
    pub updated: u64,
    /// Records that the table refused.
    pub rejected: u64,
}

/// A digest of a set of ids. Sets that differ in one or two ids always have different digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    /// Number of ids.
    pub count: u64,
    /// Sum of the ids.
    pub sum: i128,
    /// Sum of the squares of the ids.
    pub squares: i128,
}

/// Digests of adjacent id ranges: the first one is of `(bounds[0], bounds[1]]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Digests {
    /// Ascending; one more than there are digests.
    pub bounds: Vec<i64>,
    /// One digest per range.
    pub digests: Vec<Digest>,
}
