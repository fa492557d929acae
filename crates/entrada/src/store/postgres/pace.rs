//! How often a server that does not answer is asked again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::PostgresError;
use crate::causes::Causes;
use crate::platform::{SecureRandom as _, SystemRandom};

/// The pause after the first connection that failed; each further one doubles it.
const SHORTEST: Duration = Duration::from_millis(50);

/// No pause is longer: this is how late a replica notices that the server is back.
const LONGEST: Duration = Duration::from_secs(1);

/// Spaces the attempts to connect while they fail, in each replica a little differently, so that a
/// server that comes up is not met by all at once. While they succeed, nobody waits.
#[derive(Debug, Default)]
pub(super) struct Pace {
    state: Mutex<State>,
    recovered: Notify,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Why the last attempt failed.
    trouble: Option<String>,
    /// From when on the next attempt may be made; at once if there is none.
    next: Option<Instant>,
}

/// An attempt to connect: one that is dropped has failed.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    pace: &'a Pace,
    succeeded: bool,
}

impl Pace {
    /// Waits until an attempt may be made. One that is made while others fail takes the turn of all
    /// who wait.
    pub(super) async fn attempt(&self) -> Attempt<'_> {
        loop {
            // Before the look at the state, or a recovery in between would go unheard.
            let recovered = self.recovered.notified();
            match self.wait() {
                None => break,
                Some(next) => drop(timeout_at(next, recovered).await),
            }
        }
        Attempt {
            pace: self,
            succeeded: false,
        }
    }

    /// Why the last attempt failed, if it did.
    pub(super) fn trouble(&self) -> Option<String> {
        self.held().trouble.clone()
    }

    /// Until when to wait; `None` if it is the caller's turn.
    fn wait(&self) -> Option<Instant> {
        let mut state = self.held();
        let now = Instant::now();
        match state.next {
            Some(next) if now < next => Some(next),
            Some(_) => {
                state.next = Some(now + pause(state.failures));
                None
            }
            None => None,
        }
    }

    fn held(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// The server is there.
    pub(super) fn succeeded(mut self) {
        self.succeeded = true;
    }

    /// It is not, or not as it should be. Said once: whoever asks is told each time.
    pub(super) fn failed(self, error: &PostgresError) {
        let told = Causes(error).to_string();
        let mut state = self.pace.held();
        if state.failures == 0 {
            tracing::warn!(error = told, "PostgreSQL cannot be used");
        }
        state.trouble = Some(told);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut state = self.pace.held();
        if self.succeeded {
            if state.failures > 0 {
                tracing::info!("PostgreSQL is there again");
            }
            *state = State::default();
            drop(state);
            self.pace.recovered.notify_waiters();
        } else {
            state.failures = state.failures.saturating_add(1);
            state.next = Some(Instant::now() + pause(state.failures));
        }
    }
}

/// Half of what doubling gives, and up to as much again by chance.
fn pause(failures: u32) -> Duration {
    let doubled = SHORTEST * 2_u32.saturating_pow(failures.saturating_sub(1).min(10));
    let half = doubled.min(LONGEST) / 2;
    let mut byte = [0];
    SystemRandom::default().fill(&mut byte);
    half + half * u32::from(byte[0]) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_while_connections_succeed() {
        let (pace, start) = (Pace::default(), Instant::now());
        for _ in 0..100 {
            pace.attempt().await.succeeded();
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_stay_below_the_longest() {
        let pace = Pace::default();
        drop(pace.attempt().await);
        for doubled in [50, 100, 200, 400, 800, 1000, 1000] {
            let start = Instant::now();
            drop(pace.attempt().await);
            let (waited, most) = (start.elapsed(), Duration::from_millis(doubled));
            // The timer counts whole milliseconds.
            assert!(waited >= most / 2, "{waited:?}");
            assert!(waited <= most + Duration::from_millis(1), "{waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_makes_one_attempt_and_goes_on_together_once_it_succeeds() {
        let pace = Pace::default();
        for _ in 0..8 {
            drop(pace.attempt().await);
        }
        let turns = (0..100).map(|_| async {
            let attempt = pace.attempt().await;
            (attempt, Instant::now())
        });
        let mut turns: Vec<_> = turns.map(Box::pin).collect();
        let (first, _) = turns.pop().unwrap().await;
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for turn in &mut turns {
            assert!(turn.as_mut().poll(&mut context).is_pending());
        }
        let start = Instant::now();
        first.succeeded();
        for turn in turns {
            let (attempt, at) = turn.await;
            attempt.succeeded();
            assert_eq!(at, start);
        }
    }
}
