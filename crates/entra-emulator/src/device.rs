//! The device authorization endpoint and the page people type the code into (RFC 8628).
//!
//! The page signs people in as any client would: it sends the browser through the authorization
//! endpoint's own pages, with itself as the place to come back to.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Form, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use crate::authorize::Visit;
use crate::authorize::claims::ClaimsRequest;
use crate::authorize::interaction::Interaction;
use crate::authorize::pages::{device_page, device_result_page};
use crate::authorize::redirect_uri::Redirect;
use crate::authorize::request::{
    AuthorizeRequest, Parameters, Purpose, ResponseType, Scope, find_client,
};
use crate::authorize::response::{ResponseMode, ReturnAddress};
use crate::authorize::session::browser_cookie;
use crate::authorize::tenant::TenantSpecifier;
use crate::directory::app::Platform;
use crate::emulator::{Call, Shared};
use crate::error::Aadsts;
use crate::quirks::Quirks;
use crate::random;
use crate::scope::ScopeRequest;
use crate::state::{Code, State as EmulatorState};
use crate::version::Version;

/// How long a device code can be used.
pub(crate) const LIFETIME: u64 = 900;
/// How often a device may ask.
const INTERVAL: u64 = 5;

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/{tenant}/oauth2/v2.0/devicecode", post(authorize_device))
        .route("/devicelogin", get(ask).post(enter))
        .route("/devicelogin/done", get(done))
}

/// A device that waits for its user.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) user_code: String,
    pub(crate) client_id: String,
    segment: String,
    specifier: TenantSpecifier,
    asked: ScopeRequest,
    pub(crate) issued_at: u64,
    pub(crate) answer: Option<DeviceAnswer>,
}

/// What the user of a device did.
#[derive(Debug, Clone)]
pub(crate) enum DeviceAnswer {
    Declined,
    SignedIn(Box<Code>),
}

#[derive(Serialize)]
struct DeviceResponse {
    user_code: String,
    device_code: String,
    verification_uri: String,
    expires_in: u64,
    interval: u64,
    message: String,
}

async fn authorize_device(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    Path(segment): Path<String>,
    body: String,
) -> Response {
    let pairs = form_urlencoded::parse(body.as_bytes()).into_owned();
    let mut state = shared.state();
    let device = Parameters::new(pairs.collect()).and_then(|parameters| {
        let quirks = &shared.options.quirks;
        Device::parse(segment, &parameters, quirks, (&state, call.now))
    });
    match device {
        Err(error) => {
            let body = error.body(&call);
            (error.status(), Json(body)).into_response()
        }
        Ok(device) => {
            let verification_uri = format!("{}/devicelogin", call.place.base);
            let device_code = random::artifact();
            let answer = DeviceResponse {
                message: format!(
                    "To sign in, use a web browser to open the page {verification_uri} and enter \
                     the code {} to authenticate.",
                    device.user_code
                ),
                user_code: device.user_code.clone(),
                device_code: device_code.clone(),
                verification_uri,
                expires_in: LIFETIME,
                interval: INTERVAL,
            };
            state.devices.insert(device_code, device);
            Json(answer).into_response()
        }
    }
}

impl Device {
    fn parse(
        segment: String,
        parameters: &Parameters,
        quirks: &Quirks,
        (state, now): (&EmulatorState, u64),
    ) -> Result<Self, Aadsts> {
        let directory = &state.directory;
        let specifier = TenantSpecifier::parse(&segment, directory)?;
        let app = find_client(parameters.require("client_id")?, &specifier, directory)?;
        let scope = Scope {
            version: Version::V2,
            quirks,
            specifier: &specifier,
            app,
        };
        Ok(Self {
            user_code: random::user_code(),
            client_id: app.client_id.clone(),
            asked: scope.parse(parameters, directory)?,
            segment,
            specifier,
            issued_at: now,
            answer: None,
        })
    }

    /// The authorization request the page makes for the device.
    fn request(&self, base: &str) -> AuthorizeRequest {
        let uri = format!("{base}/devicelogin/done");
        AuthorizeRequest {
            purpose: Purpose::SignIn,
            specifier: self.specifier.clone(),
            version: Version::V2,
            client_id: self.client_id.clone(),
            redirect: Redirect {
                uri: uri.clone(),
                named: false,
                platform: Platform::PublicClient,
            },
            return_address: ReturnAddress {
                uri,
                mode: ResponseMode::Query,
                state: Some(self.user_code.clone()),
            },
            response_type: ResponseType {
                code: true,
                id_token: false,
            },
            asked: self.asked.clone(),
            nonce: None,
            prompt: None,
            login_hint: None,
            challenge: None,
            claims: ClaimsRequest::default(),
            client_info: false,
            instance_aware: false,
        }
    }
}

async fn ask() -> Response {
    device_page(None)
}

#[derive(Deserialize)]
struct Entered {
    #[serde(default)]
    user_code: String,
}

async fn enter(
    State(shared): State<Arc<Shared>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    Form(entered): Form<Entered>,
) -> Response {
    let mut state = shared.state();
    let typed = entered.user_code.trim().to_ascii_uppercase();
    let waiting = state.devices.values().find(|device| {
        let expires = device.issued_at + LIFETIME;
        device.user_code == typed && device.answer.is_none() && expires > call.now
    });
    let Some(device) = waiting else {
        return device_page(Some("That code didn’t work. Check the code and try again."));
    };
    let interaction = Interaction::new(device.segment.clone(), device.request(&call.place.base));
    let visit = Visit {
        shared: &shared,
        call: &call,
        browser: browser_cookie(&headers),
    };
    visit.go_on(&mut state, interaction, None)
}

async fn done(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let mut state = shared.state();
    let code = query.get("code").and_then(|name| state.codes.remove(name));
    let user_code = query.get("state");
    let mut devices = state.devices.values_mut();
    let device = devices.find(|device| Some(&device.user_code) == user_code);
    let Some(device) = device.filter(|device| device.answer.is_none()) else {
        return device_result_page(false);
    };
    let signed_in = code.is_some();
    device.answer = Some(code.map_or(DeviceAnswer::Declined, |code| {
        DeviceAnswer::SignedIn(Box::new(code))
    }));
    device_result_page(signed_in)
}
