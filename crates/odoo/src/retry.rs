//! Decides how often a request is repeated and how long to wait: exponential backoff with jitter.

use std::time::Duration;

/// How often to retry, and how long to pause before each retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Number of attempts after the first.
    pub retries: u32,
    /// Pause before the first retry. Each further retry doubles it.
    pub first_pause: Duration,
    /// Upper bound of every pause, including those that the server requests by `Retry-After`.
    pub longest_pause: Duration,
}

impl Policy {
    /// No retries, for calls whose answer a person waits for.
    pub const NONE: Policy = Policy { retries: 0, first_pause: Duration::ZERO, longest_pause: Duration::ZERO };

    /// Retries of a run: about 7 seconds in total, unless the server requests longer pauses.
    pub const SYNC: Policy =
        Policy { retries: 4, first_pause: Duration::from_millis(500), longest_pause: Duration::from_secs(30) };

    /// The pause before retry number `retry` (from 0), or `None` after the last retry.
    ///
    /// `jitter` is a random number in 0..1. Half of the pause is random, so that clients that
    /// failed at the same time do not retry at the same time.
    pub fn pause(&self, retry: u32, retry_after: Option<Duration>, jitter: f64) -> Option<Duration> {
        if retry >= self.retries {
            return None;
        }
        let backoff =
            self.first_pause.saturating_mul(2u32.saturating_pow(retry)).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        Some(retry_after.unwrap_or_default().max(backoff).min(self.longest_pause))
    }
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
