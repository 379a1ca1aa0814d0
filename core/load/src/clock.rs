//! The system's clocks, in nanoseconds, as every other process of the machine reads them.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Now, on the monotonic clock.
#[must_use]
pub fn now() -> u64 {
    read(ClockId::Monotonic)
}

/// CPU time, user and system, that this process has used.
#[must_use]
pub fn cpu() -> u64 {
    read(ClockId::ProcessCPUTime)
}

/// Whole nanoseconds of a duration; those of five centuries for a longer one.
#[must_use]
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Seconds of so many nanoseconds.
#[must_use]
pub fn seconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64()
}

/// Microseconds of so many nanoseconds.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "2^53 nanoseconds are a hundred days")]
pub fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}

fn read(clock: ClockId) -> u64 {
    let told = clock_gettime(clock);
    u64::try_from(told.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(told.tv_nsec).unwrap_or(0)
}
