//! Why the guard turned a request away, and what the client is told.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::challenge::Challenge;
use super::protection::Protection;
use crate::access_token::{TokenFacts, VerifyError};
use crate::causes::Causes;
use crate::oauth::client::ClientId;
use crate::oauth::error::{ErrorCode, ErrorResponse};

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
    /// Its token allows less than is required: 403 `insufficient_scope`.
    #[error("the token allows less than is required")]
    InsufficientScope(Caller),
    /// Its MCP session is none of this caller's: 404.
    #[error("the session is not the caller's")]
    ForeignSession(Caller),
    /// It names several MCP sessions: 400 `invalid_request`.
    #[error("there is more than one Mcp-Session-Id header")]
    SeveralSessions(Caller),
}

/// Whose token it was, for the log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Caller {
    /// The user or machine, in the issuer's own naming.
    pub subject: String,
    /// The client.
    pub client_id: ClientId,
    /// The authorization behind the token, where there is one.
    pub grant: Option<String>,
}

impl Caller {
    pub(super) fn of(token: &TokenFacts) -> Self {
        Self {
            subject: token.subject.clone(),
            client_id: token.client_id.clone(),
            grant: token.grant.clone(),
        }
    }
}

impl Refusal {
    fn caller(&self) -> Option<&Caller> {
        match self {
            Self::InsufficientScope(caller)
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
    insufficient_scope: Answer,
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
            insufficient_scope: challenged(Some(INSUFFICIENT_SCOPE)),
            foreign_session: Answer::plain(StatusCode::NOT_FOUND, "no such session\n"),
            several_sessions: Answer::error(SEVERAL_SESSIONS),
        }
    }

    /// Answers `refusal`, and logs it.
    pub(super) fn refuse(&self, refusal: Refusal) -> Response<Bytes> {
        let answer = match &refusal {
            Refusal::Origin => &self.origin,
            Refusal::NoCredentials => &self.no_credentials,
            Refusal::SeveralCredentials => &self.several_credentials,
            Refusal::NotBearer => &self.invalid_token,
            Refusal::Unverified(error) => match **error {
                VerifyError::Token(_) | VerifyError::GrantEnded => &self.invalid_token,
                VerifyError::Unavailable(_) => &self.unavailable,
            },
            Refusal::InsufficientScope(_) => &self.insufficient_scope,
            Refusal::ForeignSession(_) => &self.foreign_session,
            Refusal::SeveralSessions(_) => &self.several_sessions,
        };
        refusal.log(answer.status);
        let mut response = Response::new(answer.body.clone());
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers.clone();
        response.extensions_mut().insert(refusal);
        response
    }
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

    fn challenged(error: Option<ErrorResponse>, protection: &Protection) -> Self {
        let answer = error.map_or_else(
            || Self::new(StatusCode::UNAUTHORIZED, Bytes::new()),
            Self::error,
        );
        let challenge = Challenge {
            error,
            scope: &protection.required_scope,
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

const UNAVAILABLE: ErrorResponse = ErrorResponse::new(
    ErrorCode::TemporarilyUnavailable,
    "access tokens cannot be verified now: try again",
);
