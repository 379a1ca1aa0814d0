//! A timer for due times: tokio's own has a resolution of a millisecond.

#[cfg(target_os = "linux")]
pub use fine::Timer;

#[cfg(not(target_os = "linux"))]
pub use coarse::Timer;

#[cfg(target_os = "linux")]
mod fine {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// Waits until moments of the monotonic clock.
    #[derive(Debug)]
    pub struct Timer {
        descriptor: AsyncFd<OwnedFd>,
    }

    impl Timer {
        /// A timer of the runtime that this is called in.
        ///
        /// # Errors
        /// When the system has no descriptor to spare.
        pub fn new() -> io::Result<Self> {
            let made = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            // SAFETY: the descriptor is owned by what is registered, which closes it only after it is registered no more.
            let descriptor = unsafe { AsyncFd::register_with_interest(made, Interest::READABLE)? };
            Ok(Self { descriptor })
        }

        /// Returns at this time, or right away when it has passed.
        ///
        /// # Errors
        /// Those of the system.
        pub async fn until(&self, nanoseconds: u64) -> io::Result<()> {
            let second = 1_000_000_000;
            let due = Timespec {
                tv_sec: i64::try_from(nanoseconds / second).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(nanoseconds % second).unwrap_or(0),
            };
            let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: due };
            timerfd_settime(self.descriptor.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
            loop {
                let mut ready = self.descriptor.readable().await?;
                let mut expirations = [0; 8];
                // Not ready after all: the readiness of an earlier wait.
                if let Ok(read) = ready.try_io(|found| Ok(rustix::io::read(found.get_ref(), &mut expirations)?)) {
                    read?;
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod coarse {
    use std::io;
    use std::time::Duration;

    use tokio::task::yield_now;
    use tokio::time::sleep;

    use crate::clock::now;

    /// Waits until moments of the monotonic clock; the last two milliseconds without sleeping.
    #[derive(Debug)]
    pub struct Timer;

    impl Timer {
        /// A timer of the runtime that this is called in.
        ///
        /// # Errors
        /// None.
        pub fn new() -> io::Result<Self> {
            Ok(Self)
        }

        /// Returns at this time, or right away when it has passed.
        ///
        /// # Errors
        /// None.
        pub async fn until(&self, nanoseconds: u64) -> io::Result<()> {
            let early = Duration::from_nanos(nanoseconds.saturating_sub(now()));
            if let Some(long) = early.checked_sub(Duration::from_millis(2)) {
                sleep(long).await;
            }
            while now() < nanoseconds {
                yield_now().await;
            }
            Ok(())
        }
    }
}
