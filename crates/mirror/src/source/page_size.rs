//! Page size control: how many records one call asks for.
//!
//! Large pages cost Odoo the least time per record and the most memory (240 MB for 20,000 records).
//! So pages grow until an answer reaches a target size or a target time.

use std::time::Duration;

/// Records of the first page: enough to measure what a record costs.
const FIRST: u64 = 5_000;
/// The target size of an answer, in bytes. A run holds about four answers, decoded or not.
const BYTES: f64 = 10_000_000.0;
/// The target time of an answer: a run shows progress, and loses one page if it is interrupted.
const TIME: Duration = Duration::from_secs(5);
/// A page is at most this many times as large as the one before, which may have had small records.
const GROWTH: f64 = 4.0;

/// The size of the next page.
#[derive(Debug)]
pub struct PageSize {
    /// At most this many records per call.
    pub most: u64,
    /// Records of the next call.
    pub rows: u64,
}

impl PageSize {
    pub fn new(most: u32) -> Self {
        let most = u64::from(most).max(1);
        PageSize { most, rows: FIRST.min(most) }
    }

    /// Adapts to the cost of an answer, however few records it had: a model may filter records, and
    /// smaller pages would not find more.
    pub fn adapt(&mut self, bytes: usize, took: Duration) {
        let part = (bytes as f64 / BYTES).max(took.as_secs_f64() / TIME.as_secs_f64());
        let fitting = self.rows as f64 * (1.0 / part).min(GROWTH);
        self.rows = (fitting as u64).clamp(1, self.most);
    }

    /// Uses the largest size. Returns false if that was in use already.
    pub fn maximize(&mut self) -> bool {
        std::mem::replace(&mut self.rows, self.most) < self.most
    }

    /// Halves the size after an answer over the size limit. Returns false at a single record.
    pub fn shrink(&mut self) -> bool {
        let could = self.rows > 1;
        self.rows = (self.rows / 2).max(1);
        could
    }
}

#[cfg(test)]
#[path = "page_size_tests.rs"]
mod tests;
