//! A server behind TLS.

use axum::body::Body;
use entra_emulator::{Emulator, Listen, Options, Running};
use entrada_gateway::config::UpstreamSettings;
use http::{Request, StatusCode};

use crate::gateway::Gateway;

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
