//! The revision without sessions.

use axum::body::Body;
use entrada_gateway::upstream::stdio::ChildMode;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::stage::{Events, STATELESS, Stage, request, result, settings, text};

#[tokio::test]
async fn each_request_stands_alone() {
    for mode in [ChildMode::PerSession, ChildMode::Shared] {
        let stage = Stage::new(mode);
        let alice = stage.stateless("alice");
        let response = alice.call("server/discover", json!({})).await;
        assert!(!response.headers().contains_key("mcp-session-id"));
        assert_eq!(
            result(response).await["supportedVersions"],
            json!(["2026-07-28"])
        );
        let pid = result(alice.call("pid", json!({})).await).await;
        assert_eq!(result(alice.call("pid", json!({})).await).await, pid);
        let bobs = result(stage.stateless("bob").call("pid", json!({})).await).await;
        assert_eq!(bobs == pid, mode == ChildMode::Shared);

        let params = json!({"_meta": {"progressToken": 1}});
        let mut events = Events::of(alice.call("progress", params).await);
        let (id, told) = events.next().await.unwrap();
        assert_eq!((id, &told["params"]["progressToken"]), (None, &json!(1)));
        assert_eq!(
            events.next().await.unwrap().1["result"],
            json!({"told": true})
        );
        assert_eq!(events.next().await, None);
    }
}

#[tokio::test]
async fn a_method_nobody_knows_is_not_found() {
    let stage = Stage::new(ChildMode::PerSession);
    let response = stage.stateless("alice").call("what", json!({})).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let error: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(
        (&error["error"]["code"], &error["id"]),
        (&json!(-32601), &json!(1))
    );
}

#[tokio::test]
async fn headers_and_body_must_agree() {
    let stage = Stage::new(ChildMode::PerSession);
    let alice = stage.stateless("alice");
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
    let body = request("pid", json!({"_meta": meta}));
    let bare = request("pid", json!({}));
    let method = |method| [STATELESS[0], ("mcp-method", method)];
    for (headers, body, code) in [
        (&method("echo")[..], &body, -32020),
        (STATELESS, &body, -32020),
        (&[("mcp-method", "pid")], &body, -32020),
        (&method("pid"), &bare, -32602),
    ] {
        let response = alice.with(headers).post(body).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let error: Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(
            (&error["error"]["code"], &error["id"]),
            (&json!(code), &json!(1))
        );
    }
    for verb in [Method::GET, Method::DELETE] {
        let response = alice.send(verb, Body::empty()).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()["allow"], "POST");
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels() {
    let stage = Stage::new(ChildMode::PerSession);
    let alice = stage.stateless("alice");
    // Before the answer begins.
    let never = alice.call("never", json!({}));
    let asked = tokio::select! {
        _ = never => panic!("it is never answered"),
        asked = async {
            let discovered = alice.call("server/discover", json!({})).await;
            result(discovered).await
        } => asked,
    };
    assert!(asked.is_object());
    let cancelled = result(alice.call("cancelled", json!({})).await).await;
    assert_eq!(cancelled.as_array().unwrap().len(), 1);
    // During a stream.
    let mut events = Events::of(alice.call("subscriptions/listen", json!({})).await);
    events.next().await.unwrap();
    drop(events);
    let cancelled = result(alice.call("cancelled", json!({})).await).await;
    assert_eq!(cancelled.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn subscriptions_of_two_callers_with_one_id_are_two() {
    let stage = Stage::new(ChildMode::Shared);
    let (alice, bob) = (stage.stateless("alice"), stage.stateless("bob"));
    let subscription =
        |event: &Value| event["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"].clone();
    let mut alices = Events::of(alice.call("subscriptions/listen", json!({})).await);
    let mut bobs = Events::of(bob.call("subscriptions/listen", json!({})).await);
    for events in [&mut alices, &mut bobs] {
        let (_, acknowledged) = events.next().await.unwrap();
        assert_eq!(
            acknowledged["method"],
            "notifications/subscriptions/acknowledged"
        );
        assert_eq!(subscription(&acknowledged), json!(1));
    }
    assert_eq!(result(alice.call("poke", json!({})).await).await, json!(2));
    for events in [&mut alices, &mut bobs] {
        let (_, updated) = events.next().await.unwrap();
        assert_eq!(
            (&updated["method"], subscription(&updated)),
            (&json!("notifications/resources/updated"), json!(1))
        );
    }
}

#[tokio::test]
async fn a_child_with_sessions_alone_sends_its_client_back_to_them() {
    let stage = Stage::of(settings(&["legacy"], ChildMode::PerSession));
    let alice = stage.stateless("alice");
    for _ in 0..2 {
        let response = alice.call("server/discover", json!({})).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let error: Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(
            (&error["error"]["code"], &error["id"]),
            (&json!(-32601), &json!(1))
        );
    }
    let session = stage.user("alice").begin().await;
    assert!(
        stage
            .user("alice")
            .result(&session, "pid")
            .await
            .is_number()
    );
}
