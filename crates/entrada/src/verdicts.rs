//! Verdicts on tokens that need no grant, remembered for a while.

use std::time::Duration;

use quick_cache::sync::Cache;

use crate::access_token::{PresentedToken, TokenKey, VerifiedToken};
use crate::platform::Timestamp;

/// How long a verdict is remembered: a key that we let go of is believed no longer than this.
const VERDICT_TTL: Duration = Duration::from_secs(60);

/// How many verdicts are remembered.
const MOST_VERDICTS: usize = 10_000;

/// What was found about tokens.
#[derive(Debug)]
pub(crate) struct Verdicts {
    reached: Cache<TokenKey, Verdict>,
    /// How long after its end a token is still taken.
    leeway: Duration,
}

#[derive(Clone, Debug)]
struct Verdict {
    token: VerifiedToken,
    at: Timestamp,
}

impl Verdicts {
    pub(crate) fn new(leeway: Duration) -> Self {
        Self {
            reached: Cache::new(MOST_VERDICTS),
            leeway,
        }
    }

    /// The verdict on a token, while it is young and the token lives.
    pub(crate) fn recall(
        &self,
        presented: PresentedToken<'_>,
        now: Timestamp,
    ) -> Option<VerifiedToken> {
        let Verdict { token, at } = self.reached.get(&presented)?;
        let fresh = now.since(at) <= VERDICT_TTL && now >= at;
        let lives = now < token.expires_at + self.leeway;
        (fresh && lives).then_some(token)
    }

    /// Remembers a token that was just verified.
    pub(crate) fn reach(
        &self,
        presented: PresentedToken<'_>,
        token: VerifiedToken,
        now: Timestamp,
    ) -> VerifiedToken {
        let verdict = Verdict {
            token: token.clone(),
            at: now,
        };
        self.reached.insert(presented.key(), verdict);
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_token::TokenFacts;
    use crate::oauth::client::ClientId;

    #[test]
    fn a_verdict_is_remembered_for_a_minute_and_no_longer_than_its_token_lives() {
        let at = Timestamp::from_unix;
        for (expires, now, remembered) in [
            (2000, 1000, true),
            (2000, 1060, true),
            (2000, 1061, false),
            // Clocks can step back.
            (2000, 999, false),
            (1001, 1010, true),
            (1001, 1011, false),
        ] {
            let verdicts = Verdicts::new(Duration::from_secs(10));
            let client_id = ClientId::parse("c").unwrap();
            let facts = TokenFacts::new("i".into(), "s".into(), client_id, at(expires));
            let presented = PresentedToken::new("a.b.c");
            verdicts.reach(presented, VerifiedToken::assertion(facts), at(1000));
            let found = verdicts.recall(presented, at(now)).is_some();
            assert_eq!(found, remembered, "{expires} {now}");
            let other = PresentedToken::new("a.b.d");
            assert!(verdicts.recall(other, at(1000)).is_none());
        }
    }
}
