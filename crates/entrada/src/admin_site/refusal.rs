//! What an operator is told who gets nothing.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::page;
use crate::administration::RemoveClientError;
use crate::audit::AuditUnavailable;
use crate::causes::Causes;
use crate::entra::error::EntraError;
use crate::keys::KeysError;
use crate::store::{RecordError, StoreError};

/// Why nothing came of a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The way back from Entra was not begun here, or not in time.
    #[error("the login was not begun in this browser, or too long ago")]
    Login,
    /// Entra sent an error instead of a code.
    #[error("entra signed nobody in")]
    Entra,
    /// The code is worth nothing.
    #[error("the login could not be completed")]
    Redeem(#[source] EntraError),
    /// Who came has not the role.
    #[error("the app role is missing")]
    Role,
    /// Nobody is signed in.
    #[error("nobody is signed in")]
    SignedOut,
    /// The token is missing or none of Entra's for us.
    #[error("the token is not accepted")]
    Token,
    /// Nobody can tell whether the token is good.
    #[error("the token cannot be verified now")]
    Unverifiable,
    /// The form was posted by another site, or is for another session.
    #[error("the form was not posted by a page shown to this session")]
    OtherSite,
    /// There is nothing at the path.
    #[error("there is nothing at the path")]
    Nowhere,
    /// The request cannot be read.
    #[error("the request cannot be read: {0}")]
    Request(&'static str),
    /// A client is not removed.
    #[error(transparent)]
    Client(RemoveClientError),
    /// The keys cannot be replaced.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// What would be done cannot be written down, and must be.
    #[error(transparent)]
    NotAudited(#[from] AuditUnavailable),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A form could not be sealed.
    #[error(transparent)]
    Seal(#[from] RecordError),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Login | Self::Entra | Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Role | Self::SignedOut | Self::OtherSite => StatusCode::FORBIDDEN,
            Self::Nowhere | Self::Client(RemoveClientError::Unknown) => StatusCode::NOT_FOUND,
            Self::Client(RemoveClientError::Store(_))
            | Self::Keys(_)
            | Self::NotAudited(_)
            | Self::Store(_)
            | Self::Unverifiable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Client(_) => StatusCode::CONFLICT,
            Self::Redeem(_) | Self::Seal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What people are told; nothing that anybody sent is repeated.
    fn words(&self) -> &'static str {
        match self {
            Self::Login => "This sign-in was not begun in this browser, or too long ago.",
            Self::Entra => "Microsoft did not sign you in.",
            Self::Redeem(_) | Self::Seal(_) => "Signing in did not work. The log says why.",
            Self::Role => "You are signed in, and have not the app role that operators need.",
            Self::SignedOut => "You are not signed in any more. Nothing was changed.",
            Self::OtherSite => "This form was not shown to you here. Nothing was changed.",
            Self::Token => "An access token of Entra's for this server is needed.",
            Self::Unverifiable => "The token cannot be verified now.",
            Self::Nowhere => "There is nothing here.",
            Self::Request(what) => what,
            Self::Client(RemoveClientError::Configured) => {
                "The client stands in the configuration: take it out there."
            }
            Self::Client(RemoveClientError::Held) => {
                "The client holds its registration itself: there is nothing to remove."
            }
            Self::Client(RemoveClientError::Unknown) => "There is no such client.",
            Self::Client(RemoveClientError::Store(_)) | Self::Store(_) => {
                "The store failed. What was done stays so: do it again for the rest."
            }
            Self::NotAudited(_) => {
                "The audit log cannot be written, and nothing is done here that is not in it. Nothing was changed."
            }
            Self::Keys(_) => "The keys could not be replaced. Those in use stay so.",
        }
    }

    fn log(&self) {
        let cause = Causes(self);
        if self.status().is_server_error() {
            tracing::error!(%cause, "an operator's request failed");
        } else {
            tracing::info!(%cause, "an operator's request was refused");
        }
    }

    /// As a page.
    pub(super) fn page(self) -> Response {
        self.log();
        page::refusal(self.status(), self.words())
    }

    /// For programs.
    pub(super) fn json(self) -> Response {
        self.log();
        let status = self.status();
        let body = json!({ "error": self.code(), "error_description": self.words() });
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }

    fn code(&self) -> &'static str {
        match self.status() {
            StatusCode::UNAUTHORIZED => "invalid_token",
            StatusCode::FORBIDDEN => "access_denied",
            StatusCode::BAD_REQUEST => "invalid_request",
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::CONFLICT => "conflict",
            StatusCode::SERVICE_UNAVAILABLE => "temporarily_unavailable",
            _ => "server_error",
        }
    }
}
