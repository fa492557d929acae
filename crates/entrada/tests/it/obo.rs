//! Tokens for downstream APIs, in the name of the caller.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use entra_emulator::{Endpoint, Failure, GrantType, builtin};
use entrada::VerifiedToken;
use entrada::entra::error::{EntraError, Remedy};
use entrada::on_behalf_of::OboError;
use entrada::secret::EntraAccessToken;
use http::Method;
use serde_json::json;
use tower::{Layer as _, ServiceExt as _};

use crate::client::{Answer, Session};
use crate::outage::Outage;
use crate::refresh::REFRESH_GRANT;
use crate::world::{RESOURCE, SECOND, World};

pub(crate) const EXCHANGE: Endpoint = Endpoint::TokenGrant(GrantType::OnBehalfOf);
pub(crate) const USER_READ: &str = "https://graph.microsoft.com/User.Read";

/// What a handler behind the guard finds in its request.
pub(crate) async fn caller(world: &World, session: &Session) -> VerifiedToken {
    let found: Arc<Mutex<Option<VerifiedToken>>> = Arc::default();
    let seen = Arc::clone(&found);
    let service = tower::service_fn(move |request: Request| {
        *seen.lock().unwrap() = request.extensions().get().cloned();
        async { Ok::<_, Infallible>(Response::new(Body::empty())) }
    });
    let request = Request::post(RESOURCE)
        .header("authorization", format!("Bearer {}", session.access_token))
        .body(Body::empty())
        .unwrap();
    let guarded = world.provider.guard().layer(service);
    let response = guarded.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    found.lock().unwrap().take().unwrap()
}

pub(crate) async fn token(caller: &VerifiedToken) -> Result<EntraAccessToken, OboError> {
    caller.downstream_token(USER_READ).await
}

pub(crate) async fn ask_graph(world: &World, token: &EntraAccessToken) -> Answer {
    let bearer = format!("Bearer {}", token.expose());
    let url = format!("{}/graph/v1.0/me", builtin::BASE_URL);
    world
        .ask(Method::GET, &url, &[("authorization", &bearer)], "")
        .await
}

#[tokio::test]
async fn graph_knows_the_caller() {
    let world = World::new().await;
    for (name, oid) in [("alice", builtin::ALICE_OID), ("bob", builtin::BOB_OID)] {
        let caller = caller(&world, &world.log_in(name).await).await;
        let me = ask_graph(&world, &token(&caller).await.unwrap()).await.ok();
        assert_eq!(me["id"], json!(oid));
    }
}

#[tokio::test]
async fn a_token_is_exchanged_once_for_its_lifetime() {
    let world = World::new().await;
    world.entra.set_token_lifetime(Duration::from_secs(3600));
    let session = world.log_in("alice").await;
    let caller = caller(&world, &session).await;
    let first = token(&caller).await.unwrap();
    world.advance(Duration::from_secs(3600 - 301));
    let again = token(&caller).await.unwrap();
    assert_eq!(first.expose(), again.expose());
    assert_eq!(world.entra.calls(EXCHANGE), 1);
    // Five minutes before its end another one is exchanged,
    world.advance(SECOND);
    // and everybody goes on with the old one.
    let again = token(&caller).await.unwrap();
    assert_eq!(first.expose(), again.expose());
    let next = loop {
        tokio::task::yield_now().await;
        let next = token(&caller).await.unwrap();
        if next.expose() != first.expose() {
            break next;
        }
    };
    assert_eq!(world.entra.calls(EXCHANGE), 2);
    assert_eq!(ask_graph(&world, &next).await.status, 200);
}

#[tokio::test]
async fn another_scope_is_another_token() {
    let world = World::with(|config| {
        config.additional_scopes([USER_READ, "https://graph.microsoft.com/Mail.Read"])
    })
    .await;
    let caller = caller(&world, &world.log_in("alice").await).await;
    let read = token(&caller).await.unwrap();
    let mail = caller.downstream_token("https://graph.microsoft.com/Mail.Read");
    let mail = mail.await;
    assert_ne!(read.expose(), mail.unwrap().expose());
    assert_eq!(world.entra.calls(EXCHANGE), 2);
}

#[tokio::test]
async fn a_stale_token_of_the_users_is_refreshed_first() {
    let world = World::new().await;
    world.entra.set_token_lifetime(Duration::from_secs(3600));
    let session = world.log_in("alice").await;
    let caller = caller(&world, &session).await;
    world.advance(Duration::from_secs(2 * 3600));
    let token = token(&caller).await.unwrap();
    assert_eq!(ask_graph(&world, &token).await.status, 200);
    assert_eq!(world.entra.calls(REFRESH_GRANT), 1);
    // The client's own refresh token is none the worse.
    session.refreshed().await;
}

#[tokio::test]
async fn a_second_factor_that_is_demanded_is_an_error_of_its_own() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let caller = caller(&world, &session).await;
    world.entra.demand_mfa_at_obo(builtin::ALICE, true);
    let Err(OboError::InteractionRequired(required)) = token(&caller).await else {
        panic!("a token without the second factor");
    };
    let EntraError::Refused(refusal) = &required.error else {
        panic!("{:?}", required.error);
    };
    let said = (&*refusal.error, refusal.suberror.as_deref());
    assert_eq!(said, ("invalid_grant", Some("basic_action")));
    assert_eq!(refusal.codes, [50076]);
    // The session is not over, and nothing of the error was kept.
    assert_eq!(session.call_tool().await.status, 200);
    world.entra.demand_mfa_at_obo(builtin::ALICE, false);
    world.advance(5 * SECOND);
    token(&caller).await.unwrap();
}

#[tokio::test]
async fn an_api_nobody_consented_to_is_an_error() {
    let world = World::new().await;
    let caller = caller(&world, &world.log_in("alice").await).await;
    let scope = format!("{}/data.read", builtin::UNCONSENTED_IDENTIFIER_URI);
    let refused = caller.downstream_token(&*scope).await;
    let Err(OboError::InteractionRequired(required)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(required.error.remedy(), Remedy::Consent);
    let link = required.admin_consent_url.unwrap();
    assert!(link.contains("/v2.0/adminconsent?client_id="), "{link}");
}

#[tokio::test]
async fn a_revoked_session_gives_no_new_token() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let caller = caller(&world, &session).await;
    session.client.revoke(&session.refresh_token).await;
    let refused = token(&caller).await;
    assert!(matches!(refused, Err(OboError::Renewal(_))), "{refused:?}");
    assert_eq!(world.entra.calls(EXCHANGE), 0);
}

/// A handler that runs for long holds the proof of who called for as long.
#[tokio::test]
async fn a_revoked_session_gives_no_kept_token_after_ten_seconds() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let caller = caller(&world, &session).await;
    token(&caller).await.unwrap();
    session.client.revoke(&session.refresh_token).await;
    world.advance(11 * SECOND);
    let refused = token(&caller).await;
    assert!(matches!(refused, Err(OboError::Renewal(_))), "{refused:?}");
    assert_eq!(world.entra.calls(EXCHANGE), 1);
}

#[tokio::test]
async fn a_kept_token_needs_neither_entra_nor_for_a_minute_the_store() {
    let store = Arc::new(Outage::default());
    let world = World::on(store.clone(), |config| config).await;
    let caller = caller(&world, &world.log_in("alice").await).await;
    let kept = token(&caller).await.unwrap();
    store.begin();
    world.entra.fail_next(Endpoint::Token, 1, Failure::Drop);
    for wait in [10 * SECOND, 50 * SECOND] {
        world.advance(wait);
        let again = token(&caller).await.unwrap();
        assert_eq!(kept.expose(), again.expose());
    }
    world.advance(SECOND);
    let unsure = token(&caller).await;
    assert!(matches!(unsure, Err(OboError::Renewal(_))), "{unsure:?}");
}

#[tokio::test]
async fn a_user_who_is_out_at_entra_gives_no_new_token() {
    let world = World::new().await;
    world.entra.set_token_lifetime(Duration::from_secs(3600));
    let session = world.log_in("alice").await;
    let caller = caller(&world, &session).await;
    world.entra.disable_user(builtin::ALICE);
    assert!(token(&caller).await.is_err());
    world.advance(Duration::from_secs(3600));
    assert!(token(&caller).await.is_err());
    session.refresh().await.assert_refused(400, "invalid_grant");
}
