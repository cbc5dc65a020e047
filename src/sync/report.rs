//! What a run did.

use chrono::{DateTime, Utc};
use std::time::Duration;

/// How a run looks for changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Reads every record.
    Full,
    /// Reads what was written since a moment.
    Since,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Full => "full",
            Mode::Since => "since",
        }
    }
}

/// The figures of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub mode: Mode,
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
    /// Where the next incremental run may begin; `None` leaves the cursor where it is.
    pub cursor: Option<DateTime<Utc>>,
    /// Time spent waiting for Odoo.
    pub waiting: Duration,
    /// Time spent writing.
    pub writing: Duration,
}
