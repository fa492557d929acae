//! Why there is no downstream token, and what the caller is told.

use std::error::Error;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};

use super::request::DownstreamScopeError;
use crate::access_token::{Interaction, Lack, PrincipalKind, Shortfall};
use crate::authorization_server::RenewalError;
use crate::causes::{Causes, among_causes};
use crate::entra::error::{EntraError, Remedy};
use crate::oauth::error::{ErrorCode, ErrorResponse};
use crate::resource_server::Unguarded;

/// How long to wait where nobody says.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why there is no downstream token.
///
/// As the answer of an axum handler it becomes the challenge with which a client gets one, where
/// there is such a challenge: the guard before the handler writes it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OboError {
    /// Nobody was authenticated: no guard stands before whoever asks.
    #[error("nobody is authenticated")]
    NotAuthenticated,
    /// The caller is an application: there is nobody to act on behalf of.
    #[error("the caller is an application, and there is nobody to act on behalf of")]
    AppOnlyCaller,
    /// Whoever verified the caller's token has no credential to exchange it with.
    #[error("the caller's token cannot be exchanged: its verifier has no credential for that")]
    NoCredential,
    /// Another issuer vouched for the caller, and Entra has never seen them.
    #[error("the caller did not sign in at entra: there is no token to exchange")]
    NotOfEntra,
    /// External ID and Azure AD B2C exchange no tokens.
    #[error("entra external id and azure ad b2c exchange no tokens")]
    Unsupported,
    /// No token can have the scope that was asked for.
    #[error("no token can have this scope")]
    Scope(#[from] DownstreamScopeError),
    /// The caller's own authorization gives nothing any more, or not now.
    #[error("the caller's own token cannot be refreshed")]
    Renewal(#[source] RenewalError),
    /// The user must sign in once more, or consent: the same call works then.
    #[error("entra wants to see the user before it gives a token for the downstream api")]
    InteractionRequired(#[source] Box<InteractionRequired>),
    /// An administrator must allow it.
    #[error("an administrator has to allow the downstream api")]
    AskAdmin(#[source] Box<AskAdmin>),
    /// Entra refused the exchange, or could not be asked.
    #[error("entra gives no token for the downstream api")]
    Exchange(#[source] EntraError),
    /// It took too long.
    #[error("the downstream token took too long")]
    TimedOut,
}

/// What the user must do, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}", error.advice())]
#[non_exhaustive]
pub struct InteractionRequired {
    /// What Entra said.
    #[source]
    pub error: EntraError,
    /// What the client is told.
    pub interaction: Interaction,
    /// Where an administrator consents for everybody, where it is consent that lacks.
    pub admin_consent_url: Option<String>,
}

/// What an administrator must do, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}", error.advice())]
#[non_exhaustive]
pub struct AskAdmin {
    /// What Entra said.
    #[source]
    pub error: EntraError,
    /// Where an administrator consents for everybody.
    pub admin_consent_url: String,
}

impl OboError {
    /// The error of ours among the causes of `error`: an Azure SDK client wraps what its
    /// credential says.
    pub fn among_causes<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            if let Some(shared) = error.downcast_ref::<std::sync::Arc<Self>>() {
                return Some(shared);
            }
            cause = error.source();
        }
        None
    }

    /// What the caller's token lacks, where that is what is wrong.
    pub fn shortfall(&self) -> Option<Shortfall> {
        match self {
            Self::InteractionRequired(required) => Some(Shortfall::Interaction(Box::new(
                required.interaction.clone(),
            ))),
            Self::AppOnlyCaller => Some(Shortfall::Other(Lack::Kind(PrincipalKind::User))),
            Self::NotOfEntra => Some(Shortfall::Other(Lack::EntraLogin)),
            Self::AskAdmin(ask) => {
                let consent_url = Some(ask.admin_consent_url.clone());
                Some(Shortfall::Other(Lack::Administrator(consent_url)))
            }
            Self::Exchange(error) => (error.remedy() == Remedy::SignInAgain).then(sign_in_again),
            Self::Renewal(error) => match error {
                RenewalError::Ended
                | RenewalError::Replayed
                | RenewalError::Overtaken
                | RenewalError::Refused(_)
                | RenewalError::Interaction(_)
                | RenewalError::Challenged
                | RenewalError::SignInAgain(_) => Some(sign_in_again()),
                RenewalError::Unavailable { .. }
                | RenewalError::Contended
                | RenewalError::Crypto
                | RenewalError::Store(_) => None,
            },
            Self::NotAuthenticated
            | Self::NoCredential
            | Self::Unsupported
            | Self::Scope(_)
            | Self::TimedOut => None,
        }
    }

    /// When to try again, where that is what helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Exchange(error) => match error.remedy() {
                Remedy::Retry(after) => Some(after),
                Remedy::SignInAgain
                | Remedy::StepUp
                | Remedy::Consent
                | Remedy::AskAdmin
                | Remedy::FixConfiguration => None,
            },
            Self::Renewal(RenewalError::Unavailable { retry_after, .. }) => Some(*retry_after),
            Self::Renewal(RenewalError::Contended | RenewalError::Store(_)) | Self::TimedOut => {
                Some(RETRY_AFTER)
            }
            Self::NotAuthenticated
            | Self::AppOnlyCaller
            | Self::NoCredential
            | Self::NotOfEntra
            | Self::Unsupported
            | Self::Scope(_)
            | Self::Renewal(_)
            | Self::InteractionRequired(_)
            | Self::AskAdmin(_) => None,
        }
    }
}

/// The client refreshes or signs in, as for a token that has ended.
fn sign_in_again() -> Shortfall {
    Shortfall::Interaction(Box::default())
}

impl From<&OboError> for ErrorResponse {
    fn from(error: &OboError) -> Self {
        let (code, description) = match (error.shortfall(), error.retry_after()) {
            (Some(_), _) => (
                ErrorCode::AccessDenied,
                "a token for a downstream service is refused",
            ),
            (None, Some(_)) => (
                ErrorCode::TemporarilyUnavailable,
                "a token for a downstream service cannot be had now: try again",
            ),
            (None, None) => (ErrorCode::ServerError, "internal error"),
        };
        Self::new(code, description)
    }
}

impl IntoResponse for OboError {
    fn into_response(self) -> Response {
        if matches!(self, Self::NotAuthenticated) {
            return Unguarded.into_response();
        }
        if let Some(shortfall) = self.shortfall() {
            return shortfall.into_response();
        }
        let answer = ErrorResponse::from(&self);
        let status = answer.error.status();
        let cause = Causes(&self);
        let advice = among_causes(&self).map(EntraError::advice);
        tracing::error!(status = status.as_u16(), advice, %cause, "no downstream token");
        let mut response = (status, Json(answer)).into_response();
        if let Some(after) = self.retry_after() {
            let seconds = HeaderValue::from(after.as_secs());
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}
