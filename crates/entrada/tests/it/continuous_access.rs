//! Continuous access evaluation: APIs that challenge a token that has not ended.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use entra_emulator::builtin;
use entrada::oauth::claims_request::ClaimsRequest;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::conditional_access::{asked, assert_challenged, assert_works};
use crate::mcp_server::{DOWNSTREAM, DOWNSTREAM_CLAIMS};
use crate::obo::{EXCHANGE, USER_READ, ask_graph, caller, token};
use crate::world::{SECOND, World};

async fn world() -> World {
    World::with(entrada::AzureConfig::continuous_access_evaluation).await
}

fn challenge(answer: &Answer) -> ClaimsRequest {
    assert_eq!(answer.status, 401, "{}", answer.text);
    ClaimsRequest::of_challenge(&answer.headers).expect("a challenge with claims")
}

#[tokio::test]
async fn the_capability_is_declared_in_every_request_where_it_is_turned_on() {
    let world = world().await;
    let session = world.log_in("alice").await;
    assert_works(&session.call_downstream(USER_READ).await);
    session.refreshed().await;
    let capable = json!({ "access_token": { "xms_cc": { "values": ["cp1"] } } });
    let told = |claims: &str| serde_json::from_str::<Value>(claims).unwrap();
    assert_eq!(told(&asked(&world, "claims").unwrap()), capable);
    let forms = world.entra.token_forms();
    assert_eq!(forms.len(), 3);
    for form in forms {
        let (_, claims) = form.iter().find(|(name, _)| name == "claims").unwrap();
        assert_eq!(told(claims), capable);
    }
}

#[tokio::test]
async fn nothing_is_declared_unless_it_is_turned_on() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    assert_works(&session.call_downstream(USER_READ).await);
    assert_eq!(asked(&world, "claims"), None);
    let forms = world.entra.token_forms();
    assert!(forms.iter().flatten().all(|(name, _)| name != "claims"));
}

#[tokio::test]
async fn a_challenge_of_graphs_goes_the_way_of_entras_own() {
    let world = world().await;
    let mut browser = world.browser();
    let session = world.client().await.log_in(&mut browser, "alice").await;
    let caller = caller(&world, &session).await;
    let before = token(&caller).await.unwrap();
    assert_eq!(ask_graph(&world, &before).await.status, 200);

    world.advance(60 * SECOND);
    world.entra.revoke_sessions(builtin::ALICE);
    let claims = challenge(&ask_graph(&world, &before).await);
    let headers = [
        (DOWNSTREAM, USER_READ),
        (DOWNSTREAM_CLAIMS, claims.as_str()),
    ];
    assert_challenged(&session.call_downstream_with(&headers).await);

    session.refresh().await.assert_refused(400, "invalid_grant");
    let session = session.client.log_in(&mut browser, "alice").await;
    let brought: Value = serde_json::from_str(&asked(&world, "claims").unwrap()).unwrap();
    let demanded: Value = serde_json::from_str(claims.as_str()).unwrap();
    assert_eq!(
        brought["access_token"]["nbf"],
        demanded["access_token"]["nbf"]
    );
    assert_eq!(brought["access_token"]["xms_cc"]["values"], json!(["cp1"]));
    let caller = crate::obo::caller(&world, &session).await;
    let after = token(&caller).await.unwrap();
    assert_eq!(ask_graph(&world, &after).await.status, 200);
}

/// A challenge that a new token answers needs nobody.
#[tokio::test]
async fn a_challenge_that_an_exchange_answers_replaces_the_token_for_everybody() {
    let world = world().await;
    let session = world.log_in("alice").await;
    let caller = caller(&world, &session).await;
    let before = token(&caller).await.unwrap();
    let claims = json!({ "access_token": { "nbf": { "essential": true, "value": "1" } } });
    let claims = STANDARD.encode(claims.to_string());
    let claims = ClaimsRequest::decode(&claims).unwrap();
    let headers = [
        (DOWNSTREAM, USER_READ),
        (DOWNSTREAM_CLAIMS, claims.as_str()),
    ];
    assert_works(&session.call_downstream_with(&headers).await);
    let after = token(&caller).await.unwrap();
    assert_ne!(before.expose(), after.expose());
    // All who met it are answered by that one; whoever meets it later met it with that one.
    for (wait, exchanges) in [(SECOND, 2), (10 * SECOND, 3)] {
        world.advance(wait);
        assert_works(&session.call_downstream_with(&headers).await);
        assert_eq!(world.entra.calls(EXCHANGE), exchanges);
    }
}
