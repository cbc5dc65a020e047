//! What a run did.

use crate::mirror::Newest;
use chrono::{DateTime, NaiveDateTime, Utc};
use std::time::Duration;

/// How a run looks for changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Reads every record.
    #[default]
    Full,
    /// Reads what was written since the cursor.
    Incremental,
    /// The same, and compares all ids.
    Reconcile,
    /// Reads what was written since a moment that the caller chose; has nothing to do with the cursor.
    Since,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Full => "full",
            Mode::Incremental => "incremental",
            Mode::Reconcile => "reconcile",
            Mode::Since => "since",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Mode::Full, Mode::Incremental, Mode::Reconcile, Mode::Since]
            .into_iter()
            .find(|mode| mode.name() == name)
    }

    /// Whether it compares all ids even where the counts agree.
    pub(super) fn compares(self) -> bool {
        matches!(self, Mode::Full | Mode::Reconcile)
    }

    /// Whether the cursor moves when it is complete.
    pub(super) fn has_cursor(self) -> bool {
        self != Mode::Since
    }
}

/// How far a scan is. A run that was interrupted goes on from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Every record up to this id has been written.
    pub id: i64,
    /// The source's clock when the run began, or what stands for it.
    pub began: Option<DateTime<Utc>>,
    /// The record that was written last among those seen; its id is 0 where only the time is known.
    pub newest: Option<Newest>,
}

/// The figures of a run under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SoFar {
    pub mode: Mode,
    /// Only records written at or after this moment (UTC) are read.
    pub bound: Option<NaiveDateTime>,
    pub position: Position,
    pub pages: u64,
    pub fetched: u64,
    /// Records to expect, where that is known.
    pub total: Option<u64>,
    pub inserted: u64,
    pub updated: u64,
    /// Time spent waiting for Odoo.
    pub waiting: Duration,
    /// Time spent writing.
    pub writing: Duration,
}

/// The figures of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub mode: Mode,
    pub pages: u64,
    /// Records that Odoo sent.
    pub fetched: u64,
    pub inserted: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub deleted: u64,
    /// Records in Odoo after the run.
    pub odoo_count: u64,
    /// Rows in the mirror after the run.
    pub mirror_count: u64,
    /// Whether the run saw everything that it was to see.
    pub complete: bool,
    /// Where the next incremental run may begin; `None` leaves the cursor where it is.
    pub cursor: Option<DateTime<Utc>>,
    /// The record that stands at the cursor, where nothing older can come any more: see [`super::State::settled`].
    pub settled: Option<i64>,
    /// Time spent waiting for Odoo.
    pub waiting: Duration,
    /// Time spent writing.
    pub writing: Duration,
}

impl Report {
    /// Whether the mirror was in step already.
    pub fn changed_nothing(&self) -> bool {
        self.inserted + self.updated + self.deleted == 0
    }
}

/// How many records there are; `None` for what the mirror has no column for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub total: u64,
    /// Those that are not archived.
    pub active: Option<u64>,
    /// Those that are alerts.
    pub alerts: Option<u64>,
}

/// Both ends, counted at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub odoo: Tally,
    pub mirror: Tally,
}
