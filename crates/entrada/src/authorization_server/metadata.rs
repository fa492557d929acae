//! What the server says of itself.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use serde::Serialize;

use super::AuthorizationServer;
use super::token::JWT_BEARER;
use crate::dpop;
use crate::jwt::assertion::ALGORITHMS;
use crate::jwt::jwks::Algorithm;
use crate::keys::PUBLISH_AHEAD;
use crate::oauth::client::{ClientAuthentication, GrantType};
use crate::oauth::metadata::AuthorizationServerMetadata;

/// `GET /.well-known/oauth-authorization-server` (RFC 8414 §3).
pub(super) async fn get(State(server): State<AuthorizationServer>) -> Response {
    cached(3600, Json(server.metadata()))
}

/// `GET /.well-known/jwks.json` (RFC 7517 §5).
pub(super) async fn jwks(State(server): State<AuthorizationServer>) -> Response {
    #[derive(Serialize)]
    struct KeySet<K> {
        keys: Vec<K>,
    }
    let ring = server.0.keys.current();
    // A copy must be gone before a new key signs.
    cached(
        PUBLISH_AHEAD.as_secs() / 2,
        Json(KeySet {
            keys: ring.published().collect(),
        }),
    )
}

fn cached(seconds: u64, body: impl IntoResponse) -> Response {
    (
        [(header::CACHE_CONTROL, format!("public, max-age={seconds}"))],
        body,
    )
        .into_response()
}

/// What assertions must be (draft-ietf-oauth-identity-assertion-authz-grant §7.2).
const ID_JAG: &str = "urn:ietf:params:oauth:grant-profile:id-jag";

impl AuthorizationServer {
    /// Whether there is a client that acts for itself.
    pub(super) fn takes_client_credentials(&self) -> bool {
        self.0.config.clients.may_use(GrantType::ClientCredentials)
    }

    /// Whether there is a client, and an issuer that can vouch to it.
    pub(super) fn takes_assertions(&self) -> bool {
        !self.0.issuers.is_empty() && self.0.config.clients.may_use(GrantType::JwtBearer)
    }

    fn grant_types(&self) -> Vec<&'static str> {
        let kinds = [
            (true, "authorization_code"),
            (true, "refresh_token"),
            (self.takes_client_credentials(), "client_credentials"),
            (self.takes_assertions(), JWT_BEARER),
        ];
        let used = kinds.into_iter().filter(|(is_used, _)| *is_used);
        used.map(|(_, kind)| kind).collect()
    }

    /// The discovery document (RFC 8414 §2).
    fn metadata(&self) -> AuthorizationServerMetadata {
        let url = |path: &str| self.0.endpoints.url(path);
        let documented = self.0.documents.are_believed();
        let known = || self.0.config.clients.authentications();
        let secrets = known().any(|known| matches!(known, ClientAuthentication::Secret(_)));
        let keys = known().any(|known| matches!(known, ClientAuthentication::PrivateKeyJwt(_)));
        let keys = keys || documented;
        let methods: Vec<_> = [
            (true, "none"),
            (keys, "private_key_jwt"),
            (secrets, "client_secret_basic"),
            (secrets, "client_secret_post"),
        ]
        .into_iter()
        .filter_map(|(is_used, method)| is_used.then_some(method))
        .collect();
        let algorithms = ALGORITHMS.map(Algorithm::as_str);
        let algorithms = keys.then(|| algorithms.to_vec());
        AuthorizationServerMetadata {
            issuer: self.0.config.issuer.clone(),
            authorization_endpoint: url("/authorize"),
            token_endpoint: url("/token"),
            registration_endpoint: url("/register"),
            revocation_endpoint: url("/revoke"),
            jwks_uri: url("/.well-known/jwks.json"),
            scopes_supported: self
                .0
                .config
                .resources
                .advertised()
                .iter()
                .cloned()
                .collect(),
            response_types_supported: &["code"],
            response_modes_supported: &["query"],
            grant_types_supported: self.grant_types(),
            authorization_grant_profiles_supported: self.takes_assertions().then_some(&[ID_JAG]),
            token_endpoint_auth_methods_supported: methods.clone(),
            token_endpoint_auth_signing_alg_values_supported: algorithms.clone(),
            revocation_endpoint_auth_methods_supported: methods,
            revocation_endpoint_auth_signing_alg_values_supported: algorithms,
            code_challenge_methods_supported: &["S256"],
            authorization_response_iss_parameter_supported: true,
            client_id_metadata_document_supported: documented,
            dpop_signing_alg_values_supported: self
                .0
                .config
                .proofs
                .as_ref()
                .map(|_| dpop::algorithms()),
        }
    }
}
