//! Servers that say on a stream where messages go (MCP 2024-11-05, *HTTP with SSE*).

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use entrada::VerifiedToken;
use entrada::access_token::TokenFacts;
use entrada::oauth::client::ClientId;
use entrada::platform::Timestamp;
use entrada_gateway::config::UpstreamSettings;
use entrada_gateway::policy::{FilterLists, Pattern, Policy, Rule};
use entrada_gateway::route::Route;
use entrada_gateway::upstream::McpServer;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::gateway::alice;
use crate::upstream::{RawUpstream, serve};

type Event = Result<Frame<Bytes>, std::io::Error>;

/// A server with its stream at `/sse`, and a gateway that offers it at `/mcp`.
struct Stage {
    gateway: Route,
    events: mpsc::UnboundedSender<Event>,
    messages: mpsc::UnboundedReceiver<String>,
    _tasks: JoinSet<()>,
}

impl Stage {
    async fn set() -> Self {
        Self::under(Policy::default()).await
    }

    async fn under(policy: Policy) -> Self {
        let (events, receiver) = mpsc::unbounded_channel::<Event>();
        let receiver = Arc::new(Mutex::new(Some(receiver)));
        let stream = move || {
            let mut receiver = receiver.lock().unwrap().take().unwrap();
            async move {
                let stream =
                    futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
                Response::builder()
                    .header("content-type", "text/event-stream")
                    .body(Body::new(StreamBody::new(stream)))
                    .unwrap()
            }
        };
        let (sender, messages) = mpsc::unbounded_channel();
        let message = move |uri: Uri, body: String| async move {
            sender.send(format!("{uri} {body}")).unwrap();
            // As the servers of the SDKs say it.
            (StatusCode::ACCEPTED, "Accepted")
        };
        let router = Router::new()
            .route("/sse", get(stream))
            .route("/messages/", post(message));
        let mut tasks = JoinSet::new();
        let url = serve(router, &mut tasks).await.replace("/mcp", "/sse");
        let mut settings = UpstreamSettings::new(url.parse().unwrap());
        "/mcp".clone_into(&mut settings.resource_path);
        settings.policy = policy;
        Self {
            gateway: Route::new("http://gateway/mcp", &settings, None).unwrap(),
            events,
            messages,
            _tasks: tasks,
        }
    }

    fn write(&self, event: &'static str) {
        let frame = Frame::data(Bytes::from_static(event.as_bytes()));
        self.events.send(Ok(frame)).unwrap();
    }

    async fn send(&self, mut request: Request<Body>, caller: VerifiedToken) -> Response<Body> {
        request.extensions_mut().insert(caller);
        self.gateway.clone().oneshot(request).await.unwrap()
    }

    /// The stream, opened by Alice.
    async fn stream(&self) -> Response<Body> {
        let request = Request::get("/mcp").header("accept", "text/event-stream");
        self.send(request.body(Body::empty()).unwrap(), alice())
            .await
    }

    async fn message(&self, path: &str, caller: VerifiedToken) -> StatusCode {
        let request = Request::post(path).body(Body::from("{}")).unwrap();
        self.send(request, caller).await.status()
    }
}

fn somebody(subject: &str, client: &str) -> VerifiedToken {
    VerifiedToken::assertion(TokenFacts::new(
        alice().issuer.clone(),
        subject.to_owned(),
        ClientId::parse(client).unwrap(),
        Timestamp::from_unix(4_000_000_000),
    ))
}

async fn event(stream: &mut Response<Body>) -> String {
    let frame = stream.body_mut().frame().await.unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}

/// What is told as the URL, where it is told.
fn told(event: &str) -> &str {
    let rest = event.strip_prefix("event: endpoint\ndata: ").unwrap();
    rest.split('\n').next().unwrap()
}

#[tokio::test]
async fn messages_go_where_the_server_said_by_way_of_the_gateway() {
    let mut stage = Stage::set().await;
    let mut stream = stage.stream().await;
    // Nothing is held that is not part of the event.
    stage.write(": hello\n\n");
    assert_eq!(event(&mut stream).await, ": hello\n\n");
    stage.write("event: endpoint\r\n");
    stage.write("data: /messages/?session_id=hush-hush\r\n\r\ndata: 1\n\n");
    let first = event(&mut stream).await;
    let path = told(&first);
    assert!(path.starts_with("/mcp/entrada-endpoint/"), "{path}");
    assert!(first.ends_with("\n\ndata: 1\n\n"), "{first}");
    assert_eq!(stage.message(path, alice()).await, StatusCode::ACCEPTED);
    let message = stage.messages.recv().await.unwrap();
    assert_eq!(message, "/messages/?session_id=hush-hush {}");
    stage.write("data: half an");
    assert_eq!(event(&mut stream).await, "data: half an");
}

#[tokio::test]
async fn messages_reach_the_stream_of_their_own_caller_alone() {
    let mut stage = Stage::set().await;
    let mut stream = stage.stream().await;
    stage.write("event: endpoint\ndata: /messages/?session_id=hush-hush\n\n");
    let first = event(&mut stream).await;
    assert!(!first.contains("hush-hush"), "{first}");
    let path = told(&first);
    for (path, caller) in [
        (path, somebody("bob", "client-1")),
        (path, somebody("alice-subject", "client-2")),
        ("/mcp/entrada-endpoint/", alice()),
        ("/mcp/entrada-endpoint/guessed", alice()),
    ] {
        assert_eq!(stage.message(path, caller).await, StatusCode::NOT_FOUND);
    }
    assert_eq!(stage.message(path, alice()).await, StatusCode::ACCEPTED);
    stage.messages.recv().await.unwrap();
    // With the stream it ends.
    drop(stream);
    assert_eq!(stage.message(path, alice()).await, StatusCode::NOT_FOUND);
    assert!(stage.messages.try_recv().is_err());
}

#[tokio::test]
async fn an_endpoint_on_another_origin_is_told_to_nobody() {
    for event in [
        "event: endpoint\ndata: http://evil.example/messages\n\n",
        "event: endpoint\ndata: //evil.example/messages\n\n",
        "data: http://127.0.0.1:1/messages\nevent: endpoint\n\n",
        "event: endpoint\ndata: javascript:x\n\n",
    ] {
        let stage = Stage::set().await;
        let mut stream = stage.stream().await;
        stage.write(event);
        let frame = stream.body_mut().frame().await.unwrap();
        assert!(frame.is_err(), "{event}");
    }
}

/// It would be read by the client alone.
#[tokio::test]
async fn an_endpoint_in_disguise_is_told_to_nobody() {
    for (head, expected) in [
        ("200 OK\r\ncontent-encoding: gzip", StatusCode::BAD_GATEWAY),
        ("203 Other\r\ncontent-encoding: br", StatusCode::BAD_GATEWAY),
        ("203 Other", StatusCode::NON_AUTHORITATIVE_INFORMATION),
    ] {
        let body = "event: endpoint\ndata: http://evil.example/messages\n\n";
        let answer = format!(
            "HTTP/1.1 {head}\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{body}"
        );
        let upstream = RawUpstream::answering(answer.leak()).await;
        let mut settings = UpstreamSettings::new(upstream.url.parse().unwrap());
        "/mcp".clone_into(&mut settings.resource_path);
        let gateway = McpServer::new(&settings).unwrap();
        let request = Request::get("/mcp").header("accept", "text/event-stream");
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(alice());
        let response = gateway.oneshot(request).await.unwrap();
        assert_eq!(response.status(), expected, "{head}");
        let told = response.into_body().collect().await;
        assert!(
            !told.is_ok_and(|told| told.to_bytes().ends_with(b"messages\n\n")),
            "{head}"
        );
    }
}

#[tokio::test]
async fn streams_that_say_nothing_of_it_are_as_they_were() {
    let stage = Stage::set().await;
    let mut stream = stage.stream().await;
    for text in [
        "id: 1\ndata:\n\n",
        "event: message\ndata: event: endpoint\n\n",
    ] {
        stage.write(text);
        assert_eq!(event(&mut stream).await, text);
    }
}

/// Clients go by whichever comes last.
#[tokio::test]
async fn an_endpoint_that_comes_later_is_told_to_nobody() {
    let evil = "event: endpoint\ndata: http://evil.example/\n\n";
    let long = format!("id: {}\n{evil}", "x".repeat(20_000));
    let at_once = format!("event: endpoint\ndata: /messages/\n\n{evil}");
    for events in [
        vec!["id: 1\ndata:\n\n", evil],
        vec!["event: endpoint\ndata: /messages/\n\n", evil],
        vec![at_once.leak()],
        vec![long.leak()],
    ] {
        let stage = Stage::set().await;
        let mut stream = stage.stream().await;
        let (last, before) = events.split_last().unwrap();
        for text in before {
            stage.write(text);
            event(&mut stream).await;
        }
        stage.write(last);
        assert!(stream.body_mut().frame().await.unwrap().is_err(), "{last}");
    }
}

#[tokio::test]
async fn rules_hold_and_lists_are_filtered_where_answers_come_on_a_stream() {
    let mut policy = Policy::default();
    let mut rule = Rule::new("rules:1");
    rule.tools = vec![Pattern::parse("open").unwrap()];
    policy.rules = vec![rule];
    policy.filter_lists = FilterLists::Allowed;
    let mut stage = Stage::under(policy).await;
    let mut stream = stage.stream().await;
    stage.write("event: endpoint\ndata: /messages/?session_id=hush-hush\n\n");
    let first = event(&mut stream).await;
    let path = told(&first);
    let ask = async |body: &str| {
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(Body::from(body.to_owned())).unwrap();
        stage.send(request, alice()).await
    };
    let call = |name: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"}}}}"#)
    };
    assert_eq!(ask(&call("erase")).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(ask(&call("open")).await.status(), StatusCode::ACCEPTED);
    let listed = ask(r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#).await;
    assert_eq!(listed.status(), StatusCode::ACCEPTED);
    for expected in ["tools/call", "tools/list"] {
        let message = stage.messages.recv().await.unwrap();
        assert!(message.contains(expected), "{message}");
    }
    stage.write("event: message\ndata: {\"id\":2,\"result\":{\"tools\":[{\"name\":\"erase\"},");
    stage.write("{\"name\":\"open\"}]}}\n\n");
    assert_eq!(
        event(&mut stream).await,
        "event: message\ndata: {\"id\":2,\"result\":{\"tools\":[{\"name\":\"open\"}]}}\n\n"
    );
}
