//! A pretend issuer of workload identities, such as a Kubernetes cluster is.
//!
//! Its name is the same wherever the emulator is, for a federated credential holds one name. Its
//! documents stand under `/workload-issuer`.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use crate::builtin::WORKLOAD_ISSUER;
use crate::emulator::{Call, Shared};
use crate::jwt::{Claims, Draft};
use crate::keys::SigningKey;
use crate::random;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route(
            "/workload-issuer/.well-known/openid-configuration",
            get(metadata),
        )
        .route("/workload-issuer/keys", get(keys))
}

async fn metadata(Extension(call): Extension<Call>) -> Json<Value> {
    Json(json!({
        "issuer": WORKLOAD_ISSUER,
        "jwks_uri": format!("{}/workload-issuer/keys", call.place.base),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }))
}

async fn keys(State(shared): State<Arc<Shared>>, Extension(call): Extension<Call>) -> Json<Value> {
    let state = shared.state();
    let instance = call.place.cloud.names().instance;
    let published = state.workload_keys.published();
    let keys: Vec<_> = published.map(|key| key.jwk(None, instance)).collect();
    Json(json!({"keys": keys}))
}

/// The token of a workload, valid from `now` on for `lifetime`.
pub(crate) fn token(key: &SigningKey, subject: &str, audience: &str, valid: (u64, u64)) -> String {
    let (now, lifetime) = valid;
    let (mut header, mut claims) = (Claims::default(), Claims::default());
    header.put("alg", "RS256");
    header.put("kid", key.kid());
    claims.put("aud", vec![audience]);
    claims.put("exp", now.saturating_add(lifetime));
    claims.put("iat", now);
    claims.put("iss", WORKLOAD_ISSUER);
    claims.put("jti", random::guid());
    claims.put("nbf", now);
    claims.put("sub", subject);
    Draft {
        header,
        claims,
        for_graph: false,
    }
    .sign(key)
}
