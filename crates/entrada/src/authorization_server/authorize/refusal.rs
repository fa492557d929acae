//! The two ways out of a refused authorization request: back to the client, or onto a page.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::{
    AuthorizationServer, CorrelationId, ErrorCode, ErrorResponse, ParamsError, StoreError,
};
use crate::access_token::Claimed;
use crate::authorization_server::answer;
use crate::authorization_server::clients::ClientError;
use crate::authorization_server::pages::{self, Words};
use crate::client_documents::ClientFetchError;
use crate::oauth::redirect_uri::TrustedRedirect;

/// Where an answer goes, and what the client knows it by.
#[derive(Clone, Debug)]
pub struct AnswerTo {
    pub(in crate::authorization_server) redirect: TrustedRedirect,
    pub(in crate::authorization_server) state: Option<String>,
}

impl AnswerTo {
    pub(in crate::authorization_server) fn new(
        redirect: TrustedRedirect,
        state: Option<String>,
    ) -> Self {
        Self { redirect, state }
    }
}

/// Why an authorization request was refused.
///
/// What holds an [`AnswerTo`] goes back to the client; what holds none cannot (RFC 6749
/// §4.1.2.1).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorizeError {
    /// The parameters cannot be read.
    #[error(transparent)]
    Params(ParamsError),
    /// `client_id` is missing.
    #[error("client_id is missing")]
    NoClient,
    /// No such client is registered.
    #[error("the client is not registered")]
    UnknownClient,
    /// The redirect URI is not registered for the client.
    #[error("redirect_uri is not registered for the client")]
    UnregisteredRedirectUri,
    /// Its document is not believed, or not there.
    #[error(transparent)]
    Document(Arc<ClientFetchError>),
    /// The store failed before the client was known.
    #[error(transparent)]
    Store(StoreError),
    /// `state` is longer than we carry.
    #[error("state is too long")]
    StateTooLong(AnswerTo),
    /// `response_type` is missing.
    #[error("response_type is missing")]
    NoResponseType(AnswerTo),
    /// `response_type` is not `code`.
    #[error("response_type is not code")]
    UnsupportedResponseType(AnswerTo),
    /// `response_mode` is not `query`.
    #[error("response_mode is not query")]
    UnsupportedResponseMode(AnswerTo),
    /// `code_challenge` is missing.
    #[error("code_challenge is missing")]
    NoChallenge(AnswerTo),
    /// `code_challenge_method` is not `S256`.
    #[error("code_challenge_method is not S256")]
    ChallengeMethod(AnswerTo),
    /// `code_challenge` is not a digest.
    #[error("code_challenge is not an S256 challenge")]
    Challenge(AnswerTo),
    /// `dpop_jkt` is not the thumbprint of a key.
    #[error("dpop_jkt is not a thumbprint")]
    Thumbprint(AnswerTo),
    /// None of the scopes asked for exists.
    #[error("no such scope")]
    Scope(AnswerTo),
    /// `resource` is none of the servers here, or names more than one of them.
    #[error("resource is not one server here: expected {expected}, got {got}")]
    Target {
        /// Whom to tell.
        to: AnswerTo,
        /// Those there are.
        expected: String,
        /// What was asked for.
        got: Claimed,
    },
    /// `prompt=none` was asked for, and the user has to be asked.
    #[error("consent is needed and prompt is none")]
    ConsentRequired(AnswerTo),
}

impl From<ClientError> for AuthorizeError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Unknown => Self::UnknownClient,
            ClientError::Document(error) => Self::Document(error),
            ClientError::Store(error) => Self::Store(error),
        }
    }
}

impl AuthorizeError {
    pub(super) fn answer_to(&self) -> Option<&AnswerTo> {
        match self {
            Self::Params(_)
            | Self::NoClient
            | Self::UnknownClient
            | Self::UnregisteredRedirectUri
            | Self::Document(_)
            | Self::Store(_) => None,
            Self::StateTooLong(to)
            | Self::NoResponseType(to)
            | Self::UnsupportedResponseType(to)
            | Self::UnsupportedResponseMode(to)
            | Self::NoChallenge(to)
            | Self::ChallengeMethod(to)
            | Self::Challenge(to)
            | Self::Thumbprint(to)
            | Self::Scope(to)
            | Self::Target { to, .. }
            | Self::ConsentRequired(to) => Some(to),
        }
    }
}

impl From<&AuthorizeError> for ErrorResponse {
    fn from(error: &AuthorizeError) -> Self {
        use AuthorizeError as E;
        let (code, description) = match error {
            E::Params(_) => (ErrorCode::InvalidRequest, "the parameters cannot be read"),
            E::NoClient => (ErrorCode::InvalidRequest, "client_id is missing"),
            E::UnknownClient => (
                ErrorCode::InvalidRequest,
                "the client is not registered: register it again",
            ),
            E::UnregisteredRedirectUri => (
                ErrorCode::InvalidRequest,
                "redirect_uri is not registered for this client",
            ),
            E::Document(error) if error.may_pass() => (
                ErrorCode::TemporarilyUnavailable,
                "the client's document cannot be had now, try again later",
            ),
            E::Document(error) => (ErrorCode::InvalidRequest, error.description()),
            E::Store(_) => (ErrorCode::TemporarilyUnavailable, "try again later"),
            E::StateTooLong(_) => (ErrorCode::InvalidRequest, "state is longer than 4096 bytes"),
            E::NoResponseType(_) => (ErrorCode::InvalidRequest, "response_type is missing"),
            E::UnsupportedResponseType(_) => (
                ErrorCode::UnsupportedResponseType,
                "response_type must be code",
            ),
            E::UnsupportedResponseMode(_) => {
                (ErrorCode::InvalidRequest, "response_mode must be query")
            }
            E::NoChallenge(_) => (ErrorCode::InvalidRequest, "code_challenge is missing"),
            E::ChallengeMethod(_) => (
                ErrorCode::InvalidRequest,
                "code_challenge_method must be S256",
            ),
            E::Challenge(_) => (
                ErrorCode::InvalidRequest,
                "code_challenge must be a SHA-256 in base64url",
            ),
            E::Thumbprint(_) => (
                ErrorCode::InvalidRequest,
                "dpop_jkt must be the SHA-256 thumbprint of a key in base64url",
            ),
            E::Scope(_) => (ErrorCode::InvalidScope, "none of the scopes exists here"),
            E::Target { .. } => (
                ErrorCode::InvalidTarget,
                "resource must name one server that tokens are issued for here",
            ),
            E::ConsentRequired(_) => (
                ErrorCode::ConsentRequired,
                "the user must be asked, and prompt is none",
            ),
        };
        Self::new(code, description)
    }
}

/// What a person sees where no client can be trusted with the error.
pub(super) fn page(error: &AuthorizeError, correlation: &CorrelationId) -> Response {
    use AuthorizeError as E;
    let words = match error {
        E::UnknownClient => Words {
            title: "This app is not known here",
            message: "The app that sent you here is not registered with this server, or no \
                      longer is.",
            advice: "Close this window, remove the server from your app and add it again: it \
                     will then register anew.",
        },
        E::UnregisteredRedirectUri => Words {
            title: "This link does not belong to the app",
            message: "The address the sign-in would be sent to is not one the app registered.",
            advice: "Close this window. If you followed a link somebody sent you, do not use it \
                     again.",
        },
        E::Document(error) if error.may_pass() => Words {
            title: "The app cannot be checked right now",
            message: "The page where the app says who it is does not answer.",
            advice: pages::UNAVAILABLE.advice,
        },
        E::Document(error) if matches!(**error, ClientFetchError::Host) => Words {
            title: "This app is not welcome here",
            message: "This server takes apps from some publishers alone, and this one is of another.",
            advice: "Close this window. Whoever runs the server can say which apps it takes.",
        },
        E::Document(_) => Words {
            title: "This app does not say who it is",
            message: "The page where the app should say so is missing, or not what it must be.",
            advice: "Close this window. If you followed a link somebody sent you, do not use it \
                     again; otherwise tell whoever makes the app.",
        },
        E::Store(_) => pages::UNAVAILABLE,
        E::Params(_)
        | E::NoClient
        | E::StateTooLong(_)
        | E::NoResponseType(_)
        | E::UnsupportedResponseType(_)
        | E::UnsupportedResponseMode(_)
        | E::NoChallenge(_)
        | E::ChallengeMethod(_)
        | E::Challenge(_)
        | E::Thumbprint(_)
        | E::Scope(_)
        | E::Target { .. }
        | E::ConsentRequired(_) => Words {
            title: pages::NOT_COMPLETE,
            message: "The app sent you here with a request this server cannot read.",
            advice: pages::START_AGAIN,
        },
    };
    pages::error(ErrorResponse::from(error).error, words, correlation)
}

/// What a program is told in place of the page: how to register.
#[derive(Serialize)]
struct MachineRefusal {
    #[serde(flatten)]
    answer: ErrorResponse,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_endpoint: Option<String>,
}

impl AuthorizationServer {
    pub(super) fn machine_refusal(
        &self,
        error: &AuthorizeError,
        answer: ErrorResponse,
    ) -> Response {
        let register = self.0.endpoints.url("/register");
        let unknown = matches!(error, AuthorizeError::UnknownClient);
        let link = format!("<{register}>; rel=\"http://oauth.net/core/2.1/#registration\"");
        let body = MachineRefusal {
            answer,
            registration_endpoint: unknown.then_some(register),
        };
        let status: StatusCode = answer.error.status();
        let mut response = answer::uncached((status, Json(body)).into_response());
        if let (true, Ok(link)) = (unknown, HeaderValue::try_from(link)) {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}
