//! TLS in front.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::get;
use entrada_gateway::server::Server;
use entrada_gateway::tls::{Answer, CertificateFiles, Certificates, Renewal, TlsError};
use http::Request;
use http_body_util::BodyExt as _;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

/// A certificate that is its own authority, and its key.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        Self::of("localhost")
    }

    fn of(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        Self {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        }
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }
}

struct Stage {
    folder: tempfile::TempDir,
    certificates: Certificates,
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinSet<()>,
}

impl Stage {
    async fn showing(pair: &Pair) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, pair);
        let certificates = Certificates::open(files(&folder)).unwrap();
        Self::with(folder, certificates).await
    }

    /// There is no certificate yet.
    async fn awaiting() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::awaiting(files(&folder)).unwrap();
        Self::with(folder, certificates).await
    }

    async fn with(folder: tempfile::TempDir, certificates: Certificates) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route(
            "/",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
        );
        let server = Server::new(listener, router, Duration::from_millis(200));
        let (mut serving, stop) = (JoinSet::new(), CancellationToken::new());
        serving.spawn(server.tls(certificates.clone()).run(stop.clone()));
        Self {
            folder,
            certificates,
            address,
            stop,
            serving,
        }
    }

    /// Has an authority that asks for `name` shown `pair`.
    fn answer(&self, name: &str, pair: &Pair) -> Answer {
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let challenges = self.certificates.challenges();
        challenges.answer(name, pair.der(), key).unwrap()
    }

    /// A connection that trusts `pair` alone, and offers `protocols`.
    async fn connect(
        &self,
        pair: &Pair,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_to("localhost", pair, protocols).await
    }

    /// The same, that asks for `name`.
    async fn connect_to(
        &self,
        name: &'static str,
        pair: &Pair,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(pair.der()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name.try_into().unwrap(), stream).await
    }
}

fn files(folder: &tempfile::TempDir) -> CertificateFiles {
    let [certificate, key] = ["certificate", "key"].map(|name| folder.path().join(name));
    CertificateFiles::new(certificate, key)
}

fn write(folder: &tempfile::TempDir, pair: &Pair) {
    std::fs::write(folder.path().join("certificate"), &pair.certificate).unwrap();
    std::fs::write(folder.path().join("key"), &pair.key).unwrap();
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first())
        .unwrap()
        .clone()
        .into_owned()
}

#[tokio::test]
async fn the_certificate_is_shown_and_either_http_is_spoken_inside() {
    let pair = Pair::new();
    let stage = Stage::showing(&pair).await;
    let request = || {
        Request::get("https://localhost/")
            .header("host", "localhost")
            .body(Body::empty())
    };
    for (offered, spoken) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1", "h2"], Some(b"h2")),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let stream = stage.connect(&pair, offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), spoken, "{offered:?}");
        assert_eq!(shown(&stream), pair.der());
        let peer = stream.get_ref().0.local_addr().unwrap().to_string();
        let (io, mut driving) = (TokioIo::new(stream), JoinSet::new());
        let response = if spoken == Some(b"h2") {
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), io).await.unwrap();
            driving.spawn(async move { drop(connection.await) });
            sender.send_request(request().unwrap()).await.unwrap()
        } else {
            let (mut sender, connection) = http1::handshake(io).await.unwrap();
            driving.spawn(async move { drop(connection.await) });
            sender.send_request(request().unwrap()).await.unwrap()
        };
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, peer);
    }
}

#[tokio::test]
async fn new_connections_get_the_new_certificate_and_old_ones_go_on() {
    let (old, new) = (Pair::new(), Pair::new());
    let stage = Stage::showing(&old).await;
    let stream = stage.connect(&old, &["http/1.1"]).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let mut driving = JoinSet::new();
    driving.spawn(async move { drop(connection.await) });

    assert!(matches!(stage.certificates.renew(), Renewal::Unchanged));
    write(&stage.folder, &new);
    assert!(matches!(stage.certificates.renew(), Renewal::Renewed));
    assert!(matches!(stage.certificates.renew(), Renewal::Unchanged));
    let stream = stage.connect(&new, &[]).await.unwrap();
    assert_eq!(shown(&stream), new.der());
    assert!(stage.connect(&old, &[]).await.is_err());

    let request = Request::get("/")
        .header("host", "localhost")
        .body(Body::empty());
    let response = sender.send_request(request.unwrap()).await.unwrap();
    assert!(response.status().is_success());
}

#[tokio::test]
async fn a_pair_that_is_none_is_told_once_and_changes_nothing() {
    let (old, new) = (Pair::new(), Pair::new());
    let stage = Stage::showing(&old).await;
    let key = stage.folder.path().join("key");
    std::fs::write(&key, &new.key).unwrap();
    let renewal = stage.certificates.renew();
    assert!(
        matches!(renewal, Renewal::Refused(TlsError::Mismatch(_))),
        "{renewal:?}"
    );
    assert!(matches!(stage.certificates.renew(), Renewal::Unchanged));
    assert_eq!(shown(&stage.connect(&old, &[]).await.unwrap()), old.der());

    std::fs::remove_file(&key).unwrap();
    let renewal = stage.certificates.renew();
    assert!(
        matches!(renewal, Renewal::Refused(TlsError::Unreadable { .. })),
        "{renewal:?}"
    );
    assert!(matches!(stage.certificates.renew(), Renewal::Unchanged));
    assert_eq!(shown(&stage.connect(&old, &[]).await.unwrap()), old.der());

    write(&stage.folder, &new);
    assert!(matches!(stage.certificates.renew(), Renewal::Renewed));
    assert_eq!(shown(&stage.connect(&new, &[]).await.unwrap()), new.der());
}

#[tokio::test]
async fn handshakes_that_never_end_keep_nobody_waiting() {
    let pair = Pair::new();
    let mut stage = Stage::showing(&pair).await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(stage.address).await.unwrap();
        // The head of a ClientHello that does not come.
        stream.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
        slow.push(stream);
    }
    assert!(stage.connect(&pair, &[]).await.is_ok());
    // No wait for their ends, either.
    stage.stop.cancel();
    stage.serving.join_next().await.unwrap().unwrap();
    assert_eq!(slow[0].read(&mut [0]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn nothing_older_than_tls_1_2_is_spoken_and_nothing_in_clear() {
    let stage = Stage::showing(&Pair::new()).await;
    // A ClientHello of TLS 1.1 (RFC 4346 §7.4.1.2): a random, no session, one suite, no compression.
    let mut hello = vec![1, 0, 0, 41, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
    let mut record = vec![22, 3, 1, 0, 45];
    record.extend(hello);
    let plain = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec();
    for sent in [record, plain] {
        let mut stream = TcpStream::connect(stage.address).await.unwrap();
        stream.write_all(&sent).await.unwrap();
        let mut answer = Vec::new();
        // A reset is as good an answer.
        let _ = stream.read_to_end(&mut answer).await;
        // RFC 8446 §6: an alert, and nothing else.
        assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
        assert!(answer.len() <= 7, "{answer:?}");
    }
}

/// What ended a handshake, where the other side said so.
fn alert(failed: std::io::Result<TlsStream<TcpStream>>) -> AlertDescription {
    let error = failed.unwrap_err().into_inner().unwrap();
    let Some(rustls::Error::AlertReceived(alert)) = error.downcast_ref() else {
        unreachable!("no alert: {error}");
    };
    *alert
}

/// RFC 8737 §3.
#[tokio::test]
async fn a_challenge_certificate_is_shown_to_an_authority_alone_for_the_name_asked_and_never_after()
{
    let (pair, proof, other) = (Pair::new(), Pair::new(), Pair::of("other.example"));
    let stage = Stage::showing(&pair).await;
    let refused = AlertDescription::NoApplicationProtocol;
    // None is under way.
    assert_eq!(alert(stage.connect(&proof, &["acme-tls/1"]).await), refused);

    let answer = stage.answer("LOCALHOST", &proof);
    let stream = stage.connect(&proof, &["acme-tls/1"]).await.unwrap();
    assert_eq!(shown(&stream), proof.der());
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    // Neither for another name, nor where anything else is offered, too.
    let strange = stage.connect_to("other.example", &other, &["acme-tls/1"]);
    assert_eq!(alert(strange.await), refused);
    for offered in [
        &["acme-tls/1", "h2"][..],
        &["h2", "acme-tls/1"],
        &["h2"],
        &["http/1.1"],
        &[],
    ] {
        let stream = stage.connect(&pair, offered).await.unwrap();
        assert_eq!(shown(&stream), pair.der(), "{offered:?}");
    }
    assert_eq!(alert(stage.connect(&proof, &["acme-tls/2"]).await), refused);

    // Several are under way, each with its own.
    let another = stage.answer("other.example", &other);
    let stream = stage.connect_to("other.example", &other, &["acme-tls/1"]);
    assert_eq!(shown(&stream.await.unwrap()), other.der());
    drop(another);
    let strange = stage.connect_to("other.example", &other, &["acme-tls/1"]);
    assert_eq!(alert(strange.await), refused);
    assert!(stage.connect(&proof, &["acme-tls/1"]).await.is_ok());

    drop(answer);
    assert_eq!(alert(stage.connect(&proof, &["acme-tls/1"]).await), refused);
}

#[tokio::test]
async fn whoever_comes_for_a_challenge_is_served_nothing() {
    let (pair, proof) = (Pair::new(), Pair::new());
    let stage = Stage::showing(&pair).await;
    let _answer = stage.answer("localhost", &proof);
    let mut stream = stage.connect(&proof, &["acme-tls/1"]).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    // It may be closed before that is written.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(answer, b"");
}

#[tokio::test]
async fn until_there_is_a_certificate_only_an_authority_is_shown_something() {
    let (pair, proof) = (Pair::new(), Pair::new());
    let stage = Stage::awaiting().await;
    assert!(!stage.certificates.are_there());
    for offered in [&["h2"][..], &["http/1.1"], &[]] {
        let refused = alert(stage.connect(&pair, offered).await);
        assert_eq!(refused, AlertDescription::AccessDenied, "{offered:?}");
    }
    let answer = stage.answer("localhost", &proof);
    let stream = stage.connect(&proof, &["acme-tls/1"]).await.unwrap();
    assert_eq!(shown(&stream), proof.der());
    drop(answer);

    write(&stage.folder, &pair);
    assert!(matches!(stage.certificates.renew(), Renewal::Renewed));
    assert!(stage.certificates.are_there());
    assert!(stage.certificates.validity().is_some());
    assert_eq!(shown(&stage.connect(&pair, &[]).await.unwrap()), pair.der());
}
