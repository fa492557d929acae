//! A WebSocket lasts no longer than its caller is let in.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::yield_now;

use crate::log::Log;
use crate::stage::{CONFIRMED, HANDSHAKE, Stage, expect, gone, head, told};

/// Passes something each way.
async fn talk(client: &mut TcpStream, server: &mut TcpStream) {
    client.write_all(b"\x82\x84\0\0\0\0ping").await.unwrap();
    expect(server, b"\x82\x84\0\0\0\0ping").await;
    server.write_all(b"\x82\x04pong").await.unwrap();
    expect(client, b"\x82\x04pong").await;
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
    told(&mut client, 1008).await;
    gone(&mut server).await;
    drop(client);
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
    told(&mut client, 1008).await;
    gone(&mut server).await;
}

#[tokio::test]
async fn one_that_a_server_opens_long_after_it_was_asked_for_begins_with_no_token_that_is_over() {
    let stage = Stage::with(|settings| settings.response_timeout = None).await;
    let mut client = stage.client(&stage.asking("/mcp", HANDSHAKE)).await;
    let (mut server, _) = stage.accept().await;
    stage.world.advance(Duration::from_secs(3601 + 60));
    server.write_all(CONFIRMED.as_bytes()).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 101 "));
    // No time goes by but what passes while nothing is left to do, and that is less than until it is looked again.
    let ended = tokio::time::timeout(Duration::from_secs(3), gone(&mut server));
    ended.await.unwrap();
    told(&mut client, 1008).await;
}

#[tokio::test]
async fn one_that_is_open_holds_a_place_among_its_users_requests_until_its_end() {
    let stage = Stage::with(|settings| settings.max_concurrent_requests = Some(2)).await;
    let (client, server) = stage.open().await;
    let (_other, _others) = stage.open().await;
    let asking = stage.asking("/mcp", HANDSHAKE);
    let refused = stage.refused(&asking).await;
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    let plain = stage.refused(&stage.asking("/mcp", "")).await;
    assert!(plain.starts_with("HTTP/1.1 429 "), "{plain}");
    drop((client, server));
    // That it ended is noticed a moment later.
    loop {
        let mut again = stage.client(&asking).await;
        let (stream, _) = tokio::select! {
            answer = head(&mut again) => {
                assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
                yield_now().await;
                continue;
            }
            accepted = stage.upstream.accept() => accepted.unwrap(),
        };
        drop(stream);
        break;
    }
}
