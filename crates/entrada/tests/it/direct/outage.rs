//! Entra's keys: late, wrong, changed, or not to be had.

use std::sync::Arc;
use std::time::Duration;

use entra_emulator::{Endpoint, Failure, Signer};
use entrada::AzureJwtConfig;
use entrada::access_token::VerifyError;
use entrada::jwt::verify::JwtError;

use super::world::{Direct, Instead, config, good, settle};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const ALWAYS: u64 = u64::MAX;

/// Whether a fresh token is let in.
async fn admits(world: &Direct) -> bool {
    world.verdict(&good()).await.is_ok()
}

fn keys_fetched(world: &Direct) -> u64 {
    world.entra.calls(Endpoint::Keys)
}

#[tokio::test]
async fn nothing_is_asked_before_the_first_token() {
    let world = Direct::new(config());
    settle().await;
    assert_eq!(world.wire.asked_for("/"), 0);
    assert!(admits(&world).await);
    assert_eq!(world.wire.asked_for("/"), 1);
}

#[tokio::test]
async fn a_thousand_cold_requests_cause_one_fetch() {
    let world = Arc::new(Direct::new(config()));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let world = Arc::clone(&world);
        calls.spawn(async move { admits(&world).await });
    }
    assert!(calls.join_all().await.into_iter().all(|admitted| admitted));
    assert_eq!(keys_fetched(&world), 1);
}

#[tokio::test]
async fn ten_thousand_unknown_keys_cause_a_fetch_in_five_minutes() {
    let world = Direct::new(config());
    assert!(admits(&world).await);
    world.advance(5 * MINUTE);
    for n in 0..10_000 {
        let token = world.entra.mint(&good().header("kid", format!("kid-{n}")));
        let verdict = world.verify(&token).await;
        assert!(matches!(
            verdict,
            Err(VerifyError::Token(JwtError::UnknownKey))
        ));
        if n % 100 == 0 {
            world.advance(SECOND);
        }
    }
    // The first caused one; a hundred seconds are not enough for another.
    assert_eq!(keys_fetched(&world), 2);
    assert!(admits(&world).await);
}

#[tokio::test]
async fn keys_that_cannot_be_had_for_a_day_keep_nobody_out() {
    let world = Direct::new(config());
    assert!(admits(&world).await);
    world
        .entra
        .fail_next(Endpoint::Keys, ALWAYS, Failure::Status(503));
    for _ in 0..24 {
        world.advance(HOUR);
        assert!(admits(&world).await);
        settle().await;
    }
    assert!(keys_fetched(&world) > 20, "it is tried again and again");
}

#[tokio::test]
async fn after_three_days_without_keys_nobody_can_tell() {
    let world = Direct::new(config());
    assert!(admits(&world).await);
    world
        .entra
        .fail_next(Endpoint::Keys, ALWAYS, Failure::Garbage);
    world.advance(Duration::from_secs(72 * 60 * 60 - 1));
    assert!(admits(&world).await);
    settle().await;
    world.advance(SECOND);
    let answer = world.call(&world.entra.mint(&good())).await;
    // Nobody is told that a token is bad because of our own trouble.
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(answer.header("www-authenticate"), None);
}

#[tokio::test]
async fn without_any_keys_nobody_can_tell_and_the_next_try_comes_soon() {
    let world = Direct::new(config());
    world.entra.fail_next(Endpoint::Keys, 1, Failure::Drop);
    for _ in 0..3 {
        let verdict = world.verdict(&good()).await;
        assert!(matches!(verdict, Err(VerifyError::Unavailable(_))));
    }
    assert_eq!(keys_fetched(&world), 1);
    world.advance(5 * SECOND);
    assert!(admits(&world).await);
}

#[tokio::test]
async fn documents_that_are_no_keys_are_not_taken_for_some() {
    let world = Direct::new(config());
    assert!(admits(&world).await);
    for body in [
        "",
        "<html>",
        "{}",
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"oct","k":"x"}]}"#,
    ] {
        world.advance(HOUR);
        world.wire.answer_next(Instead::Body(body.to_owned()));
        assert!(admits(&world).await, "{body}");
        settle().await;
        assert!(admits(&world).await, "{body}");
    }
}

#[tokio::test]
async fn a_fetch_that_never_ends_stalls_nobody_who_has_a_key() {
    let world = Direct::new(config());
    assert!(admits(&world).await);
    world.advance(HOUR);
    world.wire.answer_next(Instead::Nothing);
    let asked = world.wire.asked_for("/keys");
    // The first of these is what begins the fetch.
    for _ in 0..100 {
        assert!(admits(&world).await);
        settle().await;
    }
    assert_eq!(world.wire.asked_for("/keys"), asked + 1);
}

#[tokio::test]
async fn a_new_key_is_learnt_when_it_is_first_used() {
    let world = Direct::new(config());
    assert!(admits(&world).await);
    world.advance(5 * MINUTE);
    world.entra.rotate_keys();
    assert!(admits(&world).await);
    assert_eq!(keys_fetched(&world), 2);
    // And one that is published before it is used needs no fetch of its own.
    world.advance(HOUR);
    let old = world.entra.keys().remove(0);
    let new = world.entra.rotate_keys();
    assert!(
        world
            .verdict(&good().signed_by(Signer::Published(old)))
            .await
            .is_ok()
    );
    settle().await;
    assert_eq!(keys_fetched(&world), 3);
    assert!(
        world
            .verdict(&good().signed_by(Signer::Published(new)))
            .await
            .is_ok()
    );
    assert_eq!(keys_fetched(&world), 3);
}

#[tokio::test]
async fn a_key_that_one_document_lacks_is_still_good() {
    let world = Direct::new(config());
    assert!(admits(&world).await);
    let kid = world.entra.keys().remove(0);
    world.entra.omit_key_next(&kid, 3);
    for _ in 0..3 {
        world.advance(HOUR);
        assert!(admits(&world).await);
        settle().await;
    }
    assert_eq!(keys_fetched(&world), 4);
}

#[tokio::test]
async fn a_key_that_entra_withdrew_is_good_for_one_more_day() {
    let world = Direct::new(config());
    let token = world.entra.mint(&good().claim("exp", 2_000_000_000));
    assert!(world.verify(&token).await.is_ok());
    let kid = world.entra.keys().remove(0);
    world.entra.rotate_keys();
    world.entra.retire_key(&kid);
    for hour in 1..=24 {
        world.advance(HOUR);
        assert!(world.verify(&token).await.is_ok(), "{hour}");
        settle().await;
    }
    world.advance(HOUR);
    world
        .call(&token)
        .await
        .assert_unauthorized("invalid_token");
}

#[tokio::test]
async fn an_issuer_that_cannot_be_discovered_lets_nobody_in_and_tells_nobody_off() {
    let domain = entra_emulator::builtin::TENANT_DOMAIN;
    let config = AzureJwtConfig::new(domain, entra_emulator::builtin::CLIENT_ID)
        .authority_host("login.emulator.test")
        .required_scopes(["mcp.read"]);
    let world = Direct::new(config);
    world
        .entra
        .fail_next(Endpoint::Discovery, 1, Failure::Garbage);
    assert_eq!(world.call(&world.entra.mint(&good())).await.status, 503);
    world.advance(5 * SECOND);
    assert!(admits(&world).await);
    // Metadata that names somebody else's issuer is none.
    world.advance(HOUR);
    let evil = r#"{"issuer":"https://evil.example/10000000-0000-4000-8000-000000000001/v2.0"}"#;
    for _ in 0..2 {
        world.wire.answer_next(Instead::Body(evil.to_owned()));
    }
    assert!(admits(&world).await);
    settle().await;
    assert!(admits(&world).await);
}

#[tokio::test]
async fn a_remembered_verdict_costs_no_signature_and_ends_with_its_token() {
    use entrada::access_token::{AccessTokenVerifier as _, PresentedToken};
    use entrada::platform::Clock as _;

    let world = Direct::new(config());
    let end = world.clock.now().as_unix() + 30;
    let token = world.entra.mint(&good().claim("exp", end));
    let recalled = || {
        let presented = PresentedToken::new(&token);
        world
            .verifier
            .recall(presented, world.clock.now())
            .is_some()
    };
    assert!(!recalled());
    assert!(world.verify(&token).await.is_ok());
    assert!(recalled());
    world.advance(60 * SECOND);
    assert!(recalled());
    world.advance(SECOND);
    assert!(!recalled(), "a minute has passed");
    assert!(world.verify(&token).await.is_ok());
    world.advance(29 * SECOND);
    assert!(!recalled(), "the token has ended, and the leeway with it");
    assert!(world.verify(&token).await.is_err());
}
