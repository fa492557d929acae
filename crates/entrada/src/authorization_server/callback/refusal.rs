//! What Entra sends back in place of a code.

use std::error::Error;
use std::fmt;

use crate::entra::error::{EntraError, Remedy, aadsts_in, advice_on};
use crate::oauth::error::ErrorCode;

/// Signing in is not possible for now.
pub(in crate::authorization_server) const UNAVAILABLE: (ErrorCode, &str) = (
    ErrorCode::TemporarilyUnavailable,
    "signing in is not possible now, try again later",
);

/// The user, or a policy, said no.
pub(super) const DENIED: (ErrorCode, &str) = (
    ErrorCode::AccessDenied,
    "Microsoft Entra did not sign the user in",
);

/// The login came to nothing, whatever the reason is.
pub(in crate::authorization_server) const NOT_COMPLETED: (ErrorCode, &str) =
    (ErrorCode::ServerError, "the login could not be completed");

/// The errors Entra's authorization endpoint sends back (RFC 6749 §4.1.2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// The user, or a policy, said no.
    #[error("access_denied")]
    AccessDenied,
    /// Entra is not available now.
    #[error("temporarily_unavailable")]
    TemporarilyUnavailable,
    /// Anything else: our app registration or our request is wrong.
    #[error("the app registration does not fit the request")]
    Other,
}

impl UpstreamError {
    fn parse(error: &str) -> Self {
        match error {
            "access_denied" | "consent_required" | "interaction_required" | "login_required" => {
                Self::AccessDenied
            }
            "temporarily_unavailable" | "server_error" => Self::TemporarilyUnavailable,
            _ => Self::Other,
        }
    }
}

/// What Entra's authorization endpoint sent back in place of a code. Of its description the number
/// is kept alone: anybody can write the rest, and Entra names people in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UpstreamRefusal {
    error: UpstreamError,
    /// The number after `AADSTS`.
    aadsts: Option<u32>,
    /// What was asked for, in Entra's spelling.
    scope: String,
}

impl UpstreamRefusal {
    /// Reads `error` and, where there is one, `error_description`; `scope` was asked for.
    pub fn new(error: &str, description: Option<&str>, scope: impl Into<String>) -> Self {
        Self {
            error: UpstreamError::parse(error),
            aadsts: description.and_then(aadsts_in),
            scope: scope.into(),
        }
    }

    /// What it comes to.
    pub fn error(&self) -> UpstreamError {
        self.error
    }

    /// What it comes to on a page: no client is told.
    pub(in crate::authorization_server) fn on_page(&self) -> (ErrorCode, &'static str) {
        match self.error {
            UpstreamError::AccessDenied => DENIED,
            UpstreamError::TemporarilyUnavailable => UNAVAILABLE,
            UpstreamError::Other => NOT_COMPLETED,
        }
    }

    /// What helps, in a sentence for whoever runs the server, where Entra gave a number.
    pub fn advice(&self) -> Option<&'static str> {
        self.aadsts.map(advice_on)
    }

    /// The number it gave.
    pub(in crate::authorization_server) const fn aadsts(&self) -> Option<u32> {
        self.aadsts
    }

    /// What was asked for, in Entra's spelling.
    pub fn scope(&self) -> &str {
        &self.scope
    }
}

impl Error for UpstreamRefusal {}

impl fmt::Display for UpstreamRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)?;
        match self.aadsts {
            Some(aadsts) => write!(f, ", AADSTS{aadsts}"),
            None => Ok(()),
        }
    }
}

/// What it comes to on a page that Entra gave nothing for its own code.
pub(in crate::authorization_server) fn unredeemed(error: &EntraError) -> (ErrorCode, &'static str) {
    match error.remedy() {
        Remedy::Retry(_) => UNAVAILABLE,
        Remedy::SignInAgain
        | Remedy::StepUp
        | Remedy::Consent
        | Remedy::AskAdmin
        | Remedy::FixConfiguration => NOT_COMPLETED,
    }
}
