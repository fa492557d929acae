//! Tokens for downstream APIs, in the name of the caller.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::access_token::{
    Backing, Backs, Interaction, PresentedToken, PrincipalKind, TokenFacts, VerifiedToken,
};
use crate::authorization_server::{
    AuthorizationServer, GRANT_CACHE_TTL, RenewalError, STORE_OUTAGE_GRACE,
};
use crate::causes::Causes;
use crate::entra::app::EntraApp;
use crate::entra::error::{EntraError, Remedy};
use crate::entra::token::EntraTokens;
use crate::grant::{Grant, GrantId, NeededInteraction};
use crate::oauth::claims_request::ClaimsRequest;
use crate::oauth::scope::Scope;
use crate::platform::{Platform, Timestamp};
use crate::secret::EntraAccessToken;
use crate::single_flight::Turns;

#[cfg(feature = "azure")]
mod credential;
mod error;
mod extract;
mod groups;
mod kept;
mod request;

#[cfg(feature = "azure")]
pub use credential::{OnBehalfOfCredential, create_obo_credential};
pub use error::{AskAdmin, InteractionRequired, OboError};
pub use extract::{Downstream, EntraOboToken};
pub(crate) use groups::GrantAccess;
pub use request::{DownstreamRequest, DownstreamScopeError};

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
pub struct OnBehalfOf(Arc<Inner>);

struct Inner {
    /// Where grants are, if callers have any.
    server: Option<AuthorizationServer>,
    app: EntraApp,
    platform: Platform,
    tokens: Cache<Key, Kept>,
    held_off: Cache<Key, HeldOff>,
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

/// What is exchanged for a token.
#[derive(Clone)]
enum Source {
    Grant(GrantId),
    Assertion(Assertion),
    /// Ourselves, in this tenant.
    App(String),
}

/// A user's token that may be sent as the assertion of an on-behalf-of request.
///
/// Only a grant and a verified token give one.
#[derive(Clone)]
struct Assertion {
    token: EntraAccessToken,
    tenant_id: String,
}

impl Assertion {
    fn of(grant: &Grant) -> Self {
        Self {
            token: grant.held().access_token.clone(),
            tenant_id: grant.principal().tenant_id.clone(),
        }
    }
}

/// What lets a caller's token be exchanged: it goes with the token.
struct Delegation {
    on_behalf_of: OnBehalfOf,
    /// Entra's own token, where the caller came with it.
    presented: Option<Presented>,
}

struct Presented {
    token: EntraAccessToken,
    digest: [u8; 32],
}

/// Entra asked us to wait.
#[derive(Clone, Copy)]
struct HeldOff {
    status: http::StatusCode,
    from: Timestamp,
    retry_after: Duration,
}

impl OnBehalfOf {
    /// For callers who have grants at `server`.
    pub(crate) fn of_grants(server: AuthorizationServer, platform: Platform) -> Self {
        let app = server.entra().app().clone();
        Self::new(Some(server), app, platform)
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
            tokens: Cache::new(MOST_TOKENS),
            held_off: Cache::new(MOST_TOKENS),
            turns: Turns::default(),
            readings: Turns::default(),
            background: Mutex::default(),
        }))
    }

    /// An access token that speaks for `caller`, for a scope such as
    /// `https://graph.microsoft.com/User.Read`; all scopes must be of one API.
    ///
    /// # Errors
    ///
    /// [`OboError`]: the caller has nothing to exchange, or Entra gives no token.
    pub async fn token_for<'r>(
        &self,
        caller: &VerifiedToken,
        request: impl Into<DownstreamRequest<'r>>,
    ) -> Result<EntraAccessToken, OboError> {
        let given = match caller.backing::<Delegation>() {
            // Whoever verified the token knows what it is exchanged with.
            Some(delegation) => delegation.token(caller, request.into()).await,
            None => self.under_grant(caller, request.into()).await,
        };
        given.map(|given| given.token)
    }

    /// The same for whoever gave the grant that `facts` name.
    async fn under_grant(
        &self,
        facts: &TokenFacts,
        request: DownstreamRequest<'_>,
    ) -> Result<Given, OboError> {
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
        let obtaining = async move { inner.obtain(wanted, from).await };
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
        let Some(turn) = self.0.turns.try_take(&key) else {
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
        let background = self.0.background.lock();
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
        let kept = self.tokens.get(key)?;
        let plan = kept.plan(now);
        let answers = key.claims.is_none() || kept.answers_challenge(now);
        (plan != Plan::Replace && answers).then_some((kept, plan))
    }

    /// Gets the token, one caller at a time.
    async fn obtain(&self, key: Key, source: Source) -> Result<(Given, Plan), OboError> {
        if let Some(confirmed) = self.confirm(&key).await {
            return confirmed;
        }
        let _turn = self.turns.wait(&key).await;
        if let Some(confirmed) = self.confirm(&key).await {
            return confirmed;
        }
        let now = self.platform.clock.now();
        let given = self.exchange(key, source, now).await?;
        Ok((given, Plan::Use))
    }

    /// The token, if it is of use and its grant is seen to stand: a caller may hold on to a verified
    /// token for as long as it likes. Nobody waits for an exchange here.
    async fn confirm(&self, key: &Key) -> Option<Result<(Given, Plan), OboError>> {
        self.useful(key, self.platform.clock.now())?;
        let _turn = self.readings.wait(key).await;
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
                if self.tokens.get(key).is_some_and(|now| now.is(&kept)) {
                    self.tokens.insert(key.clone(), kept.seen(now));
                }
                Ok((kept.given, plan))
            }
            // As the guard does: what was seen to stand a while ago stands in.
            Err(RenewalError::Store(_)) if now.since(kept.seen_at) <= STORE_OUTAGE_GRACE => {
                Ok((kept.given, plan))
            }
            Err(error) => {
                self.tokens.remove(key);
                Err(OboError::Renewal(error))
            }
        })
    }

    /// Replaces a token that is still of use; what goes wrong changes nothing.
    async fn replace(&self, key: Key, source: Source) {
        let now = self.platform.clock.now();
        let Some(kept) = self.tokens.get(&key) else {
            return;
        };
        if kept.plan(now) == Plan::Use {
            return;
        }
        // Before it is known how it ends, so that a caller who gives up counts, too.
        self.tokens.insert(key.clone(), kept.tried(now));
        if let Err(error) = self.exchange(key, source, now).await {
            tracing::warn!(cause = %Causes(&error), "a downstream token could not be replaced, and stays in use");
        }
    }

    async fn exchange(&self, key: Key, source: Source, now: Timestamp) -> Result<Given, OboError> {
        if let Some(held_off) = self.held_off.get(&key)
            && held_off.from.is_within(held_off.retry_after, now)
        {
            return Err(OboError::Exchange(held_off.into_error(now)));
        }
        let tokens = match &source {
            Source::Grant(id) => {
                let grant = self.fresh(id, &key, now).await?;
                let exchanged = self.exchange_assertion(&key, &Assertion::of(&grant)).await;
                match exchanged {
                    Ok(tokens) => tokens,
                    Err(error) => return Err(self.refused(&key, Some(&grant), error).await),
                }
            }
            Source::Assertion(assertion) => match self.exchange_assertion(&key, assertion).await {
                Ok(tokens) => tokens,
                Err(error) => return Err(self.refused(&key, None, error).await),
            },
            Source::App(tenant_id) => {
                let (scope, claims) = (&key.scope, key.claims.as_ref());
                let tokens = self.app.client_credentials(tenant_id, scope, claims).await;
                match tokens {
                    Ok(tokens) => tokens,
                    Err(error) => return Err(self.own_refused(&key, error)),
                }
            }
        };
        Ok(self.keep(key, &tokens))
    }

    /// The grant with a token that can be exchanged.
    async fn fresh(&self, id: &GrantId, key: &Key, now: Timestamp) -> Result<Grant, OboError> {
        let server = self.server.as_ref().ok_or(OboError::NoCredential)?;
        match server.renewer().fresh(id, now).await {
            Ok(grant) => Ok(grant),
            Err(RenewalError::Interaction(error)) => {
                let grant = server.renewer().standing(id, now).await;
                let grant = grant.map_err(OboError::Renewal)?;
                Err(self.refused(key, Some(&grant), error).await)
            }
            Err(error) => Err(OboError::Renewal(error)),
        }
    }

    async fn exchange_assertion(
        &self,
        key: &Key,
        assertion: &Assertion,
    ) -> Result<EntraTokens, EntraError> {
        let Assertion { token, tenant_id } = assertion;
        let claims = key.claims.as_ref();
        self.app
            .on_behalf_of(token, tenant_id, &key.scope, claims)
            .await
    }

    fn keep(&self, key: Key, tokens: &EntraTokens) -> Given {
        // The exchange took its time, and Entra counts from its end.
        let kept = Kept::new(tokens, self.platform.clock.now());
        if key.claims.is_some() {
            // The API turned away the one that was kept before.
            let plain = Key {
                claims: None,
                ..key.clone()
            };
            self.tokens.insert(plain, kept.clone());
        }
        self.tokens.insert(key, kept.clone());
        kept.given
    }

    /// What Entra's refusal of an exchange comes to.
    async fn refused(&self, key: &Key, grant: Option<&Grant>, error: EntraError) -> OboError {
        let now = self.platform.clock.now();
        match error.remedy() {
            Remedy::Retry(_) => {
                self.hold_off(key, &error, now);
                OboError::Exchange(error)
            }
            // A refresh would bring a token that is refused again, and what an API demands is to be
            // brought, too.
            Remedy::SignInAgain if grant.is_some() || key.claims.is_some() => {
                self.interaction(key, grant, error, now).await
            }
            Remedy::SignInAgain | Remedy::FixConfiguration => {
                let (scope, advice) = (key.scope.as_str(), error.advice());
                tracing::warn!(scope, advice, cause = %error, "exchange refused");
                OboError::Exchange(error)
            }
            Remedy::StepUp => self.interaction(key, grant, error, now).await,
            Remedy::Consent if self.can_ask_consent(key, grant) => {
                self.interaction(key, grant, error, now).await
            }
            Remedy::Consent | Remedy::AskAdmin => {
                let admin_consent_url = self.admin_consent_url(key, grant);
                let (scope, advice) = (key.scope.as_str(), error.advice());
                tracing::warn!(scope, advice, admin_consent_url, cause = %error, "exchange refused");
                OboError::AskAdmin(Box::new(AskAdmin {
                    error,
                    admin_consent_url,
                }))
            }
        }
    }

    /// What Entra's refusal of a token of our own comes to: there is nobody to ask but those who run
    /// the server.
    fn own_refused(&self, key: &Key, error: EntraError) -> OboError {
        self.hold_off(key, &error, self.platform.clock.now());
        let (scope, advice) = (key.scope.as_str(), error.advice());
        tracing::warn!(scope, advice, cause = %error, "no token of our own");
        OboError::Exchange(error)
    }

    /// Whether there is somebody to ask, and a scope they can be asked for: without a grant nobody
    /// can send the user to where they consent.
    fn can_ask_consent(&self, key: &Key, grant: Option<&Grant>) -> bool {
        let server = self.server.as_ref().filter(|_| grant.is_some());
        server.is_some_and(|server| !server.entra().consentable(&key.scope).is_empty())
    }

    async fn interaction(
        &self,
        key: &Key,
        grant: Option<&Grant>,
        error: EntraError,
        now: Timestamp,
    ) -> OboError {
        // What the API wants, and what Entra wants for that.
        let asked = match (error.claims(), &key.claims) {
            (Some(entra), Some(api)) => Some(entra.and(api)),
            (entra, api) => entra.or(api.as_ref()).cloned(),
        };
        let consent = error.remedy() == Remedy::Consent;
        let mut interaction = Interaction::default();
        if let (Some(server), Some(grant)) = (&self.server, grant) {
            let scope = if consent {
                server.entra().consentable(&key.scope)
            } else {
                Scope::default()
            };
            let needed = NeededInteraction::new(grant.id(), asked, scope, now);
            match server.remember_interaction(grant, needed).await {
                Ok(told) => interaction = told,
                Err(error) => return OboError::Renewal(RenewalError::Store(error)),
            }
        } else {
            // Clients who ask Entra themselves take it there.
            interaction.claims = Some(asked.unwrap_or_default());
        }
        let admin_consent_url = consent.then(|| self.admin_consent_url(key, grant));
        let (scope, advice) = (key.scope.as_str(), error.advice());
        tracing::info!(scope, advice, admin_consent_url, cause = %error, "the user is asked to sign in again");
        OboError::InteractionRequired(Box::new(InteractionRequired {
            error,
            interaction,
            admin_consent_url,
        }))
    }

    fn admin_consent_url(&self, key: &Key, grant: Option<&Grant>) -> String {
        let redirect_uri = self
            .server
            .as_ref()
            .map(|server| server.entra().redirect_uri());
        let tenant_id = grant.map(|grant| grant.principal().tenant_id.as_str());
        self.app
            .admin_consent_url(tenant_id, &key.scope, redirect_uri)
    }

    fn hold_off(&self, key: &Key, error: &EntraError, now: Timestamp) {
        if let EntraError::Unavailable {
            status,
            retry_after,
        } = *error
        {
            let held_off = HeldOff {
                status,
                from: now,
                retry_after,
            };
            self.held_off.insert(key.clone(), held_off);
        }
    }
}

impl HeldOff {
    fn into_error(self, now: Timestamp) -> EntraError {
        EntraError::Unavailable {
            status: self.status,
            retry_after: self.retry_after.saturating_sub(now.since(self.from)),
        }
    }
}

impl Delegation {
    async fn token(
        &self,
        caller: &VerifiedToken,
        request: DownstreamRequest<'_>,
    ) -> Result<Given, OboError> {
        let on_behalf_of = &self.on_behalf_of;
        let tenant_id = &caller.principal.tenant_id;
        let Some(presented) = &self.presented else {
            return on_behalf_of.under_grant(caller, request).await;
        };
        let scope = DownstreamScope::parse(request.scope)?;
        match caller.principal.kind {
            PrincipalKind::User => {
                let subject = Subject::Assertion(presented.digest);
                let source = || {
                    Source::Assertion(Assertion {
                        token: presented.token.clone(),
                        tenant_id: tenant_id.clone(),
                    })
                };
                on_behalf_of
                    .token(subject, source, (scope, request.claims))
                    .await
            }
            PrincipalKind::Application if request.app_only_fallback => {
                let subject = Subject::App(tenant_id.clone());
                let source = || Source::App(tenant_id.clone());
                on_behalf_of
                    .token(subject, source, (scope.default_of_api(), request.claims))
                    .await
            }
            PrincipalKind::Application => Err(OboError::AppOnlyCaller),
        }
    }
}

/// For callers who have grants.
impl Backs for OnBehalfOf {
    fn backing(&self, presented: PresentedToken<'_>) -> Backing {
        let presented = self.0.server.is_none().then(|| Presented {
            token: EntraAccessToken::new(presented.expose()),
            digest: presented.digest(),
        });
        Backing::new(Delegation {
            on_behalf_of: self.clone(),
            presented,
        })
    }
}

impl VerifiedToken {
    /// An access token to a downstream API that speaks for the caller: see
    /// [`OnBehalfOf::token_for`]. Whoever verified the caller's token gives it.
    ///
    /// ```
    /// # use entrada::VerifiedToken;
    /// # use entrada::on_behalf_of::OboError;
    /// async fn mails(caller: VerifiedToken) -> Result<String, OboError> {
    ///     let token = caller.downstream_token("https://graph.microsoft.com/Mail.Read").await?;
    ///     let authorization = format!("Bearer {}", token.expose());
    ///     // … which Microsoft Graph takes for the caller's own.
    /// #   let _ = authorization;
    ///     Ok("three unread".to_owned())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`OboError`]: the caller has nothing to exchange, or Entra gives no token.
    pub async fn downstream_token<'r>(
        &self,
        request: impl Into<DownstreamRequest<'r>>,
    ) -> Result<EntraAccessToken, OboError> {
        let given = self.downstream_token_with_expiry(request.into()).await?;
        Ok(given.token)
    }

    async fn downstream_token_with_expiry(
        &self,
        request: DownstreamRequest<'_>,
    ) -> Result<Given, OboError> {
        let delegation = self.backing::<Delegation>().ok_or(OboError::NoCredential)?;
        delegation.token(self, request).await
    }
}

impl fmt::Debug for OnBehalfOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnBehalfOf").finish_non_exhaustive()
    }
}
