//! `POST /revoke`: token revocation (RFC 7009 §2).

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};

use super::client_auth::ClientAuthError;
use super::correlation::CorrelationId;
use super::token::{self, TokenError};
use super::{AuthorizationServer, answer, observed};
use crate::audit::{Act, Decision};
use crate::grant::{GrantId, PresentedRefreshToken};
use crate::keys::KeyRing;
use crate::oauth::error::{ErrorCode, ErrorResponse};
use crate::platform::Timestamp;
use crate::secret::RefreshToken;
use crate::store::StoreError;

/// Why a revocation was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// The form cannot be read.
    #[error(transparent)]
    Form(TokenError),
    /// The client is not authenticated.
    #[error(transparent)]
    Client(#[from] ClientAuthError),
    /// `token` is missing.
    #[error("token is missing")]
    NoToken,
    /// The token belongs to another client (RFC 7009 §2.1).
    #[error("the token belongs to another client")]
    WrongClient,
    /// The store failed; the grant may still stand.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<&RevokeError> for ErrorResponse {
    fn from(error: &RevokeError) -> Self {
        let (code, description) = match error {
            RevokeError::Form(error) => return error.into(),
            RevokeError::Client(error) => return error.into(),
            RevokeError::NoToken => (ErrorCode::InvalidRequest, "token is missing"),
            RevokeError::WrongClient => (
                ErrorCode::InvalidGrant,
                "the token belongs to another client",
            ),
            RevokeError::Store(_) => (ErrorCode::TemporarilyUnavailable, "try again later"),
        };
        Self::new(code, description)
    }
}

pub(super) async fn post(
    State(server): State<AuthorizationServer>,
    Extension(correlation): Extension<CorrelationId>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = match server.revoke(&headers, &body, &correlation).await {
        // RFC 7009 §2.2: a token we do not know is as good as revoked.
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => {
            let retry_after = error.retry_after();
            let answer = ErrorResponse::from(&error);
            let decision = observed::denied(answer.error, &error);
            server.tell(server.event(Act::Revocation, decision), &correlation);
            let mut refusal = answer::refuse(&error, answer, retry_after, &correlation);
            if matches!(&error, RevokeError::Client(error) if error.wants_basic()) {
                answer::challenge_basic(&mut refusal);
            }
            refusal
        }
    };
    answer::uncached(answer)
}

impl RevokeError {
    /// When to try again, where trying again helps.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Client(error) => error.retry_after(),
            Self::Store(_) => Some(answer::STORE_RETRY_AFTER),
            Self::Form(_) | Self::NoToken | Self::WrongClient => None,
        }
    }
}

impl AuthorizationServer {
    async fn revoke(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        correlation: &CorrelationId,
    ) -> Result<(), RevokeError> {
        let now = self.now();
        let params = token::form(headers, body).map_err(RevokeError::Form)?;
        let (client, registered) = self.authenticate(headers, &params, now).await?;
        let token = params.get("token").ok_or(RevokeError::NoToken)?;
        let Some(id) = self.grant_named_by(token, now).await? else {
            return Ok(());
        };
        let Some(grant) = self.0.store.grant(&id, now).await? else {
            return Ok(());
        };
        if grant.client_id() != client.id() {
            return Err(RevokeError::WrongClient);
        }
        self.0.store.revoke_grant(&id, now).await?;
        tracing::info!(correlation_id = %correlation, grant = %id, client_id = %client.id(), "grant revoked");
        let event = self.event(Act::Revocation, Decision::Allowed);
        let event = event.about(grant.principal()).of_grant(id);
        self.tell(event.of(&registered), correlation);
        Ok(())
    }

    /// The grant behind a token of ours; either kind ends the whole grant.
    async fn grant_named_by(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<GrantId>, StoreError> {
        let named = |ring: &KeyRing| {
            let refresh_token = RefreshToken::new(token);
            let refresh = PresentedRefreshToken::authenticate(refresh_token, ring.sealing());
            refresh
                .map(|presented| presented.grant())
                .or_else(|| self.grant_of_access_token(token, ring, now))
        };
        Ok(self.0.keys.find(named).await?)
    }
}
