//! A downstream token that is kept, and how long.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::entra::token::EntraTokens;
use crate::platform::Timestamp;
use crate::secret::{EntraAccessToken, sealable};

/// How long before its end a token is replaced while it can still be used.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// How long before its end a token is of no use: a request that takes it takes its time.
const LATE: Duration = Duration::from_secs(30);

/// From which lifetime on a token is replaced at half of it, where Entra does not say.
const LONG: Duration = Duration::from_secs(2 * 60 * 60);

/// How soon replacing a token that can still be used is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// How long a token that answers a challenge is given to all who met the challenge. Whoever meets it
/// later met it with that token.
const ANSWERS: Duration = Duration::from_secs(10);

/// A downstream token, and its end.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Given {
    #[serde(with = "sealable")]
    pub(super) token: EntraAccessToken,
    pub(super) expires_at: Timestamp,
}

/// A downstream token that is kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Kept {
    pub(super) given: Given,
    /// When its grant was last seen to stand.
    pub(super) seen_at: Timestamp,
    got_at: Timestamp,
    tried_at: Timestamp,
    pub(super) refresh_at: Timestamp,
}

/// What to do for somebody who needs the token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Plan {
    /// It will do.
    Use,
    /// It will do, and it is time for a new one.
    UseAndRefresh,
    /// It will not do any more.
    Replace,
}

impl Kept {
    pub(super) fn new(tokens: &EntraTokens, now: Timestamp) -> Self {
        let EntraTokens {
            expires_in,
            refresh_in,
            ..
        } = *tokens;
        let half = (expires_in >= LONG).then_some(expires_in / 2);
        let early = expires_in.saturating_sub(EARLY);
        let refresh_in = refresh_in.or(half).unwrap_or(early).min(early);
        Self {
            given: Given {
                token: tokens.access_token.clone(),
                expires_at: now + expires_in,
            },
            seen_at: now,
            got_at: now,
            tried_at: now,
            refresh_at: now + refresh_in,
        }
    }

    /// Whether it is the token that `other` is.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.got_at == other.got_at && self.given.expires_at == other.given.expires_at
    }

    /// The same, once replacing it was tried.
    pub(super) fn tried(&self, now: Timestamp) -> Self {
        Self {
            tried_at: now,
            ..self.clone()
        }
    }

    /// The same, once its grant was seen to stand.
    pub(super) fn seen(&self, now: Timestamp) -> Self {
        Self {
            seen_at: now,
            ..self.clone()
        }
    }

    /// The same, as another replica got it, whose clock may be ahead, once its grant was seen to stand.
    pub(super) fn taken_over(self, now: Timestamp) -> Self {
        Self {
            seen_at: now,
            got_at: self.got_at.min(now),
            tried_at: self.tried_at.min(now),
            ..self
        }
    }

    /// Whether it answers a challenge that is met now.
    pub(super) fn answers_challenge(&self, now: Timestamp) -> bool {
        self.got_at.is_within(ANSWERS, now)
    }

    pub(super) fn plan(&self, now: Timestamp) -> Plan {
        // A clock that was set back must not make a token live longer.
        if now < self.got_at || now + LATE >= self.given.expires_at {
            Plan::Replace
        } else if now < self.refresh_at || self.tried_at.is_within(RETRY, now) {
            Plan::Use
        } else {
            Plan::UseAndRefresh
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(expires_in: u64, refresh_in: Option<u64>) -> EntraTokens {
        EntraTokens {
            access_token: EntraAccessToken::new("t"),
            expires_in: Duration::from_secs(expires_in),
            refresh_in: refresh_in.map(Duration::from_secs),
            refresh_token: None,
            id_token: None,
            scope: None,
        }
    }

    #[test]
    fn a_token_is_used_refreshed_and_replaced_in_time() {
        use Plan::{Replace, Use, UseAndRefresh};
        const START: u64 = 1_000_000;
        for (expires_in, refresh_in, age, expected) in [
            (3600, None, 0, Use),
            (3600, None, 3299, Use),
            (3600, None, 3300, UseAndRefresh),
            (3600, None, 3569, UseAndRefresh),
            (3600, None, 3570, Replace),
            // At half of a long life.
            (7199, None, 6898, Use),
            (7200, None, 3599, Use),
            (7200, None, 3600, UseAndRefresh),
            // When Entra says.
            (86400, Some(43200), 43199, Use),
            (86400, Some(43200), 43200, UseAndRefresh),
            (3600, Some(3599), 3300, UseAndRefresh),
            // Short as it may be, not at every call.
            (60, None, 29, Use),
            (60, None, 30, Replace),
            (120, None, 29, Use),
            (120, None, 30, UseAndRefresh),
            (20, None, 0, Replace),
        ] {
            let kept = Kept::new(&tokens(expires_in, refresh_in), Timestamp::from_unix(START));
            let plan = kept.plan(Timestamp::from_unix(START + age));
            assert_eq!(plan, expected, "{expires_in} {refresh_in:?} {age}");
        }
    }

    #[test]
    fn refreshing_is_tried_twice_a_minute_and_clocks_may_be_set_back() {
        let at = Timestamp::from_unix;
        let kept = Kept::new(&tokens(3600, None), at(0)).tried(at(3400));
        assert_eq!(kept.plan(at(3429)), Plan::Use);
        assert_eq!(kept.plan(at(3430)), Plan::UseAndRefresh);
        let kept = Kept::new(&tokens(3600, None), at(1000));
        assert_eq!(kept.plan(at(999)), Plan::Replace);
    }
}
