//! How soon a child that stopped by itself is started again.

use std::time::Duration;

use tokio::time::Instant;

/// How often in a row it stopped, and when the last time was.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Restarts {
    failures: u32,
    last: Option<Instant>,
}

impl Restarts {
    /// How long it must still be waited for; none where it may be started.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        let due = self.last? + self.delay();
        due.checked_duration_since(now)
            .filter(|wait| !wait.is_zero())
    }

    /// Takes note that it stopped, having lived for so long.
    pub fn stopped(&mut self, lived: Duration, now: Instant) {
        if lived >= LONG_LIFE {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.last = Some(now);
    }

    /// Whether nothing is left to remember of it.
    pub fn is_forgotten(&self, now: Instant) -> bool {
        self.last
            .is_none_or(|last| now.duration_since(last) >= LONGEST + LONG_LIFE)
    }

    /// None after the first time: one crash is no crash loop.
    fn delay(&self) -> Duration {
        match self.failures {
            0 | 1 => Duration::ZERO,
            failures => {
                let doubled = 1_u32.checked_shl(failures - 2).unwrap_or(u32::MAX);
                SHORTEST.saturating_mul(doubled).min(LONGEST)
            }
        }
    }
}

/// The first delay; each that follows is twice as long.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest delay.
const LONGEST: Duration = Duration::from_secs(60);
/// How long a child lives that stopped for a reason of its own.
const LONG_LIFE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_delay_is_twice_the_one_before() {
        let now = Instant::now();
        let mut restarts = Restarts::default();
        assert_eq!(restarts.wait(now), None);
        for expected in [0, 1, 2, 4, 8, 16, 32, 60, 60, 60] {
            restarts.stopped(Duration::ZERO, now);
            let expected = Duration::from_secs(expected);
            assert_eq!(restarts.wait(now).unwrap_or_default(), expected);
            assert_eq!(restarts.wait(now + expected), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_life_makes_up_for_what_was() {
        let now = Instant::now();
        let mut restarts = Restarts::default();
        for _ in 0..40 {
            restarts.stopped(Duration::ZERO, now);
        }
        assert!(restarts.wait(now).is_some());
        restarts.stopped(LONG_LIFE, now);
        assert_eq!(restarts.wait(now), None);
        restarts.stopped(Duration::ZERO, now);
        assert_eq!(restarts.wait(now), Some(SHORTEST));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_long_past_is_forgotten() {
        let now = Instant::now();
        let mut restarts = Restarts::default();
        assert!(restarts.is_forgotten(now));
        restarts.stopped(Duration::ZERO, now);
        assert!(!restarts.is_forgotten(now + LONGEST));
        assert!(restarts.is_forgotten(now + LONGEST + LONG_LIFE));
    }
}
