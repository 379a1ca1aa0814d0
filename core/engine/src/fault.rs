//! A panic while one request is answered ends that request, and nothing else.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A request made the engine panic, which is a fault of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

impl fmt::Display for Panicked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("internal error: this request was not answered, others are not affected")
    }
}

impl std::error::Error for Panicked {}

/// Runs `work`, whose state nobody sees again when it panics.
///
/// # Errors
/// It panicked.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
}

/// Panics when a test asks for it, by the text that names the partition of a job.
#[cfg(any(test, feature = "faults"))]
pub(crate) fn provoked(partition: &[u8]) {
    assert!(partition != b"__panic__", "a test asked for it");
}

#[cfg(not(any(test, feature = "faults")))]
#[inline]
pub(crate) fn provoked(_partition: &[u8]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_its_own_work_alone() {
        assert_eq!(guarded(|| provoked(b"__panic__")), Err(Panicked));
        assert_eq!(guarded(|| provoked(b"debug")), Ok(()));
    }
}
