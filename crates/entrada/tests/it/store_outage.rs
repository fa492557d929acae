//! What each endpoint answers while the store is away, comes back, or comes back empty.

use std::sync::Arc;

use entrada::store::MemoryStore;
use http::Method;
use serde_json::json;

use crate::client::Session;
use crate::outage::Outage;
use crate::world::{CALLBACK, SECOND, World};

/// Asks every endpoint that needs the store; each says that it is passing trouble, and of nobody that
/// they did anything wrong.
async fn assert_trouble_is_told_as_ours(world: &World, session: &Session, code: &str) {
    let client = &session.client;
    let metadata = json!({"redirect_uris": [CALLBACK], "client_name": "Another"});
    let json = [("content-type", "application/json")];
    let registration = metadata.to_string();
    for answer in [
        session.refresh().await,
        client.redeem(code).await,
        client.revoke(&session.refresh_token).await,
        world
            .ask(Method::POST, "/register", &json, &registration)
            .await,
        session.call_tool().await,
    ] {
        answer.assert_refused(503, "temporarily_unavailable");
        assert!(answer.header("retry-after").is_some());
        assert_eq!(answer.header("www-authenticate"), None);
    }
    let page = world.get(&client.authorize_url(&[])).await;
    assert_eq!(page.status, 503, "{}", page.text);
    assert!(world.provider.ready().await.is_err());
}

#[tokio::test]
async fn while_the_store_is_away_nobody_is_told_that_they_are_signed_out() {
    let store = Arc::new(Outage::default());
    let world = World::on(store.clone(), |config| config).await;
    let session = world.log_in("alice").await;
    let code = session.client.code(&mut world.browser(), "bob").await;
    session.call_tool().await.ok();
    store.begin();
    // Who was let in a moment ago is let in for a minute, and what needs no store goes on.
    world.advance(59 * SECOND);
    session.call_tool().await.ok();
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/jwks.json",
    ] {
        assert_eq!(world.get(path).await.status, 200, "{path}");
    }
    // A token that is none is none, store or not.
    let garbage = session.client.call_with("garbage").await;
    garbage.assert_unauthorized("invalid_token");
    world.advance(2 * SECOND);
    assert_trouble_is_told_as_ours(&world, &session, &code).await;

    store.end();
    world.provider.ready().await.unwrap();
    session.call_tool().await.ok();
    let next = session.refreshed().await;
    next.call_tool().await.ok();
    session
        .client
        .session(session.client.redeem(&code).await.ok());
    world.log_in("alice").await;
}

/// Nothing can bring back what the store lost: clients are told to begin anew, and can.
#[tokio::test]
async fn a_store_that_comes_back_empty_lets_everybody_sign_in_again() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    session.call_tool().await.ok();
    let emptied = world.over(Arc::new(MemoryStore::default()));
    let session = session.at(&emptied);
    session
        .call_tool()
        .await
        .assert_unauthorized("invalid_token");
    session
        .refresh()
        .await
        .assert_refused(401, "invalid_client");
    let again = emptied.log_in("alice").await;
    again.call_tool().await.ok();
    again.refreshed().await;
}
