//! The proof of possession that comes with a token request (RFC 9449 §5).

use http::HeaderMap;

use crate::authorization_server::AuthorizationServer;
use crate::dpop::{DPOP, ProofError};
use crate::jwt::dpop::ExpectedProof;
use crate::jwt::thumbprint::JwkThumbprint;
use crate::oauth::client::Client;
use crate::oauth::error::{ErrorCode, ErrorResponse};
use crate::platform::Timestamp;

/// What a client is told of its proof.
pub(super) fn answer(error: ProofError) -> ErrorResponse {
    let (code, description) = match error {
        ProofError::Nonce => (
            ErrorCode::UseDpopNonce,
            "the proof must hold the nonce that DPoP-Nonce has",
        ),
        ProofError::Missing => (
            ErrorCode::InvalidDpopProof,
            "access tokens are bound to a key here: send a proof in the DPoP header",
        ),
        ProofError::Several | ProofError::Wrong(_) | ProofError::Replayed => (
            ErrorCode::InvalidDpopProof,
            "the DPoP header must hold one proof, made just now for a POST to this URL",
        ),
    };
    ErrorResponse::new(code, description)
}

impl AuthorizationServer {
    /// The key that `client` proved to have with this request; `None` if it sent no proof, and need
    /// not.
    pub(super) fn proven_key(
        &self,
        headers: &HeaderMap,
        client: &Client,
        now: Timestamp,
    ) -> Result<Option<JwkThumbprint>, ProofError> {
        let Some(proofs) = &self.0.config.proofs else {
            return Ok(None);
        };
        // RFC 9449 §5.2: whoever registered so is given nothing else.
        let demanded = proofs.are_required() || client.metadata().wants_bound_tokens();
        if !demanded && !headers.contains_key(DPOP) {
            return Ok(None);
        }
        let expected = ExpectedProof::new("POST", &self.0.endpoints.token);
        proofs.prove(headers, &expected, now).map(Some)
    }
}
