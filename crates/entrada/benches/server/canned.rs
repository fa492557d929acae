//! An Entra whose answers are ready, so that what is measured is ours.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use entra_emulator::{Emulator, Options, builtin};
use entrada::platform::{HttpTransport, Timestamp, TransportError};
use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use url::form_urlencoded;

/// Answers every token request with the same tokens, which its keys signed.
pub(crate) struct CannedEntra {
    tokens: Bytes,
    keys: Bytes,
}

impl CannedEntra {
    /// Asks the emulator once.
    pub(crate) async fn new(now: Timestamp) -> Self {
        let emulator = emulator(now);
        let scope = format!(
            "{}/mcp.read openid profile offline_access",
            builtin::IDENTIFIER_URI
        );
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "password")
            .append_pair("client_id", builtin::CLIENT_ID)
            .append_pair("client_secret", builtin::CLIENT_SECRET)
            .append_pair("username", builtin::ALICE)
            .append_pair("password", builtin::PASSWORD)
            .append_pair("scope", &scope)
            .finish();
        let tokens = Request::post(url("oauth2/v2.0/token"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form));
        let keys = Request::get(url("discovery/v2.0/keys")).body(Body::empty());
        Self {
            tokens: answer(&emulator, tokens.expect("a request")).await,
            keys: answer(&emulator, keys.expect("a request")).await,
        }
    }
}

fn emulator(now: Timestamp) -> Router {
    let mut options = Options::default();
    let clock = move || now.as_unix();
    let base_url = builtin::BASE_URL.parse().expect("a URL");
    options.clock = Arc::new(clock);
    options.base_url = Some(base_url);
    Emulator::new(options).router()
}

fn url(path: &str) -> String {
    format!("{}/{}/{path}", builtin::BASE_URL, builtin::TENANT_ID)
}

async fn answer(emulator: &Router, request: Request<Body>) -> Bytes {
    let answer = emulator.clone().oneshot(request).await;
    let (parts, body) = answer.unwrap_or_else(|never| match never {}).into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    assert!(parts.status.is_success(), "{body:?}");
    body
}

#[async_trait]
impl HttpTransport for CannedEntra {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let keys = request.uri().path().ends_with("/keys");
        let body = if keys { &self.keys } else { &self.tokens };
        Ok(Response::new(body.clone()))
    }
}

impl fmt::Debug for CannedEntra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CannedEntra").finish_non_exhaustive()
    }
}
