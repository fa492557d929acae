//! The store in Redis and in Valkey, on real servers of every kind.

use std::sync::Arc;
use std::time::Duration;

use entrada::grant::GrantId;
use entrada::platform::{Clock as _, SystemClock, SystemRandom, Timestamp};
use entrada::store::{Entry, RecordKey, RedisSettings, RedisStore, Sealed, Store, StoreError};
use tokio::time::Instant;

mod answers;
mod certificates;
mod cluster;
mod healing;
mod replicas;
pub(crate) mod server;

use cluster::Cluster;
use replicas::Watched;
use server::{Family, Server, Tls, for_each_family};

entrada::store_conformance!(together keeps_every_promise);

for_each_family!(
    one_server_keeps_the_promises,
    a_server_with_tls_and_a_user_of_our_own_keeps_the_promises,
    a_server_on_a_socket_keeps_the_promises,
    a_primary_that_sentinels_watch_keeps_the_promises,
    a_cluster_keeps_the_promises,
    a_primary_and_sentinels_with_tls_keep_the_promises,
    a_cluster_with_tls_and_a_user_of_our_own_keeps_the_promises,
);

fn open(url: &str) -> RedisStore {
    RedisStore::open(RedisSettings::from_url(url).unwrap()).unwrap()
}

fn later() -> Timestamp {
    SystemClock::default().now() + Duration::from_secs(3600)
}

fn entry(bytes: impl Into<bytes::Bytes>) -> Entry {
    Entry::new(Sealed::from_stored(bytes), later())
}

fn new_key() -> RecordKey {
    RecordKey::grant(&GrantId::generate(&SystemRandom::default()))
}

/// What went wrong, down to the first cause.
fn told(error: &StoreError) -> String {
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

/// Waits until the store works, and answers how long that took.
async fn works_again(store: &RedisStore) -> Duration {
    let begun = Instant::now();
    loop {
        match store.put(&new_key(), entry("anew")).await {
            Ok(()) => return begun.elapsed(),
            Err(error) => assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{}",
                told(&error)
            ),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn one_server_keeps_the_promises(family: Family) {
    let server = Server::start(family);
    let store: Arc<dyn Store> = Arc::new(open(&server.url("")));
    keeps_every_promise(store).await;
}

async fn a_server_with_tls_and_a_user_of_our_own_keeps_the_promises(family: Family) {
    let tls = Tls::new();
    let server = Server::start_with_tls(family, &tls);
    let store: Arc<dyn Store> = Arc::new(open(&server.url(&tls.parameters())));
    keeps_every_promise(store).await;
}

async fn a_server_on_a_socket_keeps_the_promises(family: Family) {
    let server = Server::start(family);
    let socket = server.folder().join("redis.sock");
    let store: Arc<dyn Store> = Arc::new(open(&format!("redis+unix://{}?db=3", socket.display())));
    keeps_every_promise(store).await;
    assert_eq!(server.ask(&["DBSIZE"]).trim(), "0");
}

async fn a_primary_that_sentinels_watch_keeps_the_promises(family: Family) {
    let watched = Watched::start(family);
    let store: Arc<dyn Store> = Arc::new(open(&watched.url("wait_replicas=1")));
    keeps_every_promise(store).await;
}

async fn a_cluster_keeps_the_promises(family: Family) {
    let cluster = Cluster::start(family);
    let store: Arc<dyn Store> = Arc::new(open(&cluster.url("")));
    keeps_every_promise(store).await;
    for node in &cluster.primaries {
        assert_ne!(node.ask(&["DBSIZE"]).trim(), "0", "no node was left out");
    }
}

async fn a_primary_and_sentinels_with_tls_keep_the_promises(family: Family) {
    let tls = Tls::new();
    let watched = Watched::start_with_tls(family, &tls);
    let store: Arc<dyn Store> = Arc::new(open(&watched.url("")));
    keeps_every_promise(store).await;
}

async fn a_cluster_with_tls_and_a_user_of_our_own_keeps_the_promises(family: Family) {
    let tls = Tls::new();
    let cluster = Cluster::start_with_tls(family, &tls);
    let store: Arc<dyn Store> = Arc::new(open(&cluster.url("")));
    keeps_every_promise(store).await;
    for node in &cluster.primaries {
        assert_ne!(node.ask(&["DBSIZE"]).trim(), "0", "no node was left out");
    }
}
