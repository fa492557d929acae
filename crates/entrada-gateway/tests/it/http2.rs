//! HTTP/2 without TLS, as a load balancer speaks it.

use axum::body::Body;
use entrada_gateway::config::UpstreamSettings;
use entrada_gateway::upstream::headers::HostHeader;
use http::{Request, StatusCode, Version};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

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
