//! An rmcp server behind the guard, in both eras of MCP.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use entrada::VerifiedToken;
use entrada::access_token::{AccessTokenVerifier, PresentedToken, TokenFacts, VerifyError};
use entrada::jwt::jwks::Algorithm;
use entrada::jwt::verify::JwtError;
use entrada::keys::{KeyRing, Keys};
use entrada::oauth::client::ClientId;
use entrada::platform::{Clock, SystemRandom, Timestamp};
use entrada::resource_server::{Protection, RequireBearerLayer};
use entrada_rmcp::CurrentUser;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::model::{ListResourcesResult, PaginatedRequestParams};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler, tool, tool_handler, tool_router};
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt as _};
use url::Url;

#[derive(Clone, Debug)]
struct Server {
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Server {
    /// Says who calls.
    #[tool]
    async fn whoami(&self, user: CurrentUser) -> String {
        user.subject.clone()
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Server {
    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let user = CurrentUser::from_extensions(&context.extensions)?;
        Err(ErrorData::invalid_request(user.subject.clone(), None))
    }
}

/// A token is the name of its subject.
#[derive(Debug)]
struct Names;

#[async_trait]
impl AccessTokenVerifier for Names {
    async fn verify(
        &self,
        presented: PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<VerifiedToken, VerifyError> {
        let name = presented.expose();
        if !["alice", "bob"].contains(&name) {
            return Err(VerifyError::Token(JwtError::Signature));
        }
        let client_id = ClientId::parse("client").unwrap();
        let facts = TokenFacts::new("https://i".into(), name.into(), client_id, now);
        Ok(VerifiedToken::assertion(facts))
    }
}

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(43_200)
    }
}

fn server() -> StreamableHttpService<Server, LocalSessionManager> {
    let server = Server {
        tool_router: Server::tool_router(),
    };
    StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    )
}

fn guarded() -> Router {
    let metadata = "http://localhost/.well-known/oauth-protected-resource/mcp";
    let mut protection = Protection::new(Url::parse(metadata).unwrap());
    let random = SystemRandom::default();
    let ring = KeyRing::generate(Algorithm::EdDsa, &random, Timestamp::from_unix(0));
    protection.session_keys = Some(Keys::new(ring.unwrap()));
    let guard = RequireBearerLayer::new(Arc::new(Names), Arc::new(Noon), protection);
    Router::new().route_service("/mcp", guard.layer(server()))
}

/// What a client says of itself with every message.
#[derive(Clone, Copy)]
struct Sent<'a> {
    user: &'a str,
    session: Option<&'a str>,
    version: &'a str,
}

impl Sent<'_> {
    fn request(self, method: Method) -> http::request::Builder {
        let mut request = Request::builder()
            .method(method)
            .uri("/mcp")
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", self.user))
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json")
            .header("mcp-protocol-version", self.version);
        if let Some(session) = self.session {
            request = request.header("mcp-session-id", session);
        }
        request
    }

    async fn post(self, app: &Router, message: &Value) -> Response<Body> {
        let mut request = self.request(Method::POST);
        if self.version == MODERN {
            request = request.header("mcp-method", message["method"].as_str().unwrap());
            if let Some(name) = message["params"]["name"].as_str() {
                request = request.header("mcp-name", name);
            }
        }
        let body = Body::from(message.to_string());
        app.clone()
            .oneshot(request.body(body).unwrap())
            .await
            .unwrap()
    }
}

/// The message in an answer, which is JSON or a stream of events.
async fn message(response: Response<Body>) -> Value {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&body).unwrap();
    let events = text.lines().filter_map(|line| line.strip_prefix("data:"));
    let last = events.map(str::trim).rfind(|data| !data.is_empty());
    serde_json::from_str(last.unwrap_or(text)).unwrap()
}

fn call(method: &str, mut params: Value, version: &str) -> Value {
    if version == MODERN {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
    }
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

/// Opens a session and gives its id.
async fn open(app: &Router, user: &str) -> String {
    let sent = Sent {
        user,
        session: None,
        version: LEGACY,
    };
    let params = json!({
        "protocolVersion": LEGACY,
        "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" },
    });
    let opened = sent.post(app, &call("initialize", params, LEGACY)).await;
    assert_eq!(opened.status(), StatusCode::OK);
    let session = opened.headers()["mcp-session-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let sent = Sent {
        session: Some(&session),
        ..sent
    };
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let accepted = sent.post(app, &ready).await;
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    session
}

const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

#[tokio::test]
async fn tools_and_handler_methods_know_who_calls_in_a_session() {
    let app = guarded();
    let session = open(&app, "alice").await;
    let sent = Sent {
        user: "alice",
        session: Some(&session),
        version: LEGACY,
    };
    let whoami = call("tools/call", json!({ "name": "whoami" }), LEGACY);
    let answer = message(sent.post(&app, &whoami).await).await;
    assert_eq!(answer["result"]["content"][0]["text"], "alice", "{answer}");
    let answer = message(
        sent.post(&app, &call("resources/list", json!({}), LEGACY))
            .await,
    )
    .await;
    assert_eq!(answer["error"]["message"], "alice", "{answer}");
}

#[tokio::test]
async fn tools_and_handler_methods_know_who_calls_without_sessions() {
    let app = guarded();
    let sent = Sent {
        user: "bob",
        session: None,
        version: MODERN,
    };
    let whoami = call("tools/call", json!({ "name": "whoami" }), MODERN);
    let answer = message(sent.post(&app, &whoami).await).await;
    assert_eq!(answer["result"]["content"][0]["text"], "bob", "{answer}");
    let answer = message(
        sent.post(&app, &call("resources/list", json!({}), MODERN))
            .await,
    )
    .await;
    assert_eq!(answer["error"]["message"], "bob", "{answer}");
}

#[tokio::test]
async fn a_stolen_session_neither_answers_nor_streams_nor_ends() {
    let app = guarded();
    let session = open(&app, "alice").await;
    let thief = Sent {
        user: "bob",
        session: Some(&session),
        version: LEGACY,
    };
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let request = thief.request(method.clone()).header("last-event-id", "0/0");
        let request = request.body(Body::from("{}")).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{method}");
    }
    let owner = Sent {
        user: "alice",
        ..thief
    };
    let whoami = call("tools/call", json!({ "name": "whoami" }), LEGACY);
    assert_eq!(owner.post(&app, &whoami).await.status(), StatusCode::OK);
    let stranger = Sent {
        user: "mallory",
        ..thief
    };
    assert_eq!(
        stranger.post(&app, &whoami).await.status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn without_a_guard_nobody_is_anybody() {
    let app = Router::new().route_service("/mcp", server());
    let sent = Sent {
        user: "alice",
        session: None,
        version: MODERN,
    };
    let whoami = call("tools/call", json!({ "name": "whoami" }), MODERN);
    let answer = message(sent.post(&app, &whoami).await).await;
    assert_eq!(answer["error"]["code"], -32603, "{answer}");
    let expected = "nobody is authenticated: the server has no guard";
    assert_eq!(answer["error"]["message"], expected);
}
