//! Tells a person how far a long run is.

use super::report::notice;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(2);

pub struct Progress {
    mirror: String,
    began: Instant,
    told: Instant,
}

impl Progress {
    pub fn new(mirror: &str) -> Self {
        let now = Instant::now();
        Progress {
            mirror: mirror.to_owned(),
            began: now,
            told: now,
        }
    }

    /// A NOTICE every two seconds; short runs stay silent.
    pub fn tell(&mut self, fetched: u64, total: Option<u64>) {
        if self.told.elapsed() < EVERY {
            return;
        }
        self.told = Instant::now();
        notice(format!(
            "{}: {}",
            self.mirror,
            line(fetched, total, self.began.elapsed())
        ));
    }
}

/// Rows of total, percent, rate, time left.
fn line(fetched: u64, total: Option<u64>, elapsed: Duration) -> String {
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
