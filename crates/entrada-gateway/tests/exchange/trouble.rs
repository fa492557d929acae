//! What becomes of a request when there is no token, or the server does not take it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use entra_emulator::{Endpoint, Failure, GrantRefusal, GrantType, builtin};
use entrada_gateway::upstream::exchange::Exchange;
use http::StatusCode;
use serde_json::json;

use crate::stage::{Stage, USER_READ, header};
use crate::world::{SECOND, World};

const EXCHANGE: Endpoint = Endpoint::TokenGrant(GrantType::OnBehalfOf);

async fn stage() -> Stage {
    Stage::new(Exchange::new(USER_READ).unwrap()).await
}

/// The challenge of a server that wants to see these claims.
fn challenge(claims: &serde_json::Value) -> String {
    let claims = STANDARD.encode(claims.to_string());
    format!("Bearer error=\"insufficient_claims\", claims=\"{claims}\"")
}

#[tokio::test]
async fn a_client_is_sent_to_fetch_its_user_and_the_same_request_works() {
    let mut stage = stage().await;
    stage
        .world
        .entra
        .refuse_obo(builtin::ALICE, GrantRefusal::MfaRequired);
    let answer = stage.post().await;
    answer.assert_unauthorized("invalid_token");
    assert!(answer.json["error_uri"].is_string(), "{}", answer.text);
    stage.sign_in().await;
    header(&stage.post().await, "authorization");
}

#[tokio::test]
async fn what_nobody_consented_to_is_asked_for_once_it_is_needed() {
    let scope = "https://graph.microsoft.com/User.ReadBasic.All";
    let world = World::with(|config| config.incremental_scopes([scope])).await;
    let exchange = Exchange::new(scope).unwrap();
    let mut stage = Stage::on(world, Some(exchange)).await;
    stage.post().await.assert_unauthorized("invalid_token");
    stage.sign_in().await;
    header(&stage.post().await, "authorization");
}

#[tokio::test]
async fn passing_trouble_is_told_as_such() {
    let stage = stage().await;
    let throttle = Failure::Throttle { retry_after: 17 };
    stage.world.entra.fail_next(EXCHANGE, 1, throttle);
    let answer = stage.post().await;
    answer.assert_refused(503, "temporarily_unavailable");
    assert_eq!(answer.header("retry-after"), Some("17"));
    stage.world.advance(17 * SECOND);
    header(&stage.post().await, "authorization");
}

/// Its 401 is about the token we sent: a client would sign in again for nothing.
#[tokio::test]
async fn a_server_that_does_not_take_the_token_is_a_bad_gateway() {
    let stage = stage().await;
    stage.answer_next(StatusCode::UNAUTHORIZED, "Bearer error=\"invalid_token\"");
    let answer = stage.post().await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.header("www-authenticate"), None);
    stage.answer_next(StatusCode::FORBIDDEN, "Bearer error=\"insufficient_scope\"");
    let answer = stage.post().await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("www-authenticate"), None);
}

#[tokio::test]
async fn a_challenge_of_the_server_reaches_the_user() {
    let world = World::with(entrada::AzureConfig::continuous_access_evaluation).await;
    let exchange = Exchange::new(USER_READ).unwrap();
    let mut stage = Stage::on(world, Some(exchange)).await;
    let before = header(&stage.post().await, "authorization");
    let claims = json!({ "access_token": { "nbf": { "essential": true, "value": "1" } } });
    // One that a new token answers: it is there for the next request.
    stage.answer_next(StatusCode::UNAUTHORIZED, &challenge(&claims));
    let answer = stage.post().await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("retry-after")),
        (503, Some("1"))
    );
    assert_ne!(header(&stage.post().await, "authorization"), before);
    // One that needs the user.
    stage.world.advance(11 * SECOND);
    stage.world.entra.revoke_sessions(builtin::ALICE);
    stage.answer_next(StatusCode::UNAUTHORIZED, &challenge(&claims));
    stage.post().await.assert_unauthorized("invalid_token");
    stage.sign_in().await;
    header(&stage.post().await, "authorization");
}
