//! Shows the progress of a long run.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(2);

/// The progress of one run.
pub struct ProgressNotice {
    mirror: String,
    began: Instant,
    shown: Instant,
}

impl ProgressNotice {
    pub fn new(mirror: &str) -> Self {
        let now = Instant::now();
        ProgressNotice { mirror: mirror.to_owned(), began: now, shown: now }
    }

    /// A line every two seconds; short runs show none.
    pub fn line(&mut self, fetched: u64, total: Option<u64>) -> Option<String> {
        if self.shown.elapsed() < INTERVAL {
            return None;
        }
        self.shown = Instant::now();
        let figures = figures(fetched, total, self.began.elapsed());
        Some(format!("{}: {figures}", self.mirror))
    }
}

/// Rows of total, percent, rate, time left.
fn figures(fetched: u64, total: Option<u64>, elapsed: Duration) -> String {
    let rate = fetched as f64 / elapsed.as_secs_f64().max(0.001);
    match total.filter(|total| *total >= fetched && *total > 0) {
        Some(total) => format!(
            "{fetched} of {total} rows ({:.0} %), {rate:.0} rows/s, about {:.0} s left",
            100.0 * fetched as f64 / total as f64,
            (total - fetched) as f64 / rate.max(0.001)
        ),
        None => format!("{fetched} rows, {rate:.0} rows/s"),
    }
}
