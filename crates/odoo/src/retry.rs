//! When to send a failed request again: exponential backoff with jitter, bounded.

use std::time::Duration;

/// How often and how patiently to retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Attempts after the first.
    pub retries: u32,
    /// Pause before the first retry; each further one doubles it.
    pub first_pause: Duration,
    /// The longest pause, whatever the backoff or the server's `Retry-After` say.
    pub longest_pause: Duration,
}

impl Policy {
    /// For a person who waits for the answer.
    pub const NONE: Policy = Policy {
        retries: 0,
        first_pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
    };

    /// For a sync: about 7 seconds in all, unless the server asks for more.
    pub const SYNC: Policy = Policy {
        retries: 4,
        first_pause: Duration::from_millis(500),
        longest_pause: Duration::from_secs(30),
    };

    /// The pause before retry number `retry` (from 0), or `None` when it is time to give up.
    /// `jitter` is a random number in 0..1: half of the pause is fixed, half of it random, so that many clients
    /// that failed together do not come back together.
    pub fn pause(&self, retry: u32, retry_after: Option<Duration>, jitter: f64) -> Option<Duration> {
        if retry >= self.retries {
            return None;
        }
        let backoff = self
            .first_pause
            .saturating_mul(2u32.saturating_pow(retry))
            .mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        Some(retry_after.unwrap_or_default().max(backoff).min(self.longest_pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        retries: 3,
        first_pause: Duration::from_millis(100),
        longest_pause: Duration::from_secs(1),
    };

    #[test]
    fn pauses_double_with_jitter_and_end() {
        assert_eq!(POLICY.pause(0, None, 1.0), Some(Duration::from_millis(100)));
        assert_eq!(POLICY.pause(0, None, 0.0), Some(Duration::from_millis(50)));
        assert_eq!(POLICY.pause(2, None, 1.0), Some(Duration::from_millis(400)));
        assert_eq!(POLICY.pause(3, None, 1.0), None);
        assert_eq!(Policy::NONE.pause(0, None, 1.0), None);
    }

    #[test]
    fn retry_after_is_honoured_within_bounds() {
        let asked = |seconds| POLICY.pause(0, Some(Duration::from_secs_f64(seconds)), 1.0);
        assert_eq!(asked(0.7), Some(Duration::from_millis(700)));
        assert_eq!(asked(3600.0), Some(Duration::from_secs(1)));
        assert_eq!(asked(0.0), Some(Duration::from_millis(100)));
    }

    #[test]
    fn absurd_retry_numbers_do_not_overflow() {
        let patient = Policy {
            retries: u32::MAX,
            ..POLICY
        };
        assert_eq!(patient.pause(u32::MAX - 1, None, 0.5), Some(Duration::from_secs(1)));
    }
}
