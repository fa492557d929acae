//! Children that end, and what ends them.

use std::time::Duration;

use entrada_gateway::config::{Transport, UpstreamSettings};
use entrada_gateway::upstream::stdio::child::ChildCommand;
use entrada_gateway::upstream::stdio::{ChildMode, StdioSettings};
use http::StatusCode;
use serde_json::json;

use crate::log::Log;

use super::stage::{Events, Stage, initialize, is_gone, lives, result, settings, told};

#[tokio::test]
async fn a_child_that_dies_breaks_the_stream_and_is_started_again() {
    let stage = Stage::new(ChildMode::PerSession);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    let pid = alice.result(&session, "pid").await;
    let params = json!({"_meta": {"progressToken": 7}});
    let mut events = Events::of(alice.ask(&session, "die", params).await);
    events.next().await.unwrap();
    assert!(events.frame().await.unwrap().is_err());
    // The session goes on with another, which was told what the first one was.
    let next = alice.result(&session, "pid").await;
    assert_ne!(next, pid);
    // Without an event before it, the answer itself says so; and it is no JSON-RPC.
    let (status, text) = told(alice.ask(&session, "die", json!({})).await).await;
    assert_eq!(
        (status, text.starts_with("the upstream stopped")),
        (502, true),
        "{text}"
    );
    // It has stopped twice in a row.
    let response = alice.ask(&session, "pid", json!({})).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_bad_gateway() {
    let mut stdio = settings(&[], ChildMode::PerSession);
    stdio.command = ChildCommand::new("/nowhere/at/all");
    let stage = Stage::of(stdio);
    let response = stage.user("alice").post(&initialize()).await;
    assert!(!response.headers().contains_key("mcp-session-id"));
    let (status, text) = told(response).await;
    assert_eq!((status, &*text), (502, "the upstream cannot be started\n"));
}

#[tokio::test]
async fn how_a_child_ended_and_why_none_was_started_is_logged() {
    for (script, said) in [
        ("raise SystemExit(3)", "status=exit status: 3"),
        (
            "import os; os.kill(os.getpid(), 9)",
            "status=signal: 9 (SIGKILL)",
        ),
    ] {
        let mut stdio = settings(&[], ChildMode::PerSession);
        stdio.command.arguments = vec!["-c".to_owned(), script.to_owned()];
        let log = logged_at(stdio).await;
        let ended = log.lines().find(|line| line.contains("has ended"));
        let ended = ended.unwrap_or_else(|| panic!("{log}"));
        assert!(ended.contains("by_itself=true"), "{ended}");
        assert!(ended.contains(said), "{ended}");
    }
    let mut stdio = settings(&[], ChildMode::PerSession);
    stdio.command = ChildCommand::new("/nowhere/at/all");
    let log = logged_at(stdio).await;
    let said = "the upstream cannot be started: No such file or directory";
    assert!(log.contains(said), "{log}");
}

/// What is logged of a server that comes to answer nothing.
async fn logged_at(stdio: StdioSettings) -> String {
    let log = Log::default();
    let lines = tracing_subscriber::fmt().with_writer(log.writer());
    let _guard = tracing::subscriber::set_default(lines.with_ansi(false).finish());
    let stage = Stage::of(stdio);
    let response = stage.user("alice").post(&initialize()).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    stage.server.close().await;
    log.text()
}

#[tokio::test]
async fn a_child_that_does_not_answer_is_waited_for_so_long() {
    let stdio = settings(&["mute"], ChildMode::PerSession);
    let mut upstream = UpstreamSettings::of(Transport::Stdio(stdio), "/mcp");
    upstream.response_timeout = Some(Duration::from_secs(2));
    let stage = Stage::with(upstream);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    let (status, text) = told(alice.ask(&session, "never", json!({})).await).await;
    assert_eq!(
        (status, &*text),
        (504, "the upstream did not answer in time\n")
    );
    // It was told.
    let cancelled = alice.result(&session, "cancelled").await;
    assert_eq!(cancelled.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_no_message_is_passed_over() {
    let stage = Stage::new(ChildMode::PerSession);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    assert_eq!(alice.result(&session, "garbage").await, "after the garbage");
    assert!(alice.result(&session, "mutter").await.is_null());
}

#[tokio::test]
async fn closing_ends_every_child_and_what_it_started() {
    let stage = Stage::new(ChildMode::PerSession);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    let pid = alice.result(&session, "pid").await;
    let grandchild = alice.result(&session, "grandchild").await;
    let stateless = result(stage.stateless("alice").call("pid", json!({})).await).await;
    assert!(lives(&pid) && lives(&grandchild) && lives(&stateless));
    stage.server.close().await;
    assert!(!lives(&pid) && !lives(&stateless));
    is_gone(&grandchild).await;
    let refused = alice.post(&initialize()).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_child_that_would_not_go_is_made_to() {
    let stage = Stage::new(ChildMode::PerSession);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    let pid = alice.result(&session, "pid").await;
    assert_eq!(alice.result(&session, "stubborn").await, true);
    stage.server.close().await;
    assert!(!lives(&pid));
}

#[tokio::test]
async fn a_gateway_that_is_dropped_leaves_no_orphan() {
    let stage = Stage::new(ChildMode::PerSession);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    let pid = alice.result(&session, "pid").await;
    let grandchild = alice.result(&session, "grandchild").await;
    drop(stage);
    is_gone(&pid).await;
    is_gone(&grandchild).await;
}

#[tokio::test]
async fn what_nobody_uses_ends() {
    let mut stdio = settings(&[], ChildMode::PerSession);
    stdio.idle_timeout = Duration::from_millis(300);
    let stage = Stage::of(stdio);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    let pid = alice.result(&session, "pid").await;
    let stateless = result(stage.stateless("alice").call("pid", json!({})).await).await;
    is_gone(&pid).await;
    is_gone(&stateless).await;
    let gone = alice.ask(&session, "pid", json!({})).await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    let again = result(stage.stateless("alice").call("pid", json!({})).await).await;
    assert_ne!(again, stateless);
}
