//! How often Entra is asked, and what becomes of calls while it does not answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use entra_emulator::{Endpoint, Failure, GrantRefusal, GrantType, TokenOrder, builtin};
use entrada::VerifiedToken;
use entrada::entra::verifier::AppOnlyTokens;
use entrada::on_behalf_of::{DownstreamRequest, OboError};
use tokio::task::JoinSet;

use crate::direct::world::{Direct, Instead, config, good, settle};
use crate::obo::{EXCHANGE, USER_READ, ask_graph, caller, token};
use crate::outage::Outage;
use crate::refresh::REFRESH_GRANT;
use crate::world::{SECOND, World};

/// Names of users nobody else uses.
fn crowd() -> impl Iterator<Item = String> {
    (0..100).map(|nth| format!("user{nth}@{}", builtin::TENANT_DOMAIN))
}

/// Gives the tenant a hundred users more.
fn invite(entra: &entra_emulator::Control) {
    entra.change_directory(|directory| {
        let alice = directory
            .users
            .iter()
            .find(|user| user.username == builtin::ALICE);
        let alice = alice.unwrap().clone();
        for (nth, username) in crowd().enumerate() {
            let mut user = alice.clone();
            user.username = username;
            user.oid = format!("21000000-0000-4000-8000-{nth:012}");
            directory.users.push(user);
        }
    });
}

#[tokio::test]
async fn a_thousand_calls_of_a_hundred_users_are_a_hundred_exchanges() {
    let world = World::new().await;
    invite(&world.entra);
    let client = world.client().await;
    let mut callers = Vec::new();
    for name in crowd() {
        let session = client.log_in(&mut world.browser(), &name).await;
        callers.push(caller(&world, &session).await);
    }
    for _ in 0..10 {
        for caller in &callers {
            token(caller).await.unwrap();
        }
    }
    assert_eq!(world.entra.calls(EXCHANGE), 100);
}

#[tokio::test]
async fn the_same_for_callers_with_entras_own_tokens() {
    let world = Direct::new(config().client_secret(builtin::CLIENT_SECRET));
    invite(&world.entra);
    let mut tokens = Vec::new();
    for name in crowd() {
        let (client, app) = (builtin::PUBLIC_CLIENT_ID, builtin::CLIENT_ID);
        tokens.push(world.entra.mint(&TokenOrder::delegated(&name, client, app)));
    }
    for _ in 0..10 {
        for token in &tokens {
            let caller = world.verify(token).await.unwrap();
            caller.downstream_token(USER_READ).await.unwrap();
        }
    }
    assert_eq!(world.entra.calls(EXCHANGE), 100);
}

/// The tokens that fifty calls at once get.
async fn at_once(caller: &VerifiedToken) -> Vec<Result<String, OboError>> {
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let caller = caller.clone();
        calls.spawn(async move {
            let token = caller.downstream_token(USER_READ).await?;
            Ok(token.expose().to_owned())
        });
    }
    calls.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_first_calls_at_once_are_one_exchange() {
    let world = World::new().await;
    let proxied = caller(&world, &world.log_in("alice").await).await;
    let direct = Direct::new(config().client_secret(builtin::CLIENT_SECRET));
    let presented = direct.verdict(&good()).await.unwrap();
    for (entra, caller) in [(&world.entra, &proxied), (&direct.entra, &presented)] {
        let tokens: Vec<_> = at_once(caller)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert!(tokens.iter().all(|token| *token == tokens[0]));
        assert_eq!(entra.calls(EXCHANGE), 1);
    }
}

/// Whichever replica is asked, one exchange is enough, and so is one replacement.
#[tokio::test(start_paused = true)]
async fn replicas_share_what_one_of_them_got() {
    let world = World::on(Arc::new(Outage::default()), |config| config).await;
    world.entra.set_token_lifetime(Duration::from_secs(3600));
    let session = world.log_in("alice").await;
    let replicas = [world.replica(), world.replica(), world.replica()];
    let mut callers = Vec::new();
    for replica in &replicas {
        callers.push(caller(replica, &session.at(replica)).await);
    }
    // When it is time for a new one, everybody goes on with the old one meanwhile.
    for (wait, exchanges, different) in [(0, 1, 1), (3000, 1, 1), (300, 2, 2), (11, 2, 1)] {
        world.advance(wait * SECOND);
        let mut calls = JoinSet::new();
        for caller in callers.iter().cycle().take(12) {
            let caller = caller.clone();
            calls.spawn(async move { token(&caller).await.unwrap().expose().to_owned() });
        }
        let tokens: BTreeSet<_> = calls.join_all().await.into_iter().collect();
        assert!(tokens.len() <= different, "after {wait} seconds");
        // Those who wait for another replica wait for a while.
        tokio::time::sleep(SECOND).await;
        assert_eq!(
            world.entra.calls(EXCHANGE),
            exchanges,
            "after {wait} seconds"
        );
    }
}

/// What one replica got under a grant, another gives nobody once the grant is revoked.
#[tokio::test]
async fn what_a_replica_got_is_not_given_under_a_revoked_grant() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let replica = world.replica();
    let there = caller(&replica, &session.at(&replica)).await;
    token(&caller(&world, &session).await).await.unwrap();
    let revoked = session.client.revoke(&session.refresh_token).await;
    assert_eq!(revoked.status, 200);
    let refused = token(&there).await.unwrap_err();
    assert!(matches!(refused, OboError::Renewal(_)), "{refused:?}");
    assert_eq!(world.entra.calls(EXCHANGE), 1);
}

#[tokio::test]
async fn fifty_calls_at_once_do_not_ask_an_entra_that_is_throttling() {
    let world = World::new().await;
    let caller = caller(&world, &world.log_in("alice").await).await;
    let throttle = Failure::Throttle { retry_after: 30 };
    world.entra.fail_next(EXCHANGE, 1, throttle);
    for refused in at_once(&caller).await {
        let error = refused.unwrap_err();
        assert_eq!(error.retry_after(), Some(30 * SECOND), "{error:?}");
    }
    world.advance(29 * SECOND);
    let refused = token(&caller).await.unwrap_err();
    assert_eq!(refused.retry_after(), Some(SECOND));
    assert_eq!(world.entra.calls(EXCHANGE), 1);
    world.advance(SECOND);
    token(&caller).await.unwrap();
    assert_eq!(world.entra.calls(EXCHANGE), 2);
}

#[tokio::test]
async fn whatever_is_wrong_at_entra_the_next_call_works() {
    for (failure, wait) in [
        (Failure::Status(503), 5),
        (Failure::Status(500), 5),
        (Failure::Throttle { retry_after: 7 }, 7),
        (Failure::Garbage, 0),
        (Failure::Drop, 0),
    ] {
        let world = World::new().await;
        let session = world.log_in("alice").await;
        let caller = caller(&world, &session).await;
        world.entra.fail_next(EXCHANGE, 1, failure.clone());
        let refused = token(&caller).await.unwrap_err();
        assert!(refused.retry_after().is_some(), "{failure:?}: {refused:?}");
        assert!(refused.shortfall().is_none(), "{failure:?}");
        world.advance(wait * SECOND);
        let given = token(&caller).await.unwrap();
        assert_eq!(ask_graph(&world, &given).await.status, 200, "{failure:?}");
        session.refreshed().await;
    }
}

/// Whoever hangs up keeps nobody from the token that was under way.
#[tokio::test]
async fn a_call_that_is_given_up_is_an_exchange_for_the_next() {
    let world = World::new().await;
    let caller = caller(&world, &world.log_in("alice").await).await;
    {
        let mut given_up = std::pin::pin!(token(&caller));
        assert!(futures_now(given_up.as_mut()).is_none());
    }
    token(&caller).await.unwrap();
    assert_eq!(world.entra.calls(EXCHANGE), 1);
}

/// What a future says when it is asked once.
fn futures_now<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test(start_paused = true)]
async fn an_entra_that_never_answers_is_waited_for_for_a_while() {
    let direct = Direct::new(config().client_secret(builtin::CLIENT_SECRET));
    let caller = direct.verdict(&good()).await.unwrap();
    direct.wire.answer_next(Instead::Nothing);
    let refused = caller.downstream_token(USER_READ).await;
    assert!(matches!(refused, Err(OboError::TimedOut)), "{refused:?}");
}

#[tokio::test]
async fn neither_refresh_nor_rotation_costs_an_exchange() {
    let world = World::new().await;
    world.entra.set_token_lifetime(Duration::from_secs(7200));
    let session = world.log_in("alice").await;
    let before = caller(&world, &session).await;
    let first = token(&before).await.unwrap();
    world.advance(60 * SECOND);
    let session = session.refreshed().await;
    assert_eq!(world.entra.calls(REFRESH_GRANT), 1);
    let after = caller(&world, &session).await;
    for caller in [&before, &after] {
        let again = token(caller).await.unwrap();
        assert_eq!(first.expose(), again.expose());
    }
    assert_eq!(world.entra.calls(EXCHANGE), 1);
}

/// It is refreshed when Entra says, and while that fails the old one stays in use.
#[tokio::test]
async fn a_token_that_cannot_be_refreshed_stays_in_use() {
    let world = World::new().await;
    world.entra.set_token_lifetime(Duration::from_secs(3600));
    world.entra.set_refresh_in(Duration::from_secs(600));
    let session = world.log_in("alice").await;
    let caller = caller(&world, &session).await;
    let first = token(&caller).await.unwrap();
    world.entra.fail_next(EXCHANGE, 2, Failure::Status(503));
    world.advance(600 * SECOND);
    // Twice a minute it is tried.
    for (wait, exchanges) in [(0, 2), (1, 2), (28, 2), (1, 3), (10, 3)] {
        world.advance(wait * SECOND);
        let again = token(&caller).await.unwrap();
        assert_eq!(first.expose(), again.expose());
        settle().await;
        assert_eq!(world.entra.calls(EXCHANGE), exchanges);
    }
    world.advance(30 * SECOND);
    token(&caller).await.unwrap();
    settle().await;
    let next = token(&caller).await.unwrap();
    assert_eq!(world.entra.calls(EXCHANGE), 4);
    assert_ne!(first.expose(), next.expose());
}

/// The grant is read again every ten seconds, and an exchange that hangs must not be waited for then.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_refresh_that_hangs() {
    let world = World::new().await;
    world.entra.set_token_lifetime(Duration::from_secs(3600));
    let caller = caller(&world, &world.log_in("alice").await).await;
    let first = token(&caller).await.unwrap();
    world.hang_next();
    for wait in [3300, 11, 11] {
        world.advance(wait * SECOND);
        let again = token(&caller).await.unwrap();
        assert_eq!(first.expose(), again.expose());
        settle().await;
    }
}

/// Entra throttles the whole tenant for what one client does.
#[tokio::test]
async fn a_refusal_is_believed_for_a_moment_however_often_it_is_met() {
    let world = World::new().await;
    let mut browser = world.browser();
    let session = world.client().await.log_in(&mut browser, "alice").await;
    let held = caller(&world, &session).await;
    world
        .entra
        .refuse_obo(builtin::ALICE, GrantRefusal::MfaRequired);
    for refused in at_once(&held).await {
        assert!(
            matches!(refused, Err(OboError::InteractionRequired(_))),
            "{refused:?}"
        );
    }
    world.advance(4 * SECOND);
    assert!(token(&held).await.is_err());
    assert_eq!(world.entra.calls(EXCHANGE), 1);
    world.advance(SECOND);
    assert!(token(&held).await.is_err());
    assert_eq!(world.entra.calls(EXCHANGE), 2);
    // It was about that token: the user's next login is another.
    let session = session.client.log_in(&mut browser, "alice").await;
    token(&caller(&world, &session).await).await.unwrap();
}

/// A token that still holds asks nothing of the user, and of the client not to sign in.
#[tokio::test]
async fn a_refresh_behind_everybodys_back_that_is_refused_disturbs_nobody() {
    let world = World::new().await;
    world.entra.set_token_lifetime(Duration::from_secs(3600));
    world.entra.set_refresh_in(Duration::from_secs(600));
    let session = world.log_in("alice").await;
    let held = caller(&world, &session).await;
    token(&held).await.unwrap();
    world
        .entra
        .refuse_obo(builtin::ALICE, GrantRefusal::MfaRequired);
    world.advance(600 * SECOND);
    token(&held).await.unwrap();
    settle().await;
    assert_eq!(world.entra.calls(EXCHANGE), 2);
    session.refreshed().await;
}

/// The same where it is the user's own token that Entra does not refresh.
#[tokio::test]
async fn a_refresh_of_the_users_token_behind_their_back_disturbs_nobody() {
    let world = World::new().await;
    world.entra.set_token_lifetime(Duration::from_secs(3600));
    let session = world.log_in("alice").await;
    let held = caller(&world, &session).await;
    token(&held).await.unwrap();
    world
        .entra
        .refuse_refresh(builtin::ALICE, GrantRefusal::MfaRequired);
    world.advance(3300 * SECOND);
    token(&held).await.unwrap();
    settle().await;
    assert_eq!(world.entra.calls(REFRESH_GRANT), 1);
    world.entra.refuse_refresh(builtin::ALICE, None);
    session.refreshed().await;
}

#[tokio::test]
async fn a_refusal_that_says_when_to_come_back_is_believed_for_as_long() {
    let world = World::new().await;
    let held = caller(&world, &world.log_in("alice").await).await;
    let looping = Failure::Error {
        aadsts: 50_196,
        error: "invalid_grant".to_owned(),
        suberror: None,
        claims: None,
    };
    world.entra.fail_next(EXCHANGE, 1, looping);
    let wait = token(&held).await.unwrap_err().retry_after().unwrap();
    assert!(wait > 5 * SECOND, "{wait:?}");
    world.advance(wait.saturating_sub(SECOND));
    assert!(token(&held).await.is_err());
    assert_eq!(world.entra.calls(EXCHANGE), 1);
    world.advance(SECOND);
    token(&held).await.unwrap();
}

#[tokio::test]
async fn a_token_of_our_own_that_is_refused_is_not_asked_for_at_once_again() {
    let verifier = config()
        .client_secret(builtin::CLIENT_SECRET)
        .app_only(AppOnlyTokens::Allow)
        .allowed_clients([builtin::DAEMON_CLIENT_ID]);
    let world = Direct::new(verifier);
    let order = TokenOrder::app_only(builtin::DAEMON_CLIENT_ID, builtin::CLIENT_ID);
    let caller = world.verdict(&order).await.unwrap();
    let own = Endpoint::TokenGrant(GrantType::ClientCredentials);
    let wrong = Failure::Error {
        aadsts: 7_000_215,
        error: "invalid_client".to_owned(),
        suberror: None,
        claims: None,
    };
    world.entra.fail_next(own, 1, wrong);
    let request = DownstreamRequest::new(USER_READ).allow_app_only_fallback();
    for _ in 0..3 {
        assert!(caller.downstream_token(request).await.is_err());
    }
    assert_eq!(world.entra.calls(own), 1);
    world.advance(5 * SECOND);
    caller.downstream_token(request).await.unwrap();
}
