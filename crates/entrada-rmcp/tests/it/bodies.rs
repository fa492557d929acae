//! What the layer does with bodies, before any server.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use entrada::VerifiedToken;
use entrada::access_token::Shortfall;
use entrada::resource_server::ResponseBody;
use entrada_rmcp::{Held, StepUp, StepUpLayer, ToolRequirements};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use crate::client::{LEGACY, MODERN, Sent};
use crate::guard::facts;
use crate::vault::{Stack, Vault};

fn layer() -> StepUpLayer {
    let requirements = ToolRequirements::of(&Vault::new().tool_router);
    requirements.unwrap().layer()
}

/// What came through the layer, sent back.
async fn sent_back(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let mut response = Response::new(body);
    *response.headers_mut() = parts.headers;
    Ok(response)
}

async fn through(
    layer: &StepUpLayer,
    request: Request<Body>,
) -> Response<ResponseBody<Held<Body>>> {
    let service = layer.layer(service_fn(sent_back));
    service.oneshot(request).await.unwrap()
}

fn request(method: Method, token: &str, body: impl Into<Body>) -> Request<Body> {
    let caller = VerifiedToken::assertion(facts(token).unwrap());
    let request = Request::builder().method(method).extension(caller);
    request.body(body.into()).unwrap()
}

fn posted(token: &str, body: impl Into<Body>) -> Request<Body> {
    request(Method::POST, token, body)
}

async fn bytes(response: Response<ResponseBody<Held<Body>>>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

fn scope_lacking(response: &Response<ResponseBody<Held<Body>>>) -> Option<String> {
    let shortfall = response.extensions().get::<Shortfall>()?;
    Some(if let Shortfall::Scope(scope) = shortfall {
        scope.to_string()
    } else {
        shortfall.to_string()
    })
}

#[tokio::test]
async fn what_is_allowed_passes_byte_for_byte() {
    let mut bodies = vec![
        "  {\t\"method\" :\"tools\\u002fcall\",\r\n\"params\":{ \"name\":\"\\u0072ead\"\n } }\n"
            .to_owned(),
        r#"{"id":12345678901234567890123.450e+3,"method":"ping","x":1,"x":2}"#.to_owned(),
        r#"[{"id":1,"method":"tools/call","params":{"name":"read"}},{"id":2,"method":"ping"}]"#
            .to_owned(),
        r#"{"id":1,"result":{}}"#.to_owned(),
    ];
    bodies.push(json!({ "method": "ping", "params": "x".repeat(1 << 20) }).to_string());
    for body in bodies {
        let request = posted("alice+files.read", body.clone());
        let response = through(&layer(), request).await;
        assert_eq!(response.status(), StatusCode::OK, "{body}");
        assert_eq!(bytes(response).await, body.as_bytes(), "{body}");
    }
}

#[tokio::test]
async fn headers_and_extensions_stay() {
    let mut request = posted("alice", "{}");
    request
        .headers_mut()
        .insert("mcp-name", "x".parse().unwrap());
    let seen = service_fn(async |request: Request<Body>| {
        assert!(request.extensions().get::<VerifiedToken>().is_some());
        sent_back(request).await
    });
    let response = layer().layer(seen).oneshot(request).await.unwrap();
    let expected = HeaderMap::from_iter([("mcp-name".parse().unwrap(), "x".parse().unwrap())]);
    assert_eq!(*response.headers(), expected);
}

#[tokio::test]
async fn every_call_of_a_batch_must_be_allowed() {
    let call = |tool| json!({ "id": 1, "method": "tools/call", "params": { "name": tool } });
    let ping = json!({ "id": 1, "method": "ping" });
    for (token, batch, expected) in [
        ("alice", json!([ping]), None),
        ("alice", json!([call("look"), ping, call("look")]), None),
        (
            "alice+files.read",
            json!([call("read"), call("look")]),
            None,
        ),
        (
            "alice",
            json!([call("look"), call("read")]),
            Some("files.read"),
        ),
        (
            "alice",
            json!([call("read"), call("read")]),
            Some("files.read"),
        ),
        // One challenge for all of them.
        (
            "alice+files.read",
            json!([call("read"), ping, call("sync"), call("look")]),
            Some("files.read files.write"),
        ),
        // No scope is worth asking for.
        (
            "alice",
            json!([call("read"), call("administer")]),
            Some("the caller needs the app roles Files.Admin"),
        ),
    ] {
        let response = through(&layer(), posted(token, batch.to_string())).await;
        assert_eq!(
            scope_lacking(&response).as_deref(),
            expected,
            "{token} {batch}"
        );
        let status = if expected.is_some() { 403 } else { 200 };
        assert_eq!(response.status(), status, "{token} {batch}");
    }
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_runs_nothing() {
    let stack = Stack::new(|requirements| requirements);
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"look"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look"},"params":{"name":"read"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look","name":"read"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["look"]}"#,
        r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look"}},{"jsonrpc":"2.0","id":2,"method":"tools/call"}]"#,
        "\u{feff}{}",
        "{}{}",
        "",
    ] {
        let sent = Sent {
            user: "administrator+files.read",
            session: None,
            version: MODERN,
        };
        let request = sent.request(Method::POST).body(Body::from(body)).unwrap();
        let response = stack.app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert!(!response.headers().contains_key("www-authenticate"));
        let answer = response.into_body().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["error"], "invalid_request", "{body}");
        assert_eq!(stack.runs(), 0, "{body}");
    }
}

#[tokio::test]
async fn an_escaped_call_is_challenged_like_any_other() {
    let stack = Stack::new(|requirements| requirements);
    let sent = Sent {
        user: "alice",
        session: None,
        version: LEGACY,
    };
    let body =
        r#"{"jsonrpc":"2.0","id":1,"m\u0065thod":"tools\u002fcall","params":{"name":"re\u0061d"}}"#;
    let request = sent.request(Method::POST).body(Body::from(body)).unwrap();
    let response = stack.app.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(stack.runs(), 0);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_looked_at() {
    let layer = layer().body_limit(100);
    for (length, expected) in [(100, 200), (101, 413), (10_000, 413)] {
        let body = format!("{}{{}}", " ".repeat(length - 2));
        let response = through(&layer, posted("alice", body)).await;
        assert_eq!(response.status(), expected, "{length}");
    }
    // One that never ends is given up.
    let (sender, receiver) = mpsc::unbounded_channel();
    for _ in 0..3 {
        sender.send(Bytes::from(" ".repeat(40))).unwrap();
    }
    let response = through(&layer, posted("alice", Body::new(Frames(receiver)))).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn the_server_and_the_layer_take_bodies_of_one_length() {
    let stack = Stack::new(|requirements| requirements);
    let sent = Sent {
        user: "alice",
        session: None,
        version: MODERN,
    };
    let body = " ".repeat(4 * 1024 * 1024 + 1);
    let request = sent.request(Method::POST).body(Body::from(body)).unwrap();
    let response = stack.app.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let answer = response.into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["error"], "invalid_request");
}

#[tokio::test]
async fn a_body_that_breaks_off_calls_nothing() {
    let frames = [
        Ok(Frame::data(Bytes::from("{}"))),
        Err(io::Error::other("gone")),
    ];
    let body = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
    let response = through(&layer(), posted("alice", body)).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn nothing_but_what_is_posted_is_read() {
    for method in [Method::GET, Method::DELETE, Method::OPTIONS, Method::PUT] {
        // Whoever reads this body waits for ever.
        let (_sender, receiver) = mpsc::unbounded_channel();
        let body = Body::new(Frames(receiver));
        let response = through(&layer(), request(method.clone(), "alice", body)).await;
        assert_eq!(response.status(), StatusCode::OK, "{method}");
    }
}

#[tokio::test]
async fn without_a_guard_nothing_gets_through() {
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let request = Request::builder().method(&method).body(Body::from("{}"));
        let response = through(&layer(), request.unwrap()).await;
        assert_eq!(
            response.status(),
            StatusCode::INTERNAL_SERVER_ERROR,
            "{method}"
        );
    }
}

#[tokio::test]
async fn an_answer_streams_and_ends_with_its_client() {
    let (sender, receiver) = mpsc::unbounded_channel();
    let receiver = std::sync::Mutex::new(Some(receiver));
    let receiver = std::sync::Arc::new(receiver);
    let server = service_fn(move |_: Request<Body>| {
        let frames = receiver.lock().unwrap().take().unwrap();
        async move { Ok::<_, Infallible>(Response::new(Body::new(Frames(frames)))) }
    });
    let mut service: StepUp<_> = layer().layer(server);
    let service = service.ready().await.unwrap();
    let mut body = service
        .call(posted("alice", "{}"))
        .await
        .unwrap()
        .into_body();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        sender.send(Bytes::from(event)).unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), event);
    }
    assert!(!sender.is_closed());
    drop(body);
    assert!(sender.is_closed());
}

/// A body whose end is not in sight.
#[derive(Debug)]
struct Frames(mpsc::UnboundedReceiver<Bytes>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.0.poll_recv(cx);
        data.map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}
