//! A server behind TLS.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use entra_emulator::{Emulator, Listen, Options, Running};
use entrada_gateway::config::{Transport, UpstreamSettings};
use entrada_gateway::upstream::McpServer;
use entrada_gateway::upstream::place::Place;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::gateway::{Gateway, body};
use crate::upstream::{RawUpstream, read_request};

const PATH: &str = "/common/v2.0/.well-known/openid-configuration";

/// Anything will do that has a certificate authority of its own.
async fn server() -> Running {
    let emulator = Emulator::new(Options::default());
    emulator.serve(Listen::https()).await.unwrap()
}

async fn status(settings: UpstreamSettings) -> StatusCode {
    let gateway = Gateway::with(settings).await;
    let request = Request::get(gateway.url(PATH)).body(Body::empty());
    gateway.send(request.unwrap()).await.status()
}

#[tokio::test]
async fn a_server_is_trusted_for_its_authority_alone() {
    let server = server().await;
    let url = server.https_url().unwrap().join(PATH).unwrap();
    let mut settings = UpstreamSettings::new(url);
    assert_eq!(status(settings.clone()).await, StatusCode::BAD_GATEWAY);

    let authority = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(authority.path(), server.ca_pem().unwrap()).unwrap();
    settings.ca_file = Some(authority.path().to_owned());
    assert_eq!(status(settings).await, StatusCode::OK);
}

#[tokio::test]
async fn with_an_authority_of_its_own_no_other_vouches_for_a_server() {
    let (server, another) = (server().await, server().await);
    let url = server.https_url().unwrap().join(PATH).unwrap();
    let file = |text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    };
    let own = file(server.ca_pem().unwrap());
    let other = file(another.ca_pem().unwrap());
    let mut settings = UpstreamSettings::new(url);
    settings.ca_file = Some(own.path().to_owned());
    settings.tls.ca_file = Some(other.path().to_owned());
    assert_eq!(status(settings.clone()).await, StatusCode::BAD_GATEWAY);
    settings.ca_file = None;
    settings.tls.ca_file = Some(own.path().to_owned());
    assert_eq!(status(settings).await, StatusCode::OK);
}

/// A port that takes connections and says nothing, and what is there of it.
async fn silent(tasks: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/mcp", listener.local_addr().unwrap());
    tasks.spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    });
    url
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_before_tls_is_away() {
    let mut tasks = JoinSet::new();
    let silent = silent(&mut tasks).await;
    let gateway = Gateway::before(&silent).await;
    let began = Instant::now();
    let answer = gateway.post("{}").await;
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    let said = "no connection to the upstream was open in time\n";
    assert_eq!(body(answer).await, said);
    let limit = Duration::from_secs(10);
    assert!((limit..limit * 2).contains(&began.elapsed()));

    // Of several it is left out, as one that nobody can connect to.
    let well = RawUpstream::answering(OK).await;
    let places = [&silent, &well.url].map(|url| Place::at(url.parse().unwrap()));
    let places = Transport::Http(places.to_vec());
    let gateway = Gateway::with(UpstreamSettings::of(places, "/mcp")).await;
    let began = Instant::now();
    for _ in 0..2 {
        assert_eq!(gateway.post("{}").await.status(), StatusCode::OK);
    }
    assert!((limit..limit * 2).contains(&began.elapsed()));
    let began = Instant::now();
    assert_eq!(gateway.post("{}").await.status(), StatusCode::OK);
    assert!(began.elapsed() < Duration::from_secs(1));
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A server that takes nobody without a certificate of its authority, gives every request `answer` and
/// hangs up without a farewell; and what a client needs: the authority, a certificate and its key.
async fn server_for_known_clients(
    tasks: &mut JoinSet<()>,
    answer: &'static str,
) -> (String, [String; 3]) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca_key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let signed = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &issuer).unwrap(), key)
    };
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    let (certificate, key) = signed("127.0.0.1");
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/mcp", listener.local_addr().unwrap());
    tasks.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            read_request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let (certificate, key) = signed("gateway");
    (
        url,
        [authority.pem(), certificate.pem(), key.serialize_pem()],
    )
}

#[tokio::test]
async fn a_server_is_shown_a_certificate_where_there_is_one() {
    let mut tasks = JoinSet::new();
    let (url, pems) = server_for_known_clients(&mut tasks, OK).await;
    let files = pems.map(written);
    let [authority, certificate, key] = &files;
    let mut settings = UpstreamSettings::new(url.parse().unwrap());
    settings.tls.ca_file = Some(authority.path().to_owned());
    settings.resource_path = PATH.to_owned();
    assert_eq!(status(settings.clone()).await, StatusCode::BAD_GATEWAY);
    let identity = (certificate.path().to_owned(), key.path().to_owned());
    settings.tls.identity = Some(identity);
    assert_eq!(status(settings.clone()).await, StatusCode::OK);

    // Of another certificate.
    let other = tempfile::NamedTempFile::new().unwrap();
    let pem = KeyPair::generate().unwrap().serialize_pem();
    std::fs::write(other.path(), pem).unwrap();
    let identity = (certificate.path().to_owned(), other.path().to_owned());
    settings.tls.identity = Some(identity);
    let error = McpServer::new(&settings).unwrap_err();
    assert_eq!(error.setting(), Some("upstream_certificate"), "{error}");
}

fn written(pem: String) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pem).unwrap();
    file
}

/// Whoever is on the way can cut a connection at any byte, but cannot say that it was over (RFC 8446 §6.1).
#[tokio::test]
async fn an_answer_without_a_length_is_cut_short_by_nobody_on_the_way() {
    let mut tasks = JoinSet::new();
    let answer = "HTTP/1.1 200 OK\r\n\r\nhalf of what";
    let (url, pems) = server_for_known_clients(&mut tasks, answer).await;
    let [authority, certificate, key] = &pems.map(written);
    let mut settings = UpstreamSettings::new(url.parse().unwrap());
    settings.tls.ca_file = Some(authority.path().to_owned());
    settings.tls.identity = Some((certificate.path().to_owned(), key.path().to_owned()));
    let gateway = Gateway::with(settings).await;
    let response = gateway.post("{}").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.into_body().collect().await.is_err());
}

#[test]
fn what_is_wrong_with_a_file_names_it_and_its_setting() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let (empty, missing) = (empty.path(), std::path::Path::new("/nowhere/x.pem"));
    for (ca_file, identity, expected) in [
        (Some(missing), None, ("upstream_ca_file", missing)),
        (Some(empty), None, ("upstream_ca_file", empty)),
        (
            None,
            Some((missing, empty)),
            ("upstream_certificate", missing),
        ),
        (
            None,
            Some((empty, missing)),
            ("upstream_certificate", empty),
        ),
    ] {
        let mut settings = UpstreamSettings::new("https://u/mcp".parse().unwrap());
        settings.tls.ca_file = ca_file.map(Into::into);
        settings.tls.identity = identity.map(|(one, other)| (one.into(), other.into()));
        let error = McpServer::new(&settings).unwrap_err();
        let (setting, file) = expected;
        assert_eq!(error.setting(), Some(setting), "{error}");
        let named = error.to_string().starts_with(file.to_str().unwrap());
        assert!(named, "{error}");
    }
}
