//! Why the guard turned a request away, and what the client is told.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;
use url::Url;

use super::challenge::Challenge;
use super::protection::Protection;
use crate::access_token::{Caller, Interaction, Lack, Shortfall, VerifyError};
use crate::causes::Causes;
use crate::entra::scope::ScopeNames;
use crate::oauth::claims_request::ClaimsRequest;
use crate::oauth::error::{ErrorCode, ErrorResponse};
use crate::oauth::scope::Scope;

/// Why the guard turned a request away. It is in the extensions of the response.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It comes from a web page that is not allowed to call: 403.
    #[error("the origin is not allowed")]
    Origin,
    /// It holds no credentials: 401 without an error code.
    #[error("there are no credentials")]
    NoCredentials,
    /// It holds several `Authorization` headers: 400 `invalid_request`.
    #[error("there is more than one Authorization header")]
    SeveralCredentials,
    /// Its credentials are no bearer token: 401 `invalid_token`.
    #[error("the credentials are no bearer token")]
    NotBearer,
    /// Its token does not get anybody in (401 `invalid_token`), or cannot be judged now (503).
    #[error(transparent)]
    Unverified(Arc<VerifyError>),
    /// Its token is good and not for this: 403 `insufficient_scope` where scopes would help, 401
    /// `invalid_token` or `insufficient_claims` where its user must sign in again, 403
    /// `access_denied` where nothing helps that a client can ask for.
    #[error("the token does not allow this: {1}")]
    Forbidden(Caller, Shortfall),
    /// Its MCP session is none of this caller's: 404.
    #[error("the session is not the caller's")]
    ForeignSession(Caller),
    /// It names several MCP sessions: 400 `invalid_request`.
    #[error("there is more than one Mcp-Session-Id header")]
    SeveralSessions(Caller),
}

impl Refusal {
    /// What a verifier's error comes to at the guard.
    pub(super) fn of(error: VerifyError) -> Self {
        if let VerifyError::Forbidden(caller, shortfall) = error {
            Self::Forbidden(caller, shortfall)
        } else {
            Self::Unverified(Arc::new(error))
        }
    }

    fn caller(&self) -> Option<&Caller> {
        match self {
            Self::Forbidden(caller, _)
            | Self::ForeignSession(caller)
            | Self::SeveralSessions(caller) => Some(caller),
            Self::Origin
            | Self::NoCredentials
            | Self::SeveralCredentials
            | Self::NotBearer
            | Self::Unverified(_) => None,
        }
    }

    fn log(&self, status: StatusCode) {
        let caller = self.caller();
        let subject = caller.map(|caller| caller.subject.as_str());
        let client_id = caller.map(|caller| caller.client_id.as_str());
        let grant = caller.and_then(|caller| caller.grant.as_deref());
        let status = status.as_u16();
        if let Self::Unverified(error) = self
            && let VerifyError::Unavailable(source) = &**error
        {
            tracing::error!(status, cause = %Causes(&**source), "{self}");
        } else {
            tracing::info!(status, reason = %self, subject, client_id, grant, "request refused");
        }
    }
}

/// What each kind of refusal is answered with, written once.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    origin: Answer,
    no_credentials: Answer,
    several_credentials: Answer,
    invalid_token: Answer,
    unavailable: Answer,
    access_denied: Answer,
    sign_in_again: Answer,
    step_up: StepUp,
    foreign_session: Answer,
    several_sessions: Answer,
}

impl Answers {
    pub(super) fn new(protection: &Protection) -> Self {
        let challenged = |error| Answer::challenged(error, protection);
        Self {
            origin: Answer::plain(StatusCode::FORBIDDEN, "this origin is not allowed\n"),
            no_credentials: challenged(None),
            several_credentials: challenged(Some(SEVERAL_CREDENTIALS)),
            invalid_token: challenged(Some(INVALID_TOKEN)),
            unavailable: Answer::error(UNAVAILABLE)
                .with(RETRY_AFTER, HeaderValue::from_static("5")),
            access_denied: Answer::error(ACCESS_DENIED),
            sign_in_again: challenged(Some(SIGN_IN_AGAIN)),
            step_up: StepUp::new(protection),
            foreign_session: Answer::plain(StatusCode::NOT_FOUND, "no such session\n"),
            several_sessions: Answer::error(SEVERAL_SESSIONS),
        }
    }

    /// Answers `refusal`, and logs it.
    pub(super) fn refuse(&self, refusal: Refusal) -> Response<Bytes> {
        let answer = self.answer(&refusal);
        refusal.log(answer.status);
        let mut response = Response::new(answer.body.clone());
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers.clone();
        response.extensions_mut().insert(refusal);
        response
    }

    fn answer(&self, refusal: &Refusal) -> Cow<'_, Answer> {
        Cow::Borrowed(match refusal {
            Refusal::Origin => &self.origin,
            Refusal::NoCredentials => &self.no_credentials,
            Refusal::SeveralCredentials => &self.several_credentials,
            Refusal::NotBearer => &self.invalid_token,
            Refusal::Unverified(error) => match **error {
                VerifyError::Unavailable(_) => &self.unavailable,
                VerifyError::Token(_)
                | VerifyError::Issuer { .. }
                | VerifyError::KeyIssuer { .. }
                | VerifyError::Tenant { .. }
                | VerifyError::Audience { .. }
                | VerifyError::Version { .. }
                | VerifyError::UserFlow { .. }
                | VerifyError::IdToken
                | VerifyError::GraphToken
                | VerifyError::SenderConstrained
                | VerifyError::UnknownOrigin { .. }
                | VerifyError::Forbidden(..)
                | VerifyError::GrantEnded => &self.invalid_token,
            },
            Refusal::Forbidden(_, Shortfall::Scope(scope)) => {
                return Cow::Owned(self.step_up.to(scope));
            }
            Refusal::Forbidden(_, Shortfall::Interaction(interaction)) => {
                let Interaction { claims, link, .. } = &**interaction;
                let answer = match claims {
                    Some(claims) => self.step_up.with(claims),
                    None => self.sign_in_again.clone(),
                };
                return Cow::Owned(answer.at(SIGN_IN_AGAIN, link.as_deref()));
            }
            Refusal::Forbidden(_, Shortfall::Other(Lack::Administrator(consent_url))) => {
                let answer = Answer::error(ASK_ADMINISTRATOR);
                return Cow::Owned(answer.at(ASK_ADMINISTRATOR, consent_url.as_deref()));
            }
            Refusal::Forbidden(_, Shortfall::Other(_)) => &self.access_denied,
            Refusal::ForeignSession(_) => &self.foreign_session,
            Refusal::SeveralSessions(_) => &self.several_sessions,
        })
    }
}

/// What a client is told whose token allows too little.
#[derive(Clone, Debug)]
struct StepUp {
    required_scope: Scope,
    scope_names: Option<ScopeNames>,
    resource_metadata: Url,
}

impl StepUp {
    fn new(protection: &Protection) -> Self {
        Self {
            required_scope: protection.required_scope.clone(),
            scope_names: protection.scope_names.clone(),
            resource_metadata: protection.resource_metadata_url.clone(),
        }
    }

    /// Everything that is required here besides, in one challenge: a client may come back with
    /// the scopes it was told and no others (MCP authorization, *Runtime Insufficient Scope
    /// Errors*).
    fn to(&self, needed: &Scope) -> Answer {
        let scope = self.required_scope.union(needed);
        self.challenge(INSUFFICIENT_SCOPE, &scope, None)
    }

    /// The same with claims, for a client that asks Entra itself (Microsoft, *claims challenges*).
    fn with(&self, claims: &ClaimsRequest) -> Answer {
        self.challenge(INSUFFICIENT_CLAIMS, &self.required_scope, Some(claims))
    }

    fn challenge(
        &self,
        error: ErrorResponse,
        scope: &Scope,
        claims: Option<&ClaimsRequest>,
    ) -> Answer {
        let challenge = Challenge {
            error: Some(error),
            claims,
            scope: &told(scope, self.scope_names.as_ref()),
            resource_metadata: &self.resource_metadata,
        };
        Answer::error(error).with(WWW_AUTHENTICATE, challenge.to_header_value())
    }
}

/// Scopes as a client must ask for them: Entra knows them by their API.
fn told(scope: &Scope, names: Option<&ScopeNames>) -> Scope {
    names.map_or_else(|| scope.clone(), |names| names.to_entra(scope))
}

/// An error, and a page where a person can do something about it.
#[derive(Serialize)]
struct WithPage<'a> {
    #[serde(flatten)]
    error: ErrorResponse,
    error_uri: &'a str,
}

/// An answer, but for the extensions.
#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn new(status: StatusCode, body: Bytes) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Self {
            status,
            headers,
            body,
        }
    }

    fn with(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    fn plain(status: StatusCode, sentence: &'static str) -> Self {
        Self::new(status, Bytes::from_static(sentence.as_bytes()))
            .with(CONTENT_TYPE, HeaderValue::from_static("text/plain"))
    }

    fn error(error: ErrorResponse) -> Self {
        let body = serde_json::to_vec(&error).expect("two strings are JSON");
        Self::new(error.error.status(), body.into())
            .with(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// The same with a page where a person can do something about `error` (`error_uri`, RFC 6749
    /// §5.2), if there is one.
    fn at(self, error: ErrorResponse, error_uri: Option<&str>) -> Self {
        let Some(error_uri) = error_uri else {
            return self;
        };
        let body = serde_json::to_vec(&WithPage { error, error_uri });
        let body = body.expect("three strings are JSON").into();
        Self { body, ..self }
    }

    fn challenged(error: Option<ErrorResponse>, protection: &Protection) -> Self {
        let answer = error.map_or_else(
            || Self::new(StatusCode::UNAUTHORIZED, Bytes::new()),
            Self::error,
        );
        let challenge = Challenge {
            error,
            claims: None,
            scope: &told(&protection.required_scope, protection.scope_names.as_ref()),
            resource_metadata: &protection.resource_metadata_url,
        };
        answer.with(WWW_AUTHENTICATE, challenge.to_header_value())
    }
}

const SEVERAL_CREDENTIALS: ErrorResponse =
    ErrorResponse::new(ErrorCode::InvalidRequest, "send one Authorization header");

const SEVERAL_SESSIONS: ErrorResponse =
    ErrorResponse::new(ErrorCode::InvalidRequest, "send one Mcp-Session-Id header");

const INVALID_TOKEN: ErrorResponse = ErrorResponse::new(
    ErrorCode::InvalidToken,
    "the access token is expired, revoked or not valid here: refresh it, or sign in again",
);

const INSUFFICIENT_SCOPE: ErrorResponse = ErrorResponse::new(
    ErrorCode::InsufficientScope,
    "the access token does not allow this: authorize again with the scopes named",
);

const SIGN_IN_AGAIN: ErrorResponse = ErrorResponse::new(
    ErrorCode::InvalidToken,
    "Microsoft Entra wants to see the user before this goes on: sign in again, then retry",
);

const ASK_ADMINISTRATOR: ErrorResponse = ErrorResponse::new(
    ErrorCode::AccessDenied,
    "an administrator of the user's organisation has to allow this first",
);

const INSUFFICIENT_CLAIMS: ErrorResponse = ErrorResponse::new(
    ErrorCode::InsufficientClaims,
    "Microsoft Entra asks for more: get a token with the claims named, then retry",
);

const ACCESS_DENIED: ErrorResponse = ErrorResponse::new(
    ErrorCode::AccessDenied,
    "the caller may not do this, whatever scopes it asks for: whoever runs the server can say why",
);

const UNAVAILABLE: ErrorResponse = ErrorResponse::new(
    ErrorCode::TemporarilyUnavailable,
    "access tokens cannot be verified now: try again",
);
