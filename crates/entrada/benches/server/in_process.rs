//! The whole server in one process, before an Entra that costs nothing.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use entra_emulator::builtin;
use entrada::jwt::jwks::Algorithm;
use entrada::keys::{KeyRing, Keys};
use entrada::platform::{Clock, Platform, SystemRandom, Timestamp};
use entrada::resource_server::RequireBearer;
use entrada::store::Store;
use entrada::{AzureConfig, AzureProvider};
use http::{Request, header};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use tokio::runtime::{Builder, Runtime};
use tower::{Layer as _, Service as _, ServiceExt as _};
use url::form_urlencoded;

mod canned;
mod records;

use canned::CannedEntra;
use records::{CLIENT_ID, REDIRECT_URI, Records, VERIFIER};

#[path = "../inner/no_op.rs"]
mod no_op;

pub(crate) use no_op::NoOp;

const BASE_URL: &str = "https://mcp.example.com";
const RESOURCE: &str = "https://mcp.example.com/mcp";

/// When every benchmark happens: time does not pass, so that nothing expires.
pub(crate) const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

/// Authorization server and guard.
pub(crate) struct Server {
    provider: AzureProvider,
    router: Router,
    pub(crate) records: Records,
    runtime: Runtime,
}

/// What the token endpoint gave.
#[derive(Deserialize)]
pub(crate) struct Tokens {
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
}

impl Tokens {
    pub(crate) fn read(answer: &[u8]) -> Self {
        serde_json::from_slice(answer).expect("tokens")
    }
}

impl Server {
    /// A server that keeps its records in `store` and signs with `algorithm`.
    pub(crate) fn new(store: Arc<dyn Store>, algorithm: Algorithm) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let random = Arc::new(SystemRandom::default());
        let keys = KeyRing::generate(algorithm, &*random, NOW).expect("keys");
        let keys = Keys::new(keys);
        let entra = Arc::new(runtime.block_on(CannedEntra::new(NOW)));
        let config = AzureConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID, BASE_URL)
            .client_secret(builtin::CLIENT_SECRET)
            .required_scopes(["mcp.read"])
            .authority_host("login.emulator.test")
            .store(Arc::clone(&store))
            .keys(keys.clone());
        let platform = Platform::new(Arc::new(Fixed), random, entra);
        let provider = AzureProvider::new(config, platform).expect("a provider");
        Self {
            router: provider.router(),
            provider,
            records: runtime.block_on(Records::new(store, keys, RESOURCE, NOW)),
            runtime,
        }
    }

    /// A request that redeems a fresh code.
    pub(crate) fn redemption(&self) -> Request<Body> {
        let code = self.runtime.block_on(self.records.code());
        token_request(&[
            ("grant_type", "authorization_code"),
            ("client_id", CLIENT_ID),
            ("code", &code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", REDIRECT_URI),
            ("resource", RESOURCE),
        ])
    }

    /// What the token endpoint answers to `request`, or another endpoint.
    pub(crate) fn answer(&self, request: Request<Body>) -> Bytes {
        self.block_on(async {
            let answer = self.router.clone().oneshot(request).await;
            let (parts, body) = answer.unwrap_or_else(|never| match never {}).into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            assert!(parts.status.is_success(), "{body:?}");
            body
        })
    }

    /// The tokens of a new grant.
    pub(crate) fn tokens(&self) -> Tokens {
        Tokens::read(&self.answer(self.redemption()))
    }

    /// Runs `work` to its end.
    pub(crate) fn block_on<F: Future>(&self, work: F) -> F::Output {
        self.runtime.block_on(work)
    }

    /// `service` behind the guard.
    pub(crate) fn guarded<S>(&self, service: S) -> RequireBearer<S> {
        self.provider.guard().layer(service)
    }
}

/// A request that uses a refresh token.
pub(crate) fn refreshing(token: &str) -> Request<Body> {
    token_request(&[
        ("grant_type", "refresh_token"),
        ("client_id", CLIENT_ID),
        ("refresh_token", token),
    ])
}

fn token_request(form: &[(&str, &str)]) -> Request<Body> {
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    Request::post(format!("{BASE_URL}/token"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(form))
        .expect("a request")
}

/// A request as MCP clients send it.
pub(crate) fn mcp_request(access_token: &str) -> Request<()> {
    Request::post(RESOURCE)
        .header("accept", "application/json, text/event-stream")
        .header("authorization", format!("Bearer {access_token}"))
        .header("content-type", "application/json")
        .header("mcp-protocol-version", "2025-11-25")
        .body(())
        .expect("a request")
}

/// Sends `request`, whose answer must come at once: the stores read without waiting.
pub(crate) fn call(service: &mut RequireBearer<NoOp>, request: Request<()>) {
    let response = pin!(service.call(request));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(response)) = response.poll(&mut cx) else {
        unreachable!("no store waits to read");
    };
    assert!(response.status().is_success());
}

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        NOW
    }
}
