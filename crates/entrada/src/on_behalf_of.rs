//! Tokens for downstream APIs, in the name of the caller.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use quick_cache::sync::Cache;

use crate::access_token::{PresentedToken, TokenFacts, VerifiedToken};
use crate::authorization_server::{
    AuthorizationServer, GRANT_CACHE_TTL, RenewalError, STORE_OUTAGE_GRACE,
};
use crate::entra::EntraClient;
use crate::entra::error::EntraError;
use crate::entra::groups::{GraphAccess, GroupsError, own_path};
use crate::grant::{Grant, GrantId};
use crate::platform::{Platform, Timestamp};
use crate::secret::EntraAccessToken;
use crate::single_flight::Turns;

/// How long before its end a downstream token is replaced.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// How many downstream tokens are kept.
const MOST_TOKENS: usize = 10_000;

/// Exchanges a caller's authorization for tokens to downstream APIs (Microsoft, *on-behalf-of
/// flow*). Cheap to clone.
#[derive(Clone)]
pub struct OnBehalfOf(Arc<Inner>);

struct Inner {
    server: AuthorizationServer,
    entra: Arc<EntraClient>,
    platform: Platform,
    tokens: Cache<Key, Downstream>,
    turns: Turns<Key>,
}

#[derive(Clone, Eq, Hash, PartialEq)]
struct Key {
    grant: GrantId,
    scope: String,
}

#[derive(Clone)]
struct Downstream {
    token: EntraAccessToken,
    expires_at: Timestamp,
    grant_read_at: Timestamp,
}

impl Downstream {
    fn lives(&self, now: Timestamp) -> bool {
        now + EARLY < self.expires_at
    }

    fn may_stand_in(&self, now: Timestamp) -> bool {
        now.since(self.grant_read_at) <= STORE_OUTAGE_GRACE
    }
}

/// A user's token that may be sent as the assertion of an on-behalf-of request.
///
/// Only a grant gives one.
struct Assertion<'a> {
    token: &'a EntraAccessToken,
    tenant_id: &'a str,
}

impl<'a> Assertion<'a> {
    fn of(grant: &'a Grant) -> Self {
        Self {
            token: &grant.held().access_token,
            tenant_id: &grant.principal().tenant_id,
        }
    }
}

/// Why there is no downstream token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OboError {
    /// The caller's token was not issued under a grant of ours.
    #[error("the caller's token has no grant behind it")]
    NoGrant,
    /// The caller's own authorization gives nothing any more, or not now.
    #[error("the caller's own token cannot be refreshed")]
    Renewal(#[source] RenewalError),
    /// Entra refused the exchange, or could not be asked.
    #[error("entra gives no token for the downstream api")]
    Exchange(#[source] EntraError),
}

impl OnBehalfOf {
    pub(crate) fn new(
        server: AuthorizationServer,
        entra: Arc<EntraClient>,
        platform: Platform,
    ) -> Self {
        let tokens = Cache::new(MOST_TOKENS);
        let turns = Turns::default();
        Self(Arc::new(Inner {
            server,
            entra,
            platform,
            tokens,
            turns,
        }))
    }

    /// An access token for `scope`, such as `https://graph.microsoft.com/User.Read`, that speaks
    /// for `caller`. All of its scopes must be of one API.
    ///
    /// # Errors
    ///
    /// [`OboError`]: the caller has no grant, or Entra gives no token.
    pub async fn token_for(
        &self,
        caller: &VerifiedToken,
        scope: &str,
    ) -> Result<EntraAccessToken, OboError> {
        self.token_under(caller.grant.as_deref(), scope).await
    }

    async fn token_under(
        &self,
        grant: Option<&str>,
        scope: &str,
    ) -> Result<EntraAccessToken, OboError> {
        let grant = grant.and_then(|name| GrantId::parse(name).ok());
        let key = Key {
            grant: grant.ok_or(OboError::NoGrant)?,
            scope: scope.to_owned(),
        };
        let now = self.0.platform.clock.now();
        if let Some(token) = self.recall(&key, now) {
            return Ok(token);
        }
        let _turn = self.0.turns.wait(&key).await;
        if let Some(token) = self.recall(&key, now) {
            return Ok(token);
        }
        match self.0.tokens.get(&key).filter(|known| known.lives(now)) {
            Some(known) => self.confirm(key, known, now).await,
            None => self.exchange(key, now).await,
        }
    }

    /// The token, if it lives and its grant was seen to stand a moment ago.
    fn recall(&self, key: &Key, now: Timestamp) -> Option<EntraAccessToken> {
        let known = self.0.tokens.get(key)?;
        let seen = now.since(known.grant_read_at) <= GRANT_CACHE_TTL;
        (known.lives(now) && seen).then_some(known.token)
    }

    /// A token that lives, once its grant is seen to stand: a caller may hold on to a verified
    /// token for as long as it likes.
    async fn confirm(
        &self,
        key: Key,
        known: Downstream,
        now: Timestamp,
    ) -> Result<EntraAccessToken, OboError> {
        match self.0.server.renewer().standing(&key.grant, now).await {
            Ok(_) => {}
            // As the guard does: what was seen to stand a while ago stands in.
            Err(RenewalError::Store(_)) if known.may_stand_in(now) => return Ok(known.token),
            Err(error) => {
                self.0.tokens.remove(&key);
                return Err(OboError::Renewal(error));
            }
        }
        let token = known.token.clone();
        self.0.tokens.insert(
            key,
            Downstream {
                grant_read_at: now,
                ..known
            },
        );
        Ok(token)
    }

    async fn exchange(&self, key: Key, now: Timestamp) -> Result<EntraAccessToken, OboError> {
        let renewer = self.0.server.renewer();
        let grant = renewer
            .fresh(&key.grant, now)
            .await
            .map_err(OboError::Renewal)?;
        let Assertion { token, tenant_id } = Assertion::of(&grant);
        let exchanged = self
            .0
            .entra
            .on_behalf_of(token, tenant_id, &key.scope)
            .await;
        let exchanged = exchanged.map_err(OboError::Exchange)?;
        let downstream = Downstream {
            token: exchanged.access_token.clone(),
            expires_at: now + exchanged.expires_in,
            grant_read_at: now,
        };
        self.0.tokens.insert(key, downstream);
        Ok(exchanged.access_token)
    }
}

/// Groups are looked up in the name of whoever gave the grant.
#[derive(Debug)]
pub(crate) struct GrantAccess {
    on_behalf_of: OnBehalfOf,
    /// Everything that was consented to at Graph.
    scope: String,
}

impl GrantAccess {
    pub(crate) fn new(on_behalf_of: OnBehalfOf, scope: String) -> Self {
        Self {
            on_behalf_of,
            scope,
        }
    }
}

#[async_trait]
impl GraphAccess for GrantAccess {
    fn path(&self, facts: &TokenFacts) -> Result<String, GroupsError> {
        own_path(facts)
    }

    async fn token(
        &self,
        facts: &TokenFacts,
        _: PresentedToken<'_>,
        _: Timestamp,
    ) -> Result<EntraAccessToken, GroupsError> {
        let token = self
            .on_behalf_of
            .token_under(facts.grant.as_deref(), &self.scope);
        token
            .await
            .map_err(|error| GroupsError::Token(Box::new(error)))
    }
}

impl fmt::Debug for OnBehalfOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnBehalfOf").finish_non_exhaustive()
    }
}
