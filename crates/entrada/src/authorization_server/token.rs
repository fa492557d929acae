//! `POST /token`: the token endpoint (RFC 6749 §3.2).
//!
//! Four phases: read the form, authenticate the client, let the grant decide, answer.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;

use super::AuthorizationServer;
use super::client_auth::ClientAuthError;
use super::correlation::CorrelationId;
use super::renewal::RenewalError;
use crate::grant::{Grant, RedeemError, RefreshError};
use crate::jwt::sign::SigningKeyError;
use crate::oauth::client::{Client, GrantType};
use crate::oauth::error::{ErrorCode, ErrorResponse};
use crate::oauth::params::{Params, ParamsError};
use crate::oauth::resource::ResourceIndicator;
use crate::oauth::scope::Scope;
use crate::platform::Timestamp;
use crate::secret::{AccessToken, RefreshToken};
use crate::store::StoreError;

mod authorization_code;
mod refresh_token;

/// How long a spent code is remembered, so that a late replay still revokes.
pub(super) const CODE_MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

/// When a client may try again after trouble with the store.
pub(super) const STORE_RETRY_AFTER: Duration = Duration::from_secs(2);

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
        let other_resource = (
            ErrorCode::InvalidTarget,
            "the grant is for another resource",
        );
        let (code, description) = match error {
            E::NotAForm => (
                ErrorCode::InvalidRequest,
                "the body must be application/x-www-form-urlencoded",
            ),
            E::Params(_) => (ErrorCode::InvalidRequest, "the parameters cannot be read"),
            E::Client(error) => return error.into(),
            E::Missing(_) => (ErrorCode::InvalidRequest, "a required parameter is missing"),
            E::UnsupportedGrantType => (
                ErrorCode::UnsupportedGrantType,
                "grant_type must be authorization_code or refresh_token",
            ),
            E::UnauthorizedClient => (
                ErrorCode::UnauthorizedClient,
                "the client did not register for this grant_type",
            ),
            E::Scope => (ErrorCode::InvalidScope, "scope cannot be read"),
            E::Resource => (ErrorCode::InvalidTarget, "resource must be an absolute URL"),
            E::UnknownCode | E::ReplayedCode => (ErrorCode::InvalidGrant, "the code is not valid"),
            E::Redeem(error) => match error {
                RedeemError::WrongResource => other_resource,
                RedeemError::WrongVerifier => (
                    ErrorCode::InvalidGrant,
                    "code_verifier does not answer the code_challenge",
                ),
                RedeemError::WrongRedirectUri => (
                    ErrorCode::InvalidGrant,
                    "redirect_uri differs from the authorization request",
                ),
                RedeemError::WrongClient | RedeemError::Expired => {
                    (ErrorCode::InvalidGrant, "the code is not valid")
                }
            },
            E::UnknownRefreshToken => (ErrorCode::InvalidGrant, "the refresh token is not valid"),
            E::Renewal(error) => match error {
                RenewalError::Refused(RefreshError::ScopeExceeded) => (
                    ErrorCode::InvalidScope,
                    "the scope exceeds what was granted",
                ),
                RenewalError::Refused(RefreshError::WrongResource) => other_resource,
                RenewalError::Refused(RefreshError::WrongClient | RefreshError::Expired)
                | RenewalError::Ended
                | RenewalError::Replayed => {
                    (ErrorCode::InvalidGrant, "the refresh token is not valid")
                }
                RenewalError::SignInAgain(_) => {
                    (ErrorCode::InvalidGrant, "the user must sign in again")
                }
                RenewalError::Unavailable { .. }
                | RenewalError::Contended
                | RenewalError::Store(_) => unavailable,
                RenewalError::Crypto => (ErrorCode::ServerError, "internal error"),
            },
            E::Sign(_) => (ErrorCode::ServerError, "internal error"),
            E::Store(_) => unavailable,
        };
        Self::new(code, description)
    }
}

impl TokenError {
    /// When to try again, where trying again helps.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Renewal(RenewalError::Unavailable { retry_after, .. }) => Some(*retry_after),
            Self::Store(_)
            | Self::Client(ClientAuthError::Store(_))
            | Self::Renewal(RenewalError::Store(_) | RenewalError::Contended) => {
                Some(STORE_RETRY_AFTER)
            }
            Self::NotAForm
            | Self::Params(_)
            | Self::Client(_)
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
            | Self::Sign(_) => None,
        }
    }
}

/// A successful answer (RFC 6749 §5.1). Nothing that is unset is written.
#[derive(Debug)]
struct Issued {
    access_token: AccessToken,
    expires_in: Duration,
    refresh_token: Option<RefreshToken>,
    scope: Scope,
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
            token_type: "Bearer",
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
    let answer = match server.issue(&headers, &body, &correlation).await {
        Ok(issued) => Json(issued.body()).into_response(),
        Err(error) => {
            let retry_after = error.retry_after();
            let mut refusal = refuse(&error, (&error).into(), retry_after, &correlation);
            if matches!(&error, TokenError::Client(error) if error.wants_basic()) {
                challenge_basic(&mut refusal);
            }
            refusal
        }
    };
    uncached(answer)
}

impl AuthorizationServer {
    async fn issue(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        correlation: &CorrelationId,
    ) -> Result<Issued, TokenError> {
        let now = self.now();
        self.sweep_if_due(now).await;
        let params = form(headers, body)?;
        let (client, registered) = self.authenticate(headers, &params, now).await?;
        let may = |grant_type| {
            let registered = registered.may_use(grant_type);
            registered
                .then_some(())
                .ok_or(TokenError::UnauthorizedClient)
        };
        match params.get("grant_type") {
            Some("authorization_code") => {
                may(GrantType::AuthorizationCode)?;
                let issued = self.redeem(&params, &client, now, correlation).await?;
                self.keep(&registered, now, correlation).await;
                Ok(issued)
            }
            Some("refresh_token") => {
                may(GrantType::RefreshToken)?;
                self.refresh(&params, &client, now, correlation).await
            }
            Some(_) => Err(TokenError::UnsupportedGrantType),
            None => Err(TokenError::Missing("grant_type")),
        }
    }

    /// Keeps the registration of a client that is in use. The code is spent by now: that this
    /// may fail must not cost the client its tokens.
    async fn keep(&self, client: &Client, now: Timestamp, correlation: &CorrelationId) {
        let used_until = now + super::register::USED_LIFETIME;
        if let Err(error) = self.0.store.put_client(client, used_until).await {
            tracing::warn!(%correlation, client_id = %client.id(), %error, "registration not kept");
        }
    }

    /// Mints an access token for `grant` and puts the answer together.
    fn issued(
        &self,
        grant: &Grant,
        scope: Scope,
        (refresh_token, lifetime): (Option<RefreshToken>, Duration),
        now: Timestamp,
    ) -> Result<Issued, TokenError> {
        let access_token = self.mint(grant, &scope, lifetime, now)?;
        Ok(Issued {
            access_token,
            expires_in: lifetime,
            refresh_token,
            scope,
        })
    }
}

/// Reads a form that says it is one.
pub(super) fn form(headers: &HeaderMap, body: &[u8]) -> Result<Params, TokenError> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = content_type
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    if !essence.is_some_and(|it| it.eq_ignore_ascii_case("application/x-www-form-urlencoded")) {
        return Err(TokenError::NotAForm);
    }
    Ok(Params::parse(body)?)
}

/// The resources a token request names (RFC 8707 §2.2).
fn resources(params: &Params) -> Result<Vec<ResourceIndicator>, TokenError> {
    let parsed = params.resources().map(ResourceIndicator::parse);
    parsed
        .collect::<Result<_, _>>()
        .map_err(|_| TokenError::Resource)
}

/// The one way out for a refused machine: logs, and answers by the code's own status.
pub(super) fn refuse(
    error: &(dyn std::error::Error + 'static),
    answer: ErrorResponse,
    retry_after: Option<Duration>,
    correlation: &CorrelationId,
) -> Response {
    log(error, answer.error, correlation);
    let mut response = (answer.error.status(), Json(answer)).into_response();
    if let Some(wait) = retry_after {
        let seconds = HeaderValue::from(wait.as_secs().max(1));
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// Logs a refusal once: our own trouble as an error, a refused client as information.
pub(super) fn log(
    error: &(dyn std::error::Error + 'static),
    code: ErrorCode,
    correlation: &CorrelationId,
) {
    let cause = Causes(error);
    let code_name = code.as_str();
    if code.status().is_server_error() {
        tracing::error!(%correlation, code = code_name, %cause, "request failed");
    } else {
        tracing::info!(%correlation, code = code_name, %cause, "request refused");
    }
}

/// An error with all of its sources on one line.
struct Causes<'a>(&'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

/// RFC 6749 §5.1 and §5.2: nothing of the token endpoint is ever cached.
pub(super) fn uncached(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// RFC 6749 §5.2: who used `Authorization` is answered in kind.
pub(super) fn challenge_basic(response: &mut Response) {
    let challenge = HeaderValue::from_static("Basic realm=\"entrada\"");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
}
