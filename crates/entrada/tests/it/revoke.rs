//! Tokens are revoked.

use std::sync::Arc;

use entrada::authorization_server::GRANT_CACHE_TTL;
use entrada::store::Collection;
use http::Method;

use crate::outage::Outage;
use crate::refresh::assert_ended;
use crate::world::{SECOND, World};

#[tokio::test]
async fn either_token_ends_the_whole_session() {
    let world = World::new().await;
    for access in [false, true] {
        let session = world.log_in("alice").await;
        assert!(session.call_tool().await.status.is_success());
        let token = if access {
            &session.access_token
        } else {
            &session.refresh_token
        };
        let answer = session.client.revoke(token).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (200, ""));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_ended(&world, &session).await;
    }
}

#[tokio::test]
async fn a_revocation_reaches_every_guard_within_ten_seconds() {
    let world = World::new().await;
    let replicas = [world.replica(), world.replica()];
    let session = world.log_in("alice").await;
    for replica in &replicas {
        assert!(session.at(replica).call_tool().await.status.is_success());
    }
    session.client.revoke(&session.refresh_token).await;
    // A guard that has not seen the token yet knows at once.
    let unseen = session.at(&world.replica()).call_tool().await;
    unseen.assert_unauthorized("invalid_token");
    world.advance(GRANT_CACHE_TTL);
    assert!(GRANT_CACHE_TTL <= 10 * SECOND);
    for replica in &replicas {
        let answer = session.at(replica).call_tool().await;
        answer.assert_unauthorized("invalid_token");
    }
}

#[tokio::test]
async fn an_older_refresh_token_of_the_family_ends_it_too() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let next = session.refreshed().await;
    assert_eq!(
        session.client.revoke(&session.refresh_token).await.status,
        200
    );
    assert_ended(&world, &next).await;
}

/// RFC 7009 §2.2: what is not known is as good as revoked.
#[tokio::test]
async fn an_unknown_token_counts_as_revoked() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    for token in ["unknown", "a.b.c", "\u{1f600}"] {
        assert_eq!(session.client.revoke(token).await.status, 200);
    }
    for _ in 0..2 {
        let again = session.client.revoke(&session.refresh_token).await;
        assert_eq!(again.status, 200);
    }
    let form = [
        ("client_id", &*session.client.id),
        ("token", "x"),
        ("token_type_hint", "odd"),
    ];
    assert_eq!(session.client.post("/revoke", &form).await.status, 200);
}

#[tokio::test]
async fn only_the_client_a_token_was_issued_to_revokes_it() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let other = world.client().await;
    for token in [&session.refresh_token, &session.access_token] {
        let answer = other.revoke(token).await;
        answer.assert_refused(400, "invalid_grant");
    }
    world.advance(GRANT_CACHE_TTL + SECOND);
    assert!(session.call_tool().await.status.is_success());
    session.refreshed().await;
}

#[tokio::test]
async fn a_revocation_says_who_asks_and_what() {
    let world = World::new().await;
    let client = world.client().await;
    let nobody = client.post("/revoke", &[("token", "x")]).await;
    nobody.assert_refused(401, "invalid_client");
    let unknown = [("client_id", "unknown"), ("token", "x")];
    let unknown = client.post("/revoke", &unknown).await;
    unknown.assert_refused(401, "invalid_client");
    let nothing = client.post("/revoke", &[("client_id", &client.id)]).await;
    nothing.assert_refused(400, "invalid_request");
    let json = [("content-type", "application/json")];
    let body = format!("client_id={}&token=x", client.id);
    let answer = world.ask(Method::POST, "/revoke", &json, &body).await;
    answer.assert_refused(400, "invalid_request");
}

#[tokio::test]
async fn a_revocation_that_cannot_be_stored_is_not_acknowledged() {
    let store = Arc::new(Outage::default());
    let world = World::on(store.clone(), |config| config).await;
    let session = world.log_in("alice").await;
    for verb in ["read", "revoke"] {
        store.begin_at(verb, Collection::Grants);
        let answer = session.client.revoke(&session.refresh_token).await;
        answer.assert_refused(503, "temporarily_unavailable");
        assert_eq!(answer.header("retry-after"), Some("2"));
    }
    store.end();
    assert_eq!(
        session.client.revoke(&session.refresh_token).await.status,
        200
    );
    assert_ended(&world, &session).await;
}
