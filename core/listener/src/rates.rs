//! How often somebody may call: the generic cell rate algorithm (ITU-T I.371), which needs one number and no clock ticks.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// So many calls a second, and so many at once.
#[derive(Debug)]
pub struct Rate {
    /// Nanoseconds between calls.
    gap: u64,
    /// Nanoseconds that calls may be ahead of their time.
    ahead: u64,
    begun: Instant,
    /// When the next call is due, in nanoseconds since the begin.
    due: AtomicU64,
}

impl Rate {
    /// A rate of `per_second` calls, of which `burst` may come at once, at least one.
    #[must_use]
    pub fn new(per_second: f64, burst: f64) -> Self {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
        let gap = (1e9 / per_second.max(1e-9)).min(1e18) as u64;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
        let ahead = ((burst.max(1.0) - 1.0) * 1e9 / per_second.max(1e-9)).min(1e18) as u64;
        Self { gap, ahead, begun: Instant::now(), due: AtomicU64::new(0) }
    }

    /// Whether a call may be made now; one that may not changes nothing.
    pub fn take(&self) -> bool {
        self.take_at(u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn take_at(&self, now: u64) -> bool {
        let next = |due: u64| {
            let due = due.max(now);
            (due - now <= self.ahead).then(|| due.saturating_add(self.gap))
        };
        self.due.fetch_update(SeqCst, SeqCst, next).is_ok()
    }

    /// Time between two calls.
    pub(crate) fn gap(&self) -> Duration {
        Duration::from_nanos(self.gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_and_then_the_rate() {
        let rate = Rate::new(10.0, 3.0);
        assert_eq!((0..5).map(|_| rate.take_at(0)).collect::<Vec<_>>(), [true, true, true, false, false]);
        assert!(!rate.take_at(SECOND / 10 - 1));
        assert!(rate.take_at(SECOND / 10));
        assert!(!rate.take_at(SECOND / 10));
        assert_eq!((0..5).filter(|_| rate.take_at(100 * SECOND)).count(), 3, "no more than a burst is saved up");
    }

    #[test]
    fn over_a_second_no_more_than_the_rate_and_the_burst() {
        let rate = Rate::new(500.0, 20.0);
        let taken = (0..SECOND).step_by(100_000).filter(|&now| rate.take_at(now)).count();
        assert!((519..=520).contains(&taken), "{taken}");
    }

    #[test]
    fn any_numbers_make_a_rate() {
        for per_second in [f64::INFINITY, f64::NAN, 0.0, -1.0, 1e300, 1e-300] {
            for burst in [f64::INFINITY, f64::NAN, 0.0, -1.0] {
                assert!(Rate::new(per_second, burst).take_at(0));
            }
        }
        let unlimited = Rate::new(f64::INFINITY, 1.0);
        assert!((0..1000).all(|_| unlimited.take_at(0)));
    }
}
