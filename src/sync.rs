//! How a mirror is brought into step with Odoo: one loop, [`engine::run`], between a [`Source`] and a [`Sink`].
//! Nothing here knows where either of them runs.

mod afar;
mod choose;
mod cursor;
pub mod engine;
mod reconcile;
mod report;

pub use choose::{choose, Requested, Start, State, Unfinished};
pub use cursor::SECOND;
pub use engine::{run, Plan};
pub use reconcile::Guard;
pub use report::{Counts, Mode, Position, Report, SoFar, Tally};

use crate::error::Result;
use crate::mirror::Page;
use chrono::{DateTime, NaiveDateTime, Utc};

#[cfg(test)]
mod engine_tests;
#[cfg(test)]
mod model;

/// Which records a run reads page by page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scan {
    /// Only those written at or after this moment (UTC).
    pub since: Option<NaiveDateTime>,
    /// And this one, whenever it was written.
    pub also: Option<i64>,
    /// Only those with a higher id.
    pub after: i64,
    /// The newest write date that was seen by earlier runs.
    pub newest: Option<NaiveDateTime>,
    /// At most so many records.
    pub limit: Option<u64>,
    /// [`Source::count`] will be called after the last page: the answer may be fetched while pages are written.
    pub count: bool,
    /// All ids will be compared, too: a source that can tell digests is asked for those in place of a count.
    pub compare: bool,
}

/// Where records come from.
pub trait Source {
    /// Begins to read: the first page may be on its way when this returns.
    fn start(&mut self, scan: Scan) -> Result<()>;

    /// The next page of the scan in ascending order of ids; `None` once all have come. While the caller writes
    /// one page the source fetches the next.
    fn next_page(&mut self) -> Result<Option<Page>>;

    /// How many records there are in all.
    fn count(&mut self) -> Result<u64>;

    /// Some ids in `(after, upto]`, the next ones in ascending order; none where there are no more.
    fn ids(&mut self, after: i64, upto: i64) -> Result<Vec<i64>>;

    /// The ids in these ranges `(after, upto]`, which are few and ascend, in ascending order.
    fn ids_among(&mut self, ranges: &[(i64, i64)]) -> Result<Vec<i64>>;

    /// How many of these ids are those of records.
    fn count_among(&mut self, ids: &[i64]) -> Result<u64>;

    /// How many records there are with ids in these ranges `(after, upto]`, which are few and ascend.
    fn count_between(&mut self, ranges: &[(i64, i64)]) -> Result<u64>;

    /// The ids in `(bounds[0], bounds[1]]`, `(bounds[1], bounds[2]]` and so on, each range in brief; `None` where the source
    /// cannot tell.
    fn digest(&mut self, bounds: &[i64]) -> Result<Option<Vec<Digest>>>;

    /// The records with these ids that still exist.
    fn read(&mut self, ids: &[i64]) -> Result<Page>;

    /// Most ids that one call of [`Source::ids`] gives.
    fn window(&self) -> usize;

    /// Most ids that one call of [`Source::read`] takes.
    fn page_size(&self) -> usize;

    /// The source's clock at its first answer, once there was one. Asks nothing of it.
    fn first_date(&self) -> Option<DateTime<Utc>>;
}

/// What became of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    pub inserted: u64,
    pub updated: u64,
}

/// The ids of a range in brief. Sets that differ in one id or two never have the same digest; others hardly ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    pub count: u64,
    /// Sum of the ids.
    pub sum: i128,
    /// Sum of their squares.
    pub squares: i128,
}

/// How the ids of a window differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// In the source, not in the mirror.
    pub missing: Vec<i64>,
    /// In the mirror, not in the source.
    pub gone: Vec<i64>,
}

/// Where records go. A sink that is dry counts what it would do and does nothing.
pub trait Sink {
    /// The source works on the first page: time for what needs none.
    fn begun(&mut self) -> Result<()>;

    /// Writes what is new or differs and touches nothing else.
    fn write(&mut self, page: &Page) -> Result<Written>;

    /// Rows that the mirror has.
    fn count(&mut self) -> Result<u64>;

    /// Compares the rows with ids in `(after, upto]` with the ids of the source.
    fn compare(&mut self, after: i64, upto: i64, ids: &[i64]) -> Result<Difference>;

    /// The greatest id of a row; 0 where there is none.
    fn greatest(&mut self) -> Result<i64>;

    /// The ranges `(after, upto]` of ids below the greatest one that have no row, in ascending order; `None` where there are more than `most`.
    fn holes(&mut self, most: usize) -> Result<Option<Vec<(i64, i64)>>>;

    /// The ids of the rows in each range: see [`Source::digest`].
    fn digest(&mut self, bounds: &[i64]) -> Result<Vec<Digest>>;

    /// Some ids of rows in `(after, upto]`, the next ones in ascending order; none where there are no more.
    fn rest(&mut self, after: i64, upto: i64) -> Result<Vec<i64>>;

    /// Deletes these rows at once; the guard has agreed.
    fn delete(&mut self, ids: &[i64]) -> Result<u64>;

    /// After each page, and where a run becomes a full one: a sink that commits does it here, together with the position.
    fn checkpoint(&mut self, so_far: &SoFar) -> Result<()>;

    /// Something that a person should know.
    fn notice(&mut self, message: &str);
}
