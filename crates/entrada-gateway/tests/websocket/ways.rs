//! The ways to a server are those of any request.

use std::sync::Arc;

use entrada_gateway::config::Transport;
use entrada_gateway::tls::{CertificateFiles, Certificates};
use entrada_gateway::upstream::place::Place;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::stage::{CONFIRMED, HANDSHAKE, Stage, expect, head};
use crate::world::World;

/// Opens a WebSocket between `client`, which asked for one, and `server`, and says something each way.
async fn open_and_talk(
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    server: &mut (impl AsyncRead + AsyncWrite + Unpin),
) {
    let asked = head(server).await;
    assert!(asked.contains("\r\nupgrade: websocket\r\n"), "{asked}");
    server.write_all(CONFIRMED.as_bytes()).await.unwrap();
    server.flush().await.unwrap();
    let answer = head(client).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    client.write_all(b"ping").await.unwrap();
    client.flush().await.unwrap();
    expect(server, b"ping").await;
    server.write_all(b"pong").await.unwrap();
    server.flush().await.unwrap();
    expect(client, b"pong").await;
}

#[tokio::test]
async fn inside_tls_it_is_over_http1_at_both_ends_whatever_else_is_spoken() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = ["certificate", "key"].map(|name| folder.path().join(name));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let files = CertificateFiles::new(certificate.clone(), key.clone());
    let certificates = Certificates::open(files).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stage = Stage::inside(World::new().await, Some(certificates), |settings| {
        let url = format!("https://localhost:{port}/mcp").parse().unwrap();
        settings.transport = Transport::Http(vec![Place::at(url)]);
        settings.tls.ca_file = Some(certificate.clone());
        settings.http2 = true;
    })
    .await;

    let shown = CertificateDer::from_pem_file(&certificate).unwrap();
    let (mut trusted, provider) = (RootCertStore::empty(), Arc::new(default_provider()));
    trusted.add(shown.clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    // Browsers offer that alone for a `wss` URL, where HTTP/2 announces no other way (RFC 8441 §3).
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![shown], PrivateKeyDer::from_pem_file(&key).unwrap())
        .unwrap();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];

    let stream = TcpStream::connect(stage.address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let name = "localhost".try_into().unwrap();
    let mut client = connector.connect(name, stream).await.unwrap();
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let asking = stage.asking("/mcp", HANDSHAKE);
    client.write_all(asking.as_bytes()).await.unwrap();
    client.flush().await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let mut server = acceptor.accept(stream).await.unwrap();
    open_and_talk(&mut client, &mut server).await;
}

#[cfg(unix)]
#[tokio::test]
async fn it_is_opened_on_a_socket_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let stage = Stage::with(|settings| {
        let url = "http://localhost/mcp".parse().unwrap();
        settings.transport = Transport::Http(vec![Place::on(path, url)]);
    })
    .await;
    let mut client = stage.client(&stage.asking("/mcp", HANDSHAKE)).await;
    let (mut server, _) = listener.accept().await.unwrap();
    open_and_talk(&mut client, &mut server).await;
}

#[tokio::test]
async fn of_replicas_it_goes_to_one_that_can_be_reached_and_keeps_that_busy() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let [second, nowhere] = [&other, &gone].map(|listener| listener.local_addr().unwrap());
    drop(gone);
    let stage = Stage::with(|settings| {
        let Transport::Http(places) = &mut settings.transport else {
            panic!("{settings:?}");
        };
        for address in [nowhere, second] {
            let url = format!("http://{address}/mcp").parse().unwrap();
            places.push(Place::at(url));
        }
    })
    .await;
    let asking = stage.asking("/mcp", HANDSHAKE);
    // Each of the two that are there gets one, whichever is first.
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut client = stage.client(&asking).await;
        let (mut server, at) = tokio::select! {
            accepted = stage.upstream.accept() => (accepted.unwrap().0, "first"),
            accepted = other.accept() => (accepted.unwrap().0, "second"),
        };
        open_and_talk(&mut client, &mut server).await;
        open.push((at, client, server));
    }
    assert_ne!(open[0].0, open[1].0);
}
