//! Servers and clients that go to the edge of HTTP, or beyond it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use entrada_gateway::config::UpstreamSettings;
use entrada_gateway::policy::{FilterLists, Pattern, Rule};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinSet, yield_now};

use crate::gateway::{Gateway, body};
use crate::streams::EventUpstream;
use crate::upstream::{RawUpstream, read_request};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
const POST: &str = "POST /mcp HTTP/1.1\r\nhost: gateway\r\n";

#[tokio::test]
async fn what_a_server_says_before_its_answer_is_not_taken_for_it() {
    for interim in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n",
    ] {
        let upstream = RawUpstream::answering([interim, interim, OK].concat()).await;
        let gateway = Gateway::before(&upstream.url).await;
        let response = gateway.post("{}").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(!response.headers().contains_key("link"));
        assert_eq!(body(response).await, "ok");
    }
}

#[tokio::test]
async fn an_answer_without_a_length_ends_where_the_server_hangs_up() {
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n",
    ] {
        let upstream = RawUpstream::answering(format!("{head}{{}}")).await;
        let gateway = Gateway::before(&upstream.url).await;
        let response = gateway.post("{}").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(body(response).await, "{}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_whole_for_the_client() {
    let upstream =
        RawUpstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{\"id\"").await;
    let gateway = Gateway::before(&upstream.url).await;
    let mut response = gateway.post("{}").await;
    assert_eq!(response.status(), StatusCode::OK);
    let whole = async {
        while let Some(frame) = response.body_mut().frame().await {
            frame?;
        }
        Ok::<_, hyper::Error>(())
    };
    assert!(whole.await.is_err());
}

/// A list of which the caller may see `open` alone, up to where it breaks off.
const PART: &str = r#"{"id":1,"result":{"tools":[{"name":"open"},{"name":"erase"}"#;

#[tokio::test]
async fn a_list_that_breaks_off_is_shown_to_nobody() {
    let json = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{PART}"
    );
    let event = format!("data: {PART}]}}}}\n\n");
    let events = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
         {:x}\r\n{event}\r\n{:x}\r\ndata: {PART}\r\n",
        event.len(),
        PART.len() + 6,
    );
    for (answer, status, seen) in [
        (json, StatusCode::BAD_GATEWAY, None),
        (
            events,
            StatusCode::OK,
            Some("data: {\"id\":1,\"result\":{\"tools\":[{\"name\":\"open\"}]}}\n\n"),
        ),
    ] {
        let upstream = RawUpstream::answering(answer).await;
        let mut settings = UpstreamSettings::new(upstream.url.parse().unwrap());
        let mut rule = Rule::new("rules:1");
        rule.tools = vec![Pattern::parse("open").unwrap()];
        settings.policy.rules = vec![rule];
        settings.policy.filter_lists = FilterLists::Allowed;
        let gateway = Gateway::routed([settings]).await;
        let request = Request::post(gateway.url("/mcp")).header("content-type", "application/json");
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        let mut response = gateway.send(request.body(Body::from(list)).unwrap()).await;
        assert_eq!(response.status(), status);
        let Some(seen) = seen else {
            assert!(!body(response).await.starts_with(b"{"));
            continue;
        };
        let frame = response.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), seen);
        assert!(response.body_mut().frame().await.unwrap().is_err());
    }
}

#[tokio::test]
async fn an_answer_whose_head_is_broken_is_a_bad_gateway() {
    let many = "x-many: v\r\n".repeat(300);
    let long = format!("x-long: {}\r\n", "v".repeat(1 << 20));
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        "HTTP/3.7 200 OK\r\n\r\n",
        "220 mail.example.com ESMTP\r\n",
        &format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
        &format!("HTTP/1.1 200 OK\r\n{long}\r\n"),
    ] {
        let mut upstream = RawUpstream::answering(head).await;
        let gateway = Gateway::before(&upstream.url).await;
        let status = gateway.post("{}").await.status();
        assert_eq!(status, StatusCode::BAD_GATEWAY, "{head:.60}");
        upstream.request().await;
        assert!(!upstream.was_asked(), "{head:.60}");
    }
}

#[tokio::test]
async fn more_headers_than_a_request_may_have_reach_no_server() {
    let mut upstream = RawUpstream::answering(OK).await;
    let gateway = Gateway::before(&upstream.url).await;
    let mut request = Request::post(gateway.url("/mcp"));
    for number in 0..300 {
        request = request.header(format!("mcp-param-p{number}"), "v");
    }
    let response = gateway.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(
        response.status(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    assert!(!upstream.was_asked());
}

#[tokio::test]
async fn a_request_that_breaks_off_is_not_whole_for_the_server() {
    for (head, part) in [
        ("content-length: 100\r\n\r\n", "{\"id\""),
        ("transfer-encoding: chunked\r\n\r\n", "5\r\n{\"id\"\r\n"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let gateway = Gateway::before(&url).await;
        let mut client = TcpStream::connect(gateway.address).await.unwrap();
        let request = [POST, head, part].concat();
        client.write_all(request.as_bytes()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(part.as_bytes()) {
            assert_ne!(server.read_buf(&mut seen).await.unwrap(), 0);
        }
        drop(client);
        // Reset or closed, but with nothing that would end the body.
        let _ = server.read_to_end(&mut seen).await;
        assert!(seen.ends_with(part.as_bytes()), "{seen:?}");
    }
}

/// Nobody can tell whether it still reads, and a stream is ended by leaving it (MCP transports,
/// *Cancellation*).
#[tokio::test]
async fn a_client_that_says_it_is_done_sending_is_gone() {
    let upstream = EventUpstream::start().await;
    let gateway = Gateway::before(&upstream.url).await;
    let mut client = TcpStream::connect(gateway.address).await.unwrap();
    let request = format!("{POST}content-length: 2\r\n\r\n{{}}");
    client.write_all(request.as_bytes()).await.unwrap();
    upstream.write("data: 1\n\n");
    let mut seen = Vec::new();
    while !seen.ends_with(b"data: 1\n\n\r\n") {
        assert_ne!(client.read_buf(&mut seen).await.unwrap(), 0);
    }
    client.shutdown().await.unwrap();
    upstream.closed().await;
}

#[tokio::test]
async fn a_stream_that_is_reset_ends_alone() {
    let upstreams = [EventUpstream::start().await, EventUpstream::start().await];
    let mut settings = Vec::new();
    for (upstream, path) in upstreams.iter().zip(["/mcp/left", "/mcp/kept"]) {
        let mut server = UpstreamSettings::new(upstream.url.parse().unwrap());
        path.clone_into(&mut server.resource_path);
        settings.push(server);
    }
    let gateway = Gateway::routed(settings).await;
    let client: Client<_, Body> = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let mut streams = Vec::new();
    for (upstream, path) in upstreams.iter().zip(["/mcp/left", "/mcp/kept"]) {
        let request = Request::post(gateway.url(path)).body(Body::from("{}"));
        let mut response = client.request(request.unwrap()).await.unwrap();
        upstream.write("data: 1\n\n");
        response.body_mut().frame().await.unwrap().unwrap();
        streams.push(response);
    }
    let [left, kept] = upstreams;
    drop(streams.remove(0));
    left.closed().await;
    kept.write("data: 2\n\n");
    let frame = streams[0].body_mut().frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "data: 2\n\n");
}

/// How much is sent to a client that does not read, and more than sockets on one machine hold.
const MUCH: usize = 64 << 20;
const HELD: usize = 24 << 20;

#[tokio::test]
async fn for_a_client_that_does_not_read_no_more_is_held_than_sockets_do() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let sent = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let counted = Arc::clone(&sent);
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {MUCH}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let chunk = vec![b'x'; 64 << 10];
        while counted.load(Ordering::Relaxed) < MUCH {
            stream.write_all(&chunk).await.unwrap();
            counted.fetch_add(chunk.len(), Ordering::Relaxed);
        }
    });
    let gateway = Gateway::before(&url).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut client = socket.connect(gateway.address).await.unwrap();
    let request = format!("{POST}connection: close\r\ncontent-length: 2\r\n\r\n{{}}");
    client.write_all(request.as_bytes()).await.unwrap();
    until_still(&sent).await;
    assert!(sent.load(Ordering::Relaxed) < HELD, "{sent:?}");

    let mut seen = Vec::with_capacity(MUCH);
    client.read_to_end(&mut seen).await.unwrap();
    assert_eq!(sent.load(Ordering::Relaxed), MUCH);
    assert!(seen.len() > MUCH && seen.ends_with(b"xxxx"));
}

/// Waits until `count` has begun, and grows no more however often all others have had their turn.
async fn until_still(count: &AtomicUsize) {
    let mut seen = (0, 0);
    while seen.0 == 0 || seen.1 < 10_000 {
        yield_now().await;
        let now = count.load(Ordering::Relaxed);
        seen = if now == seen.0 {
            (now, seen.1 + 1)
        } else {
            (now, 0)
        };
    }
}
