//! Several replicas of one server, and one on a Unix socket.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use entrada_gateway::config::{Transport, UpstreamSettings};
use entrada_gateway::upstream::checks::HealthChecks;
use entrada_gateway::upstream::place::Place;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::gateway::{Gateway, body};
use crate::upstream::{RawUpstream, read_request, serve};

const OPENS: &str = "HTTP/1.1 200 OK\r\nmcp-session-id: its.own~Id\r\ncontent-length: 0\r\n\
                     connection: close\r\n\r\n";

fn replicas(urls: &[&str]) -> UpstreamSettings {
    let places = urls.iter().map(|url| Place::at(url.parse().unwrap()));
    UpstreamSettings::of(Transport::Http(places.collect()), "/mcp")
}

async fn of_session(gateway: &Gateway, method: Method, id: &str) -> Response<Incoming> {
    let request = Request::builder().method(method).uri(gateway.url("/mcp"));
    let request = request.header("mcp-session-id", id).body(Body::empty());
    gateway.send(request.unwrap()).await
}

fn session(response: &Response<Incoming>) -> String {
    let id = response.headers()["mcp-session-id"].to_str().unwrap();
    id.to_owned()
}

/// A port where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/mcp", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_session_stays_where_it_was_opened_whichever_gateway_is_asked() {
    let mut servers = [
        RawUpstream::answering(OPENS).await,
        RawUpstream::answering(OPENS).await,
    ];
    let urls = [servers[0].url.clone(), servers[1].url.clone()];
    let gateway = Gateway::with(replicas(&[&urls[0], &urls[1]])).await;
    // In another order, as one that was set up by itself.
    let another = Gateway::with(replicas(&[&urls[1], &urls[0]])).await;
    let sessions = [
        session(&gateway.post("{}").await),
        session(&gateway.post("{}").await),
    ];
    assert_ne!(sessions[0], sessions[1]);
    for server in &mut servers {
        server.request().await;
        assert!(!server.was_asked(), "requests are spread");
    }
    for (own, id) in sessions.iter().enumerate() {
        for gateway in [&gateway, &another, &gateway] {
            for method in [Method::POST, Method::GET, Method::DELETE] {
                let response = of_session(gateway, method, id).await;
                assert_eq!(session(&response), *id);
                let (head, _) = servers[own].request().await;
                assert!(head.contains(&"mcp-session-id: its.own~Id".to_owned()));
            }
        }
        assert!(!servers[1 - own].was_asked());
    }
}

#[tokio::test]
async fn one_server_alone_has_its_sessions_as_they_are() {
    let mut server = RawUpstream::answering(OPENS).await;
    let gateway = Gateway::before(&server.url).await;
    let response = of_session(&gateway, Method::POST, "any").await;
    assert_eq!(session(&response), "its.own~Id");
    let (head, _) = server.request().await;
    assert!(head.contains(&"mcp-session-id: any".to_owned()));
}

#[tokio::test]
async fn a_session_id_that_names_no_replica_reaches_none() {
    let mut servers = [
        RawUpstream::answering(OPENS).await,
        RawUpstream::answering(OPENS).await,
    ];
    let gateway = Gateway::with(replicas(&[&servers[0].url, &servers[1].url])).await;
    for id in [
        "",
        "its.own~Id",
        "0123456789abcdef.its.own~Id",
        "0123456789abcdef",
    ] {
        for method in [Method::POST, Method::GET, Method::DELETE] {
            let response = of_session(&gateway, method, id).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{id}");
            assert!(!body(response).await.starts_with(b"{"));
        }
    }
    assert!(!servers[0].was_asked() && !servers[1].was_asked());
}

#[tokio::test]
async fn what_nothing_was_sent_of_goes_to_the_next_replica() {
    let mut server = RawUpstream::answering(OPENS).await;
    let gateway = Gateway::with(replicas(&[&nobody().await, &nobody().await, &server.url])).await;
    for _ in 0..4 {
        let response = gateway.post("{\"id\": 1}").await;
        assert_eq!(response.status(), StatusCode::OK);
        let (_, body) = server.request().await;
        assert_eq!(body, "{\"id\": 1}");
    }
    assert!(!server.was_asked());
    let gateway = Gateway::with(replicas(&[&nobody().await, &nobody().await])).await;
    let response = gateway.post("{}").await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn what_was_sent_to_one_replica_is_sent_to_no_other() {
    let mut servers = [
        RawUpstream::answering("").await,
        RawUpstream::answering("").await,
    ];
    let gateway = Gateway::with(replicas(&[&servers[0].url, &servers[1].url])).await;
    let response = gateway.post("{}").await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    servers[0].request().await;
    assert!(!servers[0].was_asked() && !servers[1].was_asked());
}

#[tokio::test]
async fn sessions_of_a_replica_that_stays_away_are_over() {
    for (grace, expected) in [
        (Duration::from_secs(3600), StatusCode::BAD_GATEWAY),
        (Duration::ZERO, StatusCode::NOT_FOUND),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = format!("http://{}/mcp", listener.local_addr().unwrap());
        let mut other = RawUpstream::answering(OPENS).await;
        let mut settings = replicas(&[&gone, &other.url]);
        settings.session_grace = grace;
        let gateway = Gateway::with(settings).await;
        let serving = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream.write_all(OPENS.as_bytes()).await.unwrap();
        };
        let (response, ()) = tokio::join!(gateway.post("{}"), serving);
        let id = session(&response);
        let response = of_session(&gateway, Method::POST, &id).await;
        assert_eq!(response.status(), expected);
        assert!(!other.was_asked());
        // Another session is begun where there is a server.
        let response = gateway.post("{}").await;
        assert_eq!(response.status(), StatusCode::OK);
        other.request().await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_server_on_a_unix_socket_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp.sock");
    let url = "http://localhost/mcp?key=1".parse().unwrap();
    let places = vec![Place::on(&path, url)];
    let settings = UpstreamSettings::of(Transport::Http(places), "/mcp");
    let gateway = Gateway::with(settings).await;
    let response = gateway.post("{}").await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);

    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let told = |request: Request<Body>| async move {
        let host = request.headers()["host"].to_str().unwrap().to_owned();
        format!("{host} {} {}", request.method(), request.uri())
    };
    let router = Router::new().fallback(told);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let response = gateway.post("{}").await;
    assert_eq!(body(response).await, "localhost POST /mcp?key=1");
}

/// A server that says at `/health` whether it is well, as far as that is known, and its name to everybody else.
struct Saying {
    url: String,
    is_well: Arc<AtomicBool>,
    asked: mpsc::UnboundedReceiver<()>,
    _serving: JoinSet<()>,
}

impl Saying {
    async fn of(name: &'static str) -> Self {
        let is_well = Arc::new(AtomicBool::new(true));
        let (told, asked) = mpsc::unbounded_channel();
        let said = Arc::clone(&is_well);
        let health = move || {
            let _ = told.send(());
            let is_well = said.load(Ordering::SeqCst);
            async move {
                if is_well {
                    StatusCode::NO_CONTENT
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                }
            }
        };
        let router = Router::new()
            .route("/health", any(health))
            .fallback(move || async move { name });
        let mut serving = JoinSet::new();
        let url = serve(router, &mut serving).await;
        Self {
            url,
            is_well,
            asked,
            _serving: serving,
        }
    }

    /// Changes what it says, and waits until that was heard twice: the first answer has then been noted.
    async fn say(&mut self, is_well: bool) {
        while self.asked.try_recv().is_ok() {}
        self.is_well.store(is_well, Ordering::SeqCst);
        for _ in 0..3 {
            self.asked.recv().await.unwrap();
        }
    }
}

/// The names of who answered so many requests.
async fn who_answer(gateway: &Gateway) -> BTreeSet<Vec<u8>> {
    let mut names = BTreeSet::new();
    for _ in 0..8 {
        names.insert(body(gateway.post("{}").await).await.to_vec());
    }
    names
}

#[tokio::test]
async fn one_that_says_it_is_not_well_gets_nothing_new() {
    let (mut a, b) = (Saying::of("a").await, Saying::of("b").await);
    let mut settings = replicas(&[&a.url, &b.url]);
    let mut checks = HealthChecks::parse("/health").unwrap();
    checks.every = Duration::from_millis(20);
    settings.health_checks = Some(checks);
    let gateway = Gateway::with(settings).await;
    let [only_b, both] = [&["b"][..], &["a", "b"]].map(|names| {
        let names = names.iter().map(|name| name.as_bytes().to_vec());
        names.collect::<BTreeSet<_>>()
    });
    assert_eq!(who_answer(&gateway).await, both);
    a.say(false).await;
    assert_eq!(who_answer(&gateway).await, only_b);
    a.say(true).await;
    assert_eq!(who_answer(&gateway).await, both);
    // Where none is well, one that is not is better than nobody.
    a.say(false).await;
    drop(b);
    assert_eq!(gateway.post("{}").await.status(), StatusCode::OK);
}
