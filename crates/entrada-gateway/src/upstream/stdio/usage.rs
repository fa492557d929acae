//! Whether something is in use, and since when it is not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Who uses something now, and when somebody last did.
#[derive(Debug)]
pub(super) struct Usage(Mutex<State>);

#[derive(Debug)]
struct State {
    users: usize,
    last: Instant,
}

impl Usage {
    /// Unused since `now`.
    pub(super) fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            users: 0,
            last: now,
        })))
    }

    /// Uses it until what this gives is dropped.
    pub(super) fn hold(self: &Arc<Self>) -> Held {
        self.state().users += 1;
        Held(Arc::clone(self))
    }

    /// Since when nobody uses it, if nobody does.
    pub(super) fn unused_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.users == 0).then_some(state.last)
    }

    /// Whether nobody has used it for so long.
    pub(super) fn is_idle(&self, for_long: Duration, now: Instant) -> bool {
        self.unused_since()
            .is_some_and(|since| now.duration_since(since) >= for_long)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody's use of something.
#[derive(Debug)]
pub(super) struct Held(Arc<Usage>);

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.users -= 1;
        state.last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_not_idle() {
        let minute = Duration::from_secs(60);
        let usage = Usage::new(Instant::now());
        assert!(!usage.is_idle(minute, Instant::now()));
        let (one, two) = (usage.hold(), usage.hold());
        tokio::time::advance(minute * 2).await;
        drop(one);
        assert!(!usage.is_idle(minute, Instant::now()));
        drop(two);
        assert!(!usage.is_idle(minute, Instant::now()));
        tokio::time::advance(minute).await;
        assert!(usage.is_idle(minute, Instant::now()));
    }
}
