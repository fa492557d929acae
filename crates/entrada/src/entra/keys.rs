//! Entra's signing keys, fetched when needed and kept as long as they help.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::Uri;

use super::document;
use super::error::EntraError;
use crate::jwt::jwks::{Jwks, VerificationKey};
use crate::platform::{Platform, Timestamp};
use crate::single_flight::Turns;

/// How long a fetched set is taken as fresh: what Entra's own cache header says.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// How often a key we do not know, or a set past its time, may cause a fetch (Microsoft,
/// *signing key rollover*: at most once in five minutes).
const COOL_DOWN: Duration = Duration::from_secs(5 * 60);

/// How soon a fetch that failed may be tried again for a key we lack: a passing fault at the first
/// login must not keep everybody out for as long as a [`COOL_DOWN`].
const RETRY: Duration = Duration::from_secs(5);

/// The keys of one authority.
///
/// A key that was seen once stays: Entra's edges answer differently, and one that lacks a key
/// must not log everybody out. One past its time is used all the same while none can be fetched.
#[derive(Debug)]
pub(super) struct EntraKeys {
    uri: Uri,
    platform: Platform,
    known: RwLock<Known>,
    turns: Turns<()>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    keys: Arc<Vec<VerificationKey>>,
    fetched_at: Option<Timestamp>,
    tried_at: Option<Timestamp>,
    /// When the last fetch began, which may be under way.
    began_at: Option<Timestamp>,
}

/// What to do about a key.
#[derive(Debug)]
enum Plan {
    /// It is known.
    Use(VerificationKey),
    /// It may be known after a fetch.
    Fetch,
    /// A fetch was tried a moment ago.
    GiveUp,
}

impl Known {
    fn plan(&self, kid: &str, now: Timestamp) -> Plan {
        let key = self.keys.iter().find(|key| key.kid() == Some(kid));
        let fresh = self.fetched_at.is_some_and(|at| now.since(at) < FRESH);
        let tried = |pause| self.tried_at.is_some_and(|at| now.since(at) < pause);
        // One fetches; whoever holds a usable key goes on meanwhile.
        let fetching = self.began_at.is_some_and(|at| now.since(at) < COOL_DOWN);
        let failed = self.tried_at != self.fetched_at;
        match key {
            Some(key) if fresh || fetching => Plan::Use(key.clone()),
            None if tried(if failed { RETRY } else { COOL_DOWN }) => Plan::GiveUp,
            Some(_) | None => Plan::Fetch,
        }
    }
}

impl EntraKeys {
    /// The keys published at `uri`. Nothing is fetched yet.
    pub(super) fn new(uri: Uri, platform: Platform) -> Self {
        Self {
            uri,
            platform,
            known: RwLock::default(),
            turns: Turns::default(),
        }
    }

    /// The key named `kid`; `None` if Entra does not publish it.
    ///
    /// # Errors
    ///
    /// [`EntraError`] if the key is not known and Entra could not be asked.
    pub(super) async fn key(
        &self,
        kid: &str,
        now: Timestamp,
    ) -> Result<Option<VerificationKey>, EntraError> {
        match self.known().plan(kid, now) {
            Plan::Use(key) => return Ok(Some(key)),
            Plan::GiveUp => return self.missing(),
            Plan::Fetch => {}
        }
        let _turn = self.turns.wait(&()).await;
        match self.known().plan(kid, now) {
            Plan::Use(key) => Ok(Some(key)),
            Plan::GiveUp => self.missing(),
            Plan::Fetch => {
                self.begin(now);
                let fetched = self.fetch().await;
                self.learn(&fetched, now);
                let found = self
                    .known()
                    .keys
                    .iter()
                    .find(|key| key.kid() == Some(kid))
                    .cloned();
                match (found, fetched) {
                    (None, Err(error)) => Err(error),
                    (found, _) => Ok(found),
                }
            }
        }
    }

    /// Without a single key the fetch must have failed: say that we cannot tell.
    fn missing(&self) -> Result<Option<VerificationKey>, EntraError> {
        if self.known().fetched_at.is_some() {
            Ok(None)
        } else {
            Err(EntraError::Malformed)
        }
    }

    fn known(&self) -> Known {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn fetch(&self) -> Result<Jwks, EntraError> {
        let document = document(&self.platform, &self.uri).await?;
        let jwks = Jwks::parse(&document).map_err(|_| EntraError::Malformed)?;
        if jwks.iter().next().is_some() {
            Ok(jwks)
        } else {
            Err(EntraError::Malformed)
        }
    }

    fn begin(&self, now: Timestamp) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.began_at = Some(now);
    }

    fn learn(&self, fetched: &Result<Jwks, EntraError>, now: Timestamp) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.tried_at = Some(now);
        if let Ok(jwks) = fetched {
            let kept = known
                .keys
                .iter()
                .filter(|old| !jwks.iter().any(|new| new.kid() == old.kid()));
            known.keys = Arc::new(jwks.iter().chain(kept).take(MOST_KEYS).cloned().collect());
            known.fetched_at = Some(now);
        }
    }
}

/// How many keys are kept; Entra publishes about a dozen at a time.
const MOST_KEYS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::jwks::Algorithm;
    use crate::jwt::sign::SigningKey;

    #[test]
    fn a_fetch_that_failed_is_tried_again_soon_and_any_other_later() {
        let signing = SigningKey::generate(Algorithm::Es256).unwrap();
        let plan = |kid: &str, fetched_at: Option<u64>, tried_at: Option<u64>, now| {
            let known = Known {
                keys: Arc::new(vec![signing.verification_key()]),
                fetched_at: fetched_at.map(Timestamp::from_unix),
                tried_at: tried_at.map(Timestamp::from_unix),
                began_at: tried_at.map(Timestamp::from_unix),
            };
            match known.plan(kid, Timestamp::from_unix(now)) {
                Plan::Use(_) => "use",
                Plan::Fetch => "fetch",
                Plan::GiveUp => "give up",
            }
        };
        let (ours, day) = (signing.kid(), FRESH.as_secs());
        for (kid, fetched_at, tried_at, now, expected) in [
            ("x", None, None, 0, "fetch"),
            ("x", None, Some(100), 104, "give up"),
            ("x", None, Some(100), 105, "fetch"),
            ("x", Some(100), Some(100), 399, "give up"),
            ("x", Some(100), Some(100), 400, "fetch"),
            ("x", Some(100), Some(400), 404, "give up"),
            ("x", Some(100), Some(400), 405, "fetch"),
            (ours, Some(100), Some(100), 99 + day, "use"),
            (ours, Some(100), Some(100), 100 + day, "fetch"),
            (ours, Some(100), Some(100 + day), 399 + day, "use"),
            (ours, Some(100), Some(100 + day), 400 + day, "fetch"),
        ] {
            let found = plan(kid, fetched_at, tried_at, now);
            assert_eq!(found, expected, "{kid} {fetched_at:?} {tried_at:?} {now}");
        }
    }
}
