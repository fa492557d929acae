//! Sessions of MCP: whose they are.

use http::Method;
use serde_json::{Value, json};

use super::evil_client;
use crate::client::Session;
use crate::world::World;

#[tokio::test]
async fn session_of_another_user_is_refused() {
    let world = World::new().await;
    let alice = world.log_in("alice").await;
    let bob = alice.client.log_in(&mut world.browser(), "bob").await;
    let elsewhere = evil_client(&world).await;
    let elsewhere = elsewhere.log_in(&mut world.browser(), "alice").await;
    let opened = alice.call_tool().await;
    let id = opened.header("mcp-session-id").unwrap().to_owned();
    let resume = async |who: &Session, id: &str| {
        let bearer = format!("Bearer {}", who.access_token);
        let headers = [
            ("authorization", &*bearer),
            ("mcp-session-id", id),
            ("last-event-id", "7"),
        ];
        who.client.call(Method::GET, &headers).await
    };
    let own = resume(&alice, &id).await.ok();
    assert_eq!(own["session"], json!("s-1"));
    let (bare, tag) = id.rsplit_once('~').unwrap();
    let other = bob.call_tool().await;
    let (_, other_tag) = other
        .header("mcp-session-id")
        .unwrap()
        .rsplit_once('~')
        .unwrap();
    for (who, id) in [
        // Another user, and the same user by way of another client.
        (&bob, &*id),
        (&elsewhere, &*id),
        (&bob, bare),
        (&alice, bare),
        (&bob, &format!("{bare}~{other_tag}x")),
        (&alice, &format!("s-2~{tag}")),
        (&alice, &format!("{bare}~")),
        (&alice, &format!("{bare}~AAAAAAAAAAAAAAAAAAAAAA")),
        (&alice, &format!("{id}, {id}")),
    ] {
        assert_eq!(resume(who, id).await.status, 404, "{id}");
    }
    // A refreshed token is the same caller.
    let id = alice
        .call_tool()
        .await
        .header("mcp-session-id")
        .unwrap()
        .to_owned();
    resume(&alice.refreshed().await, &id).await.ok();
}

#[tokio::test]
async fn session_alone_lets_nobody_in() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let opened = session.call_tool().await;
    let id = opened.header("mcp-session-id").unwrap();
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let headers = [("mcp-session-id", id), ("last-event-id", "7")];
        let answer = session.client.call(method, &headers).await;
        assert_eq!(answer.status, 401);
    }
}

#[tokio::test]
async fn events_are_not_resumed_without_a_session() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let bearer = format!("Bearer {}", session.access_token);
    for more in [
        vec![],
        vec![
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-session-id", "s-1"),
        ],
    ] {
        let mut headers = vec![("authorization", &*bearer), ("last-event-id", "s-2:7")];
        headers.extend(more);
        let seen = session.client.call(Method::GET, &headers).await.ok();
        assert_eq!(seen["session"], Value::Null);
        let names = seen["headers"].as_array().unwrap();
        assert!(!names.contains(&json!("last-event-id")), "{names:?}");
    }
}

#[tokio::test]
async fn session_header_by_another_name_goes_no_further() {
    // Servers that speak CGI or WSGI take `_` and `-` in a name for the same.
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let bearer = format!("Bearer {}", session.access_token);
    let headers = [
        ("authorization", &*bearer),
        ("mcp_session_id", "s-2"),
        ("mcp-session_id", "s-2"),
        ("mcp.session.id", "s-2"),
        ("mcp-session~id", "s-2"),
        ("last_event_id", "s-2:7"),
        ("last.event-id", "s-2:7"),
        ("last-event_id", "s-2:7"),
    ];
    let seen = session.client.call(Method::GET, &headers).await.ok();
    let names = seen["headers"].as_array().unwrap();
    assert_eq!(names, &Vec::<Value>::new(), "{names:?}");
}
