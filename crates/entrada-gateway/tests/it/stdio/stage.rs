//! A gateway before a child process, whose guard lets everybody in as whom they say they are.

#![expect(
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "the shared parts of tests are tests too"
)]

use std::convert::Infallible;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::middleware::{Next, from_fn};
use bytes::Bytes;
use entrada::VerifiedToken;
use entrada::access_token::TokenFacts;
use entrada::oauth::client::ClientId;
use entrada::platform::Timestamp;
use entrada_gateway::config::{Transport, UpstreamSettings};
use entrada_gateway::upstream::McpServer;
use entrada_gateway::upstream::stdio::child::ChildCommand;
use entrada_gateway::upstream::stdio::{ChildMode, StdioSettings};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/stdio/server.py");

/// How long a test waits for what must happen.
const SOON: Duration = Duration::from_secs(20);

pub(super) struct Stage {
    pub(super) server: McpServer,
    app: Router,
}

/// Not one of the scripts that look for it, which have an environment of their own.
static INTERPRETER: LazyLock<String> = LazyLock::new(|| {
    let ask = ["-c", "import sys; print(sys.executable)"];
    let told = std::process::Command::new("python3")
        .args(ask)
        .output()
        .unwrap();
    String::from_utf8(told.stdout).unwrap().trim().to_owned()
});

/// The settings of a server with these arguments.
pub(super) fn settings(arguments: &[&str], mode: ChildMode) -> StdioSettings {
    let mut command = ChildCommand::new(&**INTERPRETER);
    command.arguments = [SERVER]
        .iter()
        .chain(arguments)
        .map(|word| (*word).to_owned())
        .collect();
    let path = std::env::vars_os()
        .find(|(name, _)| name == "PATH")
        .unwrap()
        .1;
    command.environment = vec![
        ("PATH".to_owned(), path),
        ("GIVEN".to_owned(), "a b".into()),
    ];
    let mut settings = StdioSettings::new(command);
    settings.mode = mode;
    settings
}

/// A client's words to the gateway.
#[derive(Clone, Copy)]
pub(super) struct Client<'a> {
    pub(super) stage: &'a Stage,
    pub(super) user: &'static str,
    pub(super) headers: &'a [(&'static str, &'a str)],
}

pub(super) const STATELESS: &[(&str, &str)] = &[("mcp-protocol-version", "2026-07-28")];

impl Stage {
    pub(super) fn new(mode: ChildMode) -> Self {
        Self::of(settings(&[], mode))
    }

    pub(super) fn of(stdio: StdioSettings) -> Self {
        Self::with(UpstreamSettings::of(Transport::Stdio(stdio), "/mcp"))
    }

    pub(super) fn with(settings: UpstreamSettings) -> Self {
        let server = McpServer::new(&settings).unwrap();
        let app = Router::new().fallback_service(server.clone());
        let app = app.layer(from_fn(let_in));
        Self { server, app }
    }

    pub(super) const fn user(&self, user: &'static str) -> Client<'_> {
        Client {
            stage: self,
            user,
            headers: &[],
        }
    }

    /// A user's requests without a session.
    pub(super) const fn stateless(&self, user: &'static str) -> Client<'_> {
        Client {
            stage: self,
            user,
            headers: STATELESS,
        }
    }
}

impl<'a> Client<'a> {
    pub(super) const fn with(self, headers: &'a [(&'static str, &'a str)]) -> Self {
        Self { headers, ..self }
    }

    pub(super) async fn send(&self, method: Method, body: impl Into<Body>) -> Response<Body> {
        let mut request = Request::builder()
            .method(method)
            .uri("/mcp")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("x-user", self.user);
        for (name, value) in self.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let sent = self.stage.app.clone().oneshot(request);
        let answered = tokio::time::timeout(SOON, sent).await;
        answered
            .expect("no answer came")
            .unwrap_or_else(|never| match never {})
    }

    pub(super) async fn post(&self, message: &Value) -> Response<Body> {
        self.send(Method::POST, message.to_string()).await
    }

    /// Begins a session, and gives its id.
    pub(super) async fn begin(&self) -> String {
        let response = self.post(&initialize()).await;
        assert_eq!(response.status(), StatusCode::OK);
        let id = response.headers()["mcp-session-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let session = [("mcp-session-id", &*id)];
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let accepted = self.with(&session).post(&initialized).await;
        assert_eq!(accepted.status(), StatusCode::ACCEPTED);
        id
    }

    /// Asks in a session, with the id 1.
    pub(super) async fn ask(&self, session: &str, method: &str, params: Value) -> Response<Body> {
        let session = [("mcp-session-id", session)];
        self.with(&session).post(&request(method, params)).await
    }

    /// The result of a request in a session.
    pub(super) async fn result(&self, session: &str, method: &str) -> Value {
        result(self.ask(session, method, json!({})).await).await
    }

    /// Asks without a session, with the id 1.
    pub(super) async fn call(&self, method: &str, mut params: Value) -> Response<Body> {
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
        let headers = [STATELESS[0], ("mcp-method", method)];
        self.with(&headers).post(&request(method, params)).await
    }
}

pub(super) fn request(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

pub(super) fn initialize() -> Value {
    let params = json!({
        "protocolVersion": "2025-06-18",
        "capabilities": {"sampling": {}},
        "clientInfo": {"name": "test", "version": "1"},
    });
    request("initialize", params)
}

async fn let_in(mut request: Request<Body>, next: Next) -> Result<Response<Body>, Infallible> {
    let user = request.headers()["x-user"].to_str().unwrap().to_owned();
    request.extensions_mut().insert(token(&user));
    Ok(next.run(request).await)
}

/// The token of `user`; what follows a `/` is a role of theirs.
fn token(user: &str) -> VerifiedToken {
    let (user, role) = user.split_once('/').unwrap_or((user, "Mcp.User"));
    let mut facts = TokenFacts::new(
        "https://mcp.example.com".to_owned(),
        user.to_owned(),
        ClientId::parse("client-1").unwrap(),
        Timestamp::from_unix(4_000_000_000),
    );
    facts.principal.tenant_id = String::from("tenant-1");
    facts.principal.name = Some(format!("{user} Änders"));
    facts.principal.roles = vec![role.to_owned()];
    VerifiedToken::assertion(facts)
}

/// The text of an answer that is one message.
pub(super) async fn text(response: Response<Body>) -> String {
    assert_eq!(response.headers()["content-type"], "application/json");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

pub(super) async fn result(response: Response<Body>) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    let mut message: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(message["id"], 1);
    message["result"].take()
}

/// What our own answers say.
pub(super) async fn told(response: Response<Body>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// The events of a stream.
pub(super) struct Events(Body);

impl Events {
    pub(super) fn of(response: Response<Body>) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self(response.into_body())
    }

    /// The next event's id and message; none at the end.
    pub(super) async fn next(&mut self) -> Option<(Option<String>, Value)> {
        loop {
            let frame = tokio::time::timeout(SOON, self.0.frame()).await;
            let frame = frame.expect("nothing came")?.expect("the stream broke");
            let text = frame.into_data().unwrap();
            let text = std::str::from_utf8(&text).unwrap();
            let field = |name: &str| {
                let found = text.lines().find_map(|line| line.strip_prefix(name));
                found.map(|value| value.trim_start().to_owned())
            };
            if let Some(data) = field("data:") {
                return Some((field("id:"), serde_json::from_str(&data).unwrap()));
            }
        }
    }

    /// The bytes that come next, or that the stream broke.
    pub(super) async fn frame(&mut self) -> Option<Result<Bytes, axum::Error>> {
        let frame = tokio::time::timeout(SOON, self.0.frame()).await;
        let frame = frame.expect("nothing came")?;
        Some(frame.map(|frame| frame.into_data().unwrap()))
    }
}

/// Whether a process is there, and no zombie.
pub(super) fn lives(pid: &Value) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    status.is_ok_and(|status| !status.contains(") Z "))
}

/// Waits until a process is gone, as it must be soon.
pub(super) async fn is_gone(pid: &Value) {
    let gone = async {
        while lives(pid) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("it lives");
}
