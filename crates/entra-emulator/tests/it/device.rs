use std::time::Duration;

use entra_emulator::builtin::*;
use http::Method;
use serde_json::Value;

use crate::world::{Answer, Browser, World, encode, own, peek};

async fn start(world: &World) -> Value {
    let scope = format!("{} openid profile offline_access", own("mcp.read"));
    let form = [("client_id", PUBLIC_CLIENT_ID), ("scope", &scope)];
    let path = format!("/{TENANT_ID}/oauth2/v2.0/devicecode");
    world.post(&path, &form, &[]).await.ok()
}

async fn poll(world: &World, device: &Value) -> Answer {
    let form = [
        ("client_id", PUBLIC_CLIENT_ID),
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", device["device_code"].as_str().unwrap()),
    ];
    world.token(&form).await
}

/// Types the code into the page.
async fn enter(world: &World, browser: &mut Browser, device: &Value) -> Answer {
    let code = device["user_code"].as_str().unwrap().to_lowercase();
    let body = encode(&[("user_code", &code)]);
    browser.go(world, Method::POST, "/devicelogin", &body).await
}

async fn follow(world: &World, browser: &mut Browser, answer: &Answer) -> Answer {
    let location = answer.location().unwrap();
    let path = format!("{}?{}", location.path(), location.query().unwrap());
    browser.go(world, Method::GET, &path, "").await
}

#[tokio::test]
async fn a_device_waits_for_its_user() {
    let world = World::new();
    let device = start(&world).await;
    assert_eq!(
        device["verification_uri"],
        format!("{BASE_URL}/devicelogin")
    );
    assert_eq!(
        (&device["expires_in"], &device["interval"]),
        (&900.into(), &5.into())
    );
    assert!(device.get("verification_uri_complete").is_none());
    let pending = poll(&world, &device).await;
    assert_eq!(
        pending.failure(),
        (400, "authorization_pending".to_owned(), 70_016)
    );

    let mut browser = Browser::default();
    assert!(
        world
            .get("/devicelogin")
            .await
            .text
            .contains("name=\"user_code\"")
    );
    let page = enter(&world, &mut browser, &device).await;
    let end = browser.sign_in(&world, page, ALICE).await;
    let shown = follow(&world, &mut browser, &end).await;
    assert!(shown.text.contains("You have signed in"), "{}", shown.text);

    let tokens = poll(&world, &device).await.ok();
    assert!(tokens["refresh_token"].is_string() && tokens["id_token"].is_string());
    assert_eq!(
        peek(tokens["access_token"].as_str().unwrap()).1["oid"],
        ALICE_OID
    );
    let again = poll(&world, &device).await;
    assert_eq!(
        again.failure(),
        (400, "bad_verification_code".to_owned(), 70_018)
    );
}

#[tokio::test]
async fn a_user_can_decline_and_a_code_expires() {
    let world = World::new();
    let device = start(&world).await;
    let mut browser = Browser::default();
    let page = enter(&world, &mut browser, &device).await;
    let end = browser.submit(&world, &page, &[("answer", "cancel")]).await;
    let shown = follow(&world, &mut browser, &end).await;
    assert!(shown.text.contains("You have not signed in"));
    let declined = poll(&world, &device).await;
    assert_eq!(
        declined.failure(),
        (400, "authorization_declined".to_owned(), 70_020)
    );

    let device = start(&world).await;
    world.control.advance(Duration::from_secs(900));
    let expired = poll(&world, &device).await;
    assert_eq!(expired.failure(), (400, "expired_token".to_owned(), 70_019));
    let page = enter(&world, &mut browser, &device).await;
    assert!(page.text.contains("role=\"alert\""));
}

#[tokio::test]
async fn a_confidential_client_must_authenticate() {
    let world = World::new();
    let form = [
        ("client_id", CLIENT_ID),
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", "x"),
    ];
    let answer = world.token(&form).await;
    assert_eq!(
        answer.failure(),
        (401, "invalid_client".to_owned(), 7_000_218)
    );
}
