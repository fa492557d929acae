//! What the server is told of the caller.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entra_emulator::builtin;
use entrada::provider::ProtectedResource;
use http::Request;
use serde_json::{Value, json};

use crate::mcp_server::claims_of;
use crate::stage::{Stage, header};
use crate::world::{BASE_URL, RESOURCE, World};

const ASSERTION: &str = "x-entrada-assertion";

fn head_of(jwt: &str) -> Value {
    let head = URL_SAFE_NO_PAD.decode(jwt.split('.').next().unwrap());
    serde_json::from_slice(&head.unwrap()).unwrap()
}

#[tokio::test]
async fn an_assertion_says_who_calls_and_nothing_else_does() {
    let stage = Stage::on(World::new().await, None).await;
    let forged = [(ASSERTION, "forged"), ("x-entrada-subject", "mallory")];
    let answer = stage.send(http::Method::POST, &forged).await;
    let assertion = header(&answer, ASSERTION);
    let claims = claims_of(&assertion);
    let token = claims_of(&stage.session.access_token);
    assert_eq!(claims["oid"], json!(builtin::ALICE_OID));
    assert_eq!(claims["tid"], json!(builtin::TENANT_ID));
    for same in ["iss", "aud", "sub", "client_id", "scope", "sid"] {
        assert_eq!(claims[same], token[same], "{same}");
    }
    let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!(lifetime, 120);
    let others = answer.json.as_object().unwrap().keys();
    let mut others = others.filter(|name| name.starts_with("x-entrada-") && *name != ASSERTION);
    assert_eq!(others.next(), None);

    let published = Request::get(format!("{BASE_URL}/.well-known/jwks.json"));
    let published = stage.fetch(published).await;
    let head = head_of(&assertion);
    let mut keys = published.json["keys"].as_array().unwrap().iter();
    assert!(keys.any(|key| key["kid"] == head["kid"]), "{head}");
    assert_eq!(head["typ"], "entrada-caller+jwt");
}

#[tokio::test]
async fn an_assertion_is_told_again_for_a_minute_while_the_grant_is_read_again() {
    let stage = Stage::on(World::new().await, None).await;
    let first = header(&stage.post().await, ASSERTION);
    for (seconds, told_again) in [(30, true), (29, true), (1, false)] {
        stage.world.advance(Duration::from_secs(seconds));
        let assertion = header(&stage.post().await, ASSERTION);
        assert_eq!(assertion == first, told_again, "{seconds}");
    }
}

#[tokio::test]
async fn what_servers_are_told_lets_nobody_in() {
    let stage = Stage::on(World::new().await, None).await;
    let assertion = header(&stage.post().await, ASSERTION);
    assert_eq!(stage.call("/mcp", &assertion).await.status, 401);
}

#[tokio::test]
async fn what_one_server_is_told_is_not_for_another() {
    let other = ProtectedResource::new(format!("{BASE_URL}/other"));
    let world = World::with(|config| config.resource(other)).await;
    let stage = Stage::with_routes(world, [("/mcp", None), ("/other", None)]).await;
    let token = stage.token_for("/other").await;
    for (answer, audience) in [
        (stage.post().await, RESOURCE.to_owned()),
        (
            stage.call("/other", &token).await,
            format!("{BASE_URL}/other"),
        ),
    ] {
        assert_eq!(
            claims_of(&header(&answer, ASSERTION))["aud"],
            json!(audience)
        );
    }
}
