//! How often one user, client or caller of a tool may come.
//!
//! What is counted is counted by each process for itself, and forgotten when it ends.

use std::convert::Infallible;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use entrada::VerifiedToken;
use entrada::access_token::TokenFacts;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::called::Called;

/// So many in so long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Rate {
    /// How many.
    pub most: u32,
    /// In how long.
    pub per: Duration,
}

impl Rate {
    /// `most` in `per`.
    pub const fn new(most: u32, per: Duration) -> Self {
        Self { most, per }
    }
}

/// The limits of one route, as they are configured.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Rates {
    /// Of one user, or of one application.
    pub user: Option<Rate>,
    /// Of one client, with all of its users.
    pub client: Option<Rate>,
    /// Of one user at one tool.
    pub tool: Option<Rate>,
}

/// A request over a limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct OverLimit {
    /// Which limit.
    pub(crate) by: &'static str,
    /// How long to wait.
    pub(crate) retry_after: Duration,
}

/// What was counted of one route.
#[derive(Debug)]
pub(crate) struct RateLimits {
    rates: Rates,
    windows: Cache<u64, Arc<Mutex<Window>>>,
    hashing: RandomState,
}

impl RateLimits {
    pub(crate) fn new(rates: Rates) -> Self {
        Self {
            rates,
            windows: Cache::new(MOST_COUNTED),
            hashing: RandomState::new(),
        }
    }

    pub(crate) const fn rates(&self) -> Rates {
        self.rates
    }

    /// Whether calls of tools are counted.
    pub(crate) const fn limits_tools(&self) -> bool {
        self.rates.tool.is_some()
    }

    /// Counts a call of `caller` if there may be one more.
    pub(crate) fn admit(
        &self,
        caller: &VerifiedToken,
        call: Option<&Called>,
        now: Instant,
    ) -> Result<(), OverLimit> {
        let Rates { user, client, tool } = self.rates;
        let who = user_of(caller);
        if let Some(rate) = user {
            self.spend("user", who, rate, now)?;
        }
        if let Some(rate) = client {
            self.spend("client", caller.client_id.as_str(), rate, now)?;
        }
        if let (Some(rate), Some(tool)) = (tool, call.and_then(Called::tool)) {
            self.spend("tool", (who, tool), rate, now)?;
        }
        Ok(())
    }

    fn spend(
        &self,
        by: &'static str,
        whose: impl Hash,
        rate: Rate,
        now: Instant,
    ) -> Result<(), OverLimit> {
        // Names are as long as strangers make them; what is kept of one is as long as a number.
        let key = self.hashing.hash_one((by, whose));
        let fresh = || Ok::<_, Infallible>(Arc::new(Mutex::new(Window::beginning(now))));
        let window = self.windows.get_or_insert_with(&key, fresh);
        let window = window.unwrap_or_else(|never| match never {});
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = window.spend(rate, now);
        spent.map_err(|retry_after| OverLimit { by, retry_after })
    }
}

/// A user by what names them for good.
pub(crate) fn user_of(facts: &TokenFacts) -> (&str, &str) {
    let principal = &facts.principal;
    match &principal.object_id {
        Some(object_id) => (&principal.tenant_id, object_id),
        None => (&facts.issuer, &facts.subject),
    }
}

/// How much was done since when.
#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    used: u32,
}

impl Window {
    const fn beginning(now: Instant) -> Self {
        Self {
            began: now,
            used: 0,
        }
    }

    /// Counts one more; `Err` with the time to wait if there were as many as may be.
    fn spend(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let since = now.saturating_duration_since(self.began);
        if since >= rate.per {
            *self = Self::beginning(now);
        } else if self.used >= rate.most {
            return Err(rate.per.saturating_sub(since));
        }
        self.used += 1;
        Ok(())
    }
}

/// How many are counted at once on a route. Who is pushed out begins anew.
const MOST_COUNTED: usize = 20_000;

#[cfg(test)]
mod tests {
    use entrada::oauth::client::ClientId;
    use entrada::platform::Timestamp;

    use super::*;

    fn caller(subject: &str, client: &str) -> VerifiedToken {
        let client_id = ClientId::parse(client).unwrap();
        let end = Timestamp::from_unix(u64::MAX);
        VerifiedToken::assertion(TokenFacts::new(
            "i".to_owned(),
            subject.to_owned(),
            client_id,
            end,
        ))
    }

    fn by(limit: Result<(), OverLimit>) -> Option<(&'static str, u64)> {
        limit.err().map(|it| (it.by, it.retry_after.as_secs()))
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_counted_apart() {
        let minute = |most| Some(Rate::new(most, Duration::from_secs(60)));
        let limits = RateLimits::new(Rates {
            user: minute(4),
            client: minute(5),
            tool: minute(2),
        });
        let call = |name: &str| Called::new("tools/call", Some(name.to_owned()));
        let (a, b) = (call("a"), call("b"));
        let (alice, bob) = (caller("alice", "c"), caller("bob", "c"));
        let elsewhere = caller("bob", "d");
        let now = Instant::now();
        let admit = |who, what, at| by(limits.admit(who, what, at));
        for _ in 0..2 {
            assert_eq!(admit(&alice, Some(&a), now), None);
        }
        let later = now + Duration::from_secs(20);
        assert_eq!(admit(&alice, Some(&a), later), Some(("tool", 40)));
        assert_eq!(admit(&alice, Some(&b), later), None);
        assert_eq!(admit(&alice, Some(&b), later), Some(("user", 40)));
        assert_eq!(admit(&bob, Some(&a), later), None);
        assert_eq!(admit(&bob, Some(&b), later), Some(("client", 40)));
        assert_eq!(admit(&elsewhere, None, later), None);
        let over = now + Duration::from_secs(60);
        assert_eq!(admit(&alice, Some(&a), over), None);
    }

    #[test]
    fn users_of_two_issuers_are_two() {
        let limits = RateLimits::new(Rates {
            user: Some(Rate::new(1, Duration::from_secs(60))),
            ..Rates::default()
        });
        let now = Instant::now();
        let alice = caller("alice", "c");
        let mut facts = TokenFacts::clone(&alice);
        facts.issuer = "j".to_owned();
        let other = VerifiedToken::assertion(facts);
        assert_eq!(by(limits.admit(&alice, None, now)), None);
        assert_eq!(by(limits.admit(&other, None, now)), None);
        assert_eq!(by(limits.admit(&alice, None, now)), Some(("user", 60)));
    }
}
