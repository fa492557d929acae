//! The ring that replicas share: a copy of the store, a hand in it, and strangers' keys.

use std::sync::Arc;

use entrada::keys::{KeyEncryptionKeys, KeyFile, KeysError};
use entrada::platform::{SystemRandom, Timestamp};
use entrada::store::{Collection, Entry, MemoryStore, RecordKey, Slot, Store, StoredKeyRing};

use crate::keys::kids;
use crate::restart::on_disk;
use crate::shared_keys::{Shared, new_key, tend};
use crate::world::{SECOND, World};

/// Everything in the store, as a copy of it has it.
async fn copied(shared: &Shared) -> Vec<(RecordKey, Slot)> {
    let page = shared.store.export(None, 1000).await.unwrap();
    assert!(page.next.is_none());
    page.slots
}

async fn ring_in(shared: &Shared) -> (RecordKey, Entry) {
    let mut slots = copied(shared).await.into_iter();
    let (key, _) = slots
        .find(|(key, _)| key.collection() == Collection::KeyRings)
        .unwrap();
    let stored = shared.store.read(&key).await.unwrap().unwrap();
    (
        key,
        Entry::new(stored.sealed, Timestamp::from_unix(u64::MAX)),
    )
}

#[tokio::test]
async fn copy_of_the_store_without_its_key_encryption_key_opens_nothing() {
    let shared = Shared::new().await;
    let replica = shared.replica();
    let session = replica.log_in("alice").await;
    // The thief runs a server of their own on the copy.
    let copy = Arc::new(MemoryStore::new());
    for (key, slot) in copied(&shared).await {
        copy.replace(&key, None, slot).await.unwrap();
    }
    let thief = shared.world.replica_with(|_| {
        let keys = KeyEncryptionKeys::parse(&new_key()).unwrap();
        let config = on_disk("/nowhere/at/all".as_ref()).shared_keys(keys);
        config.store(Arc::clone(&copy) as Arc<dyn Store>)
    });
    let tended = thief.provider.tend_keys(None).await;
    assert!(matches!(tended, Err(KeysError::Unopened)));
    assert!(!session.at(&thief).refresh().await.status.is_success());
    assert!(
        !thief
            .get("/.well-known/jwks.json")
            .await
            .status
            .is_success()
    );
    // Nor does it stand there for all to read: what a key file would say of the ring is nowhere.
    let now = shared.world.now();
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::new(folder.path().join("keys.json"));
    file.save(&shared.place().load(now).await.unwrap().unwrap().ring)
        .unwrap();
    let text = std::fs::read_to_string(folder.path().join("keys.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (_, entry) = ring_in(&shared).await;
    let sealed = entry.sealed.as_bytes();
    for secret in [&document["sealing"][0], &document["signing"][0]["pkcs8"]] {
        let part = &secret.as_str().unwrap().as_bytes()[..24];
        assert!(!sealed.windows(part.len()).any(|bytes| bytes == part));
    }
}

#[tokio::test]
async fn ring_that_a_stranger_put_into_the_store_is_not_used() {
    let shared = Shared::new().await;
    let replica = shared.replica();
    let session = replica.log_in("alice").await;
    let published = kids(&replica).await;
    let (key, ours) = ring_in(&shared).await;
    // A ring of the stranger's own making, whole and right, but for what it is sealed with.
    let theirs = Shared::new().await;
    tend(&theirs.replica()).await;
    let (_, theirs) = ring_in(&theirs).await;
    shared.store.put(&key, theirs).await.unwrap();
    shared.world.advance(11 * SECOND);
    assert!(replica.provider.tend_keys(None).await.is_err());
    assert_eq!(kids(&replica).await, published);
    session.call_tool().await.ok();
    session.refreshed().await.call_tool().await.ok();
    // Nor does a replica that knows no other.
    let new = shared.replica();
    assert!(new.provider.tend_keys(None).await.is_err());
    assert!(!new.get("/.well-known/jwks.json").await.status.is_success());
    shared.store.put(&key, ours).await.unwrap();
    tend(&new).await;
    assert_eq!(kids(&new).await, published);
}

#[tokio::test]
async fn old_ring_brought_back_is_put_aside() {
    let shared = Shared::new().await;
    let replicas = [shared.replica(), shared.replica()];
    let session = replicas[0].log_in("alice").await;
    let (key, old) = ring_in(&shared).await;
    let stolen = kids(&replicas[0]).await;
    shared.revoke().await;
    for replica in &replicas {
        tend(replica).await;
    }
    let revoked = kids(&replicas[0]).await;
    shared.world.advance(11 * SECOND);
    // Whoever stole the keys and can write to the store makes the revocation undone.
    for _ in 0..2 {
        shared.store.put(&key, old.clone()).await.unwrap();
        for replica in &replicas {
            let refused = session.at(replica).call_tool().await;
            refused.assert_unauthorized("invalid_token");
            tend(replica).await;
            assert_eq!(kids(replica).await, revoked);
        }
    }
    assert_ne!(stolen, revoked);
    // Replicas that start have what those that live put back.
    let new = shared.replica();
    tend(&new).await;
    assert_eq!(kids(&new).await, revoked);
    // Under a new key-encryption key alone, the old ring opens for nobody.
    let (next, now) = (new_key(), shared.world.now());
    let both = format!("{next}\n{}", shared.key());
    tend(&shared.world.replica_with(|_| shared.config(&both))).await;
    shared.store.put(&key, old).await.unwrap();
    let keys = KeyEncryptionKeys::parse(&next).unwrap();
    let store = Arc::clone(&shared.store) as Arc<dyn Store>;
    let issuer = entrada::oauth::issuer::Issuer::parse(crate::world::BASE_URL).unwrap();
    let place = StoredKeyRing::new(store, &issuer, keys, Arc::new(SystemRandom::default()));
    assert!(matches!(place.load(now).await, Err(KeysError::Unopened)));
}

#[tokio::test]
async fn keys_nobody_knows_do_not_make_us_read_the_ring_again_and_again() {
    let shared = Shared::new().await;
    let replica = shared.replica();
    let session = replica.log_in("alice").await;
    tend(&replica).await;
    let forged = World::new().await.log_in("alice").await;
    let before = shared.store.rings_read();
    for nth in 0..200 {
        let call = session.client.call_with(&forged.access_token).await;
        let refresh = session.client.refresh(&forged.refresh_token).await;
        if nth < 15 {
            call.assert_unauthorized("invalid_token");
            refresh.assert_refused(400, "invalid_grant");
        } else {
            // Without a look nobody can tell, and who has a good one comes again.
            call.assert_refused(503, "temporarily_unavailable");
            refresh.assert_refused(503, "temporarily_unavailable");
        }
    }
    session.call_tool().await.ok();
    let of_one_minute = shared.store.rings_read() - before;
    assert!((1..=30).contains(&of_one_minute), "{of_one_minute}");
    // Many at once wait for one look.
    shared.world.advance(60 * SECOND);
    let before = shared.store.rings_read();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let client = session.client.at(&replica);
        let token = forged.access_token.clone();
        asking.spawn(async move { client.call_with(&token).await.status });
    }
    assert!(asking.join_all().await.iter().all(|status| *status == 401));
    let at_once = shared.store.rings_read() - before;
    assert!((1..=3).contains(&at_once), "{at_once}");
    // Ours, meanwhile, need none.
    session.call_tool().await.ok();
    assert_eq!(shared.store.rings_read() - before, at_once);
}
