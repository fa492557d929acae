//! Three replicas on one store, among clients that do not stop, while a script breaks what it can.
//!
//! What must hold is in `ledger.rs`, what happens in `chaos.rs`. The seed is told; `REPLICAS_SEED` sets it,
//! and `REPLICAS_OPERATIONS` how many operations there are. One seed has the same faults in the same order,
//! but not the same moments: three processes and a machine are no virtual clock.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "the shared parts of tests are tests too"
)]

#[expect(dead_code, reason = "shared with the scenarios of the library")]
#[path = "../../../entrada/tests/it/browser.rs"]
mod browser;
mod chaos;
mod client;
mod cluster;
mod dice;
mod fault_proxy;
mod half_way;
mod ledger;
mod people;
mod process;
#[path = "../../../entrada/tests/store/postgres/programs.rs"]
mod programs;
mod store_server;
mod world;

use std::time::Duration;

use chaos::Pace;
use entrada::platform::{SecureRandom as _, SystemRandom};
use people::Size;
use store_server::StoreKind;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_spent_twice_whatever_breaks() {
    people::prove(StoreKind::Redis, some(), seed()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_spent_twice_in_a_database_whatever_breaks() {
    people::prove(StoreKind::PostgreSql, some(), seed()).await;
}

/// `bench/chaos.sh redis`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn nothing_is_lost_or_spent_twice_in_ten_thousand_operations() {
    people::prove(StoreKind::Redis, many(), seed()).await;
}

/// `bench/chaos.sh valkey`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn nothing_is_lost_or_spent_twice_on_valkey_in_ten_thousand_operations() {
    people::prove(StoreKind::Valkey, many(), seed()).await;
}

/// `bench/chaos.sh postgres`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn nothing_is_lost_or_spent_twice_in_a_database_in_ten_thousand_operations() {
    people::prove(StoreKind::PostgreSql, many(), seed()).await;
}

/// Some faults of each kind; for every change.
fn some() -> Size {
    Size {
        clients: 50,
        measured: 2,
        calm: 700,
        operations: setting("REPLICAS_OPERATIONS").unwrap_or(1300),
        think: Duration::from_millis(300),
        pace: Pace {
            shortest: Duration::from_millis(500),
            longest: Duration::from_secs(2),
            calm: Duration::from_millis(500),
            stopped: (Duration::from_secs(11), Duration::from_secs(12)),
        },
    }
}

/// Ten thousand operations, which take minutes.
fn many() -> Size {
    Size {
        clients: 50,
        measured: 10,
        calm: 2000,
        operations: setting("REPLICAS_OPERATIONS").unwrap_or(10_000),
        think: Duration::from_millis(300),
        pace: Pace {
            shortest: Duration::from_secs(1),
            longest: Duration::from_secs(8),
            calm: Duration::from_secs(3),
            stopped: (Duration::from_secs(11), Duration::from_secs(20)),
        },
    }
}

/// The seed that is set, or a new one.
fn seed() -> u64 {
    let seed = setting("REPLICAS_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 4];
        SystemRandom::default().fill(&mut bytes);
        u64::from(u32::from_le_bytes(bytes))
    });
    println!("REPLICAS_SEED={seed}");
    seed
}

#[expect(clippy::disallowed_methods, reason = "a test has no configuration")]
fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap())
}
