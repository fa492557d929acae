//! What one caller of a child does to the others who share it, or want one of their own.

use std::time::Duration;

use axum::body::Body;
use entrada_gateway::config::{Transport, UpstreamSettings};
use entrada_gateway::upstream::identity::ForwardedIdentity;
use entrada_gateway::upstream::stdio::ChildMode;
use entrada_gateway::upstream::stdio::child::ChildCommand;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{Method, StatusCode};
use serde_json::json;

use super::stage::{Events, Stage, initialize, request, result, settings, told};

/// MCP 2025-03-26, *Batching*: `initialize` must not be part of one. SDKs answer nothing after a second
/// one until the client says that it is ready, which a child that is shared is not told again.
#[tokio::test]
async fn nobody_opens_a_child_anew_that_others_share() {
    let stage = Stage::new(ChildMode::Shared);
    let (alice, bob) = (stage.user("alice"), stage.user("bob"));
    let (one, two) = (alice.begin().await, bob.begin().await);
    let headers = [("mcp-session-id", &*one)];
    let batch = json!([request("pid", json!({})), initialize()]);
    let refused = alice.with(&headers).post(&batch).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert_eq!(bob.result(&two, "opened").await, json!([{}]));
}

#[tokio::test]
async fn who_ends_a_session_leaves_no_work_to_a_child_that_others_share() {
    let stage = Stage::new(ChildMode::Shared);
    let (alice, bob) = (stage.user("alice"), stage.user("bob"));
    let (one, two) = (alice.begin().await, bob.begin().await);
    let headers = [("mcp-session-id", &*one)];
    tokio::select! {
        _ = alice.ask(&one, "never", json!({})) => panic!("it was answered"),
        // The child has it.
        _ = alice.result(&one, "pid") => {}
    }
    assert_eq!(bob.result(&two, "cancelled").await, json!([]));
    let alices = alice.with(&headers);
    let ended = alices.send(Method::DELETE, Body::empty()).await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    let cancelled = bob.result(&two, "cancelled").await;
    assert_eq!(cancelled.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn one_user_does_not_take_all_of_a_child_that_others_share() {
    let stage = Stage::new(ChildMode::Shared);
    let (alice, bob) = (stage.user("alice"), stage.user("bob"));
    let (one, two) = (alice.begin().await, bob.begin().await);
    let mut asked: FuturesUnordered<_> = (0..257)
        .map(|_| alice.ask(&one, "never", json!({})))
        .collect();
    let busy = asked.next().await.unwrap();
    assert_eq!(told(busy).await.0, 503);
    assert!(bob.result(&two, "pid").await.is_number());
    // What was not asked leaves no stream that waits for its answer.
    let headers = [("mcp-session-id", &*one), ("last-event-id", "257-0")];
    let resumed = alice.with(&headers).send(Method::GET, Body::empty()).await;
    let mut resumed = Events::of(resumed);
    resumed.frame().await.unwrap().unwrap();
    assert!(resumed.frame().await.unwrap().is_err());
}

#[tokio::test]
async fn one_user_has_only_so_many_children_without_sessions() {
    let mut stdio = settings(&[], ChildMode::PerSession);
    stdio.max_sessions = 2;
    stdio.max_children = 3;
    let mut upstream = UpstreamSettings::of(Transport::Stdio(stdio), "/mcp");
    upstream.forward_identity = ForwardedIdentity::parse("roles").unwrap();
    let stage = Stage::with(upstream);
    let mut children = Vec::new();
    // As with clients of different names, each is another caller to a child.
    for caller in ["alice/1", "alice/2", "alice/3", "alice/4"] {
        let answer = stage.stateless(caller).call("pid", json!({})).await;
        children.push(result(answer).await);
        let first = children.len().saturating_sub(2);
        for ended in &children[..first] {
            super::stage::is_gone(ended).await;
        }
    }
    let bobs = stage.stateless("bob").call("pid", json!({})).await;
    assert!(result(bobs).await.is_number());
}

#[tokio::test]
async fn a_child_that_no_longer_reads_keeps_nobody_waiting_for_ever() {
    let stdio = settings(&[], ChildMode::PerSession);
    let mut upstream = UpstreamSettings::of(Transport::Stdio(stdio), "/mcp");
    upstream.response_timeout = Some(Duration::from_secs(3));
    let stage = Stage::with(upstream);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    assert!(alice.result(&session, "deafen").await.is_null());
    let headers = [("mcp-session-id", &*session)];
    let large = json!({"x": "x".repeat(70_000)});
    let told_it = json!({"jsonrpc": "2.0", "method": "notifications/x", "params": large});
    // What the pipe and the queue hold is taken.
    loop {
        let answer = alice.with(&headers).post(&told_it).await;
        if answer.status() != StatusCode::ACCEPTED {
            assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
            break;
        }
    }
}

#[tokio::test]
async fn who_waits_for_a_child_to_start_does_not_wait_for_all_before() {
    let mut stdio = settings(&[], ChildMode::Shared);
    // It neither reads nor says anything.
    stdio.command = ChildCommand::new("/bin/sleep");
    stdio.command.arguments = vec!["1000".to_owned()];
    let mut upstream = UpstreamSettings::of(Transport::Stdio(stdio), "/mcp");
    upstream.response_timeout = Some(Duration::from_secs(1));
    let stage = Stage::with(upstream);
    let (users, first) = (
        ["alice", "bob", "carol"].map(|user| stage.user(user)),
        initialize(),
    );
    // One after the other they would wait longer than this test does.
    let asked = (0..8).flat_map(|_| users.iter().map(|user| user.post(&first)));
    for answer in futures_util::future::join_all(asked).await {
        assert!(answer.status().is_server_error(), "{answer:?}");
    }
}

#[tokio::test]
async fn nobody_makes_others_be_told_that_a_child_has_sessions_alone() {
    for mode in [ChildMode::PerSession, ChildMode::Shared] {
        let stage = Stage::of(settings(&["strict"], mode));
        let headers = [
            ("mcp-protocol-version", "9999-12-31"),
            ("mcp-method", "pid"),
        ];
        let meta = json!({"io.modelcontextprotocol/protocolVersion": "9999-12-31"});
        let asked = request("pid", json!({"_meta": meta}));
        stage.user("mallory").with(&headers).post(&asked).await;
        let answer = stage.stateless("alice").call("pid", json!({})).await;
        assert!(result(answer).await.is_number());
    }
}
