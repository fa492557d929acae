//! A replica that stands still with a refresh half-way, for longer than its lease, and then goes on.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::client::{Client, Tokens};
use crate::cluster::Cluster;
use crate::ledger::Ledger;
use crate::store_server::StoreKind;

/// How long Entra takes, so that there is time to stop whoever asked it.
const LONG: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_stood_still_half_way_neither_overwrites_nor_ends_a_grant() {
    a_replica_stands_still_half_way(StoreKind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_stood_still_half_way_does_not_in_a_database_either() {
    a_replica_stands_still_half_way(StoreKind::PostgreSql).await;
}

/// Its write must not win over what the other replicas wrote, and what it was asked is no replay: one client
/// went on by one token without it, the other by two.
async fn a_replica_stands_still_half_way(kind: StoreKind) {
    let cluster = Arc::new(Cluster::start(kind).await);
    let ledger = Arc::new(Ledger::default());
    let mut held = Vec::new();
    for number in 0..2 {
        let client = Client::register(number, Arc::clone(&cluster), Arc::clone(&ledger)).await;
        let tokens = client.log_in().await;
        held.push((client, tokens));
    }
    let before = cluster.entra_refreshes();
    cluster.entra_takes(LONG, 2);
    let mut still = JoinSet::new();
    for (client, tokens) in held.clone() {
        still.spawn(async move { client.use_patiently(0, &tokens.refresh).await });
    }
    while cluster.entra_refreshes() < before + 2 {
        sleep(Duration::from_millis(5)).await;
    }
    cluster.replicas[0].process.suspend();
    let mut went_on = JoinSet::new();
    for (client, tokens) in held.clone() {
        went_on.spawn(async move { go_on(client, tokens).await });
    }
    let mut went_on = went_on.join_all().await;
    cluster.replicas[0].process.resume();
    for answer in still.join_all().await {
        if answer.status == 200 {
            let successor = answer.json["refresh_token"].as_str().unwrap();
            assert_eq!(successor, went_on_by_one(&went_on).refresh);
        } else {
            assert_eq!(answer.json["error"], "invalid_grant", "{answer:?}");
        }
    }
    for (client, tokens) in &mut went_on {
        assert!(client.refresh_at(0, tokens).await, "{}", ledger.told());
    }
    assert!(ledger.is_clean(), "{}", ledger.told());
}

/// Refreshes elsewhere: the first client once, the second twice.
async fn go_on(client: Client, mut tokens: Tokens) -> (Client, Tokens) {
    for replica in 1..2 + client.number {
        let answer = client.use_patiently(replica, &tokens.refresh).await;
        assert!(client.take_over(&mut tokens, &[answer]));
    }
    (client, tokens)
}

fn went_on_by_one(all: &[(Client, Tokens)]) -> &Tokens {
    let (_, tokens) = all.iter().find(|(client, _)| client.number == 0).unwrap();
    tokens
}
