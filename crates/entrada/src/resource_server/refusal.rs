//! Why the guard turned a request away, and what the client is told.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;
use url::Url;

use super::challenge::Challenge;
use super::credentials::Scheme;
use super::protection::Protection;
use crate::access_token::{Caller, Interaction, Lack, Shortfall, VerifyError};
use crate::causes::Causes;
use crate::dpop::ProofError;
use crate::entra::scope::ScopeNames;
use crate::jwt::dpop::DpopError;
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
    /// Its token is bound to a key, and came by itself: 401 `invalid_token` (RFC 9449 §7.2).
    #[error("the token is bound to a key, and came as a bearer token")]
    BoundToken(Caller),
    /// Its token is bound to no key, and came with a proof, or is not enough here: 401
    /// `invalid_token`.
    #[error("the token is bound to no key")]
    UnboundToken(Caller),
    /// Its token is bound to a key that it does not prove to have: 401 `invalid_dpop_proof`,
    /// `use_dpop_nonce`, or `invalid_token` where it is another key (RFC 9449 §7.1).
    #[error("the token is bound to a key: {1}")]
    Proof(Caller, ProofError),
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

    /// A word for it, of few.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::NoCredentials => "no_credentials",
            Self::SeveralCredentials => "several_credentials",
            Self::NotBearer => "not_bearer",
            Self::Unverified(error) => match **error {
                VerifyError::Unavailable(_) => "unavailable",
                VerifyError::GrantEnded => "grant_ended",
                VerifyError::Token(_) => "token",
                VerifyError::Issuer { .. }
                | VerifyError::KeyIssuer { .. }
                | VerifyError::UnknownOrigin { .. } => "issuer",
                VerifyError::Tenant { .. } => "tenant",
                VerifyError::Audience { .. } => "audience",
                VerifyError::Version { .. }
                | VerifyError::UserFlow { .. }
                | VerifyError::IdToken
                | VerifyError::GraphToken
                | VerifyError::SenderConstrained => "kind",
                VerifyError::Forbidden(..) => "forbidden",
            },
            Self::BoundToken(_) | Self::UnboundToken(_) | Self::Proof(..) => "proof",
            Self::Forbidden(_, Shortfall::Scope(_)) => "scope",
            Self::Forbidden(_, Shortfall::Interaction(_)) => "sign_in_again",
            Self::Forbidden(_, Shortfall::Other(_)) => "forbidden",
            Self::ForeignSession(_) | Self::SeveralSessions(_) => "session",
        }
    }

    /// Who was turned away, where that is known.
    pub fn caller(&self) -> Option<&Caller> {
        match self {
            Self::Forbidden(caller, _)
            | Self::BoundToken(caller)
            | Self::UnboundToken(caller)
            | Self::Proof(caller, _)
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

// A request is refused under the scheme it used; without a token that is the first.
impl From<Refusal> for (Refusal, Scheme) {
    fn from(refusal: Refusal) -> Self {
        (refusal, Scheme::Bearer)
    }
}

/// What each kind of refusal is answered with under each scheme, written once.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    bearer: Sheet,
    dpop: Sheet,
}

/// What is answered under one scheme.
#[derive(Clone, Debug)]
struct Sheet {
    origin: Answer,
    no_credentials: Answer,
    several_credentials: Answer,
    invalid_token: Answer,
    bound_token: Answer,
    unbound_token: Answer,
    other_key: Answer,
    invalid_proof: Answer,
    use_nonce: Answer,
    unavailable: Answer,
    access_denied: Answer,
    sign_in_again: Answer,
    step_up: StepUp,
    foreign_session: Answer,
    several_sessions: Answer,
}

impl Answers {
    pub(super) fn new(protection: &Protection) -> Self {
        Self {
            bearer: Sheet::new(Scheme::Bearer, protection),
            dpop: Sheet::new(Scheme::Dpop, protection),
        }
    }

    /// Answers `refusal` of a request under `scheme`, and logs it.
    pub(super) fn refuse(&self, refusal: Refusal, scheme: Scheme) -> Response<Bytes> {
        let sheet = match scheme {
            Scheme::Bearer => &self.bearer,
            Scheme::Dpop => &self.dpop,
        };
        let answer = sheet.answer(&refusal);
        refusal.log(answer.status);
        let mut response = Response::new(answer.body.clone());
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers.clone();
        response.extensions_mut().insert(refusal);
        response
    }
}

impl Sheet {
    fn new(scheme: Scheme, protection: &Protection) -> Self {
        let challenged = |error| Answer::challenged(error, scheme, protection);
        // RFC 9449 §7.1: whoever could have used either is told of both, and of `Bearer` first, for
        // clients overlook a challenge that stands behind one they do not know.
        let offered = |error| {
            let answer = challenged(error);
            match (scheme, &protection.proofs) {
                (Scheme::Bearer, Some(_)) => {
                    let other = Answer::challenged(error, Scheme::Dpop, protection);
                    answer.and_challenges_of(&other)
                }
                (Scheme::Bearer, None) | (Scheme::Dpop, _) => answer,
            }
        };
        Self {
            origin: Answer::plain(StatusCode::FORBIDDEN, "this origin is not allowed\n"),
            no_credentials: offered(None),
            several_credentials: challenged(Some(SEVERAL_CREDENTIALS)),
            invalid_token: challenged(Some(INVALID_TOKEN)),
            bound_token: offered(Some(BOUND_TOKEN)),
            unbound_token: offered(Some(UNBOUND_TOKEN)),
            other_key: challenged(Some(OTHER_KEY)),
            invalid_proof: challenged(Some(INVALID_PROOF)).unauthorized(),
            use_nonce: challenged(Some(USE_NONCE)).unauthorized(),
            unavailable: Answer::error(UNAVAILABLE)
                .with(RETRY_AFTER, HeaderValue::from_static("5")),
            access_denied: Answer::error(ACCESS_DENIED),
            sign_in_again: challenged(Some(SIGN_IN_AGAIN)),
            step_up: StepUp::new(scheme, protection),
            foreign_session: Answer::plain(StatusCode::NOT_FOUND, "no such session\n"),
            several_sessions: Answer::error(SEVERAL_SESSIONS),
        }
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
            Refusal::BoundToken(_) => &self.bound_token,
            Refusal::UnboundToken(_) => &self.unbound_token,
            // RFC 9449 §7.1: another proof would not help, another token does.
            Refusal::Proof(_, ProofError::Wrong(DpopError::OtherKey)) => &self.other_key,
            Refusal::Proof(_, ProofError::Nonce) => &self.use_nonce,
            Refusal::Proof(..) => &self.invalid_proof,
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
    scheme: Scheme,
    required_scope: Scope,
    scope_names: Option<ScopeNames>,
    resource_metadata: Url,
}

impl StepUp {
    fn new(scheme: Scheme, protection: &Protection) -> Self {
        Self {
            scheme,
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
            scheme: self.scheme,
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

    /// The same as 401, whatever the code stands for elsewhere.
    fn unauthorized(self) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            ..self
        }
    }

    /// The same with the challenge of `other` behind its own, in a header of its own: some clients
    /// read the first alone.
    fn and_challenges_of(mut self, other: &Self) -> Self {
        for challenge in other.headers.get_all(WWW_AUTHENTICATE) {
            self.headers.append(WWW_AUTHENTICATE, challenge.clone());
        }
        self
    }

    fn challenged(error: Option<ErrorResponse>, scheme: Scheme, protection: &Protection) -> Self {
        let answer = error.map_or_else(
            || Self::new(StatusCode::UNAUTHORIZED, Bytes::new()),
            Self::error,
        );
        let challenge = Challenge {
            scheme,
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

const BOUND_TOKEN: ErrorResponse = ErrorResponse::new(
    ErrorCode::InvalidToken,
    "the access token is bound to a key: send it with a proof of that key",
);

const UNBOUND_TOKEN: ErrorResponse = ErrorResponse::new(
    ErrorCode::InvalidToken,
    "the access token is bound to no key: get one with a DPoP proof",
);

const OTHER_KEY: ErrorResponse = ErrorResponse::new(
    ErrorCode::InvalidToken,
    "the access token is bound to another key than the proof has",
);

const INVALID_PROOF: ErrorResponse = ErrorResponse::new(
    ErrorCode::InvalidDpopProof,
    "the DPoP header must hold one proof, made just now for this method, URL and access token",
);

const USE_NONCE: ErrorResponse = ErrorResponse::new(
    ErrorCode::UseDpopNonce,
    "the proof must hold the nonce that DPoP-Nonce has",
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
