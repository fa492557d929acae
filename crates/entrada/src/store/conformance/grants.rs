//! Cases about grants.

use std::sync::Arc;

use super::{
    CONTENDERS, Store, WORKS, awkward, earlier, entry, later, new_grant, now, nth, race, sealed,
};
use crate::store::Written;

pub(super) async fn a_grant_comes_back_byte_for_byte(store: Arc<dyn Store>) {
    for bytes in awkward() {
        let id = new_grant();
        let written = store.put_grant(&id, 1, entry(bytes.clone())).await;
        assert_eq!(written.expect(WORKS), Written::Yes);
        for _ in 0..2 {
            let stored = store.grant(&id).await.expect(WORKS);
            assert_eq!(stored, Some(sealed(bytes.clone())));
        }
    }
}

pub(super) async fn the_versions_of_a_grant_follow_one_another(store: Arc<dyn Store>) {
    let id = new_grant();
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
        let written = store
            .put_grant(&id, version, entry(version.to_string()))
            .await;
        assert_eq!(written.expect(WORKS), answer, "version {version}");
        assert_eq!(store.grant(&id).await.expect(WORKS), stored.map(sealed));
    }
}

pub(super) async fn one_of_many_writers_gets_each_version(store: Arc<dyn Store>) {
    let id = new_grant();
    for version in 1..=5 {
        let written = race(&store, |store, number| async move {
            store
                .put_grant(&id, version, nth(number))
                .await
                .expect(WORKS)
        });
        let written = written.await;
        let times = |answer| written.iter().filter(|found| **found == answer).count();
        assert_eq!(times(Written::Yes), 1, "version {version}");
        assert_eq!(times(Written::Conflict), CONTENDERS - 1);
        assert!(store.grant(&id).await.expect(WORKS).is_some());
    }
}

pub(super) async fn a_revoked_grant_does_not_come_back(store: Arc<dyn Store>) {
    let (id, other) = (new_grant(), new_grant());
    for id in [&id, &other] {
        store.put_grant(id, 1, entry("grant")).await.expect(WORKS);
    }
    store.revoke_grant(&id, later()).await.expect(WORKS);
    for version in [1, 2, 3] {
        assert_eq!(store.grant(&id).await.expect(WORKS), None);
        let written = store.put_grant(&id, version, entry("grant")).await;
        assert_eq!(written.expect(WORKS), Written::Revoked);
    }
    assert_eq!(store.grant(&id).await.expect(WORKS), None);
    assert!(store.grant(&other).await.expect(WORKS).is_some());
}

pub(super) async fn a_grant_revoked_before_it_came_never_stands(store: Arc<dyn Store>) {
    let id = new_grant();
    store.revoke_grant(&id, later()).await.expect(WORKS);
    let written = store.put_grant(&id, 1, entry("grant")).await.expect(WORKS);
    assert_eq!(written, Written::Revoked);
    assert_eq!(store.grant(&id).await.expect(WORKS), None);
}

pub(super) async fn a_revocation_holds_against_writers_it_raced(store: Arc<dyn Store>) {
    for _ in 0..5 {
        let id = new_grant();
        store.put_grant(&id, 1, entry("grant")).await.expect(WORKS);
        let written = race(&store, |store, number| async move {
            if number == CONTENDERS / 2 {
                store.revoke_grant(&id, later()).await.expect(WORKS);
                return None;
            }
            let written = store.put_grant(&id, 2, nth(number)).await;
            Some(written.expect(WORKS))
        });
        let written = written.await;
        let won = written.iter().flatten().filter(|it| **it == Written::Yes);
        assert!(won.count() <= 1);
        assert_eq!(store.grant(&id).await.expect(WORKS), None);
        let written = store.put_grant(&id, 3, entry("grant")).await.expect(WORKS);
        assert_eq!(written, Written::Revoked);
    }
}

pub(super) async fn a_second_revocation_does_not_shorten_the_first(store: Arc<dyn Store>) {
    let id = new_grant();
    store.revoke_grant(&id, later()).await.expect(WORKS);
    store.revoke_grant(&id, earlier()).await.expect(WORKS);
    store.sweep(now()).await.expect(WORKS);
    let written = store.put_grant(&id, 1, entry("grant")).await.expect(WORKS);
    assert_eq!(written, Written::Revoked);
}
