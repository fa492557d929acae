//! A WebSocket lasts no longer than its caller is let in.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::yield_now;

use crate::log::Log;
use crate::stage::{Stage, expect, gone};

/// Passes something each way.
async fn talk(client: &mut TcpStream, server: &mut TcpStream) {
    client.write_all(b"ping").await.unwrap();
    expect(server, b"ping").await;
    server.write_all(b"pong").await.unwrap();
    expect(client, b"pong").await;
}

#[tokio::test]
async fn one_whose_grant_is_revoked_ends_and_others_go_on() {
    let mut stage = Stage::new().await;
    let (log, _guard) = Log::begin();
    let (mut client, mut server) = stage.open().await;
    talk(&mut client, &mut server).await;
    let revoking = stage.session.client.clone();
    let token = stage.session.refresh_token.clone();
    stage.session = stage.world.log_in("bob").await;
    let (mut other, mut others) = stage.open().await;
    let revoked = revoking.revoke(&token).await;
    assert_eq!(revoked.status, 200);
    stage.world.advance(Duration::from_secs(11));
    // Nothing is left to do but to let time pass.
    tokio::time::pause();
    gone(&mut client).await;
    gone(&mut server).await;
    talk(&mut other, &mut others).await;
    while !log.text().contains("outcome=\"token ended\"") {
        yield_now().await;
    }
    let text = log.text();
    assert!(
        text.contains("the grant behind the token has ended"),
        "{text}"
    );
}

#[tokio::test]
async fn one_whose_token_expires_ends() {
    let stage = Stage::new().await;
    let (mut client, mut server) = stage.open().await;
    talk(&mut client, &mut server).await;
    // The grant stands, and has newer tokens.
    stage.session.refreshed().await;
    stage.world.advance(Duration::from_secs(3601));
    tokio::time::pause();
    gone(&mut client).await;
    gone(&mut server).await;
}
