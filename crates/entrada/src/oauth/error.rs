//! What leaves the server when a request fails.

use http::StatusCode;
use serde::{Serialize, Serializer};

/// The `error` values we send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ErrorCode {
    /// `access_denied` (RFC 6749 §4.1.2.1)
    AccessDenied,
    /// `consent_required` (OpenID Connect Core §3.1.2.6)
    ConsentRequired,
    /// `insufficient_claims` (Microsoft, *claims challenges*)
    InsufficientClaims,
    /// `insufficient_scope` (RFC 6750 §3.1)
    InsufficientScope,
    /// `invalid_client` (RFC 6749 §5.2)
    InvalidClient,
    /// `invalid_client_metadata` (RFC 7591 §3.2.2)
    InvalidClientMetadata,
    /// `invalid_dpop_proof` (RFC 9449 §5 and §7.1)
    InvalidDpopProof,
    /// `invalid_grant` (RFC 6749 §5.2)
    InvalidGrant,
    /// `invalid_redirect_uri` (RFC 7591 §3.2.2)
    InvalidRedirectUri,
    /// `invalid_request` (RFC 6749 §5.2)
    InvalidRequest,
    /// `invalid_scope` (RFC 6749 §5.2)
    InvalidScope,
    /// `invalid_target` (RFC 8707 §2)
    InvalidTarget,
    /// `invalid_token` (RFC 6750 §3.1)
    InvalidToken,
    /// `server_error` (RFC 6749 §4.1.2.1)
    ServerError,
    /// `temporarily_unavailable` (RFC 6749 §4.1.2.1)
    TemporarilyUnavailable,
    /// `temporarily_unavailable`, because the caller asks too often (RFC 6585 §4)
    TooManyRequests,
    /// `unauthorized_client` (RFC 6749 §5.2)
    UnauthorizedClient,
    /// `unsupported_grant_type` (RFC 6749 §5.2)
    UnsupportedGrantType,
    /// `unsupported_response_type` (RFC 6749 §4.1.2.1)
    UnsupportedResponseType,
    /// `use_dpop_nonce` (RFC 9449 §8 and §9)
    UseDpopNonce,
}

impl ErrorCode {
    /// The value of the `error` member or parameter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::ConsentRequired => "consent_required",
            Self::InsufficientClaims => "insufficient_claims",
            Self::InsufficientScope => "insufficient_scope",
            Self::InvalidClient => "invalid_client",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidToken => "invalid_token",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable | Self::TooManyRequests => "temporarily_unavailable",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::UseDpopNonce => "use_dpop_nonce",
        }
    }

    /// The HTTP status where the error is the response itself: 400 unless a specification says
    /// otherwise (RFC 6749 §5.2, RFC 6750 §3.1). The guard answers with 401 what is wrong with a proof
    /// (RFC 9449 §7.1).
    pub const fn status(self) -> StatusCode {
        match self {
            Self::ConsentRequired
            | Self::InvalidClientMetadata
            | Self::InvalidDpopProof
            | Self::InvalidGrant
            | Self::InvalidRedirectUri
            | Self::InvalidRequest
            | Self::InvalidScope
            | Self::InvalidTarget
            | Self::UnauthorizedClient
            | Self::UnsupportedGrantType
            | Self::UnsupportedResponseType
            | Self::UseDpopNonce => StatusCode::BAD_REQUEST,
            Self::InsufficientClaims | Self::InvalidClient | Self::InvalidToken => {
                StatusCode::UNAUTHORIZED
            }
            Self::AccessDenied | Self::InsufficientScope => StatusCode::FORBIDDEN,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// An error response body (RFC 6749 §5.2).
///
/// The description is `&'static str` so that nothing a peer sent, and no secret, can reach it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ErrorResponse {
    /// The code.
    pub error: ErrorCode,
    /// A sentence for the client's developer.
    pub error_description: &'static str,
}

impl ErrorResponse {
    /// An error with its sentence.
    pub const fn new(error: ErrorCode, error_description: &'static str) -> Self {
        Self {
            error,
            error_description,
        }
    }
}
