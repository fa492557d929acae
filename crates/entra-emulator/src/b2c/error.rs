//! The `AADB2C` codes the emulator answers with: two members and nothing else, always status 400.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde::Serialize;

use crate::calendar::timestamp;
use crate::emulator::Call;

/// Why a user flow does not go on.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Aadb2c {
    #[error(
        "The redirect URI '{uri}' provided in the request is not registered for the client id '{client_id}'."
    )]
    RedirectNotRegistered { uri: String, client_id: String },
    #[error("The application associated with client id '{0}' has no registered redirect URIs.")]
    NoRedirectUri(String),
    #[error("The request does not contain a client ID parameter.")]
    NoClientId,
    #[error("The request does not contain a scope parameter.")]
    NoScope,
    #[error("The requested response type '{0}' provided in the request is not supported.")]
    ResponseType(String),
    #[error("The requested response mode '{0}' provided in the request is not supported.")]
    ResponseMode(String),
    #[error(
        "The client id '{client_id}' specified in the request is not registered in tenant '{tenant}'."
    )]
    UnknownClient { client_id: String, tenant: String },
    #[error("Unable to return metadata for the policy '{policy}' in tenant '{tenant}'.")]
    UnknownPolicy { policy: String, tenant: String },
    #[error(
        "The prompt included in the request contains invalid values. Expected 'none', 'login', 'consent' or 'select_account'."
    )]
    Prompt,
    #[error("Invalid username or password.")]
    WrongPassword,
    #[error(
        "The scope '{0}' provided in request must specify a resource, such as 'https://example.com/calendar.read'."
    )]
    ScopeWithoutResource(String),
    #[error("The provided application is not configured to allow the OAuth Implicit flow.")]
    ImplicitNotAllowed,
    #[error(
        "User does not have an existing session and request prompt parameter has a value of 'None'."
    )]
    NoSession,
    #[error("Clients must send a client_secret when redeeming a confidential grant.")]
    SecretMissing,
    #[error(
        "The provided grant has expired. Please re-authenticate and try again. Current time: {now}, Grant issued time: {issued}, Grant sliding window expiration time: {expires}"
    )]
    GrantExpired { now: u64, issued: u64, expires: u64 },
    #[error(
        "The specified client_secret does not match the expected value for this client. Please correct the client_secret and try again."
    )]
    WrongSecret,
    #[error("The request is missing required parameter: {0}.")]
    MissingParameter(&'static str),
    #[error(
        "Public clients should not send a client_secret when redeeming a publicly acquired grant."
    )]
    PublicSecret,
    #[error("The supplied grant_type [{0}] is not supported.")]
    GrantType(String),
    #[error(
        "The provided grant has not been issued for this endpoint. Actual Value : {actual} and Expected Value : {expected}"
    )]
    OtherPolicy { actual: String, expected: String },
    #[error("The provided JWE is not a valid 5 segment token.")]
    MalformedGrant,
    #[error("The user has cancelled entering self-asserted information.")]
    Cancelled,
    #[error(
        "The scope parameter must include 'openid' when requesting a response_type that includes 'id_token'."
    )]
    NoOpenid,
    #[error(
        "Your account has been locked. Contact your support person to unlock it, then try again."
    )]
    AccountLocked,
    #[error("The scope '{0}' provided in the request is not supported.")]
    UnsupportedScope(String),
    #[error("The user has forgotten their password.")]
    ForgottenPassword,
    #[error(
        "The account associated with this grant no longer exists. Please reauthenticate and try again."
    )]
    AccountGone,
    #[error("The provided grant has been revoked. Please reauthenticate and try again.")]
    GrantRevoked,
    #[error(
        "The scope '{0}' provided in request specifies more than one resource for an access token, which is not supported."
    )]
    SeveralResources(String),
    #[error("The supplied code_verifier does not match associated code_challenge")]
    VerifierMismatch,
    #[error("The supplied code_verifier is invalid")]
    VerifierInvalid,
    #[error(
        "The supplied code_challenge_method is not supported. Supported values are plain or S256"
    )]
    ChallengeMethod,
    #[error(
        "This application does not have sufficient permissions against this web resource to perform the operation."
    )]
    Permissions,
    #[error(
        "The supplied request must present a code_challenge. Required for single-page apps using the authorization code flow."
    )]
    ChallengeRequired,
}

impl Aadb2c {
    /// The number behind `AADB2C`, and the `error` of OAuth.
    fn row(&self) -> (u32, &'static str) {
        match self {
            Self::RedirectNotRegistered { .. } => (90_006, "redirect_uri_mismatch"),
            Self::NoRedirectUri(_) => (90_007, "invalid_request"),
            Self::NoClientId => (90_008, "invalid_request"),
            Self::NoScope => (90_010, "invalid_request"),
            Self::ResponseType(_) => (90_013, "unsupported_response_type"),
            Self::ResponseMode(_) => (90_014, "invalid_request"),
            Self::UnknownClient { .. } => (90_018, "invalid_client"),
            Self::UnknownPolicy { .. } => (90_022, "invalid_request"),
            Self::Prompt => (90_043, "invalid_request"),
            Self::WrongPassword => (90_054, "invalid_request"),
            Self::ScopeWithoutResource(_) => (90_055, "invalid_request"),
            Self::ImplicitNotAllowed => (90_057, "unauthorized_client"),
            Self::NoSession => (90_077, "interaction_required"),
            Self::SecretMissing => (90_079, "invalid_request"),
            Self::GrantExpired { .. } => (90_080, "invalid_grant"),
            Self::WrongSecret => (90_081, "invalid_client"),
            Self::MissingParameter(_) => (90_083, "invalid_request"),
            Self::PublicSecret => (90_084, "invalid_request"),
            Self::GrantType(_) => (90_086, "unsupported_grant_type"),
            Self::OtherPolicy { .. } => (90_088, "invalid_grant"),
            Self::MalformedGrant => (90_090, "invalid_grant"),
            Self::Cancelled => (90_091, "access_denied"),
            Self::NoOpenid => (90_110, "invalid_request"),
            Self::AccountLocked => (90_111, "access_denied"),
            Self::UnsupportedScope(_) => (90_117, "invalid_request"),
            Self::ForgottenPassword => (90_118, "access_denied"),
            Self::AccountGone => (90_128, "invalid_grant"),
            Self::GrantRevoked => (90_129, "invalid_grant"),
            Self::SeveralResources(_) => (90_146, "invalid_request"),
            Self::VerifierMismatch => (90_182, "invalid_grant"),
            Self::VerifierInvalid => (90_183, "invalid_grant"),
            Self::ChallengeMethod => (90_184, "invalid_request"),
            Self::Permissions => (90_205, "unauthorized_client"),
            Self::ChallengeRequired => (99_059, "invalid_request"),
        }
    }

    pub(super) fn error(&self) -> &'static str {
        self.row().1
    }

    /// How it is called: `AADB2C` and the number.
    pub(super) fn label(&self) -> String {
        format!("AADB2C{}", self.row().0)
    }

    /// The text of `error_description`, three lines of it.
    pub(super) fn description(&self, call: &Call) -> String {
        format!(
            "{}: {self}\r\nCorrelation ID: {}\r\nTimestamp: {}\r\n",
            self.label(),
            call.ids.correlation,
            timestamp(call.now)
        )
    }

    /// The answer of the token and metadata endpoints.
    pub(super) fn into_answer(self, call: &Call) -> Response {
        let status = if matches!(self, Self::UnknownPolicy { .. }) {
            StatusCode::NOT_FOUND
        } else {
            StatusCode::BAD_REQUEST
        };
        let body = Body {
            error: self.error(),
            error_description: self.description(call),
        };
        (status, [(CACHE_CONTROL, "private")], Json(body)).into_response()
    }
}

#[derive(Serialize)]
struct Body {
    error: &'static str,
    error_description: String,
}
