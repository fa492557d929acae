//! Cases about records that are written version by version, and revoked.

use std::sync::Arc;

use super::{
    CONTENDERS, Store, WORKS, awkward, earlier, entry, later, new_key, now, nth, race, read, sealed,
};
use crate::store::{Stored, Written};

pub(super) async fn a_version_comes_back_byte_for_byte(store: Arc<dyn Store>) {
    for bytes in awkward() {
        let key = new_key();
        for version in 1..=3 {
            let entry = entry(bytes.clone());
            let written = store.put_version(&key, version, entry).await;
            assert_eq!(written.expect(WORKS), Written::Yes);
            let stored = store.read(&key).await.expect(WORKS);
            assert_eq!(stored, Some(Stored::new(version, sealed(bytes.clone()))));
        }
    }
}

pub(super) async fn the_versions_of_a_record_follow_one_another(store: Arc<dyn Store>) {
    let key = new_key();
    for (version, answer, stored) in [
        (0, Written::Conflict, None),
        (2, Written::Conflict, None),
        (u64::MAX, Written::Conflict, None),
        (1, Written::Yes, Some("1")),
        (1, Written::Conflict, Some("1")),
        (3, Written::Conflict, Some("1")),
        (2, Written::Yes, Some("2")),
        (1, Written::Conflict, Some("2")),
        (2, Written::Conflict, Some("2")),
        (0, Written::Conflict, Some("2")),
        (3, Written::Yes, Some("3")),
    ] {
        let entry = entry(version.to_string());
        let written = store.put_version(&key, version, entry).await;
        assert_eq!(written.expect(WORKS), answer, "version {version}");
        assert_eq!(read(&store, &key).await, stored.map(sealed));
    }
}

pub(super) async fn one_of_many_writers_gets_each_version(store: Arc<dyn Store>) {
    let key = new_key();
    for version in 1..=5 {
        let written = race(&store, |store, number| {
            let key = key.clone();
            async move {
                let written = store.put_version(&key, version, nth(number)).await;
                written.expect(WORKS)
            }
        });
        let written = written.await;
        let won = written.iter().position(|answer| *answer == Written::Yes);
        let lost = written.iter().filter(|it| **it == Written::Conflict);
        assert_eq!(lost.count(), CONTENDERS - 1, "version {version}");
        let stored = store.read(&key).await.expect(WORKS);
        assert!(won.is_some() && stored.is_some_and(|stored| stored.version == version));
    }
}

pub(super) async fn a_revoked_record_does_not_come_back(store: Arc<dyn Store>) {
    let (key, other) = (new_key(), new_key());
    for key in [&key, &other] {
        let written = store.put_version(key, 1, entry("record")).await;
        assert_eq!(written.expect(WORKS), Written::Yes);
    }
    store.revoke(&key, later()).await.expect(WORKS);
    for version in [1, 2, 3] {
        assert_eq!(read(&store, &key).await, None);
        let written = store.put_version(&key, version, entry("record")).await;
        assert_eq!(written.expect(WORKS), Written::Revoked);
    }
    assert_eq!(read(&store, &key).await, None);
    assert!(read(&store, &other).await.is_some());
}

pub(super) async fn a_record_revoked_before_it_came_never_stands(store: Arc<dyn Store>) {
    let key = new_key();
    store.revoke(&key, later()).await.expect(WORKS);
    let written = store.put_version(&key, 1, entry("record")).await;
    assert_eq!(written.expect(WORKS), Written::Revoked);
    assert_eq!(read(&store, &key).await, None);
}

pub(super) async fn a_revocation_holds_against_writers_it_raced(store: Arc<dyn Store>) {
    // Against the first version, too, of which there is nothing yet.
    for version in [1, 2, 1, 2, 1, 2] {
        let key = new_key();
        for earlier in 1..version {
            let written = store.put_version(&key, earlier, entry("record")).await;
            assert_eq!(written.expect(WORKS), Written::Yes);
        }
        let written = race(&store, |store, number| {
            let key = key.clone();
            async move {
                if number == CONTENDERS / 2 {
                    store.revoke(&key, later()).await.expect(WORKS);
                    return None;
                }
                let written = store.put_version(&key, version, nth(number)).await;
                Some(written.expect(WORKS))
            }
        });
        let written = written.await;
        let won = written.iter().flatten().filter(|it| **it == Written::Yes);
        assert!(won.count() <= 1);
        assert_eq!(read(&store, &key).await, None);
        for version in [version, version + 1] {
            let written = store.put_version(&key, version, entry("record")).await;
            assert_eq!(written.expect(WORKS), Written::Revoked);
        }
    }
}

pub(super) async fn a_second_revocation_does_not_shorten_the_first(store: Arc<dyn Store>) {
    let key = new_key();
    store.revoke(&key, later()).await.expect(WORKS);
    store.revoke(&key, earlier()).await.expect(WORKS);
    store.sweep(now()).await.expect(WORKS);
    let written = store.put_version(&key, 1, entry("record")).await;
    assert_eq!(written.expect(WORKS), Written::Revoked);
}
