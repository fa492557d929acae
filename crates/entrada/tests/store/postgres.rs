//! The store in a PostgreSQL database keeps its promises on a server of its own: over TLS, with a
//! password, when the server is killed, hangs, comes late or is another one.

use std::error::Error as _;
use std::sync::Arc;

use entrada::grant::GrantId;
use entrada::platform::{SystemRandom, Timestamp};
use entrada::store::{Entry, RecordKey, Sealed, StoreError};

mod login;
mod outage;
mod pooler;
mod programs;
mod races;
pub(crate) mod server;
mod tables;

use server::Server;

entrada::store_conformance!(together keeps_every_promise);

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_every_promise() {
    let server = Server::started().await;
    keeps_every_promise(Arc::new(server.store(""))).await;
}

fn new_key() -> RecordKey {
    RecordKey::grant(&GrantId::generate(&SystemRandom::default()))
}

/// As long as a real one, and kept longer than any test runs.
fn entry(text: &str) -> Entry {
    let expires_at = Timestamp::from_unix(10_000_000_000);
    Entry::new(Sealed::from_stored(text.repeat(300)), expires_at)
}

/// An error and all of its causes.
fn told(error: &StoreError) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        told = format!("{told}: {source}");
        cause = source.source();
    }
    told
}
