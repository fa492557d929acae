//! When a certificate is ordered, and when again after that failed: a rule over facts.

use std::time::Duration;

use entrada::platform::Timestamp;
use serde::{Deserialize, Serialize};

use crate::tls::Validity;

/// What it is decided by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// The certificate there is, where it is one of those that are wanted.
    pub(super) certificate: Option<Validity>,
    /// When the authority would have it renewed (RFC 9773 §4.2).
    pub(super) suggested: Option<Window>,
    /// What became of the orders before.
    pub(super) attempts: Attempts,
    /// Where in a span of time this gateway is, so that not all come at once.
    pub(super) dice: Dice,
    /// Whether somebody asks for it, who may have mended what was in the way.
    pub(super) asked: bool,
}

/// A span of time in which a certificate is renewed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Window {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

/// Orders that failed since one did not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
pub(super) struct Attempts {
    failures: u32,
    last: Timestamp,
    /// Before when the authority wants no other (RFC 8555 §6.6).
    not_before: Option<Timestamp>,
}

/// A place in a span of time, drawn once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dice(pub(super) u16);

impl Dice {
    /// So far into `span`.
    fn of(self, span: Duration) -> Duration {
        let part = u128::from(span.as_secs()) * u128::from(self.0) / u128::from(u16::MAX);
        Duration::from_secs(u64::try_from(part).unwrap_or(u64::MAX))
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// A certificate is to be ordered now.
    Order,
    /// Nothing before then.
    Wait(Timestamp),
}

impl Facts {
    /// What is to be done at `now`.
    pub(super) fn next(&self, now: Timestamp) -> Next {
        let at = self.due().max(self.attempts.earliest(self, now));
        if at <= now {
            Next::Order
        } else {
            Next::Wait(at)
        }
    }

    /// Whether one is needed at `now`, whatever became of the orders before.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.due() <= now
    }

    /// When a certificate is needed.
    fn due(&self) -> Timestamp {
        let Some(validity) = self.certificate else {
            return Timestamp::default();
        };
        let lifetime = validity.not_after.since(validity.not_before);
        let latest = validity.not_before + lifetime * 9 / 10;
        match self.suggested {
            // RFC 9773 §4.2: a window that ends before it starts is none.
            Some(window) if window.start < window.end => {
                let span = window.end.since(window.start);
                // Whoever suggests to renew what is over has another clock.
                (window.start + self.dice.of(span)).min(latest)
            }
            _ => validity.not_before + lifetime * 2 / 3 + self.dice.of(lifetime / 30),
        }
    }
}

impl Attempts {
    /// None that failed since the one that did not, at `now`.
    pub(super) fn succeeded(now: Timestamp) -> Self {
        Self {
            last: now,
            ..Self::default()
        }
    }

    /// The same, and another failed at `now`; the authority said how long it wants no other.
    pub(super) fn and_failed(self, retry_after: Option<Duration>, now: Timestamp) -> Self {
        Self {
            failures: self.failures.saturating_add(1),
            last: now,
            not_before: retry_after.map(|pause| now + pause.min(LONGEST_PAUSE)),
        }
    }

    /// The first moment the next may be. A clock that was set back makes what was noted worthless.
    fn earliest(self, facts: &Facts, now: Timestamp) -> Timestamp {
        let none = Timestamp::default();
        let said = self.not_before.filter(|at| *at <= now + LONGEST_PAUSE);
        let said = said.unwrap_or(none);
        if self.last > now || facts.asked {
            return said;
        }
        let Some(nth) = self.failures.checked_sub(1) else {
            return facts.certificate.map_or(said, |validity| {
                let pause = validity.not_after.since(validity.not_before) / 10;
                said.max(self.last + pause.clamp(SHORTEST_USE, LONGEST_USE))
            });
        };
        let nth = usize::try_from(nth).unwrap_or(usize::MAX);
        let pause = PAUSES.get(nth).copied().unwrap_or(LONGEST);
        let pause = Duration::from_secs(pause);
        said.max(self.last + pause + facts.dice.of(pause / 8))
    }
}

/// How long to wait after each failure, in seconds. Let's Encrypt takes five failures an hour for a name (*Rate
/// Limits: Authorization Failures per Identifier per Account*), and these are four.
const PAUSES: [u64; 5] = [60, 300, 900, 3600, 7200];
/// After further ones.
const LONGEST: u64 = 6 * 3600;
/// How long a certificate is used at least, a tenth of its life within these bounds: an authority may say of each
/// that it should have been renewed already.
const SHORTEST_USE: Duration = Duration::from_secs(10);
const LONGEST_USE: Duration = Duration::from_secs(3600);
/// The longest an authority is heard about: its limits are over a week.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(8 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    /// Of 90 days, from day 100 on.
    fn facts() -> Facts {
        Facts {
            certificate: Some(Validity::new(at(100 * DAY), at(190 * DAY))),
            suggested: None,
            attempts: Attempts::default(),
            dice: Dice(0),
            asked: false,
        }
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life_or_when_the_authority_says() {
        let window = |start, end| {
            Some(Window {
                start: at(start * DAY),
                end: at(end * DAY),
            })
        };
        for (suggested, dice, due) in [
            (None, 0, 160),
            (None, u16::MAX, 163),
            (window(130, 140), 0, 130),
            (window(130, 140), u16::MAX, 140),
            (window(10, 20), u16::MAX, 20),
            // A window that is none.
            (window(140, 130), 0, 160),
            // After it is over, or nearly.
            (window(189, 300), u16::MAX, 181),
        ] {
            let facts = Facts {
                suggested,
                dice: Dice(dice),
                ..facts()
            };
            let due = due * DAY;
            assert_eq!(facts.next(at(due)), Next::Order, "{suggested:?} {dice}");
            let before = facts.next(at(due - 1));
            assert_eq!(before, Next::Wait(at(due)), "{suggested:?} {dice}");
        }
    }

    #[test]
    fn without_a_certificate_that_is_wanted_one_is_ordered_at_once() {
        let facts = Facts {
            certificate: None,
            ..facts()
        };
        assert_eq!(facts.next(at(0)), Next::Order);
        assert_eq!(facts.next(at(100 * DAY)), Next::Order);
    }

    #[test]
    fn after_each_failure_it_takes_longer_and_no_authority_counts_five_in_an_hour() {
        let mut facts = Facts {
            certificate: None,
            ..facts()
        };
        let (mut now, mut all) = (at(1000), vec![]);
        for pause in [60, 300, 900, 3600, 7200, 21_600, 21_600] {
            all.push(now);
            facts.attempts = facts.attempts.and_failed(None, now);
            let next = now + Duration::from_secs(pause);
            assert_eq!(facts.next(now), Next::Wait(next));
            facts.dice = Dice(u16::MAX);
            let later = next + Duration::from_secs(pause / 8);
            assert_eq!(facts.next(now), Next::Wait(later));
            facts.dice = Dice(0);
            assert_eq!(facts.next(next), Next::Order);
            now = next;
        }
        let within = |first: Timestamp| {
            let hour = all.iter().filter(|at| **at >= first);
            hour.filter(|at| at.since(first) < Duration::from_secs(3600))
                .count()
        };
        assert!(all.iter().all(|first| within(*first) < 5));
    }

    #[test]
    fn what_the_authority_says_counts_for_whoever_asks_and_our_own_pause_does_not() {
        let failed = |retry_after| Facts {
            certificate: None,
            attempts: Attempts::default().and_failed(retry_after, at(1000)),
            ..facts()
        };
        let hour = Some(Duration::from_secs(3600));
        for (retry_after, asked, expected) in [
            (None, false, 1060),
            (None, true, 0),
            (Some(Duration::from_secs(5)), false, 1060),
            (Some(Duration::from_secs(5)), true, 1005),
            (hour, false, 4600),
            (hour, true, 4600),
            (Some(Duration::MAX), true, 1000 + 8 * DAY),
        ] {
            let facts = Facts {
                asked,
                ..failed(retry_after)
            };
            let next = if expected == 0 {
                Next::Order
            } else {
                Next::Wait(at(expected))
            };
            assert_eq!(facts.next(at(1001)), next, "{retry_after:?} {asked}");
        }
        // Whoever asks gets none before its time.
        let asked = Facts {
            asked: true,
            ..facts()
        };
        assert_eq!(asked.next(at(101 * DAY)), Next::Wait(at(160 * DAY)));
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nothing_up() {
        let long_after = at(1000 * DAY);
        let facts = Facts {
            certificate: None,
            attempts: Attempts::default().and_failed(Some(Duration::from_secs(9)), long_after),
            ..facts()
        };
        assert_eq!(facts.next(at(1000)), Next::Order);
    }
}
