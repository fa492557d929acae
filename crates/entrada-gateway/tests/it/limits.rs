//! What one user, and one address, may hold at once.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use bytes::Bytes;
use entrada_gateway::audit::{Audit, AuditPlace, AuditSettings};
use entrada_gateway::config::UpstreamSettings;
use entrada_gateway::server::ConnectionLimits;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::gateway::{Gateway, body};
use crate::observed::lines;
use crate::upstream::serve;

/// A server that answers each GET with a stream of which one event comes, and no end.
async fn streaming(tasks: &mut JoinSet<()>) -> UpstreamSettings {
    let handler = |request: Request<Body>| async move {
        if request.method() != http::Method::GET {
            return Response::new(Body::from("{}"));
        }
        let event = Frame::data(Bytes::from_static(b"data: {}\n\n"));
        let first = futures_util::stream::iter([Ok::<_, std::io::Error>(event)]);
        let endless = futures_util::StreamExt::chain(first, futures_util::stream::pending());
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::new(StreamBody::new(endless)))
            .unwrap()
    };
    let url = serve(Router::new().route("/mcp", any(handler)), tasks).await;
    UpstreamSettings::new(url.parse().unwrap())
}

async fn asked(gateway: &Gateway, method: &str, who: &str) -> Response<Incoming> {
    let request = Request::builder().method(method).uri(gateway.url("/mcp"));
    let request = request.header("accept", "text/event-stream, application/json");
    let request = request.header("mcp-session-id", "s");
    let request = request.header("test-subject", who);
    gateway.send(request.body(Body::empty()).unwrap()).await
}

/// A stream that is open: its first event is there.
async fn opened(gateway: &Gateway, who: &str) -> Response<Incoming> {
    let mut stream = asked(gateway, "GET", who).await;
    assert_eq!(stream.status(), StatusCode::OK, "{who}");
    stream.frame().await.unwrap().unwrap();
    stream
}

/// Asks until there is room: that a client has left is noticed a moment later.
async fn asked_until_there_is_room(gateway: &Gateway, who: &str) {
    let asking = async {
        while asked(gateway, "POST", who).await.status() != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap();
}

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn one_user_holds_only_so_many_requests() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let writer = Audit::begin(&AuditSettings::new(AuditPlace::File(path.clone()))).unwrap();
    let mut tasks = JoinSet::new();
    let mut settings = streaming(&mut tasks).await;
    settings.max_concurrent_requests = Some(2);
    let gateway = Gateway::audited(settings, Some(writer.audit()), None).await;
    let first = opened(&gateway, "mallory").await;
    // What has ended holds no place.
    for _ in 0..3 {
        let answer = asked(&gateway, "POST", "mallory").await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(body(answer).await, "{}");
    }
    let _second = opened(&gateway, "mallory").await;
    for method in ["GET", "POST"] {
        let refused = asked(&gateway, method, "mallory").await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.headers()["retry-after"], "1");
        let sentence = "too many requests under way, try again when some have ended\n";
        assert_eq!(body(refused).await, sentence);
    }
    let _of_another = opened(&gateway, "alice").await;
    drop(first);
    asked_until_there_is_room(&gateway, "mallory").await;
    writer.end().await;
    let told = lines(&path);
    let denied: Vec<_> = told.iter().filter(|l| l["decision"] == "denied").collect();
    assert!(denied.len() >= 2);
    for line in denied {
        assert_eq!(line["who"], "mallory@tenant-1");
        assert_eq!(line["code"], "concurrency_limit");
    }
}

#[tokio::test]
async fn a_request_that_comes_slowly_holds_a_place_where_its_body_is_read() {
    let mut tasks = JoinSet::new();
    let mut settings = streaming(&mut tasks).await;
    settings.max_concurrent_requests = Some(1);
    settings.policy.rules = vec![entrada_gateway::policy::Rule::new("rules:1")];
    let gateway = Gateway::audited(settings, None, None).await;
    let mut slow = TcpStream::connect(gateway.address).await.unwrap();
    let head = "POST /mcp HTTP/1.1\r\nhost: gateway\r\ntest-subject: mallory\r\nexpect: 100-continue\r\n\
                content-type: application/json\r\ncontent-length: 100\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    // RFC 9110 §10.1.1: it is asked for by whoever reads it.
    let wanted = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut seen = vec![0; wanted.len()];
    slow.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen, wanted);
    let refused = asked(&gateway, "POST", "mallory").await.status();
    assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
}

/// What is answered on a connection: nothing, where it is closed at once.
async fn answered(connection: &mut TcpStream) -> String {
    let request = b"GET /mcp HTTP/1.1\r\nhost: gateway\r\nx-forwarded-for: 192.0.2.7\r\n\r\n";
    // It may be closed already.
    let _ = connection.write_all(request).await;
    let mut answer = vec![0; 12];
    let read = connection.read_exact(&mut answer).await;
    String::from_utf8(read.map_or(Vec::new(), |_| answer)).unwrap()
}

async fn connected(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

#[tokio::test]
async fn one_address_holds_only_so_many_connections() {
    for (in_all, per_address, proxy, held) in [
        (None, Some(2), None, Some(2)),
        (Some(3), None, None, Some(3)),
        (Some(3), Some(2), Some("127.0.0.1"), Some(3)),
        (None, Some(2), Some("127.0.0.0/8"), None),
        (None, None, None, None),
    ] {
        let mut tasks = JoinSet::new();
        let settings = streaming(&mut tasks).await;
        let mut limits = ConnectionLimits::default();
        limits.all = in_all;
        limits.per_address = per_address;
        if let Some(proxy) = proxy {
            limits.proxies.add(proxy).unwrap();
        }
        let gateway = Gateway::limited(settings, limits).await;
        let mut open = Vec::new();
        for _ in 0..held.unwrap_or(8) {
            let mut connection = connected(gateway.address).await;
            assert_eq!(answered(&mut connection).await, "HTTP/1.1 200");
            open.push(connection);
        }
        if held.is_none() {
            continue;
        }
        let mut one_more = connected(gateway.address).await;
        assert_eq!(answered(&mut one_more).await, "", "{held:?}");
        let mut connection = open.pop().unwrap();
        connection.shutdown().await.unwrap();
        drop(connection);
        // That one has gone is noticed a moment later.
        let again = async {
            while answered(&mut connected(gateway.address).await).await != "HTTP/1.1 200" {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, again).await.unwrap();
    }
}
