//! How many records to ask for in one call. Large pages cost Odoo least time a record and most memory (240 MB for 20,000 records). So pages grow until an answer is as large, or takes as long, as one should.

use std::time::Duration;

/// Records of the first page: enough to tell what one costs.
const FIRST: u64 = 5_000;
/// Size that an answer should have, in bytes: a run holds about four of them, decoded or not.
const BYTES: f64 = 10_000_000.0;
/// Time that an answer should take: a run shows progress, and loses a page where it is cut.
const TIME: Duration = Duration::from_secs(5);
/// A page is at most so many times as large as the one before, which may have been of small records.
const GROWTH: f64 = 4.0;

/// The size of the next page.
#[derive(Debug)]
pub struct Pace {
    most: u64,
    rows: u64,
}

impl Pace {
    /// At most so many records at a time.
    pub fn new(most: u32) -> Self {
        let most = u64::from(most).max(1);
        Pace {
            most,
            rows: FIRST.min(most),
        }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What the answer cost. However few records came: a model may filter what it found, and finds no more in smaller pages.
    pub fn saw(&mut self, bytes: usize, took: Duration) {
        let part = (bytes as f64 / BYTES).max(took.as_secs_f64() / TIME.as_secs_f64());
        let fitting = self.rows as f64 * (1.0 / part).min(GROWTH);
        self.rows = (fitting as u64).clamp(1, self.most);
    }

    /// Asks for as many as may be. False where that was done.
    pub fn stretch(&mut self) -> bool {
        let could = self.rows < self.most;
        self.rows = self.most;
        could
    }

    /// An answer was too large to be read: half of it may do. False where it was a single record.
    pub fn shrink(&mut self) -> bool {
        let could = self.rows > 1;
        self.rows = (self.rows / 2).max(1);
        could
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(1);

    #[test]
    fn pages_grow_to_what_an_answer_may_weigh() {
        let mut pace = Pace::new(20_000);
        let mut asked = Vec::new();
        for _ in 0..4 {
            asked.push(pace.rows());
            pace.saw(pace.rows() as usize * 1_250, QUICK);
        }
        assert_eq!(asked, [5_000, 8_000, 8_000, 8_000]);
    }

    #[test]
    fn small_records_come_in_the_largest_pages_and_so_do_filtered_ones() {
        let mut pace = Pace::new(20_000);
        for _ in 0..3 {
            pace.saw(1_000, QUICK);
        }
        assert_eq!(pace.rows(), 20_000);
        assert_eq!(Pace::new(300).rows(), 300);
    }

    #[test]
    fn a_slow_odoo_is_asked_for_less() {
        let mut pace = Pace::new(20_000);
        pace.saw(1_000, Duration::from_secs(50));
        assert_eq!(pace.rows(), 500);
        pace.saw(1_000, Duration::from_secs(5_000));
        assert_eq!(pace.rows(), 1);
        pace.saw(1_000, QUICK);
        assert_eq!(pace.rows(), 4);
        assert!(pace.stretch());
        assert_eq!(pace.rows(), 20_000);
        assert!(!pace.stretch());
    }

    #[test]
    fn a_page_that_is_too_large_is_halved_down_to_one_record() {
        let mut pace = Pace::new(5);
        let mut asked = vec![pace.rows()];
        while pace.shrink() {
            asked.push(pace.rows());
        }
        assert_eq!(asked, [5, 2, 1]);
    }
}
