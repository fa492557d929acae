//! MCP sessions belong to whoever opened them.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::Session;
use crate::world::World;

/// Calls with a session id, and says what the server behind the guard saw of it.
async fn in_session(session: &Session, id: &str) -> (StatusCode, Value, Option<String>) {
    let bearer = format!("Bearer {}", session.access_token);
    let headers = [("authorization", &*bearer), ("mcp-session-id", id)];
    let answer = session.client.call(Method::POST, &headers).await;
    let given = answer.header("mcp-session-id").map(str::to_owned);
    (answer.status, answer.json["session"].clone(), given)
}

#[tokio::test]
async fn a_session_is_of_no_use_to_another_user() {
    let world = World::new().await;
    let (alice, bob) = (world.log_in("alice").await, world.log_in("bob").await);
    let opened = alice.call_tool().await;
    let id = opened.header("mcp-session-id").unwrap();
    assert_ne!(id, "s-1");
    assert_eq!(
        in_session(&alice, id).await,
        (StatusCode::OK, json!("s-1"), Some(id.to_owned()))
    );
    // It goes on after a refresh, and on another replica.
    let next = alice.refreshed().await.at(&world.replica());
    assert_eq!(in_session(&next, id).await.0, StatusCode::OK);
    assert_eq!(in_session(&bob, id).await.0, StatusCode::NOT_FOUND);
    // Another client of the same user is another caller, too.
    let other = world.log_in("alice").await;
    for unknown in [id, "s-1", "x"] {
        assert_eq!(in_session(&other, unknown).await.0, StatusCode::NOT_FOUND);
    }
}
