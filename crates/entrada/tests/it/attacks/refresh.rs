//! Refresh tokens: stolen, forged and stretched; and revocation.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entra_emulator::{Endpoint, GrantType, builtin};
use serde_json::json;
use tokio::task::JoinSet;

use super::{TOKEN_PATH, evil_client, overhear};
use crate::client::{Answer, Session};
use crate::refresh::assert_ended;
use crate::world::{SECOND, World};

/// Longer than a verdict of the guard is remembered.
const SOON: Duration = Duration::from_secs(11);

const ASKED: Endpoint = Endpoint::TokenGrant(GrantType::RefreshToken);

#[tokio::test]
async fn reused_refresh_token_revokes_its_grant() {
    // Whoever comes second, thief or client, ends it for both.
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let (client, thief) = (session.clone(), session.refreshed().await);
    thief.call_tool().await.ok();
    world.advance(31 * SECOND);
    client.refresh().await.assert_refused(400, "invalid_grant");
    assert_ended(&world, &thief).await;
    assert_ended(&world, &client).await;
}

#[tokio::test]
async fn refresh_token_before_the_last_revokes_at_once() {
    // The grace is for the answer that got lost, not for tokens older than that.
    let world = World::new().await;
    let first = world.log_in("alice").await;
    let third = first.refreshed().await.refreshed().await;
    first.refresh().await.assert_refused(400, "invalid_grant");
    assert_ended(&world, &third).await;
}

#[tokio::test]
async fn parallel_refreshes_stay_one_family() {
    // In one thread all of them have begun before the first has heard of Entra, every time.
    let world = World::new().await;
    let session = world.log_in("alice").await;
    world.entra.reset_calls();
    let answers = refresh_at_once(&session, &[&world]).await;
    let [successor] = &successors(answers)[..] else {
        panic!("more than one family");
    };
    assert_eq!(world.entra.calls(ASKED), 1);
    session.client.refresh(successor).await.ok();
}

#[tokio::test]
async fn parallel_refreshes_at_two_replicas_stay_one_family() {
    // In one thread both have read the grant before either has heard of Entra, every time.
    let world = World::new().await;
    let replica = world.replica();
    let session = world.log_in("alice").await;
    let answers = refresh_at_once(&session, &[&world, &replica]).await;
    let [successor] = &successors(answers)[..] else {
        panic!("more than one family");
    };
    session.client.refresh(successor).await.ok();
}

async fn refresh_at_once(session: &Session, replicas: &[&World]) -> Vec<Answer> {
    let mut refreshes = JoinSet::new();
    for at in replicas.iter().cycle().take(50) {
        let session = session.at(at);
        refreshes.spawn(async move { session.refresh().await });
    }
    refreshes.join_all().await
}

/// The refresh tokens that were given, each once.
fn successors(answers: Vec<Answer>) -> Vec<String> {
    let mut tokens: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.ok()["refresh_token"].as_str().unwrap().to_owned())
        .collect();
    tokens.sort();
    tokens.dedup();
    tokens
}

#[tokio::test]
async fn refresh_token_of_another_client_is_refused() {
    let world = World::new().await;
    let evil = evil_client(&world).await;
    let session = world.log_in("alice").await;
    let theft = evil.refresh(&session.refresh_token).await;
    theft.assert_refused(400, "invalid_grant");
    // Nor does it end anything, even with a token that was replaced.
    let next = session.refreshed().await;
    world.advance(31 * SECOND);
    let theft = evil.refresh(&session.refresh_token).await;
    theft.assert_refused(400, "invalid_grant");
    next.refresh().await.ok();
}

#[tokio::test]
async fn forged_refresh_token_revokes_nothing() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let bytes = URL_SAFE_NO_PAD.decode(&session.refresh_token).unwrap();
    let forged = (0..bytes.len()).step_by(7).map(|at| {
        let mut forged = bytes.clone();
        forged[at] ^= 1;
        URL_SAFE_NO_PAD.encode(forged)
    });
    let others = ["", "x", "AAAA", &session.access_token].map(str::to_owned);
    for token in forged.chain(others) {
        let answer = session.client.refresh(&token).await;
        let code = if token.is_empty() {
            "invalid_request"
        } else {
            "invalid_grant"
        };
        answer.assert_refused(400, code);
    }
    session.refresh().await.ok();
}

#[tokio::test]
async fn refresh_cannot_widen_what_was_granted() {
    let world = World::with(|config| config.required_scopes(["mcp.read", "mcp.write"])).await;
    let client = world.client().await;
    let session = client.log_in(&mut world.browser(), "alice").await;
    assert_eq!(session.tokens["scope"], json!("mcp.read"));
    for wider in ["mcp.read mcp.write", "mcp.write"] {
        let answer = session.refresh_with(&[("scope", wider)]).await;
        answer.assert_refused(400, "invalid_scope");
    }
    let refreshed = session.refreshed().await;
    assert_eq!(refreshed.tokens["scope"], json!("mcp.read"));
}

#[tokio::test]
async fn disabled_user_is_out_at_the_next_refresh() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    world.entra.disable_user(builtin::ALICE);
    assert_ended(&world, &session).await;
}

#[tokio::test]
async fn refresh_never_changes_the_user() {
    // Entra's answer to a refresh is a real one, but to another user.
    let world = World::new().await;
    let alice = world.log_in("alice").await;
    let heard = overhear(&world);
    world.log_in("bob").await;
    let bob = heard.lock().unwrap().pop().unwrap();
    let others = bob["refresh_token"].as_str().unwrap().to_owned();
    world.intercept(move |path, answer| {
        if path.ends_with(TOKEN_PATH) {
            answer.clone_from(&bob);
        }
    });
    let alice = alice.refreshed().await;
    world.intercept(|_, _| {});
    world.advance(SOON);
    let who = alice.call_tool().await.ok();
    assert_eq!(who["oid"], json!(builtin::ALICE_OID));
    // Nothing of that answer was kept: what Entra is sent next is the token from before.
    alice.refresh().await.ok();
    let sent = world.entra.last_token_form().unwrap();
    assert!(!sent.iter().any(|(_, value)| *value == others));
}

#[tokio::test]
async fn revocation_reaches_the_guard() {
    let world = World::new().await;
    let replica = world.replica();
    for by_access_token in [true, false] {
        let session = world.log_in("alice").await;
        session.call_tool().await.ok();
        session.at(&replica).call_tool().await.ok();
        let token = if by_access_token {
            &session.access_token
        } else {
            &session.refresh_token
        };
        session.client.revoke(token).await.ok();
        world.advance(SOON);
        for at in [&world, &replica] {
            let answer = session.at(at).call_tool().await;
            answer.assert_unauthorized("invalid_token");
        }
        session.refresh().await.assert_refused(400, "invalid_grant");
    }
}

#[tokio::test]
async fn client_cannot_revoke_the_tokens_of_another() {
    let world = World::new().await;
    let evil = evil_client(&world).await;
    let session = world.log_in("alice").await;
    for token in [&session.access_token, &session.refresh_token] {
        evil.revoke(token)
            .await
            .assert_refused(400, "invalid_grant");
    }
    world.advance(SOON);
    session.call_tool().await.ok();
    session.refresh().await.ok();
}
