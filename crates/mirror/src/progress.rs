//! Describes the progress of a long run in a sentence.

use crate::engine::Progress;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(2);

/// When the host last showed the progress of a run.
pub struct ProgressNotice {
    shown: Instant,
}

impl Default for ProgressNotice {
    fn default() -> Self {
        ProgressNotice { shown: Instant::now() }
    }
}

impl ProgressNotice {
    /// Records of total, percent, rate and time left, every two seconds; short runs show nothing.
    pub fn text(&mut self, mirror: &str, progress: &Progress) -> Option<String> {
        let elapsed = progress.waiting + progress.writing;
        if elapsed < INTERVAL || self.shown.elapsed() < INTERVAL {
            return None;
        }
        self.shown = Instant::now();
        let Progress { fetched, total, .. } = *progress;
        let rate = fetched as f64 / elapsed.as_secs_f64();
        Some(match total.filter(|total| *total >= fetched && *total > 0) {
            Some(total) => format!(
                "{mirror}: {fetched} of {total} records ({:.0} %), {rate:.0} records/s, about {:.0} s left",
                100.0 * fetched as f64 / total as f64,
                (total - fetched) as f64 / rate.max(0.001)
            ),
            None => format!("{mirror}: {fetched} records, {rate:.0} records/s"),
        })
    }
}
