//! Metadata, keys and instance discovery (OpenID Connect Discovery §4, RFC 7517).

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use http::header::{ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL};
use http::{HeaderName, StatusCode};
use serde::Serialize;
use serde_json::json;
use url::Url;

mod key_document;
mod metadata;

use crate::authorize::tenant::TenantSpecifier;
use crate::discovery::key_document::key_document;
use crate::discovery::metadata::{metadata_v1, metadata_v2};
use crate::emulator::{Call, Shared};
use crate::error::Aadsts;
use crate::faults::Endpoint;
use crate::version::Version;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/{tenant}/v2.0/.well-known/openid-configuration", get(v2))
        .route("/{tenant}/.well-known/openid-configuration", get(v1))
        .route("/{tenant}/discovery/v2.0/keys", get(keys_v2))
        .route("/{tenant}/discovery/keys", get(keys_v1))
        .route("/common/discovery/instance", get(instance))
        .route("/common/userrealm/{user}", get(user_realm))
}

async fn v2(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    Path(tenant): Path<String>,
) -> Response {
    metadata(&shared, &call, &tenant, Version::V2).await
}

async fn v1(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    Path(tenant): Path<String>,
) -> Response {
    metadata(&shared, &call, &tenant, Version::V1).await
}

async fn metadata(shared: &Shared, call: &Call, tenant: &str, version: Version) -> Response {
    if let Some(answer) = shared.admit(&[Endpoint::Discovery], call).await {
        return answer;
    }
    let state = shared.state();
    match TenantSpecifier::parse(tenant, &state.directory) {
        Err(error) => refuse(&error, call),
        Ok(specifier) => match version {
            Version::V1 => document(metadata_v1(&state, call, &specifier)),
            Version::V2 => document(metadata_v2(shared, &state, call, &specifier)),
        },
    }
}

async fn keys_v2(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    Path(tenant): Path<String>,
) -> Response {
    keys(&shared, &call, &tenant, Version::V2).await
}

async fn keys_v1(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    Path(tenant): Path<String>,
) -> Response {
    keys(&shared, &call, &tenant, Version::V1).await
}

async fn keys(shared: &Shared, call: &Call, tenant: &str, version: Version) -> Response {
    if let Some(answer) = shared.admit(&[Endpoint::Keys], call).await {
        return answer;
    }
    let mut state = shared.state();
    match TenantSpecifier::parse(tenant, &state.directory) {
        Err(error) => refuse(&error, call),
        Ok(specifier) => {
            let omitted = state.faults.omitted_keys();
            let mut keys = key_document(&state, call, &specifier, version);
            keys.retain(|key| !omitted.contains(key.kid()));
            document(json!({"keys": keys}))
        }
    }
}

const HEADERS: [(HeaderName, &str); 3] = [
    (CACHE_CONTROL, "max-age=86400, private"),
    (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (ACCESS_CONTROL_ALLOW_METHODS, "GET, OPTIONS"),
];

fn document(body: impl Serialize) -> Response {
    (HEADERS, Json(body)).into_response()
}

fn refuse(error: &Aadsts, call: &Call) -> Response {
    let body = error.body(call);
    (error.status(), HEADERS, Json(body)).into_response()
}

/// Says which hosts are the same cloud; clients ask before they trust an authority.
async fn instance(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    if let Some(answer) = shared.admit(&[Endpoint::Discovery], &call).await {
        return answer;
    }
    let asked = query
        .get("authorization_endpoint")
        .and_then(|endpoint| Url::parse(endpoint).ok());
    let own = Url::parse(&call.place.base).ok();
    let Some(asked) = asked.filter(|url| is_known(url, own.as_ref())) else {
        let error = Aadsts::UnknownInstance;
        let body = error.body(&call);
        return (StatusCode::BAD_REQUEST, HEADERS, Json(body)).into_response();
    };
    let tenant = asked
        .path_segments()
        .and_then(|mut segments| segments.next())
        .filter(|segment| !segment.is_empty())
        .unwrap_or("common");
    let endpoint = format!(
        "{}/{tenant}/v2.0/.well-known/openid-configuration",
        call.place.base
    );
    if query
        .get("api-version")
        .is_some_and(|version| version == "1.0")
    {
        return document(json!({"tenant_discovery_endpoint": endpoint}));
    }
    document(InstanceDocument {
        tenant_discovery_endpoint: endpoint,
        api_version: "1.1",
        metadata: clouds(own.as_ref()),
    })
}

#[derive(Serialize)]
struct InstanceDocument {
    tenant_discovery_endpoint: String,
    #[serde(rename = "api-version")]
    api_version: &'static str,
    metadata: Vec<CloudHosts>,
}

#[derive(Serialize)]
struct CloudHosts {
    preferred_network: String,
    preferred_cache: String,
    aliases: Vec<String>,
}

fn is_known(asked: &Url, own: Option<&Url>) -> bool {
    let Some(host) = authority(asked) else {
        return false;
    };
    own.and_then(authority).is_some_and(|own| own == host)
        || KNOWN.iter().any(|cloud| cloud.contains(&host.as_str()))
}

fn authority(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

// As instance discovery lists them: closed clouds too, the new sovereign ones not.
const KNOWN: [&[&str]; 5] = [
    &[
        "login.microsoftonline.com",
        "login.windows.net",
        "login.microsoft.com",
        "sts.windows.net",
    ],
    &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
    &["login.microsoftonline.de"],
    &["login.microsoftonline.us", "login.usgovcloudapi.net"],
    &["login-us.microsoftonline.com"],
];

// The emulator's own host stands first, as a cloud of its own.
fn clouds(own: Option<&Url>) -> Vec<CloudHosts> {
    let own = own.and_then(authority).map(|host| CloudHosts {
        preferred_network: host.clone(),
        preferred_cache: host.clone(),
        aliases: vec![host],
    });
    let known = KNOWN.iter().filter_map(|aliases| {
        let first = *aliases.first()?;
        let cache = match first {
            "login.microsoftonline.com" => "login.windows.net",
            other => other,
        };
        Some(CloudHosts {
            preferred_network: first.to_owned(),
            preferred_cache: cache.to_owned(),
            aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
        })
    });
    own.into_iter().chain(known).collect()
}

async fn user_realm(Extension(call): Extension<Call>, Path(user): Path<String>) -> Response {
    let domain = user.rsplit_once('@').map_or("", |(_, domain)| domain);
    document(json!({
        "ver": "1.0",
        "account_type": "Managed",
        "domain_name": domain,
        "cloud_instance_name": call.place.cloud.names().instance,
        "cloud_audience_urn": "urn:federation:MicrosoftOnline",
    }))
}
