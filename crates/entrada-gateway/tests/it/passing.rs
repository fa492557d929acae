//! What goes through goes through as it is.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use bytes::Bytes;
use entrada_gateway::config::UpstreamSettings;
use entrada_gateway::upstream::headers::HostHeader;
use entrada_gateway::upstream::identity::ForwardedIdentity;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::gateway::{Gateway, body};
use crate::upstream::{RawUpstream, serve};

const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn bytes_and_headers_reach_the_server_as_they_were() {
    let mut upstream = RawUpstream::answering(ACCEPTED).await;
    let gateway = Gateway::before(&upstream.url).await;
    // A batch, with spacing and number spellings that a parser would not keep.
    let batch =
        "[ {\"jsonrpc\":\"2.0\",\"id\":1.0,\"method\":\"ping\"} ,\n {\"unknown\":\"\\u00e9\"}]";
    let mut request = Request::post(gateway.url("/mcp"))
        .header("accept", "application/json, text/event-stream")
        .header("content-type", "application/json")
        .header("mcp-protocol-version", "2099-01-01")
        .header("mcp-session-id", "3f9c")
        .header("last-event-id", "7")
        .header("mcp-name", "=?base64?w6Q=?=")
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .header("x-correlation-id", "abc");
    for number in 0..40 {
        request = request.header(format!("mcp-param-p{number}"), format!("Välue {number}"));
    }
    let sent = request.body(Body::from(batch)).unwrap();
    let mut expected: Vec<(String, Vec<u8>)> = sent
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    assert_eq!(gateway.send(sent).await.status(), StatusCode::ACCEPTED);

    let (head, body) = upstream.request().await;
    assert_eq!(head[0], "POST /mcp HTTP/1.1");
    assert_eq!(body, batch);
    let own = |name: &str| name.starts_with("x-entrada-") || name == "host";
    let mut got: Vec<(String, Vec<u8>)> = head[1..]
        .iter()
        .map(|line| line.split_once(": ").unwrap())
        .filter(|(name, _)| !own(name))
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .collect();
    expected.push(("content-length".to_owned(), batch.len().to_string().into()));
    expected.sort();
    got.sort();
    assert_eq!(got, expected);
}

/// For a server at `url` that is told all there is about the caller.
fn telling_all(url: &str) -> UpstreamSettings {
    let mut settings = UpstreamSettings::new(url.parse().unwrap());
    settings.forward_identity = ForwardedIdentity::parse("all").unwrap();
    settings
}

#[tokio::test]
async fn identity_comes_from_the_token_alone() {
    let mut upstream = RawUpstream::answering(ACCEPTED).await;
    let gateway = Gateway::with(telling_all(&upstream.url)).await;
    let request = Request::post(gateway.url("/mcp"))
        .header("x-entrada-assertion", "forged")
        .header("x-entrada-subject", "mallory")
        .header("X-Entrada-Roles", "Everything")
        .header("x-entrada-preferred-username", "admin@contoso.com")
        .header("x-entrada-new", "1")
        .header("x_entrada_object_id", "mallory")
        .header("connection", "x-entrada-tenant-id")
        .header("authorization", "Bearer secret")
        .header("cookie", "session=secret")
        .header("dpop", "secret")
        .header("x-forwarded-for", "10.0.0.1")
        .header("forwarded", "for=10.0.0.1")
        .body(Body::empty());
    gateway.send(request.unwrap()).await;

    let (head, _) = upstream.request().await;
    let mut told: Vec<&str> = head[1..]
        .iter()
        .map(String::as_str)
        .filter(|line| !line.starts_with("host") && !line.starts_with("x-correlation-id"))
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "x-entrada-client-id: client-1",
            "x-entrada-name: Al%C3%AFce%20Anders",
            "x-entrada-object-id: object-1",
            "x-entrada-roles: Mcp.Admin,a%2Cb",
            "x-entrada-scope: mcp.read mcp.write",
            "x-entrada-subject: alice-subject",
            "x-entrada-tenant-id: tenant-1",
        ]
    );
}

/// What the guard let through for the sake of a session is not sent without one: a server may replay by
/// `Last-Event-ID` alone.
#[tokio::test]
async fn a_client_takes_no_header_away_behind_the_guard() {
    let mut upstream = RawUpstream::answering(ACCEPTED).await;
    let gateway = Gateway::before(&upstream.url).await;
    let request = Request::get(gateway.url("/mcp"))
        .header("connection", "Mcp-Session-Id, mcp-protocol-version, x-hop")
        .header("mcp-session-id", "3f9c")
        .header("mcp-protocol-version", "2025-06-18")
        .header("last-event-id", "7")
        .header("x-hop", "1")
        .body(Body::empty());
    gateway.send(request.unwrap()).await;
    let (head, _) = upstream.request().await;
    for line in [
        "mcp-session-id: 3f9c",
        "mcp-protocol-version: 2025-06-18",
        "last-event-id: 7",
    ] {
        assert!(head.contains(&line.to_owned()), "{line}: {head:?}");
    }
    assert!(!head.iter().any(|line| line.starts_with("x-hop")));
}

/// Servers that read no body here would take it for the next request on the connection, which is anybody's.
#[tokio::test]
async fn no_request_hides_in_the_body_of_one_that_has_none() {
    let mut upstream = RawUpstream::answering(ACCEPTED).await;
    let gateway = Gateway::before(&upstream.url).await;
    for method in [Method::GET, Method::HEAD, Method::DELETE] {
        let request = Request::builder()
            .method(method)
            .uri(gateway.url("/mcp"))
            .body(Body::from(
                "POST /mcp HTTP/1.1\r\nx-entrada-subject: admin\r\n\r\n",
            ));
        gateway.send(request.unwrap()).await;
        let (head, body) = upstream.request().await;
        assert_eq!(body, "");
        let tells =
            |line: &String| line.starts_with("content-length") || line.starts_with("transfer");
        assert!(!head.iter().any(tells), "{head:?}");
    }
}

#[tokio::test]
async fn nothing_is_said_after_the_body() {
    let (sender, mut received) = mpsc::unbounded_channel();
    let handler = move |headers: HeaderMap, body: Body| {
        let sender = sender.clone();
        async move {
            let collected = body.collect().await.unwrap();
            let trailers = collected.trailers().cloned();
            sender
                .send((headers, trailers, collected.to_bytes()))
                .unwrap();
        }
    };
    let mut tasks = JoinSet::new();
    let url = serve(Router::new().route("/mcp", any(handler)), &mut tasks).await;
    let gateway = Gateway::with(telling_all(&url)).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-entrada-roles", HeaderValue::from_static("Everything"));
    let frames = [
        Frame::data(Bytes::from_static(b"{")),
        Frame::data(Bytes::from_static(b"}")),
        Frame::trailers(trailers),
    ];
    let frames = futures_util::stream::iter(frames.map(Ok::<_, Infallible>));
    let request = Request::post(gateway.url("/mcp"))
        .header("trailer", "x-entrada-roles")
        .body(Body::new(StreamBody::new(frames)));
    let response = gateway.send(request.unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let (headers, trailers, body) = received.recv().await.unwrap();
    assert!(!headers.contains_key("trailer"));
    assert_eq!(headers["x-entrada-roles"], "Mcp.Admin,a%2Cb");
    assert_eq!(trailers, None);
    assert_eq!(body, "{}");
}

#[tokio::test]
async fn host_is_the_servers_own_or_the_clients() {
    for (mode, preserved) in [(HostHeader::Rewrite, false), (HostHeader::Preserve, true)] {
        let mut upstream = RawUpstream::answering(ACCEPTED).await;
        let mut settings = UpstreamSettings::new(upstream.url.parse().unwrap());
        settings.host_header = mode;
        let own = upstream
            .url
            .parse::<url::Url>()
            .unwrap()
            .authority()
            .to_owned();
        let gateway = Gateway::with(settings).await;
        let request = Request::post(gateway.url("/mcp"))
            .header("host", "mcp.example.com")
            .header("origin", "https://app.example.com")
            .body(Body::empty());
        gateway.send(request.unwrap()).await;
        let (head, _) = upstream.request().await;
        let host = if preserved { "mcp.example.com" } else { &own };
        assert!(head.contains(&format!("host: {host}")), "{head:?}");
        let origin = "origin: https://app.example.com".to_owned();
        assert_eq!(head.contains(&origin), preserved);
    }
}

#[tokio::test]
async fn every_method_path_and_query_goes_through() {
    let mut upstream = RawUpstream::answering(ACCEPTED).await;
    let gateway = Gateway::before(&upstream.url).await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"] {
        let request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(gateway.url("/mcp/a%20b/c?x=1&y=%2F"))
            .body(Body::empty());
        gateway.send(request.unwrap()).await;
        let (head, _) = upstream.request().await;
        assert_eq!(head[0], format!("{method} /mcp/a%20b/c?x=1&y=%2F HTTP/1.1"));
    }
}

/// An upstream that answers `TRACE` would tell the client the token it is sent.
#[tokio::test]
async fn what_an_upstream_would_repeat_stops_here() {
    let upstream = RawUpstream::answering(ACCEPTED).await;
    let gateway = Gateway::before(&upstream.url).await;
    for method in ["TRACE", "trace", "Trace", "TRACK"] {
        let request = Request::builder()
            .method(method)
            .uri(gateway.url("/mcp"))
            .body(Body::empty());
        let refused = gateway.send(request.unwrap()).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{method}");
        assert_eq!(body(refused).await, "the method is not passed on\n");
    }
}

/// The one who signs people in is told by us, and no server sends its callers to another.
#[tokio::test]
async fn a_server_sends_nobody_to_sign_in_elsewhere() {
    let upstream = RawUpstream::answering(
        "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Custom\r\n\
         www-authenticate: Bearer error=\"invalid_token\", \
         Resource_Metadata=\"https://evil.example/.well-known/oauth-protected-resource\"\r\n\
         connection: close\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let gateway = Gateway::before(&upstream.url).await;
    let response = gateway.post("{}").await;
    let told = response.headers().get_all("www-authenticate");
    assert_eq!(told.iter().collect::<Vec<_>>(), ["Custom"]);
}

/// Browsers keep it beyond the answer, and proxies before us obey it: both for all that is at our origin.
#[tokio::test]
async fn a_server_says_nothing_for_all_of_an_origin() {
    let upstream = RawUpstream::answering(
        "HTTP/1.1 200 OK\r\nset-cookie: session=1\r\nclear-site-data: \"*\"\r\n\
         nel: {\"report_to\":\"x\",\"max_age\":99}\r\nreport-to: {\"group\":\"x\"}\r\n\
         reporting-endpoints: x=\"https://evil.example\"\r\nalt-svc: h3=\":443\"\r\n\
         strict-transport-security: max-age=0\r\nservice-worker-allowed: /\r\n\
         x-accel-redirect: /internal\r\nx-accel-expires: 99\r\nx-sendfile: /etc/passwd\r\n\
         x-reproxy-url: http://127.0.0.1/\r\nx-accel-buffering: no\r\n\
         connection: close\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let gateway = Gateway::before(&upstream.url).await;
    let response = gateway.post("{}").await;
    let mut names: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let expected = [
        "content-length",
        "date",
        "x-accel-buffering",
        "x-correlation-id",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn the_servers_own_errors_are_passed_as_they_are() {
    let upstream = RawUpstream::answering(
        "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\nmcp-session-id: 3f9c\r\n\
         set-cookie: session=1\r\nwww-authenticate: Custom\r\nx-hop: 1\r\n\
         connection: close, x-hop\r\ncontent-length: 60\r\n\r\n\
         {\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":1}}",
    )
    .await;
    let gateway = Gateway::before(&upstream.url).await;
    let response = gateway.post("{}").await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let headers = response.headers();
    assert_eq!(headers["mcp-session-id"], "3f9c");
    assert_eq!(headers["www-authenticate"], "Custom");
    for absent in ["set-cookie", "x-hop", "connection"] {
        assert!(!headers.contains_key(absent), "{absent}");
    }
    let error = "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":1}}";
    assert_eq!(body(response).await, error);
}

#[tokio::test]
async fn an_answer_names_the_request_it_belongs_to() {
    let mut upstream = RawUpstream::answering(ACCEPTED).await;
    let gateway = Gateway::before(&upstream.url).await;
    let response = gateway.post("{}").await;
    let id = response.headers()["x-correlation-id"].to_str().unwrap();
    assert!(!id.is_empty());
    let (head, _) = upstream.request().await;
    assert!(head.contains(&format!("x-correlation-id: {id}")));
}
