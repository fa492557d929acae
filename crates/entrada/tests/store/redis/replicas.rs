//! A primary with a replica, and a sentinel that watches over them.

use std::time::Duration;

use entrada::store::{Sealed, Store as _, Stored};
use tokio::time::Instant;

use super::server::{DURABLE, Family, OPERATOR, Role, Server, Tls, for_each_family};
use super::{entry, new_key, open, told, works_again};

for_each_family!(
    a_primary_that_died_is_replaced_and_what_a_replica_confirmed_is_there,
    a_connection_follows_the_primary_that_died_or_hung,
    a_primary_that_became_a_replica_is_left,
    a_write_that_no_replica_confirms_fails,
);

/// A primary, its replica and a sentinel.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) primary: Server,
    pub(crate) replica: Server,
    pub(crate) sentinel: Server,
    parameters: String,
}

impl Watched {
    pub(crate) fn start(family: Family) -> Self {
        Self::start_as(family, None)
    }

    /// All three want TLS, a certificate, and a password.
    pub(crate) fn start_with_tls(family: Family, tls: &Tls) -> Self {
        Self::start_as(family, Some(tls))
    }

    fn start_as(family: Family, tls: Option<&Tls>) -> Self {
        let start = |lines: &str| {
            let config = format!("{DURABLE}{lines}");
            Server::start_as(family, Role::KeepsRecords, tls, || config.clone())
        };
        let primary = start("");
        let port = primary.port();
        let replica = start(&format!("replicaof 127.0.0.1 {port}\n"));
        primary.wait_for(&["INFO", "replication"], "state=online");
        let password = tls.map_or_else(String::new, |_| {
            format!("sentinel auth-pass main {OPERATOR}\n")
        });
        let sentinel = Server::start_as(family, Role::WatchesPrimaries, tls, || {
            format!(
                "sentinel monitor main 127.0.0.1 {port} 1
                sentinel down-after-milliseconds main 300
                sentinel failover-timeout main 3000
                {password}"
            )
        });
        sentinel.wait_for(&["SENTINEL", "REPLICAS", "main"], "master-link-status");
        let parameters = tls.map_or_else(String::new, |tls| {
            format!("sentinel_password={OPERATOR}{}", tls.parameters())
        });
        Self {
            primary,
            replica,
            sentinel,
            parameters,
        }
    }

    pub(crate) fn url(&self, parameters: &str) -> String {
        let (scheme, login) = self.sentinel.scheme_and_login();
        // One that is not there is passed over.
        let port = self.sentinel.port();
        let told = &self.parameters;
        format!("{scheme}+sentinel://{login}127.0.0.1:1,127.0.0.1:{port}/main?{parameters}&{told}")
    }

    fn wait_for_failover(&self) {
        let new = self.replica.port().to_string();
        let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"];
        self.sentinel.wait_for(&question, &new);
    }
}

async fn a_primary_that_died_is_replaced_and_what_a_replica_confirmed_is_there(family: Family) {
    let mut watched = Watched::start(family);
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

async fn a_connection_follows_the_primary_that_died_or_hung(family: Family) {
    for hangs in [false, true] {
        let mut watched = Watched::start(family);
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

async fn a_primary_that_became_a_replica_is_left(family: Family) {
    let watched = Watched::start(family);
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

async fn a_write_that_no_replica_confirms_fails(family: Family) {
    let mut watched = Watched::start(family);
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
