//! What outlives the answer to its request lasts for as long as its token lets somebody in.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use entrada::access_token::VerifyError;
use entrada::resource_server::{Refusal, Standing};
use http::{Request, Response};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::client::Session;
use crate::outage::Outage;
use crate::world::{RESOURCE, SECOND, World};

/// What stands behind the guard is given of a request with these header lines.
async fn given(world: &World, session: &Session, lines: &[(&str, &str)]) -> Option<Standing> {
    let service = service_fn(async |request: Request<Body>| {
        let mut response = Response::new(Body::empty());
        if let Some(standing) = request.extensions().get::<Standing>() {
            response.extensions_mut().insert(standing.clone());
        }
        Ok::<_, Infallible>(response)
    });
    let bearer = format!("Bearer {}", session.access_token);
    let request = Request::get(RESOURCE).header("authorization", bearer);
    let request = lines
        .iter()
        .fold(request, |request, line| request.header(line.0, line.1));
    let guarded = world.provider.guard().layer(service);
    let response = guarded.oneshot(request.body(Body::empty()).unwrap()).await;
    let mut response = response.unwrap();
    assert_eq!(response.status(), 200);
    response.extensions_mut().remove()
}

async fn standing(world: &World, session: &Session) -> Standing {
    let lines = [("upgrade", "websocket")];
    given(world, session, &lines).await.unwrap()
}

/// Lets time pass everywhere; why it ended, if it did.
async fn pass(world: &World, standing: &Standing, by: Duration) -> Option<Refusal> {
    let ending = standing.ended();
    let mut ending = std::pin::pin!(ending);
    for _ in 0..by.as_secs() {
        world.advance(SECOND);
        if let Ok(refusal) = tokio::time::timeout(SECOND, ending.as_mut()).await {
            return Some(refusal);
        }
    }
    None
}

#[tokio::test(start_paused = true)]
async fn a_token_is_kept_where_another_protocol_is_asked_for_and_nowhere_else() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    assert!(given(&world, &session, &[]).await.is_none());
    let kept = standing(&world, &session).await;
    assert_eq!(format!("{kept:?}"), "Standing(…)");
}

#[tokio::test(start_paused = true)]
async fn it_ends_soon_after_its_grant_does_and_not_before() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let kept = standing(&world, &session).await;
    assert!(pass(&world, &kept, 120 * SECOND).await.is_none());
    session.client.revoke(&session.refresh_token).await;
    let refusal = pass(&world, &kept, 15 * SECOND).await.unwrap();
    assert_eq!(refusal.label(), "grant_ended");
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_its_token_though_the_grant_goes_on() {
    let world = World::with(|config| config.access_token_lifetime(300 * SECOND)).await;
    let session = world.log_in("alice").await;
    let kept = standing(&world, &session).await;
    session.refreshed().await;
    let began = world.now();
    let refusal = pass(&world, &kept, 400 * SECOND).await.unwrap();
    assert!(matches!(refusal, Refusal::Unverified(_)), "{refusal:?}");
    let lasted = world.now().since(began).as_secs();
    assert!((299..=301).contains(&lasted), "{lasted}");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_turned_out_for_our_troubles_until_they_have_lasted() {
    let store = Arc::new(Outage::default());
    let world = World::on(store.clone(), |config| config).await;
    let session = world.log_in("alice").await;
    let kept = standing(&world, &session).await;
    assert!(pass(&world, &kept, 30 * SECOND).await.is_none());
    store.begin();
    assert!(pass(&world, &kept, 59 * SECOND).await.is_none());
    store.end();
    assert!(pass(&world, &kept, 30 * SECOND).await.is_none());
    store.begin();
    let refusal = pass(&world, &kept, 150 * SECOND).await.unwrap();
    let Refusal::Unverified(error) = refusal else {
        panic!("{refusal:?}");
    };
    assert!(matches!(*error, VerifyError::Unavailable(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_waited_long_for_what_was_asked_is_looked_at_before_it_begins() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let [kept, revoked] = [
        standing(&world, &session).await,
        standing(&world, &session).await,
    ];
    world.advance(60 * SECOND);
    let at_once = |standing: Standing| async move {
        tokio::time::timeout(SECOND, standing.ended()).await.ok()
    };
    assert!(at_once(kept).await.is_none());
    session.client.revoke(&session.refresh_token).await;
    world.advance(60 * SECOND);
    let refusal = at_once(revoked).await.unwrap();
    assert_eq!(refusal.label(), "grant_ended");
}
