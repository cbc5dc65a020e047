//! Page size control: how many records one call asks for.
//!
//! Large pages cost Odoo the least time per record and the most memory (240 MB for 20,000 records).
//! So pages grow until an answer reaches a target size or a target time. If Odoo cannot send a
//! page, the run asks for fewer records, and the mirror remembers the size that worked.

use std::time::Duration;

/// Records of the first page: enough to measure what a record costs.
const FIRST: u64 = 5_000;
/// Records of the first page if the mirror has files: each may have many megabytes.
const FIRST_WITH_FILES: u64 = 50;
/// The target size of an answer, in bytes. A run holds about four answers, decoded or not.
const BYTES: f64 = 10_000_000.0;
/// The target time of an answer: a run shows progress, and loses one page if it is interrupted.
const TIME: Duration = Duration::from_secs(5);
/// A page is at most this many times as large as the one before, which may have had small records.
const GROWTH: f64 = 4.0;
/// The same, if Odoo could not send a larger page before.
const SLOW_GROWTH: f64 = 2.0;
/// Pages of the failed size that a run reads before it tries that size again.
const PATIENCE: u64 = 8;

/// The size of the next page.
#[derive(Debug)]
pub struct PageSize {
    /// At most this many records per call.
    pub most: u64,
    /// Records of the next call.
    pub rows: u64,
    /// The size that worked after a larger one had failed, in this run or an earlier one.
    pub safe: Option<u64>,
    /// Records of the first page without such a failure.
    first: u64,
    /// Records to read before pages grow.
    wary: u64,
}

impl PageSize {
    /// Starts with the size that worked in earlier runs, if there is one.
    pub fn new(most: u32, has_files: bool, safe: Option<u64>) -> Self {
        let most = u64::from(most).max(1);
        let first = if has_files { FIRST_WITH_FILES } else { FIRST }.min(most);
        let rows = safe.unwrap_or(first).clamp(1, most);
        PageSize { most, rows, safe, first, wary: 0 }
    }

    /// Limits the size for the rest of the run.
    pub fn cap(&mut self, most: u64) {
        self.most = self.most.min(most);
        self.rows = self.rows.min(self.most);
    }

    /// Adapts to the cost of an answer to a call for `asked` records. Few records do not matter: a
    /// model may filter records, and smaller pages would not find more.
    pub fn adapt(&mut self, asked: u64, records: u64, bytes: usize, took: Duration) {
        // Only a full page proves that Odoo can send this many records.
        if records >= asked && self.safe.is_some_and(|safe| asked > safe) {
            self.safe = Some(asked).filter(|asked| *asked < self.first);
        }
        self.wary = self.wary.saturating_sub(records);
        let growth = match (self.wary, self.safe) {
            (1.., _) => 1.0,
            (0, Some(_)) => SLOW_GROWTH,
            (0, None) => GROWTH,
        };
        let part = (bytes as f64 / BYTES).max(took.as_secs_f64() / TIME.as_secs_f64());
        let fitting = self.rows as f64 * (1.0 / part).min(growth);
        self.rows = (fitting as u64).clamp(1, self.most);
    }

    /// Uses the largest size. Returns false if that was in use already, or if larger pages fail.
    pub fn maximize(&mut self) -> bool {
        self.safe.is_none() && std::mem::replace(&mut self.rows, self.most) < self.most
    }

    /// Divides the size after Odoo could not send `asked` records: by two, or by more if the call
    /// took longer than the target time. Returns false at a single record. If the size is not the
    /// cause, the run only looks for the record that is, and does not remember the size.
    pub fn shrink(&mut self, asked: u64, took: Duration, is_cause: bool) -> bool {
        let divisor = (took.as_secs_f64() / TIME.as_secs_f64()).max(2.0);
        self.rows = ((asked as f64 / divisor) as u64).max(1);
        if is_cause {
            self.safe = Some(self.rows);
        }
        self.wary = asked.saturating_mul(PATIENCE);
        asked > 1
    }
}

#[cfg(test)]
#[path = "page_size_tests.rs"]
mod tests;
