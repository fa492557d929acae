//! What a client sends and gets, in both eras of MCP.

use axum::Router;
use axum::body::Body;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(crate) const LEGACY: &str = "2025-11-25";
pub(crate) const MODERN: &str = "2026-07-28";

/// What a client says of itself with every message.
#[derive(Clone, Copy)]
pub(crate) struct Sent<'a> {
    pub(crate) user: &'a str,
    pub(crate) session: Option<&'a str>,
    pub(crate) version: &'a str,
}

impl Sent<'_> {
    pub(crate) fn request(self, method: Method) -> http::request::Builder {
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

    pub(crate) async fn post(self, app: &Router, message: &Value) -> Response<Body> {
        let mut request = self.request(Method::POST);
        if self.version == MODERN {
            request = request.header("mcp-method", message["method"].as_str().unwrap());
            if let Some(name) = message["params"]["name"].as_str() {
                request = request.header("mcp-name", name);
            }
        }
        let body = Body::from(message.to_string());
        let request = request.body(body).unwrap();
        app.clone().oneshot(request).await.unwrap()
    }
}

/// The message in an answer, which is JSON or a stream of events.
pub(crate) async fn message(response: Response<Body>) -> Value {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&body).unwrap();
    let events = text.lines().filter_map(|line| line.strip_prefix("data:"));
    let last = events.map(str::trim).rfind(|data| !data.is_empty());
    serde_json::from_str(last.unwrap_or(text)).unwrap()
}

/// A request as either era writes it.
pub(crate) fn call(method: &str, mut params: Value, version: &str) -> Value {
    if version == MODERN {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
    }
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

/// Opens a session and gives its id.
pub(crate) async fn open(app: &Router, user: &str) -> String {
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
