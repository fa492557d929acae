//! Which replica of an MCP server a request goes to: the rules.

use std::time::Duration;

use tokio::time::Instant;

/// How a replica fared, as far as connections say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Health {
    failures: u32,
    /// When the first of these was.
    since: Option<Instant>,
    /// When the last was that counted.
    last: Option<Instant>,
    /// Whether it said, when it was last asked, that it is not well.
    is_ill: bool,
}

impl Health {
    /// Takes note that no connection could be made. Those that fail together count once.
    pub(super) fn failed(&mut self, now: Instant) {
        if self.is_away(now) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.since.get_or_insert(now);
        self.last = Some(now);
    }

    /// Takes note that it answered.
    pub(super) fn answered(&mut self) {
        *self = Self {
            is_ill: self.is_ill,
            ..Self::default()
        };
    }

    /// Takes note of whether it is well, as it says itself: one that is not may still answer those who have a
    /// session there.
    pub(super) fn said(&mut self, is_well: bool) {
        self.answered();
        self.is_ill = !is_well;
    }

    /// Whether it is left out.
    pub(super) fn is_out(&self, now: Instant) -> bool {
        self.is_ill || self.is_away(now)
    }

    fn is_away(&self, now: Instant) -> bool {
        self.last
            .is_some_and(|last| now.duration_since(last) < back_off(self.failures))
    }

    /// Whether a session there is over: it has been away for `grace`, while another replica is there.
    ///
    /// The client then begins another session. Earlier it is to try again, for what restarts may know
    /// its sessions still (MCP transports, *Session Management*).
    pub(super) fn has_lost_sessions(&self, grace: Duration, others: bool, now: Instant) -> bool {
        let away = self.since.map(|since| now.duration_since(since));
        others && away.is_some_and(|away| away >= grace)
    }
}

/// How long a replica is left out that could not be connected to so often in a row.
fn back_off(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        failures => {
            let doubled = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
            SHORTEST.saturating_mul(doubled).min(LONGEST)
        }
    }
}

/// What a replica is doing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// How many requests it has under way, streams among them.
    pub(super) busy: usize,
    pub(super) is_out: bool,
}

/// In which order replicas are tried by a request that may go to any: the least busy first, those that
/// are left out last. `turn` says where the count begins, so that equals take turns.
pub(super) fn order(standings: &[Standing], turn: usize) -> Vec<usize> {
    let count = standings.len().max(1);
    let start = turn % count;
    let mut found: Vec<(usize, &Standing)> = standings.iter().enumerate().collect();
    found.sort_by_key(|(index, standing)| {
        let turn = (index + count - start) % count;
        (standing.is_out, standing.busy, turn)
    });
    let found = found.into_iter().take(ATTEMPTS);
    found.map(|(index, _)| index).collect()
}

/// How many replicas one request tries: each may take its time to be found away.
const ATTEMPTS: usize = 3;
/// How long one is left out at first; each time is twice as long.
const SHORTEST: Duration = Duration::from_secs(1);
/// How long at most.
const LONGEST: Duration = Duration::from_secs(60);
/// How long a replica may be away and still have its sessions.
pub(crate) const SESSION_GRACE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_tried_by_how_busy_they_are_and_whether_they_are_there() {
        for (standings, turn, expected) in [
            (&[(0, false)][..], 7, &[0][..]),
            (&[(0, false), (0, false), (0, false)], 0, &[0, 1, 2]),
            (&[(0, false), (0, false), (0, false)], 1, &[1, 2, 0]),
            (&[(0, false), (0, false), (0, false)], 5, &[2, 0, 1]),
            (&[(2, false), (0, false), (1, false)], 0, &[1, 2, 0]),
            (&[(0, true), (9, false)], 0, &[1, 0]),
            (&[(1, true), (0, true)], 0, &[1, 0]),
            (
                &[(0, false), (1, false), (2, false), (3, false)],
                0,
                &[0, 1, 2],
            ),
            (&[], 3, &[]),
        ] {
            let standings = standings.iter();
            let standings = standings.map(|&(busy, is_out)| Standing { busy, is_out });
            let standings: Vec<_> = standings.collect();
            assert_eq!(order(&standings, turn), expected, "{standings:?} {turn}");
        }
    }

    #[test]
    fn one_is_left_out_for_longer_each_time() {
        for (failures, seconds) in [
            (0, 0),
            (1, 1),
            (2, 2),
            (3, 4),
            (6, 32),
            (7, 60),
            (u32::MAX, 60),
        ] {
            assert_eq!(back_off(failures), Duration::from_secs(seconds));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_at_one_time_count_once_and_an_answer_ends_them() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let mut health = Health::default();
        assert!(!health.is_out(start));
        health.failed(start);
        health.failed(start + second / 2);
        assert!(health.is_out(start + second / 2));
        assert!(!health.is_out(start + second));
        health.failed(start + second);
        assert!(health.is_out(start + second * 2));
        assert!(!health.is_out(start + second * 3));
        health.answered();
        assert_eq!(health, Health::default());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_says_it_is_not_well_is_left_out_until_it_says_it_is() {
        let now = Instant::now();
        let mut health = Health::default();
        health.said(false);
        assert!(health.is_out(now));
        // Whoever has a session there gets answers meanwhile.
        health.answered();
        assert!(health.is_out(now));
        assert!(!health.has_lost_sessions(Duration::ZERO, true, now));
        health.said(true);
        assert_eq!(health, Health::default());
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_are_over_when_their_replica_stays_away_and_another_is_there() {
        let start = Instant::now();
        let mut health = Health::default();
        assert!(!health.has_lost_sessions(Duration::ZERO, true, start));
        health.failed(start);
        for (seconds, others, expected) in [
            (0, true, false),
            (9, true, false),
            (10, true, true),
            (10, false, false),
        ] {
            let now = start + Duration::from_secs(seconds);
            let lost = health.has_lost_sessions(SESSION_GRACE, others, now);
            assert_eq!(lost, expected, "{seconds} {others}");
        }
    }
}
