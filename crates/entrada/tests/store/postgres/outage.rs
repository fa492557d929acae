//! What happens when the server is not there, or no longer answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use entrada::platform::Timestamp;
use entrada::store::{PostgresStore, RecordKey, Store as _, Taken, Written};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::server::Server;
use super::{entry, new_key, told};

/// How soon a store must notice that its server is back, with some time for slow machines.
const HEALED: Duration = Duration::from_secs(5);

/// Asks until there is an answer.
async fn healed(store: &PostgresStore) {
    let until = Instant::now() + HEALED;
    while let Err(error) = store.read(&new_key()).await {
        assert!(Instant::now() < until, "{}", told(&error));
    }
}

/// As many connections as there may be.
async fn fill_the_pool(store: &Arc<PostgresStore>) {
    let mut reads = JoinSet::new();
    for _ in 0..32 {
        let store = Arc::clone(store);
        reads.spawn(async move { healed(&store).await });
    }
    reads.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_opens_while_the_server_is_down_and_uses_it_once_it_is_up() {
    let mut server = Server::stopped();
    let store = server.store("timeout=300ms");
    let before = Instant::now();
    let error = store.read(&new_key()).await.unwrap_err();
    assert!(before.elapsed() < Duration::from_secs(1));
    assert!(told(&error).contains("refused"), "{}", told(&error));
    server.start().await;
    healed(&store).await;
}

/// What one writer was told of a record: the steps it took with it.
type Acknowledged = Vec<(RecordKey, usize)>;

async fn write_until_it_fails(store: Arc<PostgresStore>, steps: Arc<AtomicUsize>) -> Acknowledged {
    let mut acknowledged = Vec::new();
    loop {
        let key = new_key();
        for step in 0..4 {
            let done = match step {
                0 | 1 => {
                    let version = step as u64 + 1;
                    store.put_version(&key, version, entry("x")).await.map(drop)
                }
                2 => store.take(&key).await.map(drop),
                _ => {
                    let until = Timestamp::from_unix(10_000_000_000);
                    store.revoke(&key, until).await
                }
            };
            if done.is_err() {
                return acknowledged;
            }
            acknowledged.push((key.clone(), step));
            steps.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let mut server = Server::started().await;
    let store = Arc::new(server.store("timeout=1s"));
    for _ in 0..2 {
        fill_the_pool(&store).await;
        let steps = Arc::new(AtomicUsize::new(0));
        let mut writers = JoinSet::new();
        for _ in 0..8 {
            writers.spawn(write_until_it_fails(Arc::clone(&store), Arc::clone(&steps)));
        }
        while steps.load(Ordering::Relaxed) < 500 {
            sleep(Duration::from_millis(1)).await;
        }
        server.kill();
        let acknowledged = writers.join_all().await;
        server.start().await;
        healed(&store).await;
        let acknowledged: Vec<_> = acknowledged.into_iter().flatten().collect();
        let mut checks = JoinSet::new();
        for part in acknowledged.chunks(acknowledged.len() / 16 + 1) {
            checks.spawn(check(Arc::clone(&store), part.to_vec()));
        }
        checks.join_all().await;
    }
}

async fn check(store: Arc<PostgresStore>, acknowledged: Acknowledged) {
    for (key, step) in acknowledged {
        match step {
            0 => {
                let written = store.put_new(&key, entry("y")).await.unwrap();
                assert_eq!(written, Written::Conflict);
            }
            1 => {
                let written = store.put_version(&key, 2, entry("y")).await.unwrap();
                assert_ne!(written, Written::Yes);
            }
            _ => assert_eq!(store.take(&key).await.unwrap(), Taken::Spent(None)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_not_noticed_by_those_who_come_after_it() {
    let mut server = Server::started().await;
    let store = Arc::new(server.store("timeout=5s"));
    fill_the_pool(&store).await;
    server.stop();
    // Who comes now waits, and so gets an answer.
    let mut early = JoinSet::new();
    for _ in 0..20 {
        let store = Arc::clone(&store);
        early.spawn(async move { store.put(&new_key(), entry("x")).await });
    }
    server.start().await;
    for put in early.join_all().await {
        put.unwrap();
    }
    fill_the_pool(&store).await;
    // The operator ends all sessions.
    let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'entrada'";
    server.sql(ended).await;
    sleep(Duration::from_millis(200)).await;
    fill_the_pool(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_is_kept_while_the_server_hangs_and_it_heals_when_it_no_longer_does() {
    let server = Server::started().await;
    let store = Arc::new(server.store("timeout=500ms"));
    fill_the_pool(&store).await;
    server.pause();
    let mut asking = JoinSet::new();
    for number in 0..40 {
        let store = Arc::clone(&store);
        asking.spawn(async move {
            let before = Instant::now();
            let answer = match number % 2 {
                0 => store.read(&new_key()).await.map(drop),
                _ => store.take(&new_key()).await.map(drop),
            };
            (answer, before.elapsed())
        });
    }
    for (answer, took) in asking.join_all().await {
        let told = told(&answer.unwrap_err());
        assert!(told.contains("no answer within 500ms"), "{told}");
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    server.resume();
    healed(&store).await;
    fill_the_pool(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verb_that_is_given_up_in_the_middle_does_not_hold_up_the_next() {
    let server = Server::started().await;
    let store = server.store("pool=1&timeout=10s");
    let key = new_key();
    store.put(&key, entry("x")).await.unwrap();
    let admin = server.admin().await;
    let lock = "BEGIN; SELECT 1 FROM entrada.slots FOR UPDATE";
    admin.client.batch_execute(lock).await.unwrap();
    // Its client has gone, and its statement waits for the lock.
    let given_up = tokio::time::timeout(Duration::from_millis(100), store.take(&key)).await;
    assert!(given_up.is_err());
    let before = Instant::now();
    store.read(&new_key()).await.unwrap();
    assert!(before.elapsed() < HEALED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_writes_is_left_for_one_that_does() {
    let (first, second) = (Server::started().await, Server::started().await);
    let hosts = format!("@{},{}/", first.host(), second.host());
    let both = first
        .url("")
        .replace(&format!("@{}/", first.host()), &hosts);
    // Both authorities vouch.
    let roots = [&first, &second].map(|it| std::fs::read(it.path("ca.pem")).unwrap());
    std::fs::write(first.path("ca.pem"), roots.concat()).unwrap();
    let store = Arc::new(PostgresStore::open(both.parse().unwrap()).unwrap());
    fill_the_pool(&store).await;
    let key = new_key();
    store.put(&key, entry("x")).await.unwrap();
    assert!(first.store("").read(&key).await.unwrap().is_some());
    let read_only = "ALTER SYSTEM SET default_transaction_read_only = on";
    first.sql(read_only).await;
    first.sql("SELECT pg_reload_conf()").await;
    sleep(Duration::from_millis(200)).await;
    // Its statement did nothing there, so it is sent again.
    let key = new_key();
    store.put(&key, entry("x")).await.unwrap();
    assert!(second.store("").read(&key).await.unwrap().is_some());
    // Now none takes writes.
    second.sql(read_only).await;
    second.sql("SELECT pg_reload_conf()").await;
    sleep(Duration::from_millis(200)).await;
    let error = store.put(&new_key(), entry("x")).await.unwrap_err();
    assert!(
        told(&error).contains("does not allow writes"),
        "{}",
        told(&error)
    );
}
