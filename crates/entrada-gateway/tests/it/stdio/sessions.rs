//! Revisions with sessions.

use axum::body::Body;
use entrada_gateway::config::{Transport, UpstreamSettings};
use entrada_gateway::upstream::identity::ForwardedIdentity;
use entrada_gateway::upstream::stdio::ChildMode;
use http::{Method, StatusCode};
use serde_json::json;

use super::stage::{Events, Stage, initialize, is_gone, request, result, settings, text, told};

#[tokio::test]
async fn a_session_goes_through_as_it_is() {
    let stage = Stage::new(ChildMode::PerSession);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    // Spaces, the order of keys and the spelling of numbers are the child's.
    let body = "{\"id\": \"a\\u0062\",\n\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":{\"n\":[1.0,1e2]}}";
    let headers = [
        ("mcp-session-id", &*session),
        ("mcp-protocol-version", "2025-06-18"),
    ];
    let response = alice.with(&headers).send(Method::POST, body).await;
    assert_eq!(
        text(response).await,
        r#"{"id": "a\u0062" , "jsonrpc":"2.0","result":{"n": [1.0, 100.0]}}"#
    );
    let unknown = text(alice.ask(&session, "what", json!({})).await).await;
    assert!(unknown.contains(r#""data": {"kept": 1.0}"#), "{unknown}");
    // What a child may make of its client is told as the client told it.
    let opened = text(alice.post(&initialize()).await).await;
    assert!(
        opened.contains(r#""sampling": {}"#) && opened.contains(r#""n": 1.0"#),
        "{opened}"
    );
}

#[tokio::test]
async fn what_is_told_before_the_answer_makes_it_a_stream() {
    let stage = Stage::new(ChildMode::PerSession);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    let params = json!({"_meta": {"progressToken": "mine"}});
    let mut events = Events::of(alice.ask(&session, "progress", params).await);
    let (first, told) = events.next().await.unwrap();
    assert_eq!(
        told["params"],
        json!({"progressToken": "mine", "progress": 0.5, "unknown": [1.0]})
    );
    let (second, answer) = events.next().await.unwrap();
    assert_eq!(
        (&answer["id"], &answer["result"]),
        (&json!(1), &json!({"told": true}))
    );
    assert_eq!(events.next().await, None);

    // A client that lost the connection after the first event asks for the second.
    let headers = [
        ("mcp-session-id", &*session),
        ("last-event-id", first.as_deref().unwrap()),
    ];
    let mut events = Events::of(alice.with(&headers).send(Method::GET, Body::empty()).await);
    assert_eq!(events.next().await, Some((second, answer)));
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_child_asks_its_client() {
    let stage = Stage::new(ChildMode::PerSession);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    let headers = [("mcp-session-id", &*session)];
    let mut events = Events::of(alice.ask(&session, "ask", json!({})).await);
    let (_, asked) = events.next().await.unwrap();
    assert_eq!(
        (&asked["id"], &asked["method"]),
        (&json!("q-1"), &json!("sampling/createMessage"))
    );
    let answer = json!({"jsonrpc": "2.0", "id": "q-1", "result": {"text": "hm"}});
    let accepted = alice.with(&headers).post(&answer).await;
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    let (_, answer) = events.next().await.unwrap();
    assert_eq!(answer["result"], json!({"text": "hm"}));
}

#[tokio::test]
async fn the_standalone_stream_has_what_belongs_to_no_request() {
    let stage = Stage::new(ChildMode::PerSession);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    let headers = [("mcp-session-id", &*session)];
    // What comes while nobody listens is kept.
    let mut events = Events::of(alice.ask(&session, "shout", json!({"text": "one"})).await);
    assert_eq!(
        events.next().await.unwrap().1["method"],
        "notifications/message"
    );
    let listening = alice.with(&headers);
    let mut first = Events::of(listening.send(Method::GET, Body::empty()).await);
    assert_eq!(first.next().await.unwrap().1["params"]["text"], "one");
    // The newest listener is the one that goes on.
    let mut second = Events::of(listening.send(Method::GET, Body::empty()).await);
    assert_eq!(first.next().await, None);
    Events::of(alice.ask(&session, "shout", json!({"text": "two"})).await);
    assert_eq!(second.next().await.unwrap().1["params"]["text"], "two");

    let pid = alice.result(&session, "pid").await;
    let deleted = listening.send(Method::DELETE, Body::empty()).await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(second.next().await, None);
    is_gone(&pid).await;
    let gone = alice.ask(&session, "pid", json!({})).await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_message_of_a_batch_is_passed_on() {
    let stage = Stage::new(ChildMode::PerSession);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    let headers = [("mcp-session-id", &*session)];
    let batch = json!([
        {"jsonrpc": "2.0", "id": 7, "method": "echo", "params": {"a": 1}},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 99}},
        {"jsonrpc": "2.0", "id": "7", "method": "echo", "params": {"b": 2}},
    ]);
    let mut events = Events::of(alice.with(&headers).post(&batch).await);
    let one = events.next().await.unwrap().1;
    let two = events.next().await.unwrap().1;
    assert_eq!((&one["id"], &one["result"]), (&json!(7), &json!({"a": 1})));
    assert_eq!(
        (&two["id"], &two["result"]),
        (&json!("7"), &json!({"b": 2}))
    );
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_client_cancels_by_its_own_id() {
    let stage = Stage::new(ChildMode::PerSession);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    let headers = [("mcp-session-id", &*session)];
    let never = json!({"jsonrpc": "2.0", "id": "never", "method": "never"});
    let (never, headers) = (never, &headers);
    let asking = alice.with(headers);
    let (response, ()) = tokio::join!(asking.post(&never), async {
        // Its turn comes when the child has the request before it.
        assert_eq!(alice.result(&session, "cancelled").await, json!([]));
        let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "never"}});
        assert_eq!(asking.post(&cancel).await.status(), StatusCode::ACCEPTED);
    });
    assert_eq!(Events::of(response).next().await, None);
    let cancelled = alice.result(&session, "cancelled").await;
    assert_eq!(cancelled.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn mistakes_of_a_client_are_told_apart() {
    let stage = Stage::new(ChildMode::PerSession);
    let alice = stage.user("alice");
    let session = alice.begin().await;
    let ping = request("ping", json!({})).to_string();
    let wrong = [("mcp-session-id", "wrong")];
    let old = [
        ("mcp-session-id", &*session),
        ("mcp-protocol-version", "1999-01-01"),
    ];
    let with_session = [("mcp-session-id", &*session)];
    for (headers, body, expected, code) in [
        (&[][..], &*ping, 400, -32600),
        (&wrong[..], &*ping, 404, -32600),
        (&old[..], &*ping, 400, -32600),
        (&with_session[..], "{", 400, -32700),
        (&with_session[..], "[]", 400, -32600),
        (
            &with_session[..],
            "{\"jsonrpc\":\"2.0\",\"id\":1}",
            400,
            -32700,
        ),
        (&with_session[..], "\u{feff}{}", 400, -32700),
    ] {
        let response = alice
            .with(headers)
            .send(Method::POST, body.to_owned())
            .await;
        assert_eq!(response.status().as_u16(), expected, "{body}");
        let error: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(error["error"]["code"], code, "{body}");
    }
    let put = alice.send(Method::PUT, ping.clone()).await;
    assert_eq!(put.headers()["allow"], "POST, GET, DELETE");
    assert_eq!(put.status(), StatusCode::METHOD_NOT_ALLOWED);
    let form = alice.with(&[("content-type", "text/plain")]);
    assert_eq!(told(form.send(Method::POST, ping).await).await.0, 400);
}

#[tokio::test]
async fn a_child_knows_its_user_and_what_it_was_given_and_nothing_else() {
    let mut stdio = settings(&[], ChildMode::PerSession);
    let folder = tempfile::tempdir().unwrap();
    stdio.command.directory = Some(folder.path().to_owned());
    let mut upstream = UpstreamSettings::of(Transport::Stdio(stdio), "/mcp");
    upstream.forward_identity = ForwardedIdentity::parse("all").unwrap();
    let stage = Stage::with(upstream);
    let alice = stage.user("alice/Mcp.Admin");
    let session = alice.begin().await;
    let environment = alice.result(&session, "environment").await;
    let mut names: Vec<_> = environment.as_object().unwrap().keys().collect();
    // The interpreter itself sets this.
    names.retain(|name| *name != "LC_CTYPE");
    names.sort();
    assert_eq!(
        names,
        [
            "ENTRADA_CLIENT_ID",
            "ENTRADA_NAME",
            "ENTRADA_ROLES",
            "ENTRADA_SUBJECT",
            "ENTRADA_TENANT_ID",
            "GIVEN",
            "PATH"
        ]
    );
    assert_eq!(environment["ENTRADA_SUBJECT"], "alice");
    assert_eq!(environment["ENTRADA_ROLES"], "Mcp.Admin");
    assert_eq!(environment["ENTRADA_NAME"], "alice%20%C3%84nders");
    assert_eq!(environment["GIVEN"], "a b");
    let directory = alice.result(&session, "directory").await;
    let expected = folder.path().canonicalize().unwrap();
    assert_eq!(directory.as_str().unwrap(), expected.to_str().unwrap());
    // A child that knows one set of roles does not serve another.
    let demoted = stage.user("alice/Mcp.User");
    let refused = demoted.ask(&session, "pid", json!({})).await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn sessions_share_a_child_that_is_spoken_to_for_them() {
    let stage = Stage::new(ChildMode::Shared);
    let (alice, bob) = (stage.user("alice"), stage.user("bob"));
    let opened = result(alice.post(&initialize()).await).await;
    // It is told that nobody can be asked.
    assert_eq!(opened["asked"]["capabilities"], json!({}));
    assert_eq!(opened["serverInfo"]["unknown"], true);
    let (one, two) = (alice.begin().await, bob.begin().await);
    assert_ne!(one, two);
    let pid = alice.result(&one, "pid").await;
    assert_eq!(bob.result(&two, "pid").await, pid);
    let environment = alice.result(&one, "environment").await;
    assert_eq!(environment.get("ENTRADA_SUBJECT"), None);
    // One that leaves leaves it to the others.
    let headers = [("mcp-session-id", &*one)];
    alice
        .with(&headers)
        .send(Method::DELETE, Body::empty())
        .await;
    assert_eq!(bob.result(&two, "pid").await, pid);
}
