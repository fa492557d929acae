use std::collections::BTreeSet;

use super::*;
use crate::platform::SystemRandom;
use crate::store::MemoryStore;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

fn key() -> Zeroizing<String> {
    KeyEncryptionKeys::generate(&SystemRandom::default())
}

/// What one replica has: the ring in `store` under these keys, and no key file of before.
fn replica(store: &Arc<MemoryStore>, keys: &[&str]) -> SharedKeys {
    let before = KeyFile::new("/nowhere/at/all/keys.json");
    SharedKeys::new(place(store, keys), before, Algorithm::Es256)
}

fn place(store: &Arc<MemoryStore>, keys: &[&str]) -> StoredKeyRing {
    let issuer = Issuer::parse("https://mcp.example.com").unwrap();
    let keys = KeyEncryptionKeys::parse(&keys.join("\n")).unwrap();
    let random = Arc::new(SystemRandom::default());
    StoredKeyRing::new(Arc::<MemoryStore>::clone(store), &issuer, keys, random)
}

fn ids(ring: &KeyRing) -> BTreeSet<String> {
    ring.facts().map(|key| key.id).collect()
}

fn rotation(now: Timestamp) -> Change {
    Arc::new(move |ring| {
        let random = SystemRandom::default();
        ring.rotated(Algorithm::Es256, &random, now).map(Some)
    })
}

#[test]
fn of_two_rings_all_replicas_choose_the_same() {
    let edition = |made_at, id, changes| Edition {
        made_at: at(made_at),
        id: [id; ID_LEN],
        changes,
    };
    let ours = edition(1000, 5, 3);
    for (other, prevails) in [
        (ours, false),
        (edition(1000, 5, 2), true),
        (edition(1000, 5, 4), false),
        // Made apart: the first made, however often the other was changed.
        (edition(1001, 1, 9), true),
        (edition(999, 9, 0), false),
        (edition(1000, 6, 9), true),
        (edition(1000, 4, 0), false),
    ] {
        assert_eq!(ours.prevails_over(other), prevails, "{other:?}");
        let neither = other == ours;
        assert_eq!(
            other.prevails_over(ours),
            !prevails && !neither,
            "{other:?}"
        );
    }
}

#[tokio::test]
async fn the_first_makes_the_ring_and_the_others_have_it() {
    let (store, key) = (Arc::new(MemoryStore::new()), key());
    let replicas: Vec<_> = (0..10).map(|_| replica(&store, &[&key])).collect();
    let mut rings = BTreeSet::new();
    for replica in &replicas {
        rings.insert(ids(&replica.read(at(1000)).await.unwrap()));
    }
    assert_eq!(rings.len(), 1);
    assert_eq!(rings.first().unwrap().len(), 2);
    // Each sees that it is time, one is the first.
    let due: Change = Arc::new(|ring: &KeyRing| {
        let is_due = ring.is_due(Duration::from_secs(500), at(2000));
        is_due
            .then(|| rotation(at(2000))(ring))
            .transpose()
            .map(Option::flatten)
    });
    rings.clear();
    for replica in &replicas {
        rings.insert(ids(&replica.change(&due, at(2000)).await.unwrap()));
    }
    assert_eq!(rings.len(), 1);
    assert_eq!(rings.first().unwrap().len(), 4);
}

#[tokio::test]
async fn no_change_is_lost() {
    let (store, key) = (Arc::new(MemoryStore::new()), key());
    let replica = replica(&store, &[&key]);
    replica.read(at(1000)).await.unwrap();
    let command = place(&store, &[&key]);
    let random = SystemRandom::default();
    // The ring is revoked between what the command reads and what it writes.
    let mut revoked = None;
    for round in 0..2 {
        let found = command.load(at(1000)).await.unwrap().unwrap();
        let ring = found.ring.rotated(Algorithm::Es256, &random, at(1000));
        let next = (ring.unwrap(), found.edition.next());
        if round == 0 {
            let revoke = |ring: &KeyRing| ring.revoked(Algorithm::Es256, &random, at(1000));
            let stored = command
                .update(at(1000), |ring| revoke(ring).map(Some))
                .await;
            revoked = stored.unwrap();
        }
        let written = command
            .put(found.version + 1, next, at(1000))
            .await
            .unwrap();
        assert_eq!(written.is_some(), round == 1);
    }
    let ring = replica.read(at(1000)).await.unwrap();
    assert!(ids(&ring).is_superset(&ids(&revoked.unwrap().ring)));
    assert_eq!(ring.facts().filter(|key| key.is_revoked).count(), 1);
}

#[tokio::test]
async fn what_was_lost_or_is_old_is_put_back() {
    let key = key();
    let stores: Vec<_> = (0..3).map(|_| Arc::new(MemoryStore::new())).collect();
    let (live, slow) = (replica(&stores[0], &[&key]), replica(&stores[0], &[&key]));
    slow.read(at(1000)).await.unwrap();
    let old = place(&stores[0], &[&key]).stored().await.unwrap().unwrap();
    let ring = live.change(&rotation(at(2000)), at(2000)).await.unwrap();
    let moved = |replica: SharedKeys, store: &Arc<MemoryStore>| SharedKeys {
        place: place(store, &[&key]),
        ..replica
    };
    // The store is empty, and a replica that has slept puts back what it knows.
    let (live, slow) = (moved(live, &stores[1]), moved(slow, &stores[1]));
    assert_ne!(ids(&slow.read(at(3000)).await.unwrap()), ids(&ring));
    assert_eq!(ids(&live.read(at(3000)).await.unwrap()), ids(&ring));
    assert_eq!(ids(&slow.read(at(3000)).await.unwrap()), ids(&ring));
    // A new one knows nothing, makes a ring, and leaves it again.
    let (live, new) = (moved(live, &stores[2]), replica(&stores[2], &[&key]));
    assert_ne!(ids(&new.read(at(4000)).await.unwrap()), ids(&ring));
    assert_eq!(ids(&live.read(at(4000)).await.unwrap()), ids(&ring));
    assert_eq!(ids(&new.read(at(4000)).await.unwrap()), ids(&ring));
    // Somebody brings an old one back.
    let (place, version) = (place(&stores[2], &[&key]), 3);
    let entry = Entry::new(old.sealed, at(u64::MAX));
    let written = stores[2].put_version(&place.key(), version, entry).await;
    assert_eq!(written.unwrap(), Written::Yes);
    assert_eq!(ids(&live.read(at(5000)).await.unwrap()), ids(&ring));
    let found = place.load(at(5000)).await.unwrap().unwrap();
    assert_eq!((ids(&found.ring), found.version), (ids(&ring), 4));
}

#[tokio::test]
async fn key_encryption_keys_are_replaced_one_after_the_other() {
    let (store, old, new) = (Arc::new(MemoryStore::new()), key(), key());
    let ring = ids(&replica(&store, &[&old]).read(at(1000)).await.unwrap());
    let is_by_first = async |keys: &[&str]| {
        let found = place(&store, keys).load(at(1000)).await.unwrap().unwrap();
        assert_eq!(ids(&found.ring), ring);
        found.is_by_first
    };
    // All have the new one first: it seals the ring, and the old one may go.
    assert!(!is_by_first(&[&new, &old]).await);
    let both = replica(&store, &[&new, &old]);
    assert_eq!(ids(&both.read(at(1000)).await.unwrap()), ring);
    assert!(is_by_first(&[&new, &old]).await);
    assert!(is_by_first(&[&new]).await);
    // Whoever has the old one alone goes on with what it has, and changes nothing.
    let late = place(&store, &[&old]);
    assert!(matches!(
        late.load(at(1000)).await,
        Err(KeysError::Unopened)
    ));
    let written = late.update(at(1000), |ring| rotation(at(1000))(ring)).await;
    assert!(matches!(written, Err(KeysError::Unopened)));
    let fresh = replica(&store, &[&old]).read(at(1000)).await;
    assert!(matches!(fresh, Err(KeysError::Unopened)));
    assert!(is_by_first(&[&new]).await);
}

#[tokio::test]
async fn what_is_no_ring_is_left_alone() {
    let (store, key) = (Arc::new(MemoryStore::new()), key());
    let place = place(&store, &[&key]);
    let sealed = |text: &[u8]| {
        let server = place.issuer.as_bytes();
        let sealed = place.sealed_with.seal(server, text, &*place.random);
        Sealed::from_stored(sealed.unwrap())
    };
    let random = SystemRandom::default();
    let ring = KeyRing::generate(Algorithm::Es256, &random, at(1)).unwrap();
    let later = Document {
        format: FORMAT + 1,
        edition: Edition::first(&random, at(1)),
        ring: RingDocument::of(&ring),
    };
    let later = serde_json::to_vec(&later).unwrap();
    for sealed in [sealed(b""), sealed(b"{}"), sealed(&later)] {
        let entry = Entry::new(sealed.clone(), at(u64::MAX));
        store.put(&place.key(), entry).await.unwrap();
        for _ in 0..2 {
            let read = replica(&store, &[&key]).read(at(1000)).await;
            assert!(matches!(read, Err(KeysError::Format)));
        }
        assert_eq!(place.stored().await.unwrap().unwrap().sealed, sealed);
    }
}

#[tokio::test]
async fn a_ring_is_the_own_of_its_server() {
    let (store, key) = (Arc::new(MemoryStore::new()), key());
    let ours = place(&store, &[&key]);
    replica(&store, &[&key]).read(at(1000)).await.unwrap();
    let issuer = Issuer::parse("https://sibling.example.com").unwrap();
    let sibling = StoredKeyRing {
        issuer: Hashed::of(issuer.as_str()),
        ..ours.clone()
    };
    assert!(sibling.load(at(1000)).await.unwrap().is_none());
    let stored = ours.stored().await.unwrap().unwrap();
    let entry = Entry::new(stored.sealed, at(u64::MAX));
    store.put(&sibling.key(), entry).await.unwrap();
    let loaded = sibling.load(at(1000)).await;
    assert!(matches!(loaded, Err(KeysError::Unopened)));
}
