//! `POST /token`: the token endpoint (RFC 6749 §3.2).
//!
//! Four phases: read the form, authenticate the client, let the grant decide, answer.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Serialize;

use super::client_auth::ClientAuthError;
use super::correlation::CorrelationId;
use super::limits::NoFailure;
use super::renewal::RenewalError;
use super::{AuthorizationServer, Resource, ScopePolicy, answer, media_type, observed};
use crate::access_token::Principal;
use crate::audit::{Act, Decision};
use crate::dpop::ProofError;
use crate::grant::{
    AuthenticatedClient, Grant, GrantId, OwnPrincipal, RedeemError, RefreshError, WithoutLogin,
};
use crate::jwt::identity_assertion::IdentityAssertionError;
use crate::jwt::sign::SigningKeyError;
use crate::oauth::client::{Client, GrantType};
use crate::oauth::error::{ErrorCode, ErrorResponse};
use crate::oauth::params::{Params, ParamsError};
use crate::oauth::resource::AskedResources;
use crate::oauth::scope::Scope;
use crate::platform::Timestamp;
use crate::published::PublishedError;
use crate::secret::{AccessToken, RefreshToken};
use crate::store::{StoreError, Written};

mod authorization_code;
mod client_credentials;
mod identity_assertion;
mod proof;
mod refresh_token;

/// The grant type of assertions (RFC 7523 §2.1).
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How long a spent code is remembered, so that a replay revokes: long enough for one who stole
/// it, not for one who finds it in a log.
pub(super) const CODE_MEMORY: Duration = Duration::from_secs(10 * 60);

/// Why the token endpoint refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The body is not a form.
    #[error("the request is not a form")]
    NotAForm,
    /// The form cannot be read.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// The client is not authenticated.
    #[error(transparent)]
    Client(#[from] ClientAuthError),
    /// Its proof of possession is missing or wrong.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A parameter the grant needs is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// There is no such grant type here.
    #[error("the grant type is not supported")]
    UnsupportedGrantType,
    /// The client did not register for the grant type.
    #[error("the client did not register for the grant type")]
    UnauthorizedClient,
    /// `scope` breaks the grammar.
    #[error("scope breaks the grammar")]
    Scope,
    /// `resource` is not a URL.
    #[error("resource is not a url")]
    Resource,
    /// The code was never issued, or is long gone.
    #[error("the code is unknown")]
    UnknownCode,
    /// The code was spent before; its grant has been revoked.
    #[error("the code was replayed")]
    ReplayedCode,
    /// The code does not fit the request.
    #[error(transparent)]
    Redeem(#[from] RedeemError),
    /// The refresh token is none of ours.
    #[error("the refresh token is unknown")]
    UnknownRefreshToken,
    /// The refresh token does not give new tokens.
    #[error(transparent)]
    Renewal(#[from] RenewalError),
    /// Another issuer's assertion gives nothing.
    #[error("the assertion is of no use")]
    IdentityAssertion(#[from] IdentityAssertionError),
    /// The keys of another issuer could not be had.
    #[error("the keys of the assertion's issuer cannot be had")]
    IssuerKeys(#[source] PublishedError),
    /// The client cannot have the scopes that are required, or asked for others alone.
    #[error("the client does not get the scopes that are required")]
    ScopeNotGranted,
    /// Another resource was asked for.
    #[error("another resource was asked for")]
    OtherResource,
    /// A token could not be signed.
    #[error(transparent)]
    Sign(#[from] SigningKeyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<&TokenError> for ErrorResponse {
    fn from(error: &TokenError) -> Self {
        use TokenError as E;
        let unavailable = (ErrorCode::TemporarilyUnavailable, "try again later");
        let (code, description) = match error {
            E::NotAForm => (
                ErrorCode::InvalidRequest,
                "the body must be application/x-www-form-urlencoded",
            ),
            E::Params(_) => (ErrorCode::InvalidRequest, "the parameters cannot be read"),
            E::Client(error) => return error.into(),
            E::Proof(error) => return proof::answer(*error),
            E::Missing(_) => (ErrorCode::InvalidRequest, "a required parameter is missing"),
            E::UnsupportedGrantType => (
                ErrorCode::UnsupportedGrantType,
                "grant_type is not one of the grant_types_supported",
            ),
            E::UnauthorizedClient => (
                ErrorCode::UnauthorizedClient,
                "the client did not register for this grant_type",
            ),
            E::Scope => (ErrorCode::InvalidScope, "scope cannot be read"),
            E::Resource => (ErrorCode::InvalidTarget, "resource must be an absolute URL"),
            E::UnknownCode | E::ReplayedCode => (ErrorCode::InvalidGrant, "the code is not valid"),
            E::Redeem(error) => match error {
                RedeemError::WrongResource => (
                    ErrorCode::InvalidTarget,
                    "the grant is for another resource",
                ),
                RedeemError::WrongVerifier => (
                    ErrorCode::InvalidGrant,
                    "code_verifier does not answer the code_challenge",
                ),
                RedeemError::WrongRedirectUri => (
                    ErrorCode::InvalidGrant,
                    "redirect_uri differs from the authorization request",
                ),
                RedeemError::WrongKey => (
                    ErrorCode::InvalidGrant,
                    "the code is bound to another key: see dpop_jkt",
                ),
                RedeemError::WrongClient | RedeemError::Expired => {
                    (ErrorCode::InvalidGrant, "the code is not valid")
                }
            },
            E::UnknownRefreshToken => (ErrorCode::InvalidGrant, "the refresh token is not valid"),
            E::Renewal(error) => on_renewal(error),
            E::IdentityAssertion(_) => (
                ErrorCode::InvalidGrant,
                "the assertion is not valid, not for this client and server, or was used before",
            ),
            E::ScopeNotGranted => (
                ErrorCode::InvalidScope,
                "the scopes that are required are not among those granted",
            ),
            E::OtherResource => (
                ErrorCode::InvalidTarget,
                "resource must name a server that tokens are issued for here",
            ),
            E::Sign(_) => (ErrorCode::ServerError, "internal error"),
            E::IssuerKeys(_) | E::Store(_) => unavailable,
        };
        Self::new(code, description)
    }
}

/// What a client is told whose refresh token gives no new tokens.
fn on_renewal(error: &RenewalError) -> (ErrorCode, &'static str) {
    use RenewalError as E;
    match error {
        E::Refused(RefreshError::ScopeExceeded) => (
            ErrorCode::InvalidScope,
            "the scope exceeds what was granted",
        ),
        E::Refused(RefreshError::WrongResource) => (
            ErrorCode::InvalidTarget,
            "the grant is for another resource",
        ),
        E::Refused(RefreshError::WrongKey) => (
            ErrorCode::InvalidGrant,
            "the refresh token is bound to another key: sign in again",
        ),
        E::Refused(RefreshError::WrongClient | RefreshError::Expired)
        | E::Ended
        | E::Replayed
        | E::Overtaken => (ErrorCode::InvalidGrant, "the refresh token is not valid"),
        E::SignInAgain(_) | E::Interaction(_) | E::Challenged => {
            (ErrorCode::InvalidGrant, "the user must sign in again")
        }
        E::Unavailable { .. } | E::Contended | E::Store(_) => {
            (ErrorCode::TemporarilyUnavailable, "try again later")
        }
        E::Crypto => (ErrorCode::ServerError, "internal error"),
    }
}

impl TokenError {
    /// When to try again, where trying again helps.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Renewal(RenewalError::Unavailable { retry_after, .. }) => Some(*retry_after),
            Self::Client(error) => error.retry_after(),
            Self::Store(_)
            | Self::IssuerKeys(_)
            | Self::Renewal(RenewalError::Store(_) | RenewalError::Contended) => {
                Some(answer::STORE_RETRY_AFTER)
            }
            Self::NotAForm
            | Self::Params(_)
            | Self::Proof(_)
            | Self::Missing(_)
            | Self::UnsupportedGrantType
            | Self::UnauthorizedClient
            | Self::Scope
            | Self::Resource
            | Self::UnknownCode
            | Self::ReplayedCode
            | Self::Redeem(_)
            | Self::UnknownRefreshToken
            | Self::Renewal(_)
            | Self::IdentityAssertion(_)
            | Self::ScopeNotGranted
            | Self::OtherResource
            | Self::Sign(_) => None,
        }
    }
}

/// A successful answer (RFC 6749 §5.1). Nothing that is unset is written.
#[derive(Debug)]
struct Issued {
    access_token: AccessToken,
    token_type: &'static str,
    expires_in: Duration,
    refresh_token: Option<RefreshToken>,
    scope: Scope,
    grant: GrantId,
    principal: Principal,
}

/// What is known of a request before it is answered.
#[derive(Debug)]
struct Asked {
    act: Act,
    by: Option<Client>,
}

impl Default for Asked {
    fn default() -> Self {
        let act = Act::Token;
        Self { act, by: None }
    }
}

fn act(grant_type: Option<&str>) -> Act {
    match grant_type {
        Some("authorization_code") => Act::Code,
        Some("refresh_token") => Act::Refresh,
        Some("client_credentials") => Act::ClientCredentials,
        Some(JWT_BEARER) => Act::IdentityAssertion,
        Some(_) | None => Act::Token,
    }
}

impl Issued {
    /// The body. The only place where our tokens become text.
    fn body(&self) -> impl Serialize + '_ {
        #[derive(Serialize)]
        struct Body<'a> {
            access_token: &'a str,
            token_type: &'static str,
            expires_in: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            refresh_token: Option<&'a str>,
            scope: &'a Scope,
        }
        Body {
            access_token: self.access_token.expose(),
            token_type: self.token_type,
            expires_in: self.expires_in.as_secs(),
            refresh_token: self.refresh_token.as_ref().map(RefreshToken::expose),
            scope: &self.scope,
        }
    }
}

pub(super) async fn post(
    State(server): State<AuthorizationServer>,
    Extension(correlation): Extension<CorrelationId>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut asked = Asked::default();
    let issued = server.issue(&headers, &body, &mut asked, &correlation);
    let answer = match issued.await {
        Ok(issued) => Json(issued.body()).into_response(),
        Err(error) => {
            let retry_after = error.retry_after();
            let answer = ErrorResponse::from(&error);
            server.refused(&error, answer.error, &asked, &correlation);
            let mut refusal = answer::refuse(&error, answer, retry_after, &correlation);
            if matches!(&error, TokenError::Client(error) if error.wants_basic()) {
                answer::challenge_basic(&mut refusal);
            }
            if matches!(&error, TokenError::Proof(ProofError::Nonce)) {
                refusal.extensions_mut().insert(NoFailure);
            }
            refusal
        }
    };
    let mut answer = answer::uncached(answer);
    if let Some(proofs) = &server.0.config.proofs {
        proofs.give_nonce(answer.headers_mut(), server.now());
    }
    answer
}

impl AuthorizationServer {
    async fn issue(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        asked: &mut Asked,
        correlation: &CorrelationId,
    ) -> Result<Issued, TokenError> {
        let now = self.now();
        self.sweep_if_due(now).await;
        let params = form(headers, body)?;
        asked.act = act(params.get("grant_type"));
        let (client, registered) = self.authenticate(headers, &params, now).await?;
        asked.by = Some(registered.clone());
        let client = client.with_key(self.proven_key(headers, &registered, now)?);
        let may = |grant_type| {
            let registered = registered.may_use(grant_type);
            registered
                .then_some(())
                .ok_or(TokenError::UnauthorizedClient)
        };
        let issued = match params.get("grant_type") {
            Some("authorization_code") => {
                may(GrantType::AuthorizationCode)?;
                self.redeem(&params, &client, now, correlation).await?
            }
            Some("refresh_token") => {
                may(GrantType::RefreshToken)?;
                self.refresh(&params, &client, now, correlation).await?
            }
            Some("client_credentials") if self.takes_client_credentials() => {
                may(GrantType::ClientCredentials)?;
                let client = (&client, &registered);
                self.issue_to_client(&params, client, now, correlation)
                    .await?
            }
            Some(JWT_BEARER) if self.takes_assertions() => {
                may(GrantType::JwtBearer)?;
                self.issue_by_assertion(&params, &client, now, correlation)
                    .await?
            }
            Some(_) => return Err(TokenError::UnsupportedGrantType),
            None => return Err(TokenError::Missing("grant_type")),
        };
        let event = self.event(asked.act, Decision::Allowed);
        let event = event.about(&issued.principal).of_grant(issued.grant);
        self.tell(event.of(&registered), correlation);
        if matches!(asked.act, Act::Code | Act::Refresh) {
            self.keep(&registered, now, correlation).await;
        }
        Ok(issued)
    }

    /// Tells that a request was refused.
    fn refused(
        &self,
        error: &TokenError,
        code: ErrorCode,
        asked: &Asked,
        correlation: &CorrelationId,
    ) {
        let event = self.event(asked.act, observed::denied(code, error));
        let event = match &asked.by {
            Some(client) => event.of(client),
            None => event,
        };
        self.tell(event, correlation);
    }

    /// The server that a token without a login is for (RFC 8707 §2.2).
    fn resource(&self, params: &Params) -> Result<&Resource, TokenError> {
        self.asked_resources(params)?;
        let named = self.0.config.resources.asked_for(params.resources());
        named.map_err(|_| TokenError::OtherResource)
    }

    /// Stores a grant that no login at Entra stands behind, and answers with its one access token.
    async fn issue_without_login(
        &self,
        client: &AuthenticatedClient,
        (who, resource, scope): (OwnPrincipal, &Resource, Scope),
        now: Timestamp,
        correlation: &CorrelationId,
    ) -> Result<Issued, TokenError> {
        let lifetime = self.0.config.lifetimes.access_token;
        let new = WithoutLogin {
            id: GrantId::generate(&*self.0.platform.random),
            who,
            scope,
            resource: resource.indicator.clone(),
            expires_at: now + lifetime,
        };
        let grant = Grant::without_login(client, new, now);
        match self.0.store.put_grant(&grant).await? {
            Written::Yes => {}
            Written::Conflict | Written::Revoked => {
                return Err(StoreError::new("a new grant's name was taken").into());
            }
        }
        tracing::info!(
            correlation_id = %correlation,
            grant = %grant.id(),
            client_id = %grant.client_id(),
            kind = ?grant.principal().kind,
            subject = grant.subject(),
            "grant issued without a login"
        );
        let scope = grant.scope().clone();
        self.issued(&grant, client, (scope, None, lifetime), now)
    }

    /// Mints an access token for `client` under `grant` and puts the answer together.
    fn issued(
        &self,
        grant: &Grant,
        client: &AuthenticatedClient,
        (scope, refresh_token, lifetime): (Scope, Option<RefreshToken>, Duration),
        now: Timestamp,
    ) -> Result<Issued, TokenError> {
        let key = client.key();
        // As it is written here, for guards compare it byte by byte.
        let resource = self.0.config.resources.of(grant.resource());
        let resource = resource.ok_or(TokenError::OtherResource)?;
        let access_token = self.mint(grant, (resource, &scope), (lifetime, key), now)?;
        Ok(Issued {
            access_token,
            // RFC 9449 §5.
            token_type: key.map_or("Bearer", |_| "DPoP"),
            expires_in: lifetime,
            refresh_token,
            scope,
            grant: grant.id(),
            principal: grant.principal().clone(),
        })
    }

    /// What a token request can be for (RFC 8707 §2.2).
    fn asked_resources(&self, params: &Params) -> Result<AskedResources, TokenError> {
        let asked = self.0.config.resources.asked_in(params);
        asked.map_err(|_| TokenError::Resource)
    }
}

/// What a client gets of what it asks for, where it can have no more than `allowed`. All that is
/// required must be among it.
fn granted(params: &Params, policy: &ScopePolicy, allowed: &Scope) -> Result<Scope, TokenError> {
    let asked = match params.get("scope") {
        None => policy.grantable().clone(),
        asked => policy
            .effective(asked)
            .map_err(|_| TokenError::ScopeNotGranted)?,
    };
    let granted = asked.intersection(allowed);
    if granted.covers(policy.required()) {
        Ok(granted)
    } else {
        Err(TokenError::ScopeNotGranted)
    }
}

/// Reads a form that says it is one.
pub(super) fn form(headers: &HeaderMap, body: &[u8]) -> Result<Params, TokenError> {
    if !media_type::is(headers, "application/x-www-form-urlencoded") {
        return Err(TokenError::NotAForm);
    }
    Ok(Params::parse(body)?)
}
