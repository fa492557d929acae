//! Refreshing while something is wrong: at Entra, with the user, or with the store.

use entrada::store::Collection;
use std::sync::Arc;
use std::time::Duration;

use entra_emulator::{Failure, builtin};
use serde_json::json;

use crate::client::Session;
use crate::log::Log;
use crate::outage::Outage;
use crate::refresh::{REFRESH_GRANT, assert_ended};
use crate::world::{SECOND, World};

const HOUR: Duration = Duration::from_secs(60 * 60);

pub(crate) fn refusal(error: &str, aadsts: u32) -> Failure {
    Failure::Error {
        aadsts,
        error: error.to_owned(),
        suberror: None,
        claims: None,
    }
}

/// What passes, and the wait it means.
fn passing() -> [(Failure, &'static str); 7] {
    [
        (Failure::Status(503), "5"),
        (Failure::Status(500), "5"),
        (Failure::Throttle { retry_after: 17 }, "17"),
        (Failure::Garbage, "5"),
        (Failure::Drop, "5"),
        (refusal("temporarily_unavailable", 90033), "5"),
        (refusal("invalid_client", 7_000_222), "60"),
    ]
}

/// A session whose Entra token lives for half an hour.
async fn session(world: &World) -> Session {
    world.entra.set_token_lifetime(HOUR / 2);
    world.log_in("alice").await
}

#[tokio::test]
async fn whoever_runs_the_server_is_told_what_helps_at_a_refresh() {
    let (log, _guard) = Log::begin();
    let world = World::new().await;
    let session = session(&world).await;
    let expired = || refusal("invalid_client", 7_000_222);
    world.entra.fail_next(REFRESH_GRANT, 1, expired());
    let session = session.refreshed().await;
    // The same when Entra's own token is over.
    world.advance(HOUR);
    world.entra.fail_next(REFRESH_GRANT, 1, expired());
    let refused = session.refresh().await;
    refused.assert_refused(503, "temporarily_unavailable");
    let text = log.text();
    for message in ["refreshing without entra", "request failed"] {
        let line = text.lines().find(|line| line.contains(message)).unwrap();
        for word in [
            "AADSTS7000222",
            "the client secret has expired",
            "/mcp.read",
        ] {
            assert!(line.contains(word), "{word}: {line}");
        }
    }
}

#[tokio::test]
async fn while_its_own_token_lives_entra_need_not_answer() {
    for (failure, _) in passing() {
        let world = World::new().await;
        let session = session(&world).await;
        world.advance(600 * SECOND);
        world.entra.fail_next(REFRESH_GRANT, 1, failure.clone());
        let next = session.refreshed().await;
        assert_eq!(world.entra.calls(REFRESH_GRANT), 1, "{failure:?}");
        assert_ne!(next.refresh_token, session.refresh_token);
        // No longer than Entra vouched for the user.
        assert_eq!(next.tokens["expires_in"], json!(1200));
        assert!(next.call_tool().await.status.is_success());
        // The next one asks again.
        let next = next.refreshed().await;
        assert_eq!(next.tokens["expires_in"], json!(3600));
        assert_eq!(world.entra.calls(REFRESH_GRANT), 2);
    }
}

/// Clients throw a session away on `invalid_grant`, so passing trouble is never called that.
#[tokio::test]
async fn passing_trouble_costs_nothing() {
    for (failure, wait) in passing() {
        let world = World::new().await;
        let session = session(&world).await;
        world.advance(HOUR);
        world.entra.fail_next(REFRESH_GRANT, 2, failure.clone());
        for _ in 0..2 {
            let answer = session.refresh().await;
            answer.assert_refused(503, "temporarily_unavailable");
            assert_eq!(answer.header("retry-after"), Some(wait), "{failure:?}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
        let next = session.refreshed().await;
        assert!(next.call_tool().await.status.is_success());
    }
}

#[tokio::test]
async fn a_client_secret_that_expired_at_entra_ends_no_session() {
    let world = World::new().await;
    let session = session(&world).await;
    let expire = |at: Option<u64>| {
        world.entra.change_directory(|directory| {
            let app = directory.app_mut(builtin::CLIENT_ID).unwrap();
            app.secrets[0].expires = at;
        });
    };
    expire(Some(world.now().as_unix()));
    // For as long as Entra's own token lives the operator has time to notice.
    let session = session.refreshed().await;
    world.advance(HOUR);
    let answer = session.refresh().await;
    answer.assert_refused(503, "temporarily_unavailable");
    assert_eq!(answer.header("retry-after"), Some("60"));
    expire(None);
    let next = session.refreshed().await;
    assert!(next.call_tool().await.status.is_success());
}

#[tokio::test]
async fn keys_of_entra_that_cannot_be_had_end_no_session() {
    let world = World::new().await;
    let session = session(&world).await;
    world.entra.rotate_keys();
    world.advance(HOUR);
    let keys = entra_emulator::Endpoint::Keys;
    world.entra.fail_next(keys, 1, Failure::Status(500));
    let answer = session.refresh().await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    world.advance(300 * SECOND);
    session.refreshed().await;
}

#[tokio::test]
async fn what_entra_says_of_the_user_ends_the_session() {
    for (error, aadsts) in [
        ("invalid_grant", 50_173),
        ("invalid_grant", 700_082),
        ("invalid_grant", 1),
        ("access_denied", 1),
    ] {
        let world = World::new().await;
        let session = session(&world).await;
        let failure = refusal(error, aadsts);
        world.entra.fail_next(REFRESH_GRANT, 1, failure);
        let answer = session.refresh().await;
        answer.assert_refused(400, "invalid_grant");
        assert_eq!(answer.header("retry-after"), None);
        assert!(!answer.text.contains("AADSTS"), "{}", answer.text);
        assert_ended(&world, &session).await;
    }
}

/// The user has to be seen, and nothing else of the session is wrong: the client signs in, and
/// whoever calls with the old access token until then is let in.
#[tokio::test]
async fn a_user_whom_entra_wants_to_see_signs_in_and_loses_nothing() {
    for error in [
        "invalid_grant",
        "interaction_required",
        "login_required",
        "consent_required",
    ] {
        let world = World::new().await;
        let session = session(&world).await;
        world
            .entra
            .fail_next(REFRESH_GRANT, 1, refusal(error, 50_076));
        let answer = session.refresh().await;
        answer.assert_refused(400, "invalid_grant");
        assert!(!answer.text.contains("AADSTS"), "{}", answer.text);
        assert!(session.call_tool().await.status.is_success());
        // Who only tries again is told to sign in once more, and Entra is not asked.
        session.refresh().await.assert_refused(400, "invalid_grant");
        assert_eq!(world.entra.calls(REFRESH_GRANT), 1);
        // What Entra wanted to see it saw, whoever showed it.
        world.advance(60 * SECOND);
        session.refreshed().await;
    }
}

#[tokio::test]
async fn a_disabled_user_is_out_at_the_next_refresh() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    world.entra.disable_user(builtin::ALICE);
    session.refresh().await.assert_refused(400, "invalid_grant");
    assert_ended(&world, &session).await;
    // Enabled again, the user signs in anew.
    world.entra.enable_user(builtin::ALICE);
    session.refresh().await.assert_refused(400, "invalid_grant");
    world.log_in("alice").await;
}

#[tokio::test]
async fn a_user_whose_sessions_were_revoked_at_entra_is_out_at_the_next_refresh() {
    let world = World::new().await;
    let (alice, bob) = (world.log_in("alice").await, world.log_in("bob").await);
    world.entra.revoke_refresh_tokens(builtin::ALICE);
    alice.refresh().await.assert_refused(400, "invalid_grant");
    bob.refreshed().await;
}

#[tokio::test]
async fn a_store_that_is_down_costs_nothing() {
    let store = Arc::new(Outage::default());
    let world = World::on(store.clone(), |config| config).await;
    let session = world.log_in("alice").await;
    store.begin();
    let answer = session.refresh().await;
    answer.assert_refused(503, "temporarily_unavailable");
    assert_eq!(answer.header("retry-after"), Some("2"));
    // Entra was asked, and the answer could not be kept.
    store.begin_at("put_version", Collection::Grants);
    let answer = session.refresh().await;
    answer.assert_refused(503, "temporarily_unavailable");
    store.end();
    let next = session.refreshed().await;
    assert!(next.call_tool().await.status.is_success());
}

#[tokio::test]
async fn a_code_that_cannot_be_redeemed_for_the_store_is_told_as_passing_trouble() {
    let store = Arc::new(Outage::default());
    let world = World::on(store.clone(), |config| config).await;
    let client = world.client().await;
    let code = client.code(&mut world.browser(), "alice").await;
    for (verb, collection) in [("read", Collection::Clients), ("take", Collection::Codes)] {
        store.begin_at(verb, collection);
        let answer = client.redeem(&code).await;
        answer.assert_refused(503, "temporarily_unavailable");
        assert_eq!(answer.header("retry-after"), Some("2"));
    }
    // A registration that cannot be kept is no reason to refuse, nor is a sweep that fails.
    let begin: [fn(&Outage); 2] = [
        |store| store.begin_at("put", Collection::Clients),
        Outage::begin_at_sweep,
    ];
    for begin in begin {
        begin(&store);
        world.advance(700 * SECOND);
        let code = client.code(&mut world.browser(), "alice").await;
        client.redeem(&code).await.ok();
    }
}

/// The store did what it was asked, nobody heard of it, and then it was away for longer than the grace: the client
/// could not come again, and is not taken for a thief.
#[tokio::test]
async fn an_answer_that_the_store_lost_is_repeated_once_it_is_back() {
    for elsewhere in [false, true] {
        let store = Arc::new(Outage::default());
        let world = World::on(store.clone(), |config| config).await;
        let replica = world.replica();
        let session = world.log_in("alice").await;
        let retried = if elsewhere {
            session.at(&replica)
        } else {
            session.clone()
        };
        store.lose_answers_of("put_version", Collection::Grants);
        let lost = session.refresh().await;
        lost.assert_refused(503, "temporarily_unavailable");
        store.begin();
        for _ in 0..10 {
            world.advance(30 * SECOND);
            let away = retried.refresh().await;
            away.assert_refused(503, "temporarily_unavailable");
        }
        store.end();
        world.advance(20 * SECOND);
        let next = retried.refreshed().await;
        assert!(next.call_tool().await.status.is_success());
        assert_eq!(world.entra.calls(REFRESH_GRANT), 1);
        next.refreshed().await;
        // The one before is a thief's by now.
        world.advance(200 * SECOND);
        session.refresh().await.assert_refused(400, "invalid_grant");
    }
}
