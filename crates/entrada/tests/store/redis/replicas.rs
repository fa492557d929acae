//! A primary with a replica, and a sentinel that watches over them.

use std::time::Duration;

use entrada::store::{Sealed, Store as _, Stored};
use tokio::time::Instant;

use super::server::Server;
use super::{entry, new_key, open, told, works_again};

/// A primary, its replica and a sentinel.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) primary: Server,
    pub(crate) replica: Server,
    sentinel: Server,
}

impl Watched {
    pub(crate) fn start() -> Self {
        let primary = Server::start();
        let port = primary.port();
        let replica = Server::start_with(&format!("replicaof 127.0.0.1 {port}\n"));
        primary.wait_for(&["INFO", "replication"], "state=online");
        let sentinel = Server::start_as("redis-sentinel", |own| {
            format!(
                "port {own}
                bind 127.0.0.1
                sentinel monitor main 127.0.0.1 {port} 1
                sentinel down-after-milliseconds main 300
                sentinel failover-timeout main 3000\n"
            )
        });
        sentinel.wait_for(&["SENTINEL", "REPLICAS", "main"], "master-link-status");
        Self {
            primary,
            replica,
            sentinel,
        }
    }

    pub(crate) fn url(&self, parameters: &str) -> String {
        // One that is not there is passed over.
        let port = self.sentinel.port();
        format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/main?{parameters}")
    }

    fn wait_for_failover(&self) {
        let new = self.replica.port().to_string();
        let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"];
        self.sentinel.wait_for(&question, &new);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_died_is_replaced_and_what_a_replica_confirmed_is_there() {
    let mut watched = Watched::start();
    let store = open(&watched.url("wait_replicas=1"));
    let key = new_key();
    store.put(&key, entry("confirmed")).await.unwrap();
    watched.primary.kill();
    watched.wait_for_failover();
    let unconfirmed = open(&watched.url(""));
    let took = works_again(&unconfirmed).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    let stored = unconfirmed.read(&key).await.unwrap();
    assert_eq!(
        stored,
        Some(Stored::new(1, Sealed::from_stored("confirmed")))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_follows_the_primary_that_died_or_hung() {
    for hangs in [false, true] {
        let mut watched = Watched::start();
        let store = open(&watched.url(""));
        works_again(&store).await;
        if hangs {
            watched.primary.suspend();
        } else {
            watched.primary.kill();
        }
        // Users go on asking.
        let failed = store.put(&new_key(), entry("lost")).await;
        assert!(failed.is_err());
        watched.wait_for_failover();
        let took = works_again(&store).await;
        assert!(took < Duration::from_millis(2500), "{hangs}: {took:?}");
        if hangs {
            watched.primary.resume();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_became_a_replica_is_left() {
    let watched = Watched::start();
    let store = open(&watched.url(""));
    works_again(&store).await;
    let begun = Instant::now();
    // It refuses until it has heard of the replica.
    watched
        .sentinel
        .wait_for(&["SENTINEL", "FAILOVER", "main"], "OK");
    watched.wait_for_failover();
    let took = works_again(&store).await;
    assert!(
        took < Duration::from_secs(2),
        "{took:?} of {:?}",
        begun.elapsed()
    );
    let key = new_key();
    store.put(&key, entry("where it belongs")).await.unwrap();
    watched
        .replica
        .wait_for(&["DBSIZE"], watched.replica.ask(&["DBSIZE"]).trim());
    assert!(store.read(&key).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_no_replica_confirms_fails() {
    let mut watched = Watched::start();
    let url = watched
        .primary
        .url("wait_replicas=1&timeout=500ms&wait_timeout=100ms");
    let store = open(&url);
    // A replica that just came confirms nothing for a second.
    works_again(&store).await;
    let key = new_key();
    store
        .put_version(&key, 1, entry("confirmed"))
        .await
        .unwrap();
    watched.replica.kill();
    let error = store
        .put_version(&key, 2, entry("alone"))
        .await
        .unwrap_err();
    assert!(
        told(&error).contains("0 replicas confirmed"),
        "{}",
        told(&error)
    );
    // Reads need no confirmation.
    assert_eq!(
        store.read(&key).await.unwrap().map(|it| it.version),
        Some(2)
    );
}
