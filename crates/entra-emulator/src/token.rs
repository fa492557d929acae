//! The token endpoint (RFC 6749 §3.2).

mod authorization_code;
mod client_auth;
mod client_credentials;
mod device_code;
mod on_behalf_of;
mod password;
mod refresh_token;
mod response;
mod user;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    CACHE_CONTROL, CONTENT_TYPE, EXPIRES, ORIGIN, PRAGMA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::json;
use url::form_urlencoded;

use crate::access_token::ClientProof;
use crate::authorize::request::{Parameters, find_client};
use crate::authorize::tenant::TenantSpecifier;
use crate::directory::app::{App, Platform};
use crate::emulator::{Call, Shared};
use crate::error::Aadsts;
use crate::faults::{Endpoint, GrantType};
use crate::quirks::Quirks;
use crate::state::State as EmulatorState;
use crate::token::client_auth::Credential;
pub(crate) use crate::token::client_auth::basic_credentials;
use crate::token::response::TokenResponse;
use crate::version::Version;

pub(crate) fn router() -> Router<Arc<Shared>> {
    let v2 = post(v2).options(preflight).fallback(wrong_verb);
    let v1 = post(v1).options(preflight).fallback(wrong_verb);
    Router::new()
        .route("/{tenant}/oauth2/v2.0/token", v2)
        .route("/{tenant}/oauth2/token", v1)
}

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// `client_info`: the account's ids, for the client's cache.
pub(crate) fn client_info(oid: &str, tenant_id: &str) -> String {
    URL_SAFE_NO_PAD.encode(json!({"uid": oid, "utid": tenant_id}).to_string())
}

async fn v2(
    state: State<Arc<Shared>>,
    call: Extension<Call>,
    path: Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    token(&state, &call, path.0, Version::V2, (headers, body)).await
}

async fn v1(
    state: State<Arc<Shared>>,
    call: Extension<Call>,
    path: Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    token(&state, &call, path.0, Version::V1, (headers, body)).await
}

async fn token(
    shared: &Shared,
    call: &Call,
    segment: String,
    version: Version,
    (headers, body): (HeaderMap, String),
) -> Response {
    let form = if is_form(&headers) {
        body
    } else {
        String::new()
    };
    let pairs: Vec<(String, String)> = form_urlencoded::parse(form.as_bytes())
        .into_owned()
        .collect();
    let mut endpoints = vec![Endpoint::Token];
    endpoints.extend(grant_type(&pairs).map(Endpoint::TokenGrant));
    if let Some(answer) = shared.admit(&endpoints, call).await {
        return answer;
    }
    let origin = headers.get(ORIGIN).cloned();
    let mut state = shared.state();
    state.keep_token_form(pairs.clone());
    let answered = Parameters::new(pairs).and_then(|parameters| {
        let exchange = Exchange {
            call,
            quirks: &shared.options.quirks,
            specifier: TenantSpecifier::parse(&segment, &state.directory)?,
            segment: &segment,
            version,
            parameters: &parameters,
            origin: origin.as_ref().and_then(|origin| origin.to_str().ok()),
        };
        exchange.answer(&headers, &mut state)
    });
    let response = match answered {
        Ok(answer) => (StatusCode::OK, HEADERS, Json(answer)).into_response(),
        Err(error) => refuse(&error, call),
    };
    readable_from(response, origin)
}

const HEADERS: [(HeaderName, &str); 4] = [
    (CACHE_CONTROL, "no-store, no-cache"),
    (PRAGMA, "no-cache"),
    (EXPIRES, "-1"),
    (HeaderName::from_static("x-ms-clitelem"), "1,0,0,,"),
];

fn refuse(error: &Aadsts, call: &Call) -> Response {
    let body = error.body(call);
    (error.status(), HEADERS, Json(body)).into_response()
}

fn is_form(headers: &HeaderMap) -> bool {
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    media_type.is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    })
}

fn grant_type(pairs: &[(String, String)]) -> Option<GrantType> {
    let (_, value) = pairs.iter().find(|(name, _)| name == "grant_type")?;
    Some(match value.as_str() {
        "authorization_code" => GrantType::AuthorizationCode,
        "refresh_token" => GrantType::RefreshToken,
        "client_credentials" => GrantType::ClientCredentials,
        JWT_BEARER => GrantType::OnBehalfOf,
        "password" => GrantType::Password,
        DEVICE_CODE => GrantType::DeviceCode,
        _ => return None,
    })
}

// Single-page applications read answers across origins; nobody else may.
fn readable_from(mut response: Response, origin: Option<HeaderValue>) -> Response {
    if let Some(origin) = origin {
        response
            .headers_mut()
            .insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}

async fn preflight(headers: HeaderMap) -> Response {
    const ALLOW: [(HeaderName, &str); 2] = [
        (ACCESS_CONTROL_ALLOW_METHODS, "POST, OPTIONS"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "*"),
    ];
    let response = (StatusCode::OK, ALLOW).into_response();
    readable_from(response, headers.get(ORIGIN).cloned())
}

async fn wrong_verb(method: Method, Extension(call): Extension<Call>) -> Response {
    refuse(&Aadsts::Verb(method.to_string()), &call)
}

/// One token request.
#[derive(Debug)]
struct Exchange<'a> {
    call: &'a Call,
    quirks: &'a Quirks,
    specifier: TenantSpecifier,
    /// The tenant as the path named it.
    segment: &'a str,
    version: Version,
    parameters: &'a Parameters,
    origin: Option<&'a str>,
}

impl Exchange<'_> {
    fn answer(
        &self,
        headers: &HeaderMap,
        state: &mut EmulatorState,
    ) -> Result<TokenResponse, Aadsts> {
        let grant_type = self.parameters.require("grant_type")?.to_owned();
        let (client_id, credential) = Credential::presented(self.parameters, headers)?;
        let client = find_client(&client_id, &self.specifier, &state.directory)?.clone();
        let proof = self.authenticate(&client, &credential, state)?;
        match grant_type.as_str() {
            "authorization_code" => self.authorization_code(&client, proof, state),
            "refresh_token" => self.refresh_token(&client, proof, state),
            "client_credentials" => self.client_credentials(&client, proof, state),
            JWT_BEARER => self.on_behalf_of(&client, proof, state),
            "password" => self.password(&client, proof, state),
            DEVICE_CODE => self.device_code(&client, proof, state),
            other => Err(Aadsts::UnsupportedGrantType(other.to_owned())),
        }
    }

    fn now(&self) -> u64 {
        self.call.now
    }

    /// Checks how the client came against the platform its grant was issued to.
    fn check_platform(&self, platform: Platform, proof: ClientProof) -> Result<(), Aadsts> {
        match (platform, proof, self.origin) {
            (Platform::Web, ClientProof::None, _) => Err(Aadsts::CredentialMissing),
            (Platform::PublicClient | Platform::Spa, _, _) if proof != ClientProof::None => {
                Err(Aadsts::PublicClientCredential)
            }
            (Platform::Spa, _, None) => Err(Aadsts::NotCrossOrigin),
            (Platform::Web | Platform::PublicClient, _, Some(origin)) => {
                Err(Aadsts::CrossOrigin(origin.to_owned()))
            }
            (Platform::Web | Platform::PublicClient, _, None) | (Platform::Spa, _, Some(_)) => {
                Ok(())
            }
        }
    }
}

/// The platform of a client that came without a redirect URI.
fn implied_platform(client: &App) -> Platform {
    if client.is_fallback_public_client || !client.has_credentials() {
        Platform::PublicClient
    } else {
        Platform::Web
    }
}
