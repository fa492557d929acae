//! A cluster of three primaries, one of which has a replica.

use std::time::Duration;

use entrada::store::{Sealed, Store as _, Stored, Taken, Written};
use tokio::time::Instant;

use super::server::{Server, free_port};
use super::{entry, new_key, open, told};

/// Slots of each primary: the first, and the one behind the last.
const SLOTS: [(u16, u16); 3] = [(0, 5000), (5000, 11000), (11000, 16384)];

/// Three primaries, and a replica of the first.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) primaries: Vec<Server>,
    replica: Server,
}

fn node() -> Server {
    Server::start_as("redis-server", |port| {
        let bus = free_port();
        format!(
            "port {port}
            bind 127.0.0.1
            save \"\"
            cluster-enabled yes
            cluster-port {bus}
            cluster-node-timeout 500
            cluster-require-full-coverage no
            repl-ping-replica-period 1
            repl-diskless-sync-delay 0\n"
        )
    })
}

fn id(server: &Server) -> String {
    server.ask(&["CLUSTER", "MYID"]).trim().to_owned()
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let primaries: Vec<_> = SLOTS.iter().map(|_| node()).collect();
        let replica = node();
        for (server, (first, behind)) in primaries.iter().zip(SLOTS) {
            let (first, last) = (first.to_string(), (behind - 1).to_string());
            let added = server.ask(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            assert_eq!(added.trim(), "OK");
        }
        for other in primaries[1..].iter().chain([&replica]) {
            let bus = other.ask(&["CONFIG", "GET", "cluster-port"]);
            let bus = bus.lines().last().unwrap();
            let port = other.port().to_string();
            primaries[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]);
        }
        for server in primaries.iter().chain([&replica]) {
            server.wait_for(&["CLUSTER", "INFO"], "cluster_known_nodes:4");
        }
        replica.wait_for(&["CLUSTER", "REPLICATE", &id(&primaries[0])], "OK");
        for server in primaries.iter().chain([&replica]) {
            server.wait_for(&["CLUSTER", "INFO"], "cluster_state:ok");
            server.wait_for(&["CLUSTER", "INFO"], "cluster_slots_ok:16384");
            server.wait_for(&["CLUSTER", "SLOTS"], &id(&replica));
        }
        replica.wait_for(&["INFO", "replication"], "master_link_status:up");
        Self { primaries, replica }
    }

    /// The URL of two of its nodes, and one that is not there.
    pub(crate) fn url(&self, parameters: &str) -> String {
        let (one, two) = (self.primaries[1].port(), self.replica.port());
        format!("redis+cluster://127.0.0.1:1,127.0.0.1:{one},127.0.0.1:{two}?{parameters}")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_died_or_hung_is_replaced_and_the_others_go_on() {
    for hangs in [false, true] {
        let mut cluster = Cluster::start();
        let store = open(&cluster.url(""));
        let keys: Vec<_> = (0..60).map(|_| new_key()).collect();
        for key in &keys {
            store.put(key, entry("here")).await.unwrap();
        }
        if hangs {
            cluster.primaries[0].suspend();
        } else {
            cluster.primaries[0].kill();
        }
        let mut failed = 0;
        for key in &keys {
            failed += u32::from(store.read(key).await.is_err());
        }
        assert!(
            (1..60).contains(&failed),
            "{failed}: some keys lie elsewhere"
        );
        cluster.replica.wait_for(&["ROLE"], "master");
        for server in &cluster.primaries[1..] {
            let new = cluster.replica.port().to_string();
            server.wait_for(&["CLUSTER", "SLOTS"], &new);
        }
        let begun = Instant::now();
        for key in &keys {
            while store.read(key).await.is_err() {
                let took = begun.elapsed();
                assert!(took < Duration::from_secs(2), "{hangs}: {took:?}");
            }
            let stored = store.read(key).await.unwrap();
            assert_eq!(stored, Some(Stored::new(1, Sealed::from_stored("here"))));
        }
        if hangs {
            cluster.primaries[0].resume();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_that_was_asked_for_costs_nobody_an_error() {
    let cluster = Cluster::start();
    let store = open(&cluster.url(""));
    let keys: Vec<_> = (0..40).map(|_| new_key()).collect();
    let one = open(&cluster.primaries[2].url(""));
    let mut elsewhere = None;
    for key in &keys {
        store.put_version(key, 1, entry("1")).await.unwrap();
        elsewhere = elsewhere.or(one.read(key).await.err());
    }
    // Whoever took it for one server is told.
    let elsewhere = told(&elsewhere.unwrap());
    assert!(elsewhere.contains("redis+cluster://"), "{elsewhere}");
    cluster.replica.wait_for(&["CLUSTER", "FAILOVER"], "OK");
    cluster.replica.wait_for(&["ROLE"], "master");
    for key in &keys {
        let written = store.put_version(key, 2, entry("2")).await.unwrap();
        assert_eq!(written, Written::Yes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_moving_and_one_that_moved_are_followed() {
    let cluster = Cluster::start();
    // All keys are in one slot.
    let store = open(&cluster.url("prefix={x}"));
    let slot = cluster.replica.ask(&["CLUSTER", "KEYSLOT", "x"]);
    let (slot, number): (&str, u16) = (slot.trim(), slot.trim().parse().unwrap());
    let has = |(first, behind): &(u16, u16)| (*first..*behind).contains(&number);
    let from = SLOTS.iter().position(has).unwrap();
    let (from, to) = (&cluster.primaries[from], &cluster.primaries[(from + 1) % 3]);
    assert!(store.read(&new_key()).await.unwrap().is_none());

    to.wait_for(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &id(from)], "OK");
    from.wait_for(&["CLUSTER", "SETSLOT", slot, "MIGRATING", &id(to)], "OK");
    let (taken, kept) = (new_key(), new_key());
    for key in [&taken, &kept] {
        let written = store.put_new(key, entry("code")).await.unwrap();
        assert_eq!(written, Written::Yes);
    }
    let fresh = Taken::Fresh(Sealed::from_stored("code"));
    assert_eq!(store.take(&taken).await.unwrap(), fresh);
    assert_eq!(store.take(&taken).await.unwrap(), Taken::Spent(None));
    assert_eq!(to.ask(&["DBSIZE"]).trim(), "2");

    for server in [to, from] {
        server.wait_for(&["CLUSTER", "SETSLOT", slot, "NODE", &id(to)], "OK");
    }
    assert_eq!(store.take(&kept).await.unwrap(), fresh);
    assert_eq!(store.take(&taken).await.unwrap(), Taken::Spent(None));
}
