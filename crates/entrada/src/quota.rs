//! How often something may be done.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::platform::Timestamp;

/// The window in which uses are counted.
const WINDOW: Duration = Duration::from_secs(60);

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
#[derive(Debug, Default)]
pub(crate) struct Count(Mutex<Window>);

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began: Timestamp,
    used: u32,
}

impl Window {
    /// The window that `now` falls into.
    fn at(self, now: Timestamp) -> Self {
        // One that begins later than now, for a clock was set back, is over, too.
        if self.began.is_within(WINDOW, now) {
            self
        } else {
            Self {
                began: now,
                used: 0,
            }
        }
    }
}

impl Count {
    /// Counts a use; `Err` with the time to wait if there were `most` already.
    pub(crate) fn spend(&self, most: u32, now: Timestamp) -> Result<(), Duration> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = current.at(now);
        if window.used >= most {
            return Err(WINDOW.saturating_sub(now.since(window.began)));
        }
        *current = Window {
            used: window.used + 1,
            ..window
        };
        Ok(())
    }

    /// How many there were in this minute; the time to wait for the next goes with it.
    pub(crate) fn used(&self, now: Timestamp) -> (u32, Duration) {
        let current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = current.at(now);
        let left = WINDOW.saturating_sub(now.since(window.began));
        (window.used, left)
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
    fn a_clock_that_was_set_back_closes_no_window() {
        let quota = Quota::new(1);
        let at = Timestamp::from_unix;
        assert_eq!(quota.spend(at(1000)), Ok(()));
        assert_eq!(quota.spend(at(100)), Ok(()));
    }
}
