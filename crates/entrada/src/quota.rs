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
    window: Mutex<Option<Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Timestamp,
    used: u32,
}

impl Quota {
    /// Allows `most` uses in a minute.
    pub(crate) const fn new(most: u32) -> Self {
        Self {
            most,
            window: Mutex::new(None),
        }
    }

    /// Counts a use; `Err` with the time to wait if there were too many.
    pub(crate) fn spend(&self, now: Timestamp) -> Result<(), Duration> {
        let mut current = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let window = match *current {
            Some(window) if now.since(window.began) < WINDOW => window,
            _ => Window {
                began: now,
                used: 0,
            },
        };
        if window.used >= self.most {
            return Err(WINDOW.saturating_sub(now.since(window.began)));
        }
        *current = Some(Window {
            used: window.used + 1,
            ..window
        });
        Ok(())
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
}
