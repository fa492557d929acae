//! The managed identity endpoints: that of a virtual machine, and that of App Service.
//!
//! Both answer with text where a token endpoint has numbers. The real ones keep tokens for a day;
//! these issue a new one each time.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::json;
use url::form_urlencoded;

use crate::access_token::{AppOnly, BACKDATE, ClientProof, Mint};
use crate::authorize::request::Parameters;
use crate::builtin::IDENTITY_HEADER;
use crate::cloud::Cloud;
use crate::directory::Directory;
use crate::directory::app::{App, OptionalClaims};
use crate::directory::managed_identity::ManagedIdentity;
use crate::emulator::{Call, Shared};
use crate::error::Aadsts;
use crate::faults::Endpoint;
use crate::state::State as EmulatorState;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/metadata/identity/oauth2/token", get(virtual_machine))
        .route("/msi/token", get(app_service))
}

/// How long its tokens live.
const LIFETIME: u64 = 86_399;
/// The application id of what `api://AzureADTokenExchange` names.
const TOKEN_EXCHANGE_APP_ID: &str = "fb60f99c-7a34-4190-8149-302f77469936";

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
enum Denied {
    #[error("Required metadata header not specified")]
    NoMetadataHeader,
    #[error("Requests with an X-Forwarded-For header are not served")]
    Forwarded,
    #[error("The identity header is missing or wrong.")]
    IdentityHeader,
    #[error("Bad request. The api-version query parameter is missing or not supported")]
    ApiVersion,
    #[error("Required audience parameter not specified")]
    NoResource,
    #[error("Identity not found")]
    NoIdentity,
    #[error(
        "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request"
    )]
    SeveralIdentities,
    #[error("AADSTS{code}: {refusal}", code = .refusal.code())]
    Entra { refusal: Aadsts },
}

impl Denied {
    fn status(&self) -> StatusCode {
        match self {
            Self::IdentityHeader => StatusCode::UNAUTHORIZED,
            Self::NoMetadataHeader
            | Self::Forwarded
            | Self::ApiVersion
            | Self::NoResource
            | Self::NoIdentity
            | Self::SeveralIdentities
            | Self::Entra { .. } => StatusCode::BAD_REQUEST,
        }
    }

    fn error(&self) -> &'static str {
        match self {
            Self::Entra { refusal } => refusal.error(),
            Self::NoMetadataHeader
            | Self::Forwarded
            | Self::IdentityHeader
            | Self::ApiVersion
            | Self::NoResource
            | Self::NoIdentity
            | Self::SeveralIdentities => "invalid_request",
        }
    }
}

/// A token of a managed identity. The numbers are text.
#[derive(Serialize)]
struct Issued {
    access_token: String,
    client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<String>,
    expires_on: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ext_expires_in: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    resource: String,
    token_type: &'static str,
}

async fn virtual_machine(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Some(answer) = shared.admit(&[Endpoint::ManagedIdentity], &call).await {
        return answer;
    }
    let asked = Asked {
        parameters: parameters(query),
        call: &call,
        // Azure's library for Rust sends the version of App Service here.
        versions: &["2018-02-01", "2019-08-01"],
        names: &[
            ("client_id", Named::Client),
            ("object_id", Named::Principal),
            ("msi_res_id", Named::Resource),
        ],
    };
    // So that no page or forwarding proxy can be made to ask.
    let admitted = match headers.get("metadata").map(HeaderValue::as_bytes) {
        _ if headers.contains_key("x-forwarded-for") => Err(Denied::Forwarded),
        Some(value) if value.eq_ignore_ascii_case(b"true") => Ok(()),
        Some(_) | None => Err(Denied::NoMetadataHeader),
    };
    match admitted.and_then(|()| asked.issue(&mut shared.state())) {
        Ok(issued) => Json(issued).into_response(),
        Err(denied) => {
            let body = json!({
                "error": denied.error(),
                "error_description": denied.to_string(),
            });
            (denied.status(), Json(body)).into_response()
        }
    }
}

async fn app_service(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Some(answer) = shared.admit(&[Endpoint::ManagedIdentity], &call).await {
        return answer;
    }
    let asked = Asked {
        parameters: parameters(query),
        call: &call,
        versions: &["2019-08-01"],
        names: &[
            ("client_id", Named::Client),
            ("principal_id", Named::Principal),
            ("mi_res_id", Named::Resource),
        ],
    };
    let shown = headers.get("x-identity-header");
    let admitted = if shown.is_some_and(|shown| shown == IDENTITY_HEADER) {
        Ok(())
    } else {
        Err(Denied::IdentityHeader)
    };
    match admitted.and_then(|()| asked.issue(&mut shared.state())) {
        Ok(issued) => Json(issued.briefly()).into_response(),
        Err(denied) => {
            let body = json!({
                "statusCode": denied.status().as_u16(),
                "message": denied.to_string(),
                "correlationId": call.ids.correlation,
            });
            (denied.status(), Json(body)).into_response()
        }
    }
}

impl Issued {
    // What App Service says of it.
    fn briefly(self) -> Self {
        Self {
            expires_in: None,
            ext_expires_in: None,
            not_before: None,
            ..self
        }
    }
}

fn parameters(query: Option<String>) -> Parameters {
    let text = query.unwrap_or_default();
    let pairs = form_urlencoded::parse(text.as_bytes()).into_owned();
    Parameters::first_of_each(pairs.collect())
}

/// Which id an identity is named by.
#[derive(Debug, Clone, Copy)]
enum Named {
    Client,
    Principal,
    Resource,
}

impl Named {
    fn is(self, value: &str, identity: &ManagedIdentity) -> bool {
        let known = match self {
            Self::Client => &identity.client_id,
            Self::Principal => &identity.principal_id,
            Self::Resource => &identity.resource_id,
        };
        known.eq_ignore_ascii_case(value)
    }
}

/// One request, to either endpoint.
struct Asked<'a> {
    parameters: Parameters,
    call: &'a Call,
    versions: &'a [&'a str],
    names: &'a [(&'a str, Named)],
}

impl Asked<'_> {
    fn issue(&self, state: &mut EmulatorState) -> Result<Issued, Denied> {
        let version = self.parameters.get("api-version").unwrap_or_default();
        if !self.versions.contains(&version) {
            return Err(Denied::ApiVersion);
        }
        let named = self.parameters.get("resource").ok_or(Denied::NoResource)?;
        let identity = self.identity(&state.directory)?;
        let place = &self.call.place;
        state.identity_bases.insert(place.issuer_base().to_owned());
        let directory = &state.directory;
        let tenant = directory
            .tenant(&identity.tenant)
            .ok_or(Denied::NoIdentity)?;
        let exchange = token_exchange(named);
        let resource = match (&exchange, directory.resource(named)) {
            (Some(exchange), _) => exchange,
            (None, Some(app)) if directory.is_installed(app, tenant) => app,
            (None, Some(_) | None) => {
                return Err(Denied::Entra {
                    refusal: Aadsts::UnknownResource {
                        resource: named.to_owned(),
                        tenant: tenant.display_name.clone(),
                    },
                });
            }
        };
        let lifetime = state.token_lifetime.unwrap_or(LIFETIME);
        let mint = Mint {
            place,
            keys: state.keys_of(tenant),
            now: self.call.now,
            lifetime,
        };
        let mut draft = mint.app_only(&AppOnly {
            tenant,
            client: &identity.client(),
            resource,
            audience: named,
            proof: ClientProof::Certificate,
        });
        if exchange.is_some() {
            draft.claims.put("aud", named);
        }
        let now = self.call.now;
        Ok(Issued {
            access_token: mint.sign(&draft),
            client_id: identity.client_id,
            expires_in: Some(lifetime.to_string()),
            expires_on: now.saturating_add(lifetime).to_string(),
            ext_expires_in: Some(lifetime.to_string()),
            not_before: Some(now.saturating_sub(BACKDATE).to_string()),
            resource: named.to_owned(),
            token_type: "Bearer",
        })
    }

    // The one that is named, or the only one there is.
    fn identity(&self, directory: &Directory) -> Result<ManagedIdentity, Denied> {
        let known = &directory.managed_identities;
        let mut chosen = self.names.iter().filter_map(|(parameter, by)| {
            let value = self.parameters.get(parameter)?;
            Some((value, *by))
        });
        let found = match chosen.next() {
            Some((value, by)) => known.iter().find(|identity| by.is(value, identity)),
            None => match known.as_slice() {
                [only] => Some(only),
                [] => None,
                [_, _, ..] => return Err(Denied::SeveralIdentities),
            },
        };
        found.cloned().ok_or(Denied::NoIdentity)
    }
}

// It is in every tenant and in no directory.
fn token_exchange(named: &str) -> Option<App> {
    Cloud::is_token_exchange(named).then(|| App {
        client_id: TOKEN_EXCHANGE_APP_ID.to_owned(),
        identifier_uris: vec![named.to_owned()],
        requested_access_token_version: Some(2),
        optional_claims: OptionalClaims {
            access_token: vec!["idtyp".to_owned()],
            ..OptionalClaims::default()
        },
        ..App::default()
    })
}
