//! The metadata and key documents of a user flow.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderName;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL};
use serde::Serialize;
use serde_json::json;

use crate::b2c::address::FlowPath;
use crate::b2c::flow::Flow;
use crate::emulator::{Call, Shared};
use crate::faults::Endpoint;
use crate::keys::SigningKey;

const HEADERS: [(HeaderName, &str); 2] = [
    (CACHE_CONTROL, "public, max-age=86400"),
    (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
];

/// The metadata document: it knows nothing of PKCE, and is no tenant's but a user flow's.
#[derive(Debug, Serialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    end_session_endpoint: String,
    jwks_uri: String,
    response_modes_supported: &'static [&'static str],
    response_types_supported: &'static [&'static str],
    scopes_supported: &'static [&'static str],
    subject_types_supported: &'static [&'static str],
    id_token_signing_alg_values_supported: &'static [&'static str],
    token_endpoint_auth_methods_supported: &'static [&'static str],
    claims_supported: Vec<&'static str>,
}

const CLAIMS: [&str; 11] = [
    "oid",
    "given_name",
    "family_name",
    "name",
    "emails",
    "sub",
    "iss",
    "iat",
    "exp",
    "aud",
    "nonce",
];

impl Metadata {
    fn of(flow: &Flow, call: &Call) -> Self {
        let url = |endpoint: &str| flow.url(&call.place, endpoint);
        let (policy, _) = flow.claim();
        let claims = CLAIMS.into_iter().chain([policy, "auth_time"]);
        Self {
            issuer: flow.issuer(&call.place),
            authorization_endpoint: url("oauth2/v2.0/authorize"),
            token_endpoint: url("oauth2/v2.0/token"),
            end_session_endpoint: url("oauth2/v2.0/logout"),
            jwks_uri: url("discovery/v2.0/keys"),
            response_modes_supported: &["query", "fragment", "form_post"],
            response_types_supported: &[
                "code",
                "code id_token",
                "code token",
                "code id_token token",
                "id_token",
                "id_token token",
                "token",
                "token id_token",
            ],
            scopes_supported: &["openid"],
            subject_types_supported: &["pairwise"],
            id_token_signing_alg_values_supported: &["RS256"],
            token_endpoint_auth_methods_supported: &["client_secret_post", "client_secret_basic"],
            claims_supported: claims.collect(),
        }
    }
}

pub(super) async fn metadata(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    FlowPath(flow): FlowPath,
) -> Response {
    if let Some(answer) = shared.admit(&[Endpoint::Discovery], &call).await {
        return answer;
    }
    (HEADERS, Json(Metadata::of(&flow, &call))).into_response()
}

/// One member of the key document: no certificate, no issuer, and a date Entra's have not.
#[derive(Debug, Serialize)]
struct FlowKey<'a> {
    kid: &'a str,
    nbf: u64,
    r#use: &'static str,
    kty: &'static str,
    e: String,
    n: String,
}

/// Since when the keys are good.
const KEYS_MADE: u64 = 1_493_763_266;

impl<'a> From<&'a SigningKey> for FlowKey<'a> {
    fn from(key: &'a SigningKey) -> Self {
        let (modulus, exponent) = key.public_numbers();
        Self {
            kid: key.kid(),
            nbf: KEYS_MADE,
            r#use: "sig",
            kty: "RSA",
            e: URL_SAFE_NO_PAD.encode(exponent),
            n: URL_SAFE_NO_PAD.encode(modulus),
        }
    }
}

pub(super) async fn keys(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    _: FlowPath,
) -> Response {
    if let Some(answer) = shared.admit(&[Endpoint::Keys], &call).await {
        return answer;
    }
    let mut state = shared.state();
    let omitted = state.faults.omitted_keys();
    let published = state.b2c_keys.published();
    let keys: Vec<FlowKey<'_>> = published
        .filter(|key| !omitted.contains(key.kid()))
        .map(FlowKey::from)
        .collect();
    (HEADERS, Json(json!({"keys": keys}))).into_response()
}
