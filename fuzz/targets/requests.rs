//! Whatever a stranger sends, the server answers, redirects only where it may, and lets nobody in.
//!
//! The input is an HTTP/1.1 request as text. `{client_id}` stands for a registered client.
#![no_main]

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use entrada::jwt::jwks::Algorithm;
use entrada::keys::{KeyRing, Keys};
use entrada::platform::{Clock, HttpTransport, Platform, SystemRandom, Timestamp, TransportError};
use entrada::store::MemoryStore;
use entrada::{AzureConfig, AzureProvider};
use http::header::LOCATION;
use http::{HeaderMap, Request, Response, StatusCode};
use libfuzzer_sys::{Corpus, fuzz_target};
use tokio::runtime::Runtime;
use tower::{ServiceExt as _, service_fn};

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const BASE_URL: &str = "https://mcp.contoso.com";
const REDIRECT_URI: &str = "http://127.0.0.1/callback";
const REGISTRATION: &str = r#"{"redirect_uris":["http://127.0.0.1/callback"]}"#;
/// What the protected service answers with, which nobody may ever see.
const REACHED: StatusCode = StatusCode::IM_A_TEAPOT;

#[derive(Debug)]
struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// Entra cannot be reached.
#[derive(Debug)]
struct Offline;

#[async_trait::async_trait]
impl HttpTransport for Offline {
    async fn send(
        &self,
        _: Request<bytes::Bytes>,
    ) -> Result<Response<bytes::Bytes>, TransportError> {
        Err(TransportError::new("nowhere", "offline"))
    }
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
});
static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    Keys::new(KeyRing::generate(Algorithm::EdDsa, &SystemRandom::default(), NOW).expect("keys"))
});

/// A server of its own for every input, so that one input cannot help another.
fn server() -> Router {
    let platform = Platform::new(
        Arc::new(FixedClock),
        Arc::new(SystemRandom::default()),
        Arc::new(Offline),
    );
    let config = AzureConfig::new(
        "10000000-0000-4000-8000-000000000001",
        "30000000-0000-4000-8000-000000000001",
        BASE_URL,
    )
    .client_secret("a secret")
    .required_scopes(["mcp.read"])
    .store(Arc::new(MemoryStore::new()))
    .keys(KEYS.clone());
    AzureProvider::new(config, platform)
        .expect("a good configuration")
        .protect(service_fn(|_| async {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = REACHED;
            Ok::<_, Infallible>(response)
        }))
}

async fn register(server: &Router) -> String {
    let request = Request::post("/register")
        .header("content-type", "application/json")
        .body(Body::from(REGISTRATION))
        .expect("a request");
    let Ok(response) = server.clone().oneshot(request).await;
    let body = axum::body::to_bytes(response.into_body(), 65_536).await;
    let client: serde_json::Value = serde_json::from_slice(&body.expect("a body")).expect("json");
    client["client_id"]
        .as_str()
        .expect("a client id")
        .to_owned()
}

/// Reads the request that `text` is, if it is one.
fn parse(text: &str) -> Option<Request<Body>> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, target) = lines.next()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    request.body(Body::from(body.to_owned())).ok()
}

fn may_redirect_to(location: &str) -> bool {
    let elsewhere = |ours: &str, after: &[char]| {
        location
            .strip_prefix(ours)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(after))
    };
    elsewhere(BASE_URL, &['/', '?'])
        || elsewhere("https://login.microsoftonline.com", &['/'])
        || elsewhere(REDIRECT_URI, &['?'])
        // RFC 8252 §7.3: the port of a loopback redirect URI is the client's to choose.
        || (location.starts_with("http://127.0.0.1:") && location.contains("/callback?"))
        || (location.starts_with('/') && !location.starts_with("//"))
}

async fn answer(text: &str) -> Option<(StatusCode, HeaderMap)> {
    let server = server();
    let text = text.replace("{client_id}", &register(&server).await);
    let Ok(response) = server.oneshot(parse(&text)?).await;
    let (parts, body) = response.into_parts();
    axum::body::to_bytes(body, 1 << 20)
        .await
        .expect("a whole body");
    Some((parts.status, parts.headers))
}

fuzz_target!(|text: &str| -> Corpus {
    let Some((status, headers)) = RUNTIME.block_on(answer(text)) else {
        return Corpus::Reject;
    };
    assert_ne!(status, REACHED, "let in without a token");
    assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(location) = headers.get(LOCATION) {
        let location = location.to_str().expect("text");
        assert!(may_redirect_to(location), "redirects to {location}");
    }
    Corpus::Keep
});
