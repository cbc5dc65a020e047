//! Shows the progress of a long run.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(2);

/// When a run began, and when it showed its progress.
pub struct ProgressNotice {
    began: Instant,
    shown: Instant,
}

impl ProgressNotice {
    pub fn new() -> Self {
        let now = Instant::now();
        ProgressNotice { began: now, shown: now }
    }

    /// Records of total, percent, rate and time left, every two seconds; short runs show nothing.
    pub fn figures(&mut self, fetched: u64, total: Option<u64>) -> Option<String> {
        if self.shown.elapsed() < INTERVAL {
            return None;
        }
        self.shown = Instant::now();
        let rate = fetched as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        Some(match total.filter(|total| *total >= fetched && *total > 0) {
            Some(total) => format!(
                "{fetched} of {total} records ({:.0} %), {rate:.0} records/s, about {:.0} s left",
                100.0 * fetched as f64 / total as f64,
                (total - fetched) as f64 / rate.max(0.001)
            ),
            None => format!("{fetched} records, {rate:.0} records/s"),
        })
    }
}
