//! A server that offers HTTP/2.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use entrada_gateway::config::UpstreamSettings;
use http::{Request, Response, StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::generate_simple_self_signed;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::NamedTempFile;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::gateway::{Gateway, before, body};

/// A server that speaks HTTP/2 alone, with so many streams on a connection, and never ends what begins
/// with a stream.
struct Http2Server {
    url: String,
    authority: NamedTempFile,
    connections: Arc<AtomicUsize>,
    /// Of each stream, each part that was sent.
    sent: mpsc::UnboundedReceiver<()>,
    _serving: JoinSet<()>,
}

impl Http2Server {
    async fn new() -> Self {
        let made = generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let authority = NamedTempFile::new().unwrap();
        std::fs::write(authority.path(), made.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/mcp", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let (mut serving, count) = (JoinSet::new(), Arc::clone(&connections));
        let (told, sent) = mpsc::unbounded_channel();
        serving.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(stream) = acceptor.accept(stream).await else {
                    continue;
                };
                count.fetch_add(1, Ordering::SeqCst);
                let told = told.clone();
                let answer = service_fn(move |request| answer(request, told.clone()));
                let serving = http2::Builder::new(TokioExecutor::new())
                    .max_concurrent_streams(64)
                    .serve_connection(TokioIo::new(stream), answer);
                open.spawn(async move {
                    // The gateway hangs up when it likes.
                    let _ = serving.await;
                });
            }
        });
        Self {
            url,
            authority,
            connections,
            sent,
            _serving: serving,
        }
    }

    fn settings(&self) -> UpstreamSettings {
        let mut settings = UpstreamSettings::new(self.url.parse().unwrap());
        settings.tls.ca_file = Some(self.authority.path().to_owned());
        settings.http2 = true;
        settings
    }
}

/// For a GET, more than anybody reads; else, how it was asked.
async fn answer(
    request: Request<Incoming>,
    told: mpsc::UnboundedSender<()>,
) -> Result<Response<Body>, Infallible> {
    if request.method() == "GET" {
        let chunk = move || {
            let _ = told.send(());
            Ok::<_, Infallible>(Bytes::from_static(&[b':'; 16 * 1024]))
        };
        let chunks = futures_util::stream::repeat_with(chunk);
        let mut response = Response::new(Body::from_stream(chunks));
        let events = http::HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert("content-type", events);
        return Ok(response);
    }
    let version = request.version();
    let host = request.headers().contains_key("host");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let told = format!("{version:?} {host} {}", String::from_utf8_lossy(&body));
    Ok(Response::new(Body::from(told)))
}

#[tokio::test]
async fn it_is_spoken_where_it_is_wanted_and_offered() {
    let server = Http2Server::new().await;
    let mut settings = server.settings();
    let gateway = Gateway::with(settings.clone()).await;
    for _ in 0..3 {
        let response = gateway.post("{}").await;
        assert_eq!(response.version(), Version::HTTP_11);
        assert_eq!(body(response).await, "HTTP/2.0 false {}");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    settings.http2 = false;
    let gateway = Gateway::with(settings).await;
    assert_eq!(gateway.post("{}").await.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn streams_that_nobody_reads_keep_nobody_waiting() {
    let mut server = Http2Server::new().await;
    let gateway = before(&server.settings());
    let mut streams = Vec::new();
    for connection in 1..=2 {
        for _ in 0..64 {
            let request = Request::get("/mcp").header("mcp-session-id", "x");
            let request = request.body(Body::empty()).unwrap();
            let stream = gateway.clone().oneshot(request).await.unwrap();
            assert_eq!(stream.status(), StatusCode::OK);
            streams.push(stream);
        }
        assert_eq!(server.connections.load(Ordering::SeqCst), connection);
    }
    // Until as much has come of each as is kept for its client.
    let all_has_come = async {
        for _ in 0..streams.len() * 64 / 16 {
            server.sent.recv().await.unwrap();
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), all_has_come);
    in_time.await.expect("no stream waits for another");
    // A place that becomes free is taken by the next.
    streams.pop();
    let request = Request::post("/mcp").body(Body::from("{}")).unwrap();
    let answer = gateway.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

/// What stands between the gateway and a server, and falls silent without a word.
struct Relay {
    url: String,
    /// What ends the passing on of connections that are open; they stay so.
    silence: Arc<Mutex<CancellationToken>>,
    _passing: JoinSet<()>,
}

impl Relay {
    async fn to(server: &Http2Server) -> Self {
        let there = server.url.split('/').nth(2).unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/mcp", listener.local_addr().unwrap());
        let silence = Arc::<Mutex<CancellationToken>>::default();
        let (mut passing, of_new) = (JoinSet::new(), Arc::clone(&silence));
        passing.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (mut here, _) = listener.accept().await.unwrap();
                let mut there = TcpStream::connect(&there).await.unwrap();
                let silence = of_new.lock().unwrap().clone();
                open.spawn(async move {
                    tokio::select! {
                        _ = copy_bidirectional(&mut here, &mut there) => {}
                        () = silence.cancelled() => std::future::pending().await,
                    }
                });
            }
        });
        Self {
            url,
            silence,
            _passing: passing,
        }
    }

    fn falls_silent(&self) {
        let open = std::mem::take(&mut *self.silence.lock().unwrap());
        open.cancel();
    }
}

#[tokio::test]
async fn a_connection_that_fell_silent_takes_no_more_requests() {
    let server = Http2Server::new().await;
    let relay = Relay::to(&server).await;
    let mut settings = UpstreamSettings::new(relay.url.parse().unwrap());
    settings.tls.ca_file = Some(server.authority.path().to_owned());
    settings.http2 = true;
    settings.response_timeout = None;
    let gateway = before(&settings);
    let post = async |within| {
        let request = Request::post("/mcp").body(Body::from("{}")).unwrap();
        let answer = tokio::time::timeout(within, gateway.clone().oneshot(request));
        answer.await.map(|answer| answer.unwrap().status())
    };
    let long = Duration::from_secs(120);
    assert_eq!(post(long).await, Ok(StatusCode::OK));
    relay.falls_silent();
    tokio::time::pause();
    assert_eq!(post(long).await, Ok(StatusCode::BAD_GATEWAY));
    tokio::time::resume();
    assert_eq!(post(Duration::from_secs(20)).await, Ok(StatusCode::OK));
}
