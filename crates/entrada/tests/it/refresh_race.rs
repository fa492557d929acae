//! Many refreshes at once, on one server and on several.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::client::{Answer, Session};
use crate::outage::Outage;
use crate::refresh::REFRESH_GRANT;
use crate::world::{SECOND, World};

/// Refreshes with one token, all at once.
async fn all_at_once(sessions: impl IntoIterator<Item = Session>) -> Vec<Session> {
    let mut refreshes = JoinSet::new();
    for session in sessions {
        refreshes.spawn(async move {
            let answer: Answer = session.refresh().await;
            session.client.session(answer.ok())
        });
    }
    refreshes.join_all().await
}

fn refresh_tokens(sessions: &[Session]) -> BTreeSet<&str> {
    sessions
        .iter()
        .map(|session| &*session.refresh_token)
        .collect()
}

/// All of them have one successor, every access token is good, and the family goes on.
async fn assert_one_family(sessions: &[Session]) {
    assert_eq!(refresh_tokens(sessions).len(), 1);
    for session in sessions {
        assert!(session.call_tool().await.status.is_success());
    }
    let next = sessions[0].refreshed().await;
    assert!(next.call_tool().await.status.is_success());
}

async fn fifty_ask_entra_once() {
    let world = World::on(Arc::new(Outage::default()), |config| config).await;
    let session = world.log_in("alice").await;
    let sessions = all_at_once(std::iter::repeat_n(session, 50)).await;
    assert_eq!(sessions.len(), 50);
    assert_eq!(world.entra.calls(REFRESH_GRANT), 1);
    assert_one_family(&sessions).await;
}

/// Every interleaving at an await point is taken in turn.
#[tokio::test]
async fn fifty_refreshes_on_one_thread_ask_entra_once_and_stay_one_family() {
    fifty_ask_entra_once().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_refreshes_on_many_threads_ask_entra_once_and_stay_one_family() {
    fifty_ask_entra_once().await;
}

/// Replicas wait for one another: one asks Entra, and the others repeat what it got.
#[tokio::test]
async fn replicas_that_race_ask_entra_once_and_stay_one_family() {
    let world = World::on(Arc::new(Outage::default()), |config| config).await;
    let replicas = [world.replica(), world.replica()];
    let session = world.log_in("alice").await;
    let racers = [&world, &replicas[0], &replicas[1]].map(|replica| session.at(replica));
    let sessions = all_at_once(racers.into_iter().cycle().take(20)).await;
    assert_eq!(world.entra.calls(REFRESH_GRANT), 1);
    assert_one_family(&sessions).await;
}

/// A replica that dies while Entra answers it holds up the others for the term of its lease, no longer.
#[tokio::test(start_paused = true)]
async fn a_replica_that_dies_half_way_holds_up_the_others_for_ten_seconds() {
    let world = World::new().await;
    let replica = world.replica();
    let session = world.log_in("alice").await;
    world.hang_next();
    let dying = session.clone();
    let mut dying = Box::pin(async move { dying.refresh().await.status });
    assert!(soon(dying.as_mut()).await.is_none());
    // What is forgotten gives nothing back, as what is killed.
    std::mem::forget(dying);
    let other = session.at(&replica);
    let mut waiting = std::pin::pin!(other.refresh());
    assert!(soon(waiting.as_mut()).await.is_none());
    world.advance(9 * SECOND);
    assert!(soon(waiting.as_mut()).await.is_none());
    world.advance(SECOND);
    let next = other.client.session(waiting.await.ok()).refreshed().await;
    assert!(next.call_tool().await.status.is_success());
}

/// A replica that stood still for longer than its lease finds its client two tokens further: what it was
/// asked then is no replay, for the token was the newest when it came.
#[tokio::test(start_paused = true)]
async fn a_replica_that_stood_still_ends_no_grant_that_went_on_without_it() {
    let world = World::new().await;
    let replica = world.replica();
    let session = world.log_in("alice").await;
    world.entra.delay_next(REFRESH_GRANT, 1, 2 * SECOND);
    let mut still = std::pin::pin!(session.refresh());
    assert!(soon(still.as_mut()).await.is_none());
    world.advance(11 * SECOND);
    let mut newest = session.at(&replica);
    for _ in 0..2 {
        newest = newest.refreshed().await;
    }
    still.await.assert_refused(400, "invalid_grant");
    newest.call_tool().await.ok();
    let newest = newest.refreshed().await;
    // Whoever comes with it now replays it.
    session.refresh().await.assert_refused(400, "invalid_grant");
    crate::refresh::assert_ended(&world, &newest).await;
}

/// What a future says when it is given some turns, and the time to ask again for a lease.
async fn soon<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    tokio::time::timeout(SECOND, future).await.ok()
}

/// A holder that is slow is not taken for dead, and nobody waits for it for ever.
#[tokio::test(start_paused = true)]
async fn a_replica_that_waits_for_entra_keeps_its_lease() {
    let world = World::new().await;
    let replica = world.replica();
    let session = world.log_in("alice").await;
    world.hang_next();
    let slow = session.refresh();
    let impatient = async {
        let other = session.at(&replica);
        let refused = passing_time(&world, other.refresh()).await;
        refused.assert_refused(503, "temporarily_unavailable");
    };
    tokio::select! {
        biased;
        answer = slow => panic!("{}", answer.status),
        () = impatient => {}
    }
    // The slow one hung up, and gave its lease back.
    session.at(&replica).refreshed().await;
}

/// Lets the time of the world pass with that of the runtime.
async fn passing_time<F: Future>(world: &World, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    loop {
        match tokio::time::timeout(SECOND, future.as_mut()).await {
            Ok(output) => return output,
            Err(_) => world.advance(SECOND),
        }
    }
}

#[tokio::test]
async fn a_race_about_an_old_token_ends_the_family_for_all() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let newest = session.refreshed().await;
    world.advance(31 * SECOND);
    let mut refreshes = JoinSet::new();
    for _ in 0..10 {
        let session = session.clone();
        refreshes.spawn(async move { session.refresh().await });
    }
    for answer in refreshes.join_all().await {
        answer.assert_refused(400, "invalid_grant");
    }
    crate::refresh::assert_ended(&world, &newest).await;
}

/// A client that hangs up, at whichever point, can still go on with the token it holds.
#[tokio::test]
async fn a_refresh_that_is_dropped_half_way_loses_nothing() {
    let world = World::on(Arc::new(Outage::default()), |config| config).await;
    let mut session = world.log_in("alice").await;
    let mut finished = false;
    for turns in 0..30 {
        let given_up = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            _ = session.refresh() => finished = true,
            () = given_up => {}
        }
        session = session.refreshed().await;
        assert!(session.call_tool().await.status.is_success());
    }
    assert!(finished, "the last ones had the time they needed");
}

/// At whichever point the revocation overtakes the refresh, it stands.
#[tokio::test]
async fn a_refresh_brings_no_revoked_session_back() {
    let world = World::on(Arc::new(Outage::default()), |config| config).await;
    let mut both = [false; 2];
    for turns in 0..20 {
        let session = world.log_in("alice").await;
        let revocation = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            session.client.revoke(&session.refresh_token).await
        };
        let (refreshed, revoked) = tokio::join!(session.refresh(), revocation);
        assert_eq!(revoked.status, 200);
        let won = refreshed.status.is_success();
        both[usize::from(won)] = true;
        let last = if won {
            session.client.session(refreshed.ok())
        } else {
            refreshed.assert_refused(400, "invalid_grant");
            session
        };
        last.refresh().await.assert_refused(400, "invalid_grant");
        let unseen = last.at(&world.replica()).call_tool().await;
        unseen.assert_unauthorized("invalid_token");
    }
    assert_eq!(both, [true; 2], "either one was first at times");
}

/// RFC 6749 §4.1.2: at whichever point the replay comes, nothing is left of what the code gave.
#[tokio::test]
async fn a_replay_that_overtakes_the_redemption_leaves_nothing() {
    let world = World::on(Arc::new(Outage::default()), |config| config).await;
    let client = world.client().await;
    for turns in 0..12 {
        let code = client.code(&mut world.browser(), "alice").await;
        let replay = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            client.redeem(&code).await
        };
        let answers = tokio::join!(client.redeem(&code), replay);
        for answer in <[Answer; 2]>::from(answers) {
            if answer.status.is_success() {
                let session = client.session(answer.ok());
                let unseen = session.at(&world.replica()).call_tool().await;
                unseen.assert_unauthorized("invalid_token");
                session.refresh().await.assert_refused(400, "invalid_grant");
            } else {
                answer.assert_refused(400, "invalid_grant");
            }
        }
    }
}
