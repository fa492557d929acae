//! How often something may be done.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::platform::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A count of uses in a window of one minute, for this process.
#[derive(Debug)]
pub(crate) struct Quota {
    most: u32,
    count: Count,
}

impl Quota {
    /// Allows `most` uses in a minute.
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most,
            count: Count::default(),
        }
    }

    /// Counts a use; `Err` with the time to wait if there were too many.
    pub(crate) fn spend(&self, now: Timestamp) -> Result<(), Duration> {
        self.count.spend(self.most, now)
    }
}

/// The same, where how many may be depends on the moment.
#[derive(Debug)]
pub(crate) struct Count {
    length: Duration,
    current: Mutex<Window>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began: Timestamp,
    used: u32,
}

impl Window {
    /// The window of this `length` that `now` falls into.
    fn at(self, length: Duration, now: Timestamp) -> Self {
        // One that begins later than now, for a clock was set back, is over, too.
        if self.began.is_within(length, now) {
            self
        } else {
            Self {
                began: now,
                used: 0,
            }
        }
    }
}

impl Default for Count {
    /// A count of a minute.
    fn default() -> Self {
        Self::of(MINUTE)
    }
}

impl Count {
    fn of(length: Duration) -> Self {
        Self {
            length,
            current: Mutex::default(),
        }
    }

    /// A count of a day.
    pub(crate) fn of_a_day() -> Self {
        Self::of(DAY)
    }

    /// Counts a use; `Err` with the time to wait if there were `most` already.
    pub(crate) fn spend(&self, most: u32, now: Timestamp) -> Result<(), Duration> {
        let mut current = self.lock();
        let window = current.at(self.length, now);
        if window.used >= most {
            return Err(self.length.saturating_sub(now.since(window.began)));
        }
        *current = Window {
            used: window.used + 1,
            ..window
        };
        Ok(())
    }

    /// How many there were in this window; the time to wait for the next goes with it.
    pub(crate) fn used(&self, now: Timestamp) -> (u32, Duration) {
        let window = self.lock().at(self.length, now);
        let left = self.length.saturating_sub(now.since(window.began));
        (window.used, left)
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_fills_and_passes() {
        let quota = Quota::new(3);
        let at = Timestamp::from_unix;
        for _ in 0..3 {
            assert_eq!(quota.spend(at(100)), Ok(()));
        }
        assert_eq!(quota.spend(at(110)), Err(Duration::from_secs(50)));
        assert_eq!(quota.spend(at(160)), Ok(()));
    }

    #[test]
    fn a_day_is_longer_than_a_minute() {
        let count = Count::of_a_day();
        let at = Timestamp::from_unix;
        assert_eq!(count.spend(1, at(1_000_000)), Ok(()));
        assert_eq!(count.spend(1, at(1_086_399)), Err(Duration::from_secs(1)));
        assert_eq!(count.spend(1, at(1_086_400)), Ok(()));
    }

    #[test]
    fn a_clock_that_was_set_back_closes_no_window() {
        let quota = Quota::new(1);
        let at = Timestamp::from_unix;
        assert_eq!(quota.spend(at(1000)), Ok(()));
        assert_eq!(quota.spend(at(100)), Ok(()));
    }
}
