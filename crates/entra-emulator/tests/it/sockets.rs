use std::net::SocketAddr;
use std::sync::Arc;

use entra_emulator::{Emulator, Endpoint, Failure, Listen, Options, ServeError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const PATH: &str = "/contoso.onmicrosoft.com/v2.0/.well-known/openid-configuration";

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, host: &str) -> String {
    let request = format!("GET {PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server may close without saying goodbye.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

fn both() -> Listen {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    Listen {
        http: Some(free),
        https: Some(free),
    }
}

#[tokio::test]
async fn each_listener_says_where_it_is() {
    let emulator = Emulator::new(Options::default());
    let running = emulator.serve(both()).await.unwrap();
    let http = running.http_url().unwrap();
    let address = http.socket_addrs(|| None).unwrap()[0];
    for (host, wanted) in [
        (address.to_string(), address.to_string()),
        (
            format!("localhost:{}", address.port()),
            format!("localhost:{}", address.port()),
        ),
        ("evil.example".to_owned(), address.to_string()),
    ] {
        let answer = ask(TcpStream::connect(address).await.unwrap(), &host).await;
        let issuer = format!("\"issuer\":\"http://{wanted}/");
        assert!(answer.contains(&issuer), "{host} {answer}");
    }

    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(running.ca_pem().unwrap().as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let address: SocketAddr = running.authority_host().parse().unwrap();
    for name in ["localhost", "127.0.0.1"] {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(name).unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        let answer = ask(stream, running.authority_host()).await;
        let issuer = format!("\"issuer\":\"https://{}/", running.authority_host());
        assert!(answer.contains(&issuer), "{answer}");
    }
    running.shutdown().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_dropped_connection_answers_nothing() {
    let emulator = Emulator::new(Options::default());
    let running = emulator.serve(Listen::http()).await.unwrap();
    let address = running.http_url().unwrap().socket_addrs(|| None).unwrap()[0];
    emulator
        .control()
        .fail_next(Endpoint::Discovery, 1, Failure::Drop);
    let answer = ask(TcpStream::connect(address).await.unwrap(), "x").await;
    assert_eq!(answer, "");
    let answer = ask(TcpStream::connect(address).await.unwrap(), "x").await;
    assert!(answer.starts_with("HTTP/1.1 200"));
    drop(running);
}

#[tokio::test]
async fn listening_nowhere_is_a_mistake() {
    let emulator = Emulator::new(Options::default());
    let refused = emulator
        .serve(Listen {
            http: None,
            https: None,
        })
        .await;
    assert!(matches!(refused, Err(ServeError::NoAddress)));
}
