//! Attacks by way of a WebSocket, and what opens none.

use std::time::Duration;

use entrada_gateway::policy::{Pattern, Rule};
use entrada_gateway::rate::Rate;
use entrada_gateway::upstream::exchange::Exchange;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::log::Log;
use crate::mcp_server::claims_of;
use crate::prover::Prover;
use crate::stage::{CONFIRMED, HANDSHAKE, Stage, expect, gone, head};

#[tokio::test]
async fn a_token_counts_in_its_header_alone() {
    let stage = Stage::new().await;
    let token = &stage.session.access_token;
    for (path, lines) in [
        ("/mcp", String::new()),
        (&*format!("/mcp?access_token={token}"), String::new()),
        (
            "/mcp",
            format!("sec-websocket-protocol: bearer, {token}\r\n"),
        ),
        ("/mcp", format!("cookie: access_token={token}\r\n")),
        ("/mcp", "authorization: Bearer garbage\r\n".to_owned()),
    ] {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: mcp.example.com\r\n{lines}{HANDSHAKE}\r\n");
        let answer = stage.refused(&request).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(answer.contains("www-authenticate: bearer "), "{answer}");
    }
}

/// Whatever proves who a user is, a page of a stranger must not speak in their name.
#[tokio::test]
async fn a_page_of_a_stranger_opens_nothing() {
    let stage = Stage::new().await;
    let lines = format!("origin: https://evil.example\r\n{HANDSHAKE}");
    let answer = stage.refused(&stage.asking("/mcp", &lines)).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[tokio::test]
async fn a_handshake_that_is_none_reaches_no_server() {
    let stage = Stage::new().await;
    for (from, to, status) in [
        ("version: 13", "version: 8", "426 "),
        ("dGhlIHNhbXBsZSBub25jZQ==", "short", "400 "),
        ("connection: Upgrade", "connection: keep-alive", "400 "),
    ] {
        let lines = HANDSHAKE.replace(from, to);
        assert_ne!(lines, HANDSHAKE);
        let answer = stage.refused(&stage.asking("/mcp", &lines)).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        let told = answer.contains("\r\nsec-websocket-version: 13\r\n");
        assert_eq!(told, status == "426 ", "{answer}");
    }
    let full = format!("{HANDSHAKE}content-length: 5\r\n");
    let whole = stage.asking("/mcp", HANDSHAKE);
    for request in [
        format!("{}hello", stage.asking("/mcp", &full)),
        whole.replacen("GET ", "POST ", 1),
        whole.replacen("HTTP/1.1", "HTTP/1.0", 1),
    ] {
        let answer = stage.refused(&request).await;
        assert!(answer.contains(" 400 "), "{answer}");
    }
}

#[tokio::test]
async fn a_server_that_shows_not_to_have_read_the_key_opens_nothing() {
    let stage = Stage::new().await;
    for (from, to) in [
        (
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ),
        ("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", ""),
        ("upgrade: websocket", "upgrade: h2c"),
        ("connection: Upgrade", "connection: keep-alive"),
        (
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-accept: x",
        ),
    ] {
        let mut client = stage.client(&stage.asking("/mcp", HANDSHAKE)).await;
        let (mut server, _) = stage.accept().await;
        let wrong = CONFIRMED.replace(from, to);
        assert_ne!(wrong, CONFIRMED);
        server.write_all(wrong.as_bytes()).await.unwrap();
        let answer = head(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{to}: {answer}");
        gone(&mut server).await;
    }
}

/// What is asked for besides is not asked of the server, so nobody can take what follows for it.
#[tokio::test]
async fn no_other_protocol_is_asked_for_and_none_is_believed() {
    let stage = Stage::new().await;
    let h2c = "upgrade: h2c\r\nconnection: Upgrade, HTTP2-Settings\r\nhttp2-settings: AAMAAABk\r\n";
    for lines in [h2c, "upgrade: h2c\r\n", ""] {
        let mut client = stage.client(&stage.asking("/mcp", lines)).await;
        let (mut server, asked) = stage.accept().await;
        for field in ["upgrade:", "http2-settings:", "connection:"] {
            assert!(!asked.contains(field), "{asked}");
        }
        server.write_all(CONFIRMED.as_bytes()).await.unwrap();
        let answer = head(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    }
}

#[tokio::test]
async fn where_they_are_off_none_is_asked_for() {
    let stage = Stage::with(|settings| settings.websocket = false).await;
    let mut client = stage.client(&stage.asking("/mcp", HANDSHAKE)).await;
    let (mut server, asked) = stage.accept().await;
    assert!(!asked.contains("upgrade"), "{asked}");
    server.write_all(CONFIRMED.as_bytes()).await.unwrap();
    let answer = head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
}

/// What a client sends before it knows what it speaks must not be a request that nobody looked at.
#[tokio::test]
async fn what_follows_the_handshake_at_once_reaches_the_server_after_its_answer() {
    let stage = Stage::new().await;
    let smuggled = "GET /admin HTTP/1.1\r\nhost: upstream\r\nx-entrada-assertion: forged\r\n\r\n";
    let text = format!("{}{smuggled}", stage.asking("/mcp", HANDSHAKE));
    let mut client = stage.client(&text).await;
    let (mut server, asked) = stage.accept().await;
    assert!(!asked.contains("forged"), "{asked}");
    for _ in 0..1000 {
        tokio::task::yield_now().await;
        let early = server.try_read(&mut [0; 1]);
        assert_eq!(early.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
    server.write_all(CONFIRMED.as_bytes()).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 101 "));
    expect(&mut server, smuggled.as_bytes()).await;
}

/// Where no WebSocket is opened, it is the client's next request, and is looked at as such.
#[tokio::test]
async fn what_follows_a_handshake_that_failed_is_a_request_like_any() {
    let stage = Stage::new().await;
    let next = "GET /mcp HTTP/1.1\r\nhost: mcp.example.com\r\n\r\n";
    let text = format!("{}{next}", stage.asking("/mcp", HANDSHAKE));
    let mut client = stage.client(&text).await;
    let (mut server, _) = stage.accept().await;
    // It goes on to say more than it has announced.
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let more = format!("{answer}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged");
    server.write_all(more.as_bytes()).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
    expect(&mut client, b"ok").await;
    let refused = head(&mut client).await;
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    // Nobody else's handshake goes where that was said, nor where all was in order.
    gone(&mut server).await;
    let mut before = None;
    for _ in 0..2 {
        let mut other = stage.client(&stage.asking("/mcp", HANDSHAKE)).await;
        let (mut server, _) = tokio::select! {
            accepted = stage.accept() => accepted,
            () = asked_again(before) => panic!("it came on a connection that was another's"),
        };
        server.write_all(answer.as_bytes()).await.unwrap();
        assert!(head(&mut other).await.starts_with("HTTP/1.1 200 "));
        expect(&mut other, b"ok").await;
        before = Some(server);
    }
}

/// Waits until another request comes on a connection to the server, for ever if none does.
async fn asked_again(connection: Option<TcpStream>) {
    if let Some(mut connection) = connection
        && connection.read_u8().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Nobody reads what is said in it, so whoever may call some things only would call all.
#[tokio::test]
async fn no_rule_is_gone_round_by_a_websocket() {
    let stage = Stage::with(|settings| {
        let mut rule = Rule::new("rules:1");
        rule.tools = vec![Pattern::parse("open").unwrap()];
        settings.policy.rules = vec![rule];
    })
    .await;
    let answer = stage.refused(&stage.asking("/mcp", HANDSHAKE)).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

/// What is asked by GET once, a thief of the token cannot ask.
#[tokio::test]
async fn one_is_opened_with_a_bound_token_by_a_proof_that_was_made_for_it_and_counts_once() {
    let (stage, prover) = (Stage::new().await, Prover::new());
    let token = prover.log_in(&stage.world, "alice").await.access_token;
    let proof = |method: &str| {
        let mut claims = Prover::claims_for_call(&stage.world, &token);
        claims["htm"] = method.into();
        prover.sign(&prover.header(), &claims)
    };
    let asking = |scheme: &str, proof: Option<&str>| {
        let proof = proof.map_or(String::new(), |proof| format!("dpop: {proof}\r\n"));
        format!(
            "GET /mcp HTTP/1.1\r\nhost: mcp.example.com\r\nauthorization: {scheme} {token}\r\n{proof}{HANDSHAKE}\r\n"
        )
    };
    let good = asking("DPoP", Some(&proof("GET")));
    for request in [
        asking("Bearer", None),
        asking("DPoP", None),
        asking("DPoP", Some(&proof("POST"))),
        asking("Bearer", Some(&proof("GET"))),
    ] {
        let answer = stage.refused(&request).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
    let mut client = stage.client(&good).await;
    let (mut server, asked) = stage.accept().await;
    assert!(!asked.contains("\r\ndpop: "), "{asked}");
    server.write_all(CONFIRMED.as_bytes()).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 101 "));
    let replayed = stage.refused(&good).await;
    assert!(replayed.starts_with("HTTP/1.1 401 "), "{replayed}");
    assert!(replayed.contains("invalid_dpop_proof"), "{replayed}");
}

/// As with any request: the server's own token, or none.
#[tokio::test]
async fn the_server_gets_a_token_for_itself_at_the_opening_and_never_the_callers() {
    const USER_READ: &str = "https://graph.microsoft.com/User.Read";
    let stage = Stage::with(|settings| {
        settings.exchange = Some(Exchange::new(USER_READ).unwrap());
    })
    .await;
    let _client = stage.client(&stage.asking("/mcp", HANDSHAKE)).await;
    let (_server, asked) = stage.accept_as_it_is().await;
    assert!(asked.contains("\r\nupgrade: websocket\r\n"), "{asked}");
    let tokens: Vec<_> = asked
        .lines()
        .filter_map(|line| line.strip_prefix("authorization: Bearer "))
        .collect();
    let [token] = tokens[..] else {
        panic!("{asked}");
    };
    assert_eq!(claims_of(token)["oid"], entra_emulator::builtin::ALICE_OID);
    assert!(!asked.contains(&stage.session.access_token));
    // Where there is none for the user, the server is not asked.
    let none = Stage::with(|settings| {
        settings.exchange =
            Some(Exchange::new("https://graph.microsoft.com/Nothing.Read").unwrap());
    })
    .await;
    let refused = none.refused(&none.asking("/mcp", HANDSHAKE)).await;
    assert!(!refused.starts_with("HTTP/1.1 101 "), "{refused}");
}

#[tokio::test]
async fn an_opening_counts_as_a_request_of_its_user() {
    let stage = Stage::with(|settings| {
        settings.rates.user = Some(Rate::new(1, Duration::from_secs(60)));
    })
    .await;
    let open = stage.open().await;
    let answer = stage.refused(&stage.asking("/mcp", HANDSHAKE)).await;
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    drop(open);
}

/// RFC 8441 is not spoken: clients see that in our settings, and go by HTTP/1.1.
#[tokio::test]
async fn over_http2_none_is_offered() {
    let stage = Stage::new().await;
    let none: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    let hello = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", none].concat();
    let mut client = stage.client(str::from_utf8(&hello).unwrap()).await;
    let mut frame = [0; 9];
    client.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3], 4, "settings come first");
    let mut settings = vec![0; usize::from(frame[2])];
    client.read_exact(&mut settings).await.unwrap();
    let enable_connect_protocol = |setting: &[u8]| setting[1] == 8;
    assert!(!settings.chunks(6).any(enable_connect_protocol));
}

/// Who looks for what went wrong must know where to look.
#[tokio::test]
async fn the_log_tells_a_refusal_of_the_servers_from_one_of_ours() {
    let stage = Stage::new().await;
    let (log, _guard) = Log::begin();
    let without_key = HANDSHAKE.replace("dGhlIHNhbXBsZSBub25jZQ==", "short");
    let ours = stage.asking("/mcp", &format!("x-correlation-id: ours\r\n{without_key}"));
    assert!(stage.refused(&ours).await.starts_with("HTTP/1.1 400 "));
    for (id, status) in [("theirs", "403 Forbidden"), ("broken", "500 Trouble")] {
        let lines = format!("x-correlation-id: {id}\r\n{HANDSHAKE}");
        let mut client = stage.client(&stage.asking("/mcp", &lines)).await;
        let (mut server, _) = stage.accept().await;
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        server.write_all(answer.as_bytes()).await.unwrap();
        assert!(
            head(&mut client)
                .await
                .contains(&status.to_ascii_lowercase())
        );
    }
    let mut client = stage
        .client(&stage.asking("/mcp", &format!("x-correlation-id: lost\r\n{HANDSHAKE}")))
        .await;
    drop(stage.accept().await);
    assert!(head(&mut client).await.starts_with("HTTP/1.1 502 "));
    for (id, outcome) in [
        ("ours", "refused"),
        ("theirs", "upstream refused"),
        ("broken", "upstream failed"),
        ("lost", "failed"),
    ] {
        let said = format!("outcome={outcome:?}");
        loop {
            let text = log.text();
            let of_id = |line: &&str| line.contains(&format!("correlation_id={id} "));
            let mut lines = text.lines().filter(of_id);
            if let Some(line) = lines.find(|line| line.contains("outcome=")) {
                assert!(line.contains(&said), "{line}");
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}
