//! What callers try on each other, and on us, by way of a child.

use axum::body::Body;
use entrada_gateway::config::{Transport, UpstreamSettings};
use entrada_gateway::upstream::stdio::ChildMode;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::stage::{Events, Stage, initialize, request, result, settings, text, told};

#[tokio::test]
async fn a_session_with_a_child_is_its_users_alone() {
    for mode in [ChildMode::PerSession, ChildMode::Shared] {
        let stage = Stage::new(mode);
        let (alice, bob) = (stage.user("alice"), stage.user("bob"));
        let session = alice.begin().await;
        // Long enough that nobody guesses another.
        assert!(session.len() >= 32, "{session}");
        assert_ne!(alice.begin().await, session);
        let headers = [("mcp-session-id", &*session)];
        let stolen = bob.ask(&session, "pid", json!({})).await;
        assert_eq!(stolen.status(), StatusCode::NOT_FOUND);
        for method in [Method::GET, Method::DELETE] {
            let stolen = bob.with(&headers).send(method, Body::empty()).await;
            assert_eq!(stolen.status(), StatusCode::NOT_FOUND);
        }
        assert!(alice.result(&session, "pid").await.is_number());
    }
}

#[tokio::test]
async fn callers_of_one_child_hear_nothing_of_each_other() {
    let stage = Stage::new(ChildMode::Shared);
    let (alice, bob) = (stage.user("alice"), stage.user("bob"));
    let (one, two) = (alice.begin().await, bob.begin().await);
    let headers = [("mcp-session-id", &*two)];
    let mut bobs = Events::of(bob.with(&headers).send(Method::GET, Body::empty()).await);
    // The same ids and tokens at the same time, of many requests.
    let params = |whose: &str| json!({"whose": whose, "_meta": {"progressToken": 1}});
    let asked = (0..8).map(|_| async {
        let (alices, bobs) = tokio::join!(
            alice.ask(&one, "echo", params("alice")),
            bob.ask(&two, "echo", params("bob"))
        );
        (result(alices).await, result(bobs).await)
    });
    for (alices, bobs) in futures_util::future::join_all(asked).await {
        assert_eq!(
            (&alices["whose"], &bobs["whose"]),
            (&json!("alice"), &json!("bob"))
        );
    }
    // What the child says to nobody in particular, it may say of alice.
    let shouted = alice.ask(&one, "shout", json!({"text": "alice's"})).await;
    assert!(result(shouted).await.is_null());
    let (_, heard) = bobs.next().await.unwrap();
    assert_eq!(
        heard,
        json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    );
    // It asks nobody, for it could not know whom.
    let refused: Value =
        serde_json::from_str(&text(alice.ask(&one, "what", json!({})).await).await).unwrap();
    assert_eq!(refused["id"], 1);
}

#[tokio::test]
async fn nobody_cancels_what_another_asked() {
    let stage = Stage::new(ChildMode::Shared);
    let (alice, bob) = (stage.user("alice"), stage.user("bob"));
    let (one, two) = (alice.begin().await, bob.begin().await);
    let alices = [("mcp-session-id", &*one)];
    let bobs = [("mcp-session-id", &*two)];
    let never = json!({"jsonrpc": "2.0", "id": 5, "method": "never"});
    let asking = alice.with(&alices);
    tokio::select! {
        _ = asking.post(&never) => panic!("it was ended"),
        () = async {
            assert_eq!(alice.result(&one, "cancelled").await, json!([]));
            // Neither by her id nor by any number the child may know it by.
            for id in 0..20 {
                let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
                bob.with(&bobs).post(&cancel).await;
            }
            assert_eq!(bob.result(&two, "cancelled").await, json!([]));
        } => {}
    }
}

#[tokio::test]
async fn a_message_without_end_takes_no_memory_and_keeps_nobody_waiting() {
    let mut stdio = settings(&[], ChildMode::PerSession);
    stdio.message_limit = 4096;
    let stage = Stage::of(stdio);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    let huge = alice
        .ask(&session, "huge", json!({"size": 50_000_000}))
        .await;
    assert_eq!(told(huge).await.0, 502);
    // The child itself goes on.
    assert!(alice.result(&session, "pid").await.is_number());
}

#[tokio::test]
async fn a_body_without_end_is_refused_before_a_child_sees_it() {
    let stdio = settings(&[], ChildMode::PerSession);
    let mut upstream = UpstreamSettings::of(Transport::Stdio(stdio), "/mcp");
    upstream.body_limit = 1000;
    let stage = Stage::with(upstream);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    let large = alice
        .ask(&session, "echo", json!({"x": "x".repeat(1000)}))
        .await;
    assert_eq!(
        told(large).await,
        (413, "the request is too large\n".to_owned())
    );
}

/// They are remembered, tokens beyond the answer.
#[tokio::test]
async fn ids_and_progress_tokens_without_end_are_refused() {
    let stage = Stage::new(ChildMode::PerSession);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    let headers = [("mcp-session-id", &*session)];
    for (length, expected) in [(1000, StatusCode::OK), (2000, StatusCode::BAD_REQUEST)] {
        let long = "x".repeat(length);
        let token = json!({"_meta": {"progressToken": long}});
        let named = json!({"jsonrpc": "2.0", "id": long, "method": "pid"});
        for message in [named, request("pid", token)] {
            let answer = alice.with(&headers).post(&message).await;
            assert_eq!(answer.status(), expected);
        }
    }
}

#[tokio::test]
async fn one_user_has_only_so_many_sessions_and_all_have_only_so_many_children() {
    let mut stdio = settings(&[], ChildMode::PerSession);
    stdio.max_sessions = 2;
    stdio.max_children = 3;
    let stage = Stage::of(stdio);
    let (alice, bob, carol) = (stage.user("alice"), stage.user("bob"), stage.user("carol"));
    let bobs = bob.begin().await;
    let mut alices = Vec::new();
    for _ in 0..2 {
        alices.push(alice.begin().await);
    }
    let full = carol.post(&initialize()).await;
    assert_eq!(full.headers()["retry-after"], "10");
    let (status, text) = told(full).await;
    assert_eq!(
        (status, &*text),
        (
            503,
            "all 3 processes of the upstream are in use: try again later\n"
        )
    );
    // Whoever wants more than their share loses what is theirs, and nobody else does.
    assert!(bob.result(&bobs, "pid").await.is_number());
    let listening: Vec<_> = alices
        .iter()
        .map(|session| [("mcp-session-id", &**session)])
        .collect();
    let mut streams = Vec::new();
    for headers in &listening {
        streams.push(alice.with(headers).send(Method::GET, Body::empty()).await);
    }
    let in_use = alice.post(&initialize()).await;
    assert_eq!(in_use.status(), StatusCode::SERVICE_UNAVAILABLE);
    streams.pop();
    // The child of the session that makes room may still be ending.
    let ended = &alices[1];
    alice.post(&initialize()).await;
    assert_eq!(
        alice.ask(ended, "pid", json!({})).await.status(),
        StatusCode::NOT_FOUND
    );
    assert!(alice.result(&alices[0], "pid").await.is_number());
    assert!(bob.result(&bobs, "pid").await.is_number());
}

#[tokio::test]
async fn two_messages_in_one_never_reach_a_child() {
    let stage = Stage::new(ChildMode::PerSession);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    let headers = [("mcp-session-id", &*session)];
    let inner = request("echo", json!({"smuggled": true})).to_string();
    for body in [
        format!("{}\n{inner}", request("pid", json!({}))),
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"pid\",\"method\":\"echo\"}".to_owned(),
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{\"a\":\"\n\"}}".to_owned(),
    ] {
        let refused = alice.with(&headers).send(Method::POST, body).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    }
    // White space between values may hold a line's end, and does not end the message.
    let spread = "{\"jsonrpc\":\"2.0\",\r\n\"id\":1,\n\"method\":\"echo\",\"params\":{\"a\":\n1}}";
    let spread = alice.with(&headers).send(Method::POST, spread).await;
    assert_eq!(result(spread).await, json!({"a": 1}));
}
