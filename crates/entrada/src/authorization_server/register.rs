//! `POST /register`: dynamic client registration (RFC 7591 §3).

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::correlation::CorrelationId;
use super::{AuthorizationServer, answer, media_type, observed};
use crate::audit::{Act, Decision};
use crate::oauth::client::{
    ApplicationType, Client, ClientId, ClientMetadataError, GrantType, UnverifiedClientMetadata,
};
use crate::oauth::error::{ErrorCode, ErrorResponse};
use crate::oauth::redirect_uri::RedirectUri;
use crate::platform::{SecureRandom, Timestamp};
use crate::store::StoreError;

/// How long a registration with which nobody ever signed in is kept. Anybody can make one, so
/// this bounds what a flood of them fills.
const UNUSED_LIFETIME: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How long one is kept in a flood: long enough to sign in, and to be kept for that.
const FLOOD_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// How long a registration is kept after it was last used.
pub(super) const USED_LIFETIME: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Why a registration was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The body is not a JSON object of client metadata.
    #[error("the request is not client metadata in json")]
    Malformed,
    /// The metadata breaks a rule.
    #[error(transparent)]
    Metadata(#[from] ClientMetadataError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<&RegisterError> for ErrorResponse {
    fn from(error: &RegisterError) -> Self {
        match error {
            RegisterError::Malformed => Self::new(
                ErrorCode::InvalidClientMetadata,
                "the body must be a JSON object of client metadata",
            ),
            RegisterError::Metadata(error) => (*error).into(),
            RegisterError::Store(_) => {
                Self::new(ErrorCode::TemporarilyUnavailable, "try again later")
            }
        }
    }
}

/// What the client is told (RFC 7591 §3.2.1). Nothing that is unset is written.
#[derive(Serialize)]
struct Registration<'a> {
    client_id: &'a str,
    client_id_issued_at: Timestamp,
    redirect_uris: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<&'a str>,
    application_type: ApplicationType,
    grant_types: &'a [GrantType],
    response_types: &'static [&'static str],
    token_endpoint_auth_method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dpop_bound_access_tokens: Option<bool>,
    scope: String,
}

pub(super) async fn post(
    State(server): State<AuthorizationServer>,
    Extension(correlation): Extension<CorrelationId>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = match server.register(&headers, &body).await {
        Ok(client) => {
            tracing::info!(correlation_id = %correlation, client_id = %client.id(), "client registered");
            let event = server.event(Act::Registration, Decision::Allowed);
            server.tell(event.of(&client), &correlation);
            (StatusCode::CREATED, Json(server.registration(&client))).into_response()
        }
        Err(error) => {
            let retry_after = match &error {
                RegisterError::Store(_) => Some(answer::STORE_RETRY_AFTER),
                RegisterError::Malformed | RegisterError::Metadata(_) => None,
            };
            let answer = ErrorResponse::from(&error);
            let decision = observed::denied(answer.error, &error);
            server.tell(server.event(Act::Registration, decision), &correlation);
            answer::refuse(&error, answer, retry_after, &correlation)
        }
    };
    answer::uncached(answer)
}

impl AuthorizationServer {
    async fn register(&self, headers: &HeaderMap, body: &[u8]) -> Result<Client, RegisterError> {
        let now = self.now();
        // A form, which any site can post across origins, is never JSON.
        if !media_type::is(headers, "application/json") {
            return Err(RegisterError::Malformed);
        }
        let asked: UnverifiedClientMetadata =
            serde_json::from_slice(body).map_err(|_| RegisterError::Malformed)?;
        let metadata = asked.check(&self.0.config.allowed_redirects)?;
        let metadata = match self.held_by_its_client(metadata, now) {
            Ok(client) => return Ok(client),
            Err(metadata) => metadata,
        };
        self.sweep_if_due(now).await;
        let client = Client::register(draw_id(&*self.0.platform.random), metadata, now);
        let unused = if self.0.limits.is_flooded(now) {
            FLOOD_LIFETIME
        } else {
            UNUSED_LIFETIME
        };
        self.0.store.put_client(&client, now + unused).await?;
        Ok(client)
    }

    fn registration<'a>(&self, client: &'a Client) -> Registration<'a> {
        let metadata = client.metadata();
        Registration {
            client_id: client.id().as_str(),
            client_id_issued_at: client.issued_at(),
            redirect_uris: metadata
                .redirect_uris()
                .iter()
                .map(RedirectUri::as_str)
                .collect(),
            client_name: metadata.unverified_name(),
            application_type: metadata.application_type(),
            grant_types: metadata.grant_types(),
            response_types: &["code"],
            token_endpoint_auth_method: "none",
            dpop_bound_access_tokens: self
                .0
                .config
                .proofs
                .is_some()
                .then(|| metadata.wants_bound_tokens())
                .filter(|wanted| *wanted),
            scope: self.0.config.resources.advertised().to_string(),
        }
    }
}

/// Identifiers of ours never look like the URL of a metadata document, and begin with a letter: with a hyphen they would
/// be options of a command line.
fn draw_id(random: &dyn SecureRandom) -> ClientId {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    bytes[0] &= 0x7f;
    ClientId::parse(&URL_SAFE_NO_PAD.encode(bytes)).expect("base64url is visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Every(u8);

    impl SecureRandom for Every {
        fn fill(&self, out: &mut [u8]) {
            out.fill(self.0);
        }
    }

    #[test]
    fn identifiers_begin_with_a_letter() {
        for byte in 0..=u8::MAX {
            let id = draw_id(&Every(byte));
            assert!(id.as_str().starts_with(|c: char| c.is_ascii_alphabetic()));
        }
    }
}
