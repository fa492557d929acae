//! Why a login came to nothing, and who is told what.

use axum::response::Response;

use super::refusal::{DENIED, UNAVAILABLE, UpstreamError, UpstreamRefusal};
use crate::authorization_server::approved_apps::ApprovedAppsError;
use crate::authorization_server::authorize::AnswerTo;
use crate::authorization_server::correlation::CorrelationId;
use crate::authorization_server::pages::{self, Words};
use crate::authorization_server::sign_in_again::SignInAgainError;
use crate::entra::error::{EntraError, Remedy};
use crate::oauth::error::{ErrorCode, ErrorResponse};
use crate::store::StoreError;

/// Why a login came to nothing.
///
/// What holds an [`AnswerTo`] goes back to the client; what holds none ends on a page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallbackError {
    /// The parameters cannot be read, or `state` is missing.
    #[error("the callback is not one of entra's")]
    Malformed,
    /// The browser does not hold the cookie of this login.
    #[error("the callback came from another browser than the consent")]
    OtherBrowser,
    /// No such login is under way: it was finished before, or took too long.
    #[error("no such login is under way")]
    UnknownLogin,
    /// The store failed before the login was known.
    #[error(transparent)]
    Store(StoreError),
    /// Entra's own error, sent through the browser.
    #[error("entra sent the user back with an error")]
    Entra {
        /// What it is.
        #[source]
        error: UpstreamRefusal,
        /// Whom to tell.
        to: AnswerTo,
    },
    /// The user may sign in, but was granted nothing that was asked for.
    #[error("none of the scopes was granted")]
    NothingGranted(AnswerTo),
    /// Entra did not take its own code, or gave nothing that holds.
    #[error("the login could not be completed")]
    Redeem {
        /// What went wrong.
        #[source]
        error: EntraError,
        /// Whom to tell.
        to: AnswerTo,
    },
    /// A user who was to bring what a grant of theirs lacks did not.
    #[error(transparent)]
    SignInAgain(SignInAgainError),
    /// A user who wanted to see their apps did not sign in.
    #[error(transparent)]
    ApprovedApps(ApprovedAppsError),
    /// The store failed when the code was to be stored.
    #[error("the code could not be stored")]
    StoreCode {
        /// What went wrong.
        #[source]
        error: StoreError,
        /// Whom to tell.
        to: AnswerTo,
    },
}

impl CallbackError {
    pub(super) fn answer_to(&self) -> Option<&AnswerTo> {
        match self {
            Self::Malformed
            | Self::OtherBrowser
            | Self::UnknownLogin
            | Self::Store(_)
            | Self::SignInAgain(_)
            | Self::ApprovedApps(_) => None,
            Self::NothingGranted(to)
            | Self::Entra { to, .. }
            | Self::Redeem { to, .. }
            | Self::StoreCode { to, .. } => Some(to),
        }
    }
}

impl From<&CallbackError> for ErrorResponse {
    fn from(error: &CallbackError) -> Self {
        let misconfigured = (
            ErrorCode::ServerError,
            "the server's registration at Microsoft Entra needs mending",
        );
        let (code, description) = match error {
            CallbackError::Malformed => (ErrorCode::InvalidRequest, "the callback cannot be read"),
            CallbackError::OtherBrowser => (
                ErrorCode::AccessDenied,
                "the callback belongs to another browser",
            ),
            CallbackError::UnknownLogin => {
                (ErrorCode::InvalidRequest, "no such login is under way")
            }
            CallbackError::Store(_) | CallbackError::StoreCode { .. } => UNAVAILABLE,
            CallbackError::Entra { error, .. } => match error.error() {
                UpstreamError::AccessDenied => DENIED,
                UpstreamError::TemporarilyUnavailable => UNAVAILABLE,
                UpstreamError::Other => misconfigured,
            },
            CallbackError::SignInAgain(error) => return error.into(),
            CallbackError::ApprovedApps(error) => return error.into(),
            CallbackError::NothingGranted(_) => {
                (ErrorCode::AccessDenied, "none of the scopes was granted")
            }
            CallbackError::Redeem { error, .. } if error.is_of_another_tenant() => (
                ErrorCode::AccessDenied,
                "users of this organisation may not sign in here",
            ),
            CallbackError::Redeem { error, .. } => match error.remedy() {
                Remedy::Retry(_) => UNAVAILABLE,
                Remedy::SignInAgain | Remedy::StepUp | Remedy::Consent | Remedy::AskAdmin => DENIED,
                Remedy::FixConfiguration => misconfigured,
            },
        };
        Self::new(code, description)
    }
}

/// The page of an error no client can be told of.
pub(super) fn page(
    error: &CallbackError,
    code: ErrorCode,
    correlation: &CorrelationId,
) -> Response {
    let words = match error {
        CallbackError::OtherBrowser => Words {
            title: "This sign-in began in another browser",
            message: "The browser that comes back from Microsoft must be the one that gave its \
                      consent. Cookies must be allowed for this site.",
            advice: "Close this window and start again from your app. If you followed a link \
                     somebody sent you, do not use it again.",
        },
        CallbackError::UnknownLogin => Words {
            title: "This sign-in is over",
            message: "It was finished before, or took longer than ten minutes.",
            advice: pages::START_AGAIN,
        },
        CallbackError::Store(_) => pages::UNAVAILABLE,
        CallbackError::Malformed
        | CallbackError::Entra { .. }
        | CallbackError::NothingGranted(_)
        | CallbackError::Redeem { .. }
        | CallbackError::SignInAgain(_)
        | CallbackError::ApprovedApps(_)
        | CallbackError::StoreCode { .. } => Words {
            title: pages::NOT_COMPLETE,
            message: "Microsoft sent you back with an answer this server cannot read.",
            advice: pages::START_AGAIN,
        },
    };
    pages::error(code, words, correlation)
}
