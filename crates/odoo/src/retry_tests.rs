//! Tests of the pauses before retries.

use super::*;

const POLICY: Policy =
    Policy { retries: 3, first_pause: Duration::from_millis(100), longest_pause: Duration::from_secs(1) };

#[test]
fn pauses_double_with_jitter_until_the_last_retry() {
    assert_eq!(POLICY.pause(0, None, 1.0), Some(Duration::from_millis(100)));
    assert_eq!(POLICY.pause(0, None, 0.0), Some(Duration::from_millis(50)));
    assert_eq!(POLICY.pause(2, None, 1.0), Some(Duration::from_millis(400)));
    assert_eq!(POLICY.pause(3, None, 1.0), None);
    assert_eq!(Policy::NONE.pause(0, None, 1.0), None);
}

#[test]
fn retry_after_is_bounded_by_the_longest_pause() {
    let asked = |seconds| POLICY.pause(0, Some(Duration::from_secs_f64(seconds)), 1.0);
    assert_eq!(asked(0.7), Some(Duration::from_millis(700)));
    assert_eq!(asked(3600.0), Some(Duration::from_secs(1)));
    assert_eq!(asked(0.0), Some(Duration::from_millis(100)));
}

#[test]
fn large_retry_numbers_do_not_overflow() {
    let patient = Policy { retries: u32::MAX, ..POLICY };
    assert_eq!(patient.pause(u32::MAX - 1, None, 0.5), Some(Duration::from_secs(1)));
}
