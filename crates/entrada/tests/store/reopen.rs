//! What the embedded store remembers when it is opened again.

use std::path::Path;
use std::sync::Arc;

use entrada::grant::GrantId;
use entrada::platform::{SystemRandom, Timestamp};
use entrada::secret::{AuthorizationCode, UpstreamState};
use entrada::store::{EmbeddedStore, Entry, RecordKey, Sealed, Store, Stored, Taken, Written};
use tokio::task::JoinSet;

fn entry(bytes: &'static str, expires_at: u64) -> Entry {
    let expires_at = Timestamp::from_unix(expires_at);
    Entry::new(Sealed::from_stored(bytes), expires_at)
}

fn open(path: &Path) -> EmbeddedStore {
    EmbeddedStore::open(path).unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let state = RecordKey::request(&UpstreamState::new("state").hashed());
    let code = RecordKey::code(&AuthorizationCode::new("code").hashed());
    let grant = GrantId::generate(&SystemRandom::default());
    let (named, grant) = (grant, RecordKey::grant(&grant));
    let revoked = RecordKey::grant(&GrantId::generate(&SystemRandom::default()));

    let store = open(&path);
    store.put_new(&state, entry("login", 9)).await.unwrap();
    let spent = entry("code", 9).naming(named);
    store.put_new(&code, spent).await.unwrap();
    store.put_version(&grant, 1, entry("1", 9)).await.unwrap();
    store.put_version(&grant, 2, entry("2", 9)).await.unwrap();
    let until = Timestamp::from_unix(9);
    store.revoke(&revoked, until).await.unwrap();
    drop(store);

    let store = open(&path);
    let second = Some(Stored::new(2, Sealed::from_stored("2")));
    assert_eq!(store.read(&grant).await.unwrap(), second);
    let written = store.put_version(&revoked, 1, entry("x", 9)).await;
    assert_eq!(written.unwrap(), Written::Revoked);
    for (key, bytes) in [(&state, "login"), (&code, "code")] {
        let taken = store.take(key).await.unwrap();
        assert_eq!(taken, Taken::Fresh(Sealed::from_stored(bytes)));
    }
    drop(store);

    let store = open(&path);
    for (key, named) in [(&state, None), (&code, Some(named))] {
        assert_eq!(store.take(key).await.unwrap(), Taken::Spent(named));
    }
    let written = store.put_version(&grant, 3, entry("3", 9)).await;
    assert_eq!(written.unwrap(), Written::Yes);
}

#[tokio::test]
async fn a_sweep_of_many_counts_them_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&folder.path().join("store.redb")));
    let mut puts = JoinSet::new();
    for number in 0..2500 {
        let expires_at = if number < 2100 { 5 } else { 20 };
        let store = Arc::clone(&store);
        puts.spawn(async move {
            let id = GrantId::generate(&SystemRandom::default());
            let key = RecordKey::grant(&id);
            store.put_version(&key, 1, entry("grant", expires_at)).await
        });
    }
    for put in puts.join_all().await {
        assert_eq!(put.unwrap(), Written::Yes);
    }
    for (now, swept) in [(5, 0), (10, 2100), (10, 0), (30, 400)] {
        let now = Timestamp::from_unix(now);
        assert_eq!(store.sweep(now).await.unwrap(), swept);
    }
}

#[tokio::test]
async fn a_write_that_nobody_waits_for_is_still_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = open(&path);
    let grant = RecordKey::grant(&GrantId::generate(&SystemRandom::default()));
    {
        let mut write = std::pin::pin!(store.put_version(&grant, 1, entry("1", 9)));
        let waker = std::task::Waker::noop();
        let mut context = std::task::Context::from_waker(waker);
        let _pending = write.as_mut().poll(&mut context);
    }
    drop(store);
    assert!(open(&path).read(&grant).await.unwrap().is_some());
}
