//! What the gateway answers itself.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use bytes::Bytes;
use entrada_gateway::config::UpstreamSettings;
use entrada_gateway::upstream::headers::HostHeader;
use http::{Request, Response, StatusCode};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::gateway::{Gateway, body};
use crate::upstream::{RawUpstream, serve};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

async fn assert_plain(response: Response<Incoming>, status: StatusCode) {
    assert_eq!(response.status(), status);
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; charset=utf-8"
    );
    let text = body(response).await;
    assert!(!text.starts_with(b"{"));
}

#[tokio::test]
async fn who_did_not_pass_the_guard_reaches_nothing() {
    let mut upstream = RawUpstream::answering(OK).await;
    let gateway = Gateway::unguarded(&upstream.url).await;
    assert_plain(gateway.post("{}").await, StatusCode::INTERNAL_SERVER_ERROR).await;
    assert!(!upstream.was_asked());
}

#[tokio::test]
async fn a_declared_length_over_the_limit_is_refused_unread() {
    let mut upstream = RawUpstream::answering(OK).await;
    let mut settings = UpstreamSettings::new(upstream.url.parse().unwrap());
    settings.body_limit = 1000;
    let gateway = Gateway::with(settings).await;
    assert_plain(
        gateway.post(vec![b'x'; 1001]).await,
        StatusCode::PAYLOAD_TOO_LARGE,
    )
    .await;
    assert!(!upstream.was_asked());
    assert_eq!(
        gateway.post(vec![b'x'; 1000]).await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn an_undeclared_length_over_the_limit_is_refused() {
    let mut tasks = JoinSet::new();
    let router = Router::new().route("/mcp", any(|body: Bytes| async move { body }));
    let mut settings = UpstreamSettings::new(serve(router, &mut tasks).await.parse().unwrap());
    settings.body_limit = 1000;
    let gateway = Gateway::with(settings).await;
    let chunks = |count: usize| {
        let chunk = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; 100])));
        let chunks: Vec<_> = std::iter::repeat_with(chunk).take(count).collect();
        Body::new(StreamBody::new(futures_util::stream::iter(chunks)))
    };
    assert_plain(
        gateway.post(chunks(11)).await,
        StatusCode::PAYLOAD_TOO_LARGE,
    )
    .await;
    assert_eq!(body(gateway.post(chunks(10)).await).await.len(), 1000);
}

#[tokio::test]
async fn a_server_that_is_down_is_a_bad_gateway() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let gateway = Gateway::before(&format!("http://{address}/mcp")).await;
    assert_plain(gateway.post("{}").await, StatusCode::BAD_GATEWAY).await;
}

#[tokio::test]
async fn a_server_that_hangs_up_is_a_bad_gateway_and_is_asked_once() {
    let mut upstream = RawUpstream::answering("").await;
    let gateway = Gateway::before(&upstream.url).await;
    assert_plain(gateway.post("{}").await, StatusCode::BAD_GATEWAY).await;
    upstream.request().await;
    assert!(!upstream.was_asked());
}

/// A proxy before us would take what follows for no HTTP.
#[tokio::test]
async fn a_server_that_changes_the_protocol_is_a_bad_gateway() {
    let upstream = RawUpstream::answering(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nx",
    )
    .await;
    let gateway = Gateway::before(&upstream.url).await;
    assert_plain(gateway.post("{}").await, StatusCode::BAD_GATEWAY).await;
}

#[tokio::test]
async fn a_server_that_says_nothing_is_a_gateway_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", silent.local_addr().unwrap());
    let mut settings = UpstreamSettings::new(url.parse().unwrap());
    settings.response_timeout = Some(Duration::from_millis(50));
    let gateway = Gateway::with(settings).await;
    assert_plain(gateway.post("{}").await, StatusCode::GATEWAY_TIMEOUT).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_a_request_timeout() {
    let mut tasks = JoinSet::new();
    let router = Router::new().route("/mcp", any(|body: Bytes| async move { body }));
    let gateway = Gateway::before(&serve(router, &mut tasks).await).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head = b"POST /mcp HTTP/1.1\r\nhost: gateway\r\ncontent-length: 9\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn who_names_two_hosts_is_refused() {
    let mut upstream = RawUpstream::answering(OK).await;
    let mut settings = UpstreamSettings::new(upstream.url.parse().unwrap());
    settings.host_header = HostHeader::Preserve;
    let gateway = Gateway::with(settings).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let request =
        b"GET /mcp HTTP/1.1\r\nhost: a.example\r\nhost: b.example\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(!upstream.was_asked());
}

#[tokio::test]
async fn a_path_that_climbs_is_refused() {
    let mut upstream = RawUpstream::answering(OK).await;
    let gateway = Gateway::before(&upstream.url).await;
    for path in [
        "/mcp/%2e%2e/admin",
        "/mcp/..%2fadmin",
        "/mcp/..;/actuator/env",
        "/elsewhere",
    ] {
        let request = Request::get(gateway.url(path)).body(Body::empty());
        let response = gateway.send(request.unwrap()).await;
        assert_plain(response, StatusCode::FORBIDDEN).await;
    }
    assert!(!upstream.was_asked());
}
