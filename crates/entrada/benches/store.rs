//! What it costs to seal, keep and read a grant.

use std::path::Path;
use std::sync::Arc;

use divan::{Bencher, black_box};
use entrada::access_token::Principal;
use entrada::grant::GrantId;
use entrada::jwt::jwks::Algorithm;
use entrada::keys::{KeyRing, Keys};
use entrada::platform::{SystemRandom, Timestamp};
use entrada::store::records::{GrantRecord, RecordStore};
use entrada::store::{EmbeddedStore, MemoryStore, Store, Written};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

fn main() {
    divan::main();
}

const NOW: Timestamp = Timestamp::from_unix(1);

fn memory() -> RecordStore {
    sealed(Arc::new(MemoryStore::new()))
}

/// On a real disk, where waiting for it costs something.
fn embedded() -> (RecordStore, TempDir) {
    let folder = TempDir::new_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).expect("a folder");
    let store = EmbeddedStore::open(folder.path().join("store.redb")).expect("a store");
    (sealed(Arc::new(store)), folder)
}

fn sealed(store: Arc<dyn Store>) -> RecordStore {
    let random = SystemRandom::default();
    let ring = KeyRing::generate(Algorithm::Es256, &random, NOW).expect("keys");
    RecordStore::new(store, Keys::new(ring), Arc::new(random))
}

/// A grant as large as real ones are, for Entra's tokens are.
fn grant() -> GrantRecord {
    let record = json!({
        "id": GrantId::generate(&SystemRandom::default()),
        "version": 1,
        "client_id": "0123456789abcdef0123456789abcdef",
        "principal": Principal::default(),
        "scope": "access_as_user",
        "resource": "https://mcp.example/mcp",
        "held": {
            "access_token": "a".repeat(2000),
            "expires_at": 5000,
            "refresh_token": "r".repeat(1500),
        },
        "refresh": null,
        "issued_at": 0,
        "expires_at": 1_000_000,
    });
    GrantRecord::from_json(&record.to_string()).expect("a grant")
}

fn runtime() -> Runtime {
    let runtime = Builder::new_multi_thread().worker_threads(2).build();
    runtime.expect("a runtime")
}

async fn put(store: &RecordStore, grant: &GrantRecord) {
    let written = store.put_grant(grant).await.expect("the store works");
    assert_eq!(written, Written::Yes);
}

fn read(bencher: Bencher<'_, '_>, store: &RecordStore) {
    let (runtime, grant) = (runtime(), grant());
    runtime.block_on(put(store, &grant));
    let id = grant.id();
    bencher.bench_local(|| {
        let found = runtime.block_on(store.grant(black_box(&id), NOW));
        found.expect("the store works").expect("the grant")
    });
}

fn write(bencher: Bencher<'_, '_>, store: &RecordStore) {
    let runtime = runtime();
    bencher
        .with_inputs(grant)
        .bench_local_refs(|grant| runtime.block_on(put(store, grant)));
}

/// Many sign in at once.
fn write_together(bencher: Bencher<'_, '_>, store: &RecordStore, crowd: usize) {
    let runtime = runtime();
    bencher
        .counter(divan::counter::ItemsCount::new(crowd))
        .with_inputs(|| (0..crowd).map(|_| grant()).collect::<Vec<_>>())
        .bench_local_values(|grants| {
            let mut writes = JoinSet::new();
            for grant in grants {
                let store = store.clone();
                writes.spawn_on(async move { put(&store, &grant).await }, runtime.handle());
            }
            runtime.block_on(writes.join_all())
        });
}

#[divan::bench]
fn memory_read(bencher: Bencher<'_, '_>) {
    read(bencher, &memory());
}

#[divan::bench]
fn memory_write(bencher: Bencher<'_, '_>) {
    write(bencher, &memory());
}

#[divan::bench]
fn embedded_read(bencher: Bencher<'_, '_>) {
    let (store, _folder) = embedded();
    read(bencher, &store);
}

#[divan::bench]
fn embedded_write(bencher: Bencher<'_, '_>) {
    let (store, _folder) = embedded();
    write(bencher, &store);
}

#[divan::bench(args = [8, 64, 256])]
fn embedded_write_together(bencher: Bencher<'_, '_>, crowd: usize) {
    let (store, _folder) = embedded();
    write_together(bencher, &store, crowd);
}
