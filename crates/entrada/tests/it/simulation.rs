//! The lease and the rotation in thousands of schedules, each drawn from a seed: replicas that race, die and are stopped
//! for longer than their lease, a store that loses answers, and clocks.
//!
//! A schedule that fails is printed by shuttle, to be replayed with `shuttle::replay`.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock};
use std::task::Poll;

use entrada::store::{Collection, MemoryStore, Store};
use shuttle::rand::Rng as _;
use shuttle::scheduler::RandomScheduler;
use shuttle::{Config, Runner};

use crate::client::{Answer, Session};
use crate::outage::Outage;
use crate::refresh::REFRESH_GRANT;
use crate::world::{SECOND, World};

/// How many schedules of each scenario there are, unless `ENTRADA_SCHEDULES` says.
const SCHEDULES: usize = 250;

/// A user who has just signed in, and all that was stored for it: every schedule begins with a copy.
struct Beginning {
    world: World,
    session: Session,
    stored: Arc<MemoryStore>,
}

static BEGINNING: LazyLock<Beginning> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stored = Arc::new(MemoryStore::default());
        let world = World::on(stored.clone(), |config| config).await;
        let session = world.log_in("alice").await;
        Beginning {
            world,
            session,
            stored,
        }
    })
});

/// Three replicas on a store that holds what was stored at the beginning.
struct Stage {
    store: Arc<Outage>,
    replicas: [World; 3],
}

impl Stage {
    async fn set() -> Self {
        let store = Arc::new(Outage::default());
        let mut page = BEGINNING.stored.export(None, 1000).await.unwrap();
        for (key, slot) in page.slots.drain(..) {
            store.replace(&key, None, slot).await.unwrap();
        }
        let replica = || BEGINNING.world.over(store.clone());
        Self {
            replicas: [replica(), replica(), replica()],
            store,
        }
    }

    fn session(&self, replica: usize) -> Session {
        BEGINNING.session.at(&self.replicas[replica])
    }
}

/// Runs `scenario` in many schedules.
fn explore<F: Future<Output = ()> + 'static>(scenario: fn() -> F) {
    LazyLock::force(&BEGINNING);
    let told = std::env::var_os("ENTRADA_SCHEDULES").and_then(|text| text.into_string().ok());
    let schedules = told.map_or(SCHEDULES, |text| text.parse().unwrap());
    let mut config = Config::new();
    config.stack_size = 8 << 20;
    let runner = Runner::new(RandomScheduler::new(schedules), config);
    runner.run(move || shuttle::future::block_on(scenario()));
}

fn entra_calls() -> u64 {
    BEGINNING.world.entra.calls(REFRESH_GRANT)
}

/// A refresh, again and again until the server is not busy.
async fn refreshed(session: &Session) -> Answer {
    loop {
        let answer = session.refresh().await;
        if answer.status != 503 {
            return answer;
        }
    }
}

/// Lets the clocks go on while `going` holds, and every waiting lease come to its end.
async fn pass_time(working: Arc<AtomicUsize>) {
    while working.load(SeqCst) > 0 {
        shuttle::future::yield_now().await;
        let seconds = shuttle::rand::thread_rng().gen_range(0..4);
        BEGINNING.world.advance(seconds * SECOND);
    }
}

/// Runs `future` for so many turns, and forgets it: as if the process was killed.
async fn killed_after<F: Future>(future: F, turns: usize) -> Option<F::Output> {
    let mut future: Pin<Box<F>> = Box::pin(future);
    for _ in 0..turns {
        let polled = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context)));
        if let Poll::Ready(output) = polled.await {
            return Some(output);
        }
        shuttle::future::yield_now().await;
    }
    std::mem::forget(future);
    None
}

/// Nobody is told that the session is over; all who are answered got the same; the family goes on.
async fn assert_one_family(stage: &Stage, answers: Vec<Answer>) {
    let mut successors = BTreeSet::new();
    for answer in answers {
        let answer = answer.ok();
        successors.insert(answer["refresh_token"].as_str().unwrap().to_owned());
    }
    assert!(successors.len() <= 1, "{} successors", successors.len());
    // The first may be dead.
    let last = stage.session(2);
    let next = match successors.pop_first() {
        Some(successor) => last.client.refresh(&successor).await,
        None => refreshed(&last).await,
    };
    next.ok();
}

#[test]
fn replicas_that_race_ask_entra_once() {
    explore(|| async {
        let stage = Stage::set().await;
        let before = entra_calls();
        let racers: Vec<_> = (0..5)
            .map(|racer| {
                let session = stage.session(racer % 3);
                shuttle::future::spawn(async move { refreshed(&session).await })
            })
            .collect();
        let mut answers = Vec::new();
        for racer in racers {
            answers.push(racer.await.unwrap());
        }
        assert_eq!(entra_calls() - before, 1);
        assert_one_family(&stage, answers).await;
    });
}

#[test]
fn replicas_that_die_or_are_stopped_hold_up_nobody_for_long() {
    explore(|| async {
        let stage = Stage::set().await;
        let before = entra_calls();
        let working = Arc::new(AtomicUsize::new(2));
        let turns = shuttle::rand::thread_rng().gen_range(0..12);
        let dying = stage.session(0);
        let dying =
            shuttle::future::spawn(async move { killed_after(dying.refresh(), turns).await });
        let racers: Vec<_> = [1, 2]
            .map(|replica| {
                let session = stage.session(replica);
                let working = Arc::clone(&working);
                shuttle::future::spawn(async move {
                    let answer = refreshed(&session).await;
                    working.fetch_sub(1, SeqCst);
                    answer
                })
            })
            .into_iter()
            .collect();
        let time = shuttle::future::spawn(pass_time(working));
        let mut answers = Vec::new();
        for racer in racers {
            answers.push(racer.await.unwrap());
        }
        answers.extend(dying.await.unwrap().filter(|answer| answer.status != 503));
        time.await.unwrap();
        // The last lease may be that of the dead.
        BEGINNING.world.advance(11 * SECOND);
        // One that was stopped for longer than its lease does not know it, and asks as well.
        assert!(entra_calls() - before <= 3);
        assert_one_family(&stage, answers).await;
    });
}

/// A client that comes again, wherever it is sent, until it is answered.
#[test]
fn answers_that_the_store_loses_end_no_session() {
    explore(|| async {
        let stage = Arc::new(Stage::set().await);
        let lost = [
            ("put_version", Collection::Grants),
            ("lease", Collection::Flights),
            ("settle", Collection::Flights),
        ];
        let (verb, collection) = lost[shuttle::rand::thread_rng().gen_range(0..3)];
        stage.store.lose_answers_of(verb, collection);
        let there = Arc::clone(&stage);
        let client = shuttle::future::spawn(async move {
            for replica in (0..3).cycle() {
                let answer = there.session(replica).refresh().await;
                if answer.status != 503 {
                    return answer;
                }
            }
            unreachable!("it comes for ever");
        });
        let there = Arc::clone(&stage);
        let weather = shuttle::future::spawn(async move {
            for _ in 0..shuttle::rand::thread_rng().gen_range(0..20) {
                shuttle::future::yield_now().await;
            }
            // Longer than any grace, and whoever asks at the doors sees that nobody can come.
            there.store.begin();
            for _ in 0..10 {
                BEGINNING.world.advance(20 * SECOND);
                for replica in &there.replicas {
                    assert!(replica.provider.ready().await.is_err());
                }
            }
            there.store.end();
            BEGINNING.world.advance(11 * SECOND);
        });
        weather.await.unwrap();
        let answer = client.await.unwrap();
        assert_one_family(&stage, vec![answer]).await;
    });
}

#[test]
fn a_revocation_is_the_last_word_whenever_it_comes() {
    explore(|| async {
        let stage = Stage::set().await;
        let refreshing = stage.session(0);
        let refreshing = shuttle::future::spawn(async move { refreshed(&refreshing).await });
        let revoking = stage.session(1);
        let revoking =
            shuttle::future::spawn(
                async move { revoking.client.revoke(&revoking.refresh_token).await },
            );
        let answer = refreshing.await.unwrap();
        assert_eq!(revoking.await.unwrap().status, 200);
        let last = stage.session(2);
        last.refresh().await.assert_refused(400, "invalid_grant");
        if answer.status.is_success() {
            let next = last.client.session(answer.ok());
            next.refresh().await.assert_refused(400, "invalid_grant");
            next.call_tool().await.assert_unauthorized("invalid_token");
        }
    });
}
