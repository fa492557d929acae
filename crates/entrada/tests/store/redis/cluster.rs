//! A cluster of three primaries, one of which has a replica.

use std::time::Duration;

use entrada::store::{Sealed, Store as _, Stored, Taken, Written};
use tokio::time::Instant;

use super::server::{Family, Role, Server, Tls, for_each_family, free_port};
use super::{entry, new_key, open, told};

for_each_family!(
    a_node_that_died_or_hung_is_replaced_and_the_others_go_on,
    a_failover_that_was_asked_for_costs_nobody_an_error,
    a_slot_that_is_moving_and_one_that_moved_are_followed,
    nodes_that_keep_their_addresses_to_themselves_are_where_they_were_asked,
);

/// Slots of each primary: the first, and the one behind the last.
const SLOTS: [(u16, u16); 3] = [(0, 5000), (5000, 11000), (11000, 16384)];

/// Three primaries, and a replica of the first.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) primaries: Vec<Server>,
    replica: Server,
    parameters: String,
}

fn node(family: Family, tls: Option<&Tls>) -> Server {
    Server::start_as(family, Role::KeepsRecords, tls, || {
        let bus = free_port();
        format!(
            "save \"\"
            cluster-enabled yes
            cluster-port {bus}
            cluster-node-timeout 500
            cluster-replica-validity-factor 0
            cluster-require-full-coverage no
            repl-ping-replica-period 1
            repl-diskless-sync-delay 0\n"
        )
    })
}

fn meet(one: &Server, other: &Server) {
    let bus = other.ask(&["CONFIG", "GET", "cluster-port"]);
    let (port, bus) = (other.port().to_string(), bus.lines().last().unwrap());
    one.ask(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]);
}

fn knows_all_primaries(server: &Server) -> bool {
    let known = server.ask(&["CLUSTER", "INFO"]);
    known.contains("cluster_slots_assigned:16384") && known.contains("cluster_known_nodes:4")
}

pub(super) fn id(server: &Server) -> String {
    server.ask(&["CLUSTER", "MYID"]).trim().to_owned()
}

impl Cluster {
    pub(crate) fn start(family: Family) -> Self {
        Self::start_as(family, None)
    }

    /// All nodes want TLS, among themselves too, a certificate, and a password.
    pub(crate) fn start_with_tls(family: Family, tls: &Tls) -> Self {
        Self::start_as(family, Some(tls))
    }

    fn start_as(family: Family, tls: Option<&Tls>) -> Self {
        let primaries: Vec<_> = SLOTS.iter().map(|_| node(family, tls)).collect();
        let replica = node(family, tls);
        for (server, (first, behind)) in primaries.iter().zip(SLOTS) {
            let (first, last) = (first.to_string(), (behind - 1).to_string());
            let added = server.ask(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            assert_eq!(added.trim(), "OK");
        }
        let all = || primaries.iter().chain([&replica]);
        let patience = Instant::now() + Duration::from_secs(20);
        // On a machine that is busy, those who are to meet may miss each other.
        while !all().all(knows_all_primaries) {
            assert!(Instant::now() < patience, "the nodes do not meet");
            for other in all().skip(1) {
                meet(&primaries[0], other);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        replica.wait_for(&["CLUSTER", "REPLICATE", &id(&primaries[0])], "OK");
        for server in all() {
            server.wait_for(&["CLUSTER", "INFO"], "cluster_state:ok");
            server.wait_for(&["CLUSTER", "INFO"], "cluster_slots_ok:16384");
            server.wait_for(&["CLUSTER", "SLOTS"], &id(&replica));
        }
        replica.wait_for(&["INFO", "replication"], "master_link_status:up");
        Self {
            primaries,
            replica,
            parameters: tls.map(Tls::parameters).unwrap_or_default(),
        }
    }

    pub(super) fn keyslot(&self, tag: &str) -> String {
        let slot = self.replica.ask(&["CLUSTER", "KEYSLOT", tag]);
        slot.trim().to_owned()
    }

    /// The URL of two of its nodes, and one that is not there.
    pub(crate) fn url(&self, parameters: &str) -> String {
        let (scheme, login) = self.replica.scheme_and_login();
        let hosts = [1, self.primaries[1].port(), self.replica.port()];
        let hosts = hosts.map(|port| format!("127.0.0.1:{port}")).join(",");
        let told = &self.parameters;
        format!("{scheme}+cluster://{login}{hosts}?{parameters}{told}")
    }
}

async fn a_node_that_died_or_hung_is_replaced_and_the_others_go_on(family: Family) {
    for hangs in [false, true] {
        let mut cluster = Cluster::start(family);
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

async fn a_failover_that_was_asked_for_costs_nobody_an_error(family: Family) {
    let cluster = Cluster::start(family);
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

async fn a_slot_that_is_moving_and_one_that_moved_are_followed(family: Family) {
    let cluster = Cluster::start(family);
    // All keys are in one slot.
    let store = open(&cluster.url("prefix={x}"));
    let slot = cluster.keyslot("x");
    let (from, to) = owner_and_next(&cluster, &slot);
    assert!(store.read(&new_key()).await.unwrap().is_none());

    to.wait_for(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)], "OK");
    from.wait_for(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)], "OK");
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
        server.wait_for(&["CLUSTER", "SETSLOT", &slot, "NODE", &id(to)], "OK");
    }
    assert_eq!(store.take(&kept).await.unwrap(), fresh);
    assert_eq!(store.take(&taken).await.unwrap(), Taken::Spent(None));
}

/// Has a slot, in which there is nothing, change its node. One that takes it as a move says so with a new epoch, or
/// what others heard before is believed.
pub(super) fn give(slot: &str, (from, to): (&Server, &Server)) {
    to.wait_for(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &id(from)], "OK");
    for server in [to, from] {
        server.wait_for(&["CLUSTER", "SETSLOT", slot, "NODE", &id(to)], "OK");
    }
}

/// The node that has a slot, and the one behind it.
pub(super) fn owner_and_next<'a>(cluster: &'a Cluster, slot: &str) -> (&'a Server, &'a Server) {
    let number: u16 = slot.parse().unwrap();
    let has = |(first, behind): &(u16, u16)| (*first..*behind).contains(&number);
    let owner = SLOTS.iter().position(has).unwrap();
    let next = (owner + 1) % SLOTS.len();
    (&cluster.primaries[owner], &cluster.primaries[next])
}

async fn nodes_that_keep_their_addresses_to_themselves_are_where_they_were_asked(family: Family) {
    let cluster = Cluster::start(family);
    for server in cluster.primaries.iter().chain([&cluster.replica]) {
        let unknown = "cluster-preferred-endpoint-type";
        server.wait_for(&["CONFIG", "SET", unknown, "unknown-endpoint"], "OK");
    }
    let store = open(&cluster.url("prefix={x}"));
    let slot = cluster.keyslot("x");
    let (from, to) = owner_and_next(&cluster, &slot);
    assert!(store.read(&new_key()).await.unwrap().is_none());
    give(&slot, (from, to));
    store.put(&new_key(), entry("there")).await.unwrap();
}
