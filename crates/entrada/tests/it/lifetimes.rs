//! How long things live, here and at Entra.

use std::time::Duration;

use entra_emulator::Endpoint;
use serde_json::json;

use crate::refresh::REFRESH_GRANT;
use crate::world::{SECOND, World};

const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::test]
async fn an_access_token_outlives_the_one_entra_gave() {
    let world = World::with(|config| config.access_token_lifetime(8 * HOUR)).await;
    world.entra.set_token_lifetime(HOUR);
    let session = world.log_in("alice").await;
    assert_eq!(session.tokens["expires_in"], json!(8 * 60 * 60));
    world.advance(7 * HOUR);
    assert_eq!(session.call_tool().await.status, 200);
    // The guard asks Entra nothing.
    assert_eq!(world.entra.calls(Endpoint::Token), 1);
    world.advance(HOUR);
    let answer = session.call_tool().await;
    answer.assert_unauthorized("invalid_token");
}

#[tokio::test]
async fn a_refresh_token_lives_as_configured_after_its_last_use() {
    let world = World::with(|config| {
        let config = config.access_token_lifetime(HOUR);
        config.refresh_token_lifetime(2 * HOUR)
    })
    .await;
    let mut session = world.log_in("alice").await;
    for _ in 0..3 {
        world.advance(7199 * SECOND);
        session = session.refreshed().await;
    }
    world.advance(2 * HOUR);
    session.refresh().await.assert_refused(400, "invalid_grant");
}

/// Not every tenant lets an app keep users signed in.
#[tokio::test]
async fn without_a_refresh_token_of_entras_nothing_outlives_its_access_token() {
    let world = World::new().await;
    world.entra.set_token_lifetime(HOUR / 2);
    world.intercept(|_, answer| {
        answer.as_object_mut().unwrap().remove("refresh_token");
    });
    let session = world.log_in("alice").await;
    assert!(session.tokens.get("refresh_token").is_none());
    assert_eq!(session.tokens["expires_in"], json!(30 * 60));
    assert_eq!(session.call_tool().await.status, 200);
    world.advance(HOUR / 2);
    let answer = session.call_tool().await;
    answer.assert_unauthorized("invalid_token");
}

#[tokio::test]
async fn entra_may_go_on_with_the_refresh_token_it_gave() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    world.intercept(|_, answer| {
        answer.as_object_mut().unwrap().remove("refresh_token");
    });
    let mut next = session;
    for round in 1..=3 {
        next = next.refreshed().await;
        assert_eq!(next.call_tool().await.status, 200);
        assert_eq!(world.entra.calls(REFRESH_GRANT), round);
    }
}

#[tokio::test]
async fn an_answer_of_entras_without_a_lifetime_is_not_understood() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    world.advance(2 * HOUR);
    world.intercept(|_, answer| {
        answer.as_object_mut().unwrap().remove("expires_in");
    });
    let answer = session.refresh().await;
    answer.assert_refused(503, "temporarily_unavailable");
    world.intercept(|_, _| {});
    session.refreshed().await;
}

/// What has expired is forgotten by itself, in the wake of requests.
#[tokio::test]
async fn what_has_expired_is_swept_while_tokens_are_issued() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    for _ in 0..5 {
        world.client().await.ask(&mut world.browser()).await;
        world.log_in("bob").await;
    }
    world.advance(100 * 24 * HOUR);
    let swept = world.provider.sweep().await.unwrap();
    assert!(swept > 10, "{swept}");
    session.refresh().await.assert_refused(400, "invalid_grant");
    assert_eq!(world.provider.sweep().await.unwrap(), 0);
}
