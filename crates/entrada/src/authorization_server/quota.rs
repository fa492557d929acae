//! How often something may be done.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::platform::Timestamp;

/// The window in which uses are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// Registrations in one window: a team that starts its day stays far below it.
const MOST_PER_WINDOW: u32 = 120;

/// A count of uses in a window of one minute, for this process.
#[derive(Debug, Default)]
pub(super) struct Quota(Mutex<Option<Window>>);

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Timestamp,
    used: u32,
}

impl Quota {
    /// Counts a use; `Err` with the time to wait if there were too many.
    pub(super) fn spend(&self, now: Timestamp) -> Result<(), Duration> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = match *current {
            Some(window) if now.since(window.began) < WINDOW => window,
            _ => Window {
                began: now,
                used: 0,
            },
        };
        if window.used >= MOST_PER_WINDOW {
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
        let quota = Quota::default();
        let at = Timestamp::from_unix;
        for _ in 0..MOST_PER_WINDOW {
            assert_eq!(quota.spend(at(100)), Ok(()));
        }
        assert_eq!(quota.spend(at(110)), Err(Duration::from_secs(50)));
        assert_eq!(quota.spend(at(160)), Ok(()));
    }
}
