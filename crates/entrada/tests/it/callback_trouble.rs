//! Entra sends the user back, and something is wrong.

use std::time::Duration;

use entra_emulator::{Endpoint, Failure, builtin};

use crate::browser::Stop;
use crate::callback::{CODE_GRANT, Login, assert_error};
use crate::client::{CHALLENGE, parameter};
use crate::log::Log;
use crate::refresh_trouble::refusal;
use crate::world::World;

#[tokio::test]
async fn what_entra_says_in_the_browser_reaches_the_client_in_our_words() {
    let world = World::new().await;
    for (entra, ours) in [
        ("access_denied", "access_denied"),
        ("consent_required", "access_denied"),
        ("interaction_required", "access_denied"),
        ("login_required", "access_denied"),
        ("temporarily_unavailable", "temporarily_unavailable"),
        ("server_error", "temporarily_unavailable"),
        ("invalid_request", "server_error"),
        ("invalid_resource", "server_error"),
        ("unauthorized_client", "server_error"),
        ("<script>", "server_error"),
    ] {
        let mut login = Login::new(&world).await;
        let more = [
            ("error", entra),
            ("error_description", "AADSTS65004: <secret>"),
        ];
        let location = login.finish_with(&more).await.left();
        assert_error(&location, ours);
        assert!(!location.as_str().contains("AADSTS"), "{location}");
        // The login is over.
        let again = login.finish().await.page();
        assert_eq!(again.status, 403);
    }
}

#[tokio::test]
async fn a_user_who_cancels_at_entra_goes_back_to_the_client() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    let consent = client.ask(&mut browser).await;
    let sign_in = browser
        .submit(&consent, &[("answer", "allow")])
        .await
        .page();
    let location = browser
        .submit(&sign_in, &[("answer", "cancel")])
        .await
        .left();
    assert_error(&location, "access_denied");
}

#[tokio::test]
async fn trouble_at_entra_is_told_as_passing_trouble() {
    let world = World::new().await;
    for failure in [
        Failure::Status(503),
        Failure::Status(500),
        Failure::Throttle { retry_after: 7 },
        Failure::Garbage,
        Failure::Drop,
    ] {
        let mut login = Login::new(&world).await;
        world.entra.fail_next(CODE_GRANT, 1, failure.clone());
        let location = login.finish().await.left();
        assert_error(&location, "temporarily_unavailable");
    }
}

#[tokio::test]
async fn a_registration_that_needs_mending_is_no_fault_of_the_client() {
    let world = World::new().await;
    let mut login = Login::new(&world).await;
    let failure = refusal("invalid_client", 7_000_222);
    world.entra.fail_next(CODE_GRANT, 1, failure);
    assert_error(&login.finish().await.left(), "server_error");
}

/// What the last line of the log says beside the cause.
fn last_line(log: &Log) -> String {
    log.text().lines().last().unwrap().to_owned()
}

#[tokio::test]
async fn whoever_runs_the_server_is_told_what_helps_at_a_login() {
    const SCOPE: &str = "scope=\"api://30000000-0000-4000-8000-000000000001/mcp.read ";
    let (log, _guard) = Log::begin();
    let world = World::new().await;
    let mut login = Login::new(&world).await;
    let unknown = [
        ("error", "invalid_client"),
        (
            "error_description",
            "AADSTS650053: <secret> asked for what is not there",
        ),
    ];
    assert_error(&login.finish_with(&unknown).await.left(), "server_error");
    let line = last_line(&log);
    for word in [
        "ERROR",
        "AADSTS650053",
        "the api has no such scope",
        SCOPE,
        "the app registration does not fit the request",
    ] {
        assert!(line.contains(word), "{word}: {line}");
    }
    assert!(!log.text().contains("<secret>"));
    for (aadsts, advice) in [
        (7_000_215, "the client secret is wrong"),
        (7_000_222, "the client secret has expired"),
    ] {
        let mut login = Login::new(&world).await;
        world
            .entra
            .fail_next(CODE_GRANT, 1, refusal("invalid_client", aadsts));
        assert_error(&login.finish().await.left(), "server_error");
        let line = last_line(&log);
        for word in ["ERROR", &format!("AADSTS{aadsts}"), advice, SCOPE] {
            assert!(line.contains(word), "{word}: {line}");
        }
    }
    // Nothing is made up where Entra gives no number.
    for description in ["AADSTS", "AADSTSx1", "AADSTS99999999999", "nothing"] {
        let mut login = Login::new(&world).await;
        let without = [
            ("error", "invalid_client"),
            ("error_description", description),
        ];
        assert_error(&login.finish_with(&without).await.left(), "server_error");
        let line = last_line(&log);
        assert!(
            !line.contains("AADSTS") && !line.contains("advice"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_user_who_is_disabled_meanwhile_does_not_get_in() {
    let world = World::new().await;
    let mut login = Login::new(&world).await;
    world.entra.disable_user(builtin::ALICE);
    assert_error(&login.finish().await.left(), "access_denied");
}

#[tokio::test]
async fn an_entra_code_that_is_not_of_this_login_gives_nothing() {
    let world = World::new().await;
    let (mut login, other) = (Login::new(&world).await, Login::new(&world).await);
    let code = parameter(&other.back, "code").unwrap();
    let location = login.finish_with(&[("code", &code)]).await.left();
    assert_error(&location, "access_denied");
}

/// Follows the consent to Entra with one parameter changed, and signs in.
async fn with_upstream(world: &World, name: &str, value: &str) -> Stop {
    let client = world.client().await;
    let mut browser = world.browser();
    let consent = client.ask(&mut browser).await;
    browser.stop_before = Some("/10000000-0000-4000-8000-000000000001/oauth2/v2.0/authorize");
    let upstream = browser
        .submit(&consent, &[("answer", "allow")])
        .await
        .left();
    browser.stop_before = None;
    let kept: Vec<_> = upstream
        .query_pairs()
        .into_owned()
        .filter(|(known, _)| known != name)
        .collect();
    let mut changed = upstream.clone();
    changed
        .query_pairs_mut()
        .clear()
        .extend_pairs(kept)
        .append_pair(name, value);
    let stop = browser.get(changed.as_str()).await;
    browser.sign_in(stop, "alice").await
}

#[tokio::test]
async fn an_id_token_must_answer_our_nonce() {
    let world = World::new().await;
    let location = with_upstream(&world, "nonce", "another").await.left();
    assert_error(&location, "server_error");
}

#[tokio::test]
async fn an_entra_code_must_answer_our_challenge() {
    let world = World::new().await;
    let challenge = CHALLENGE;
    let location = with_upstream(&world, "code_challenge", challenge)
        .await
        .left();
    assert_error(&location, "access_denied");
}

/// Without Entra's keys nobody can tell who signed in; that passes.
#[tokio::test]
async fn entra_keys_that_cannot_be_had_are_passing_trouble() {
    let world = World::new().await;
    let mut login = Login::new(&world).await;
    world
        .entra
        .fail_next(Endpoint::Keys, 1, Failure::Status(503));
    assert_error(&login.finish().await.left(), "temporarily_unavailable");
    world.advance(Duration::from_secs(300));
    Login::new(&world).await.assert_still_good().await;
}

#[tokio::test]
async fn a_key_that_entra_rotates_in_is_fetched_once() {
    let world = World::new().await;
    Login::new(&world).await.assert_still_good().await;
    world.entra.rotate_keys();
    world.advance(Duration::from_secs(300));
    world.entra.reset_calls();
    for _ in 0..3 {
        Login::new(&world).await.assert_still_good().await;
    }
    assert_eq!(world.entra.calls(Endpoint::Keys), 1);
}
