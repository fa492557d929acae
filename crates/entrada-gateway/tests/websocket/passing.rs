//! What is said in a WebSocket arrives as it was said.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::{JoinSet, yield_now};

use crate::log::Log;
use crate::stage::{CONFIRMED, HANDSHAKE, Stage, expect, gone, head, told};

/// Bytes that are neither text nor a frame.
const BYTES: &[u8] = b"\x81\x05hello\0\xff\xfe\r\n\r\nGET / HTTP/1.1\r\n\r\n";

#[tokio::test]
async fn a_websocket_is_opened_at_the_server_and_bytes_go_both_ways_unread() {
    let stage = Stage::new().await;
    let offers = "sec-websocket-protocol: mcp, other\r\n\
                  sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n";
    let request = stage.asking("/mcp/below?room=1", &format!("{HANDSHAKE}{offers}"));
    let mut client = stage.client(&request).await;
    let (mut server, asked) = stage.accept().await;
    for line in [
        "get /mcp/below?room=1 HTTP/1.1",
        "upgrade: websocket",
        "connection: upgrade",
        "sec-websocket-key: dghlihnhbxbszsbub25jzq==",
        "sec-websocket-version: 13",
        "sec-websocket-protocol: mcp, other",
        "sec-websocket-extensions: permessage-deflate; client_max_window_bits",
    ] {
        assert!(asked.lines().any(|asked| asked == line), "{line}: {asked}");
    }
    assert!(!asked.contains("authorization: "), "{asked}");
    assert!(asked.contains("\r\nx-entrada-assertion: ey"), "{asked}");

    let chosen = CONFIRMED.replace("\r\n\r\n", "\r\nsec-websocket-protocol: mcp\r\n\r\n");
    server.write_all(chosen.as_bytes()).await.unwrap();
    let answer = head(&mut client).await;
    for line in [
        "HTTP/1.1 101 switching protocols",
        "upgrade: websocket",
        "connection: upgrade",
        "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
        "sec-websocket-protocol: mcp",
    ] {
        assert!(
            answer.lines().any(|found| found == line),
            "{line}: {answer}"
        );
    }
    client.write_all(BYTES).await.unwrap();
    expect(&mut server, BYTES).await;
    server.write_all(BYTES).await.unwrap();
    expect(&mut client, BYTES).await;

    // Who has said all may still be told something.
    client.shutdown().await.unwrap();
    gone(&mut server).await;
    server.write_all(b"last").await.unwrap();
    expect(&mut client, b"last").await;
    drop(server);
    gone(&mut client).await;
}

#[tokio::test]
async fn what_a_server_says_with_its_answer_is_not_lost() {
    let stage = Stage::new().await;
    let mut client = stage.client(&stage.asking("/mcp", HANDSHAKE)).await;
    let (mut server, _) = stage.accept().await;
    let at_once = [CONFIRMED.as_bytes(), BYTES].concat();
    server.write_all(&at_once).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 101 "));
    expect(&mut client, BYTES).await;
}

#[tokio::test]
async fn when_one_end_is_reset_the_other_is_gone() {
    let stage = Stage::new().await;
    for server_leaves in [true, false] {
        let (client, server) = stage.open().await;
        let (leaving, mut left) = if server_leaves {
            (server, client)
        } else {
            (client, server)
        };
        leaving.set_zero_linger().unwrap();
        drop(leaving);
        gone(&mut left).await;
    }
}

/// More than sockets on one machine hold.
const HELD: usize = 24 << 20;

#[tokio::test]
async fn for_an_end_that_does_not_read_no_more_is_held_than_sockets_do() {
    let stage = Stage::new().await;
    for client_reads in [true, false] {
        let (client, server) = stage.open().await;
        let (mut sending, mut reading) = if client_reads {
            (server, client)
        } else {
            (client, server)
        };
        let sent = Arc::new(AtomicUsize::new(0));
        let (counted, mut tasks) = (Arc::clone(&sent), JoinSet::new());
        tasks.spawn(async move {
            let chunk = vec![b'x'; 64 << 10];
            while counted.load(Ordering::Relaxed) < 2 * HELD {
                sending.write_all(&chunk).await.unwrap();
                counted.fetch_add(chunk.len(), Ordering::Relaxed);
            }
        });
        until_still(&sent).await;
        assert!(sent.load(Ordering::Relaxed) < HELD, "{sent:?}");
        let mut seen = Vec::new();
        reading.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen.len(), 2 * HELD);
    }
}

/// Waits until `count` has begun, and grows no more however often all others have had their turn.
async fn until_still(count: &AtomicUsize) {
    let mut seen = (0, 0);
    while seen.0 == 0 || seen.1 < 10_000 {
        yield_now().await;
        let now = count.load(Ordering::Relaxed);
        seen = if now == seen.0 {
            (now, seen.1 + 1)
        } else {
            (now, 0)
        };
    }
}

#[tokio::test]
async fn what_a_server_answers_instead_is_its_own_and_the_connection_goes_on() {
    let stage = Stage::new().await;
    let mut client = stage.client(&stage.asking("/mcp", HANDSHAKE)).await;
    for status in ["404 not found", "200 ok"] {
        let (mut server, _) = stage.accept().await;
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 4\r\n\r\nelse");
        server.write_all(answer.as_bytes()).await.unwrap();
        let answer = head(&mut client).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{answer}"
        );
        assert!(!answer.contains("upgrade"), "{answer}");
        expect(&mut client, b"else").await;
        let again = stage.asking("/mcp", "");
        client.write_all(again.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn it_is_in_the_log_once_at_its_end() {
    let stage = Stage::new().await;
    let (log, _guard) = Log::begin();
    let lines = || -> Vec<String> {
        let text = log.text();
        let lines = text.lines().filter(|line| line.contains("outcome="));
        lines.map(str::to_owned).collect()
    };
    let (mut client, mut server) = stage.open().await;
    server.write_all(b"twelve bytes").await.unwrap();
    expect(&mut client, b"twelve bytes").await;
    assert_eq!(lines().len(), 0);
    drop(server);
    gone(&mut client).await;
    drop(client);
    while lines().is_empty() {
        yield_now().await;
    }
    let [line] = &*lines() else {
        panic!("{:?}", lines());
    };
    for said in [
        "outcome=\"websocket closed\"",
        "status=101",
        "bytes=12",
        "path=\"/mcp\"",
        "object_id=",
    ] {
        assert!(line.contains(said), "{said}: {line}");
    }
}

#[tokio::test]
async fn it_goes_on_while_the_gateway_stops_and_its_client_is_told_at_the_limit() {
    let mut stage = Stage::new().await;
    let (log, _guard) = Log::begin();
    let (mut client, mut server) = stage.open().await;
    stage.stop.cancel();
    while tokio::net::TcpStream::connect(stage.address).await.is_ok() {
        yield_now().await;
    }
    client.write_all(b"still here").await.unwrap();
    expect(&mut server, b"still here").await;
    told(&mut client, 1001).await;
    gone(&mut server).await;
    drop(client);
    stage.serving.join_next().await.unwrap().unwrap();
    let text = log.text();
    assert!(text.contains("waiting up to 200ms for 1 request"), "{text}");
    assert!(
        text.contains("outcome=\"cut off while stopping\""),
        "{text}"
    );
}
