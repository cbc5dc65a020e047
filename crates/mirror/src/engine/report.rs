//! The modes, the progress and the report of a run.

use super::SECOND;
use crate::Newest;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use std::time::Duration;

/// How a run finds changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Reads every record.
    #[default]
    Full,
    /// Reads the records written since the cursor.
    Incremental,
    /// Reads the records written since the cursor, and compares all ids.
    Reconcile,
    /// Reads the records written since a moment that the caller chose. The cursor stays.
    Since,
    /// Reads the records that Odoo reported to a follower.
    Live,
}

impl Mode {
    /// The name of the mode in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Full => "full",
            Mode::Incremental => "incremental",
            Mode::Reconcile => "reconcile",
            Mode::Since => "since",
            Mode::Live => "live",
        }
    }

    /// The mode of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let modes = [Mode::Full, Mode::Incremental, Mode::Reconcile, Mode::Since, Mode::Live];
        modes.into_iter().find(|mode| mode.name() == name)
    }
}

/// How far a scan is. The next run resumes an interrupted run from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Every record up to this id is written.
    pub id: i64,
    /// The source's clock when the run began, or the write date that stands in for it.
    pub began: Option<DateTime<Utc>>,
    /// The record with the newest write date so far; its id is 0 where only the time is known.
    pub newest: Option<Newest>,
}

impl Position {
    /// The cursor after a complete run: the greatest write date seen, but never later than Odoo's
    /// clock at the start of the run. A record written during the run may have been passed already,
    /// and a write date in the future would hide changes from every later run. Never a local clock.
    /// Without a record that has a write date, it is Odoo's clock.
    pub(super) fn cursor(&self) -> Option<DateTime<Utc>> {
        let began = self.began?;
        Some(self.newest.map_or(began, |newest| newest.written.and_utc().min(began)))
    }

    /// The newest record, if the run began after its overlap window. Then everything written until
    /// that record is committed and was read, and only newer changes can arrive. Odoo shows whole
    /// seconds, so the second of the record must be over as well.
    pub(super) fn settled(&self, overlap: TimeDelta) -> Option<i64> {
        if self.newest.is_none() {
            return Some(NO_RECORD);
        }
        let newest = self.newest.filter(|newest| newest.id > 0)?;
        (self.began?.naive_utc() - newest.written >= overlap.checked_add(&SECOND)?).then_some(newest.id)
    }
}

/// Stands for the record at a cursor that is Odoo's clock.
pub const NO_RECORD: i64 = 0;

/// The figures of a run in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The mode of the run.
    pub mode: Mode,
    /// The lower bound: only records written at or after this moment (UTC) are read.
    pub bound: Option<NaiveDateTime>,
    /// How far the scan is.
    pub position: Position,
    /// Pages written.
    pub pages: u64,
    /// Records that Odoo sent.
    pub fetched: u64,
    /// Records to expect, if their number is known.
    pub total: Option<u64>,
    /// New rows.
    pub inserted: u64,
    /// Changed rows.
    pub updated: u64,
    /// Records that the table refused.
    pub rejected: u64,
    /// Deleted rows.
    pub deleted: u64,
    /// Time spent waiting for Odoo.
    pub waiting: Duration,
    /// Time spent writing.
    pub writing: Duration,
}

impl Progress {
    /// Rows that were equal to their records, and not touched.
    pub fn unchanged(&self) -> u64 {
        self.fetched.saturating_sub(self.inserted + self.updated + self.rejected)
    }
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The final figures.
    pub progress: Progress,
    /// The counts of both sides after the run.
    pub counts: Counts,
    /// Whether the run read everything that it planned to read.
    pub complete: bool,
    /// The new cursor; `None` leaves the cursor where it is.
    pub cursor: Option<DateTime<Utc>>,
    /// The new [`super::State::settled`].
    pub settled: Option<i64>,
}

/// What a complete scan reached, whether or not the comparison of ids succeeds afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scanned {
    /// The mode of the run.
    pub mode: Mode,
    /// The new cursor; `None` leaves the cursor where it is.
    pub cursor: Option<DateTime<Utc>>,
    /// The new [`super::State::settled`].
    pub settled: Option<i64>,
}

/// Counts of one side. A count is `None` if the mirror has no column for it, or if it was not
/// taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// All records or rows.
    pub total: u64,
    /// Not archived.
    pub active: Option<u64>,
    /// With the mirror's flag field set.
    pub flagged: Option<u64>,
}

/// The counts of both sides after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Odoo's counts.
    pub odoo: Tally,
    /// The mirror's counts.
    pub mirror: Tally,
    /// Whether the flags were counted.
    pub by_flag: bool,
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
