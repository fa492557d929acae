//! Tokens for downstream APIs, in the name of the caller.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::access_token::{PrincipalKind, TokenFacts};
use crate::authorization_server::{
    AuthorizationServer, GRANT_CACHE_TTL, RenewalError, STORE_OUTAGE_GRACE,
};
use crate::causes::Causes;
use crate::entra::app::EntraApp;
use crate::entra::token::EntraTokens;
use crate::grant::GrantId;
use crate::oauth::claims_request::ClaimsRequest;
use crate::platform::{Platform, Timestamp};
use crate::single_flight::Turns;

#[cfg(feature = "azure")]
mod credential;
mod delegation;
mod error;
mod exchange;
mod extract;
mod groups;
mod kept;
mod refusal;
mod request;
mod shared;

#[cfg(feature = "azure")]
pub use credential::{OnBehalfOfCredential, create_obo_credential};
pub use error::{AskAdmin, InteractionRequired, OboError};
pub use extract::{Downstream, EntraOboToken};
pub(crate) use groups::GrantAccess;
pub use request::{DownstreamRequest, DownstreamScopeError};

use exchange::{Pause, Source};
use kept::{Given, Kept, Plan};
use request::DownstreamScope;

/// How many downstream tokens are kept.
const MOST_TOKENS: usize = 10_000;

/// How long anybody waits for a token: two requests to Entra that take as long as they may.
const DEADLINE: Duration = Duration::from_secs(45);

/// Exchanges a caller's authorization for tokens to downstream APIs (Microsoft, *on-behalf-of
/// flow*). Cheap to clone.
///
/// Tokens are kept, and replaced before their end while everybody goes on with the old one. Many
/// callers who need the same token wait for one exchange.
#[derive(Clone)]
pub(crate) struct OnBehalfOf(Arc<Inner>);

struct Inner {
    /// Where grants are, if callers have any.
    server: Option<AuthorizationServer>,
    app: EntraApp,
    platform: Platform,
    /// What Entra gave, which outlives a configuration: the tokens are of the same app registration.
    given: Arc<Exchanged>,
    /// What it refused, which may be for what the configuration said.
    pauses: Cache<Key, Pause>,
}

/// What was exchanged, and who is at it.
struct Exchanged {
    tokens: Cache<Key, Kept>,
    turns: Turns<Key>,
    /// Those who read the grants of tokens that are kept.
    readings: Turns<Key>,
    /// The exchanges nobody waits for.
    background: Mutex<JoinSet<()>>,
}

/// Whom a token speaks for, and what it is good for.
#[derive(Clone, Eq, Hash, PartialEq)]
struct Key {
    subject: Subject,
    scope: String,
    claims: Option<ClaimsRequest>,
}

/// Whom a token speaks for. A grant is one client's of one user's; so is an assertion, and one that
/// was got with a second factor must not pass on what it brought to one that was not.
#[derive(Clone, Eq, Hash, PartialEq)]
enum Subject {
    Grant(GrantId),
    /// By its digest.
    Assertion([u8; 32]),
    /// Ourselves, in a tenant.
    App(String),
}

impl OnBehalfOf {
    /// For callers who have grants at `server`.
    pub(crate) fn of_grants(server: AuthorizationServer, platform: Platform) -> Self {
        let app = server.entra().app().clone();
        Self::new(Some(server), app, platform)
    }

    /// The same for those who have them at `server`, which takes the place of the one before.
    pub(crate) fn renewed(&self, server: AuthorizationServer) -> Self {
        let app = server.entra().app().clone();
        Self(Arc::new(Inner {
            server: Some(server),
            app,
            platform: self.0.platform.clone(),
            given: Arc::clone(&self.0.given),
            pauses: Cache::new(MOST_TOKENS),
        }))
    }

    /// For callers who come with Entra's own tokens for `app`.
    pub(crate) fn of_presented_tokens(app: EntraApp, platform: Platform) -> Self {
        Self::new(None, app, platform)
    }

    fn new(server: Option<AuthorizationServer>, app: EntraApp, platform: Platform) -> Self {
        Self(Arc::new(Inner {
            server,
            app,
            platform,
            given: Arc::new(Exchanged {
                tokens: Cache::new(MOST_TOKENS),
                turns: Turns::default(),
                readings: Turns::default(),
                background: Mutex::default(),
            }),
            pauses: Cache::new(MOST_TOKENS),
        }))
    }

    /// A token for whoever gave the grant that `facts` name: they must be those of a token that was
    /// verified.
    async fn under_grant(
        &self,
        facts: &TokenFacts,
        request: DownstreamRequest<'_>,
    ) -> Result<Given, OboError> {
        if facts.principal.kind == PrincipalKind::Application {
            return Err(OboError::AppOnlyCaller);
        }
        let grant = facts.grant.as_deref();
        let grant = grant.and_then(|name| GrantId::parse(name).ok());
        let grant = grant.ok_or(OboError::NoCredential)?;
        let scope = DownstreamScope::parse(request.scope)?;
        let subject = Subject::Grant(grant);
        let source = || Source::Grant(grant);
        self.token(subject, source, (scope, request.claims)).await
    }

    async fn token(
        &self,
        subject: Subject,
        source: impl Fn() -> Source,
        (scope, claims): (DownstreamScope, Option<&ClaimsRequest>),
    ) -> Result<Given, OboError> {
        if !self.0.app.authority().exchanges_tokens() {
            return Err(OboError::Unsupported);
        }
        let key = Key {
            subject,
            scope: scope.into_text(),
            claims: claims.cloned(),
        };
        let now = self.0.platform.clock.now();
        if let Some((token, plan)) = self.0.recall(&key, now) {
            if plan == Plan::UseAndRefresh {
                self.refresh(key, source());
            }
            return Ok(token);
        }
        // To its end, even if whoever waits hangs up: the next would only have to ask again.
        let inner = Arc::clone(&self.0);
        let (wanted, from) = (key.clone(), source());
        // Boxed, or every request that may want a token makes room for an exchange, and moves it about.
        let obtaining = Box::pin(async move { inner.obtain(wanted, from).await });
        let obtained = match Handle::try_current() {
            Ok(runtime) => {
                let obtaining = tokio::time::timeout(DEADLINE, runtime.spawn(obtaining));
                obtaining.await.ok().and_then(Result::ok)
            }
            Err(_) => Some(obtaining.await),
        };
        let (given, plan) = obtained.unwrap_or(Err(OboError::TimedOut))?;
        if plan == Plan::UseAndRefresh {
            self.refresh(key, source());
        }
        Ok(given)
    }

    /// Replaces a token while everybody goes on with the old one.
    fn refresh(&self, key: Key, source: Source) {
        let Some(turn) = self.0.given.turns.try_take(&key) else {
            return;
        };
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let inner = Arc::clone(&self.0);
        let refresh = async move {
            let _turn = turn;
            inner.replace(key, source).await;
        };
        let background = self.0.given.background.lock();
        let mut background = background.unwrap_or_else(PoisonError::into_inner);
        while background.try_join_next().is_some() {}
        background.spawn_on(refresh, &runtime);
    }
}

impl Inner {
    /// The token, if it is of use and its grant was seen to stand a moment ago.
    fn recall(&self, key: &Key, now: Timestamp) -> Option<(Given, Plan)> {
        let (kept, plan) = self.useful(key, now)?;
        let standing = match key.subject {
            Subject::Grant(_) => now >= kept.seen_at && now.since(kept.seen_at) <= GRANT_CACHE_TTL,
            Subject::Assertion(_) | Subject::App(_) => true,
        };
        standing.then_some((kept.given, plan))
    }

    /// The token, if it is of use, and what to do about it.
    fn useful(&self, key: &Key, now: Timestamp) -> Option<(Kept, Plan)> {
        let kept = self.given.tokens.get(key)?;
        let plan = kept.plan(now);
        let answers = key.claims.is_none() || kept.answers_challenge(now);
        (plan != Plan::Replace && answers).then_some((kept, plan))
    }

    /// Gets the token, one caller at a time.
    async fn obtain(&self, key: Key, source: Source) -> Result<(Given, Plan), OboError> {
        if let Some(confirmed) = self.confirm(&key).await {
            return confirmed;
        }
        let _turn = self.given.turns.wait(&key).await;
        if let Some(confirmed) = self.confirm(&key).await {
            return confirmed;
        }
        let now = self.platform.clock.now();
        match self.get(&key, source, None, now).await {
            Ok(given) => Ok((given, Plan::Use)),
            Err(no_token) => Err(self.tell(&key, no_token, now).await),
        }
    }

    /// The token, if it is of use and its grant is seen to stand: a caller may hold on to a verified
    /// token for as long as it likes. Nobody waits for an exchange here.
    async fn confirm(&self, key: &Key) -> Option<Result<(Given, Plan), OboError>> {
        self.useful(key, self.platform.clock.now())?;
        let _turn = self.given.readings.wait(key).await;
        let now = self.platform.clock.now();
        if let Some(recalled) = self.recall(key, now) {
            return Some(Ok(recalled));
        }
        let (kept, plan) = self.useful(key, now)?;
        let (Subject::Grant(grant), Some(server)) = (&key.subject, &self.server) else {
            return None;
        };
        Some(match server.renewer().standing(grant, now).await {
            Ok(_) => {
                // Unless it was replaced meanwhile.
                if self.given.tokens.get(key).is_some_and(|now| now.is(&kept)) {
                    self.given.tokens.insert(key.clone(), kept.seen(now));
                }
                Ok((kept.given, plan))
            }
            // As the guard does: what was seen to stand a while ago stands in.
            Err(RenewalError::Store(_)) if now.since(kept.seen_at) <= STORE_OUTAGE_GRACE => {
                Ok((kept.given, plan))
            }
            Err(error) => {
                self.given.tokens.remove(key);
                Err(OboError::Renewal(error))
            }
        })
    }

    /// Replaces a token that is still of use. What goes wrong changes nothing, and asks nothing of the
    /// user: they are asked once it is needed.
    async fn replace(&self, key: Key, source: Source) {
        let now = self.platform.clock.now();
        let Some(kept) = self.given.tokens.get(&key) else {
            return;
        };
        if kept.plan(now) == Plan::Use {
            return;
        }
        // Before it is known how it ends, so that a caller who gives up counts, too.
        self.given.tokens.insert(key.clone(), kept.tried(now));
        if let Err(no_token) = self.get(&key, source, Some(&kept), now).await {
            let cause = Causes(no_token.error());
            tracing::warn!(%cause, "a downstream token could not be replaced, and stays in use");
        }
    }

    fn keep(&self, key: Key, tokens: &EntraTokens) -> Kept {
        // The exchange took its time, and Entra counts from its end.
        let kept = Kept::new(tokens, self.platform.clock.now());
        if key.claims.is_some() {
            // The API turned away the one that was kept before.
            let plain = Key {
                claims: None,
                ..key.clone()
            };
            self.given.tokens.insert(plain, kept.clone());
        }
        self.given.tokens.insert(key, kept.clone());
        kept
    }
}

impl fmt::Debug for OnBehalfOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnBehalfOf").finish_non_exhaustive()
    }
}
