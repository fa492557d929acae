//! HTTP/2 without TLS, as a load balancer speaks it.

use axum::body::Body;
use entrada_gateway::config::UpstreamSettings;
use entrada_gateway::upstream::headers::HostHeader;
use http::{Request, StatusCode, Version};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::gateway::Gateway;
use crate::upstream::RawUpstream;

#[tokio::test]
async fn http2_in_front_is_http1_behind_with_the_host_of_the_target() {
    let mut upstream = RawUpstream::answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
    )
    .await;
    let mut settings = UpstreamSettings::new(upstream.url.parse().unwrap());
    settings.host_header = HostHeader::Preserve;
    let gateway = Gateway::with(settings).await;
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let request = Request::post(gateway.url("/mcp")).body(Body::from("{}"));
    let response = client.request(request.unwrap()).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(response.status(), StatusCode::OK);
    let (head, body) = upstream.request().await;
    assert_eq!(head[0], "POST /mcp HTTP/1.1");
    assert!(head.contains(&format!("host: {}", gateway.address)));
    assert_eq!(body, "{}");
}

#[tokio::test]
async fn many_parameters_go_through() {
    let mut upstream =
        RawUpstream::answering("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await;
    let gateway = Gateway::before(&upstream.url).await;
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let mut request = Request::post(gateway.url("/mcp"));
    for number in 0..200 {
        request = request.header(format!("mcp-param-p{number}"), "v".repeat(100));
    }
    let request = request.body(Body::from("{}"));
    let response = client.request(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let (head, _) = upstream.request().await;
    let parameters = head.iter().filter(|line| line.starts_with("mcp-param-p"));
    assert_eq!(parameters.count(), 200);
}

#[tokio::test]
async fn one_connection_holds_only_so_much() {
    let gateway = Gateway::before("http://127.0.0.1:9/mcp").await;
    let settings = settings(&gateway).await;
    // RFC 9113 §6.5.2: SETTINGS_MAX_CONCURRENT_STREAMS and SETTINGS_MAX_HEADER_LIST_SIZE.
    assert!(settings.contains(&(3, 128)), "{settings:?}");
    assert!(settings.contains(&(6, 64 << 10)), "{settings:?}");
}

#[tokio::test]
async fn headers_over_the_limit_are_refused() {
    let mut upstream = RawUpstream::answering("").await;
    let gateway = Gateway::before(&upstream.url).await;
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let request = Request::post(gateway.url("/mcp")).header("mcp-param-p", "v".repeat(66_000));
    let request = request.body(Body::from("{}"));
    let response = client.request(request.unwrap()).await.unwrap();
    assert_eq!(
        response.status(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    assert!(!upstream.was_asked());
}

#[tokio::test]
async fn headers_over_the_limit_are_refused_over_http1_too() {
    let mut upstream = RawUpstream::answering("").await;
    let gateway = Gateway::before(&upstream.url).await;
    let request = Request::post(gateway.url("/mcp")).header("mcp-param-p", "v".repeat(66_000));
    let response = gateway.send(request.body(Body::from("{}")).unwrap()).await;
    assert_eq!(
        response.status(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    assert!(!upstream.was_asked());
}

/// What the gateway says of itself as an HTTP/2 connection begins (RFC 9113 §6.5.1).
async fn settings(gateway: &Gateway) -> Vec<(u16, u32)> {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let empty_settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    stream.write_all(&empty_settings).await.unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    let [high, middle, low, kind, ..] = head;
    assert_eq!(kind, 4);
    let length = u32::from_be_bytes([0, high, middle, low]);
    let mut settings = Vec::new();
    for _ in 0..length / 6 {
        let id = stream.read_u16().await.unwrap();
        settings.push((id, stream.read_u32().await.unwrap()));
    }
    settings
}
