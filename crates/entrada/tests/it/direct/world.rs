//! One emulated Entra, a server that takes its tokens, and the time of both.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use bytes::Bytes;
use entra_emulator::{Control, Emulator, Options, TokenOrder, builtin};
use entrada::access_token::{AccessTokenVerifier as _, PresentedToken, VerifyError};
use entrada::platform::{Clock as _, HttpTransport, Platform, SystemRandom, TransportError};
use entrada::provider::RemoteAuthConfig;
use entrada::{AzureJwtConfig, AzureJwtVerifier, RemoteAuthProvider, VerifiedToken};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::client::Answer;
use crate::mcp_server::{DOWNSTREAM, McpServer};
use crate::world::{RESOURCE, VirtualClock};

pub(crate) struct Direct {
    pub(crate) entra: Control,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) verifier: AzureJwtVerifier,
    platform: Platform,
    pub(crate) wire: Arc<Wire>,
    pub(crate) app: Router,
}

/// What protects the single-tenant MCP server of the built-in directory.
pub(crate) fn config() -> AzureJwtConfig {
    AzureJwtConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID)
        .authority_host("login.emulator.test")
        .required_scopes(["mcp.read"])
}

/// A token for it that holds.
pub(crate) fn good() -> TokenOrder {
    TokenOrder::delegated(
        builtin::ALICE,
        builtin::PUBLIC_CLIENT_ID,
        builtin::CLIENT_ID,
    )
}

/// Lets what runs behind everybody's back come to its end.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

impl Direct {
    pub(crate) fn new(config: AzureJwtConfig) -> Self {
        Self::with(config, |remote, _| remote)
    }

    /// A world whose guard is configured as `adjust` wants.
    pub(crate) fn with(
        config: AzureJwtConfig,
        adjust: impl FnOnce(RemoteAuthConfig, Platform) -> RemoteAuthConfig,
    ) -> Self {
        let clock = Arc::new(VirtualClock::default());
        let mut options = Options::default();
        let time = Arc::clone(&clock);
        options.clock = Arc::new(move || time.now().as_unix());
        let emulator = Emulator::new(options);
        let wire = Arc::new(Wire::new(emulator.router()));
        let random = Arc::new(SystemRandom::default());
        let platform = Platform::new(clock.clone(), random, wire.clone());
        let verifier = AzureJwtVerifier::new(config, platform.clone());
        let verifier = verifier.unwrap_or_else(|errors| panic!("{errors}"));
        let remote = adjust(RemoteAuthConfig::new(RESOURCE), platform.clone());
        let provider = RemoteAuthProvider::new(remote, verifier.clone());
        let provider = provider.unwrap_or_else(|errors| panic!("{errors}"));
        Self {
            entra: emulator.control(),
            clock,
            verifier,
            platform,
            wire,
            app: provider.protect(Router::new().fallback(whoami)),
        }
    }

    /// The time and the network of this world.
    pub(crate) fn platform(&self) -> Platform {
        self.platform.clone()
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// The verdict on a token as Entra would mint it.
    pub(crate) async fn verdict(&self, order: &TokenOrder) -> Result<VerifiedToken, VerifyError> {
        self.verify(&self.entra.mint(order)).await
    }

    pub(crate) async fn verify(&self, token: &str) -> Result<VerifiedToken, VerifyError> {
        let now = self.clock.now();
        self.verifier.verify(PresentedToken::new(token), now).await
    }

    /// What the protected server answers to it.
    pub(crate) async fn call(&self, token: &str) -> Answer {
        self.call_with(token, &[]).await
    }

    /// The same with more headers.
    pub(crate) async fn call_with(&self, token: &str, headers: &[(&str, &str)]) -> Answer {
        let bearer = format!("Bearer {token}");
        let mut request = Request::post(RESOURCE).header("authorization", bearer);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let url = format!("https://mcp.example.com{path}");
        let request = Request::builder().method(Method::GET).uri(url);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await;
        Answer::read(response.unwrap_or_else(|never| match never {})).await
    }
}

/// Says who calls, and calls an API as them where the request says so.
async fn whoami(caller: VerifiedToken, request: Request<Body>) -> Response {
    let (request, _) = request.into_parts();
    if !request.headers.contains_key(DOWNSTREAM) {
        return caller.subject.clone().into_response();
    }
    let downstream = McpServer::downstream(&request).await;
    downstream.map(Json).into_response()
}

/// The network between the server and Entra, where every host is Entra's.
pub(crate) struct Wire {
    entra: Router,
    /// What comes instead of the next answers.
    instead: Mutex<VecDeque<Instead>>,
    /// Every URL that was asked for.
    pub(crate) asked: Mutex<Vec<String>>,
}

/// What somebody on the path makes of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Instead {
    /// It never comes.
    Nothing,
    /// This comes.
    Body(String),
}

impl Wire {
    fn new(entra: Router) -> Self {
        Self {
            entra,
            instead: Mutex::default(),
            asked: Mutex::default(),
        }
    }

    /// Answers the next request by `instead`.
    pub(crate) fn answer_next(&self, instead: Instead) {
        self.instead.lock().unwrap().push_back(instead);
    }

    /// Asks the emulator itself, as an API's client does.
    pub(crate) async fn ask(&self, method: Method, path: &str, token: &str) -> Answer {
        let url = format!("{}{path}", builtin::BASE_URL);
        let request = Request::builder().method(method).uri(url);
        let request = request.header("authorization", format!("Bearer {token}"));
        let request = request.body(Body::empty()).unwrap();
        let answer = self.entra.clone().oneshot(request).await;
        Answer::read(answer.unwrap_or_else(|never| match never {})).await
    }

    /// How often a URL with `part` in it was asked for.
    pub(crate) fn asked_for(&self, part: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|url| url.contains(part)).count()
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

#[async_trait]
impl HttpTransport for Wire {
    async fn send(&self, request: Request<Bytes>) -> Result<http::Response<Bytes>, TransportError> {
        // A network takes its time: whoever else is at work goes on meanwhile.
        tokio::task::yield_now().await;
        self.asked.lock().unwrap().push(request.uri().to_string());
        let instead = self.instead.lock().unwrap().pop_front();
        match instead {
            Some(Instead::Nothing) => {
                std::future::pending::<()>().await;
                Err(TransportError::new("login", "never"))
            }
            Some(Instead::Body(body)) => Ok(http::Response::new(body.into())),
            None => {
                let answer = self.entra.clone().oneshot(request.map(Body::from)).await;
                whole(answer.unwrap_or_else(|never| match never {})).await
            }
        }
    }
}

async fn whole(response: Response) -> Result<http::Response<Bytes>, TransportError> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await;
    let body = body.map_err(|error| TransportError::new("login", error))?;
    Ok(http::Response::from_parts(parts, body.to_bytes()))
}
