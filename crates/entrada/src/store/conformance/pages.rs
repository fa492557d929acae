//! Cases about what is taken from one store to another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Store, WORKS, entry, later, new_flight, new_grant, new_key, now, read, sealed};
use crate::platform::SystemRandom;
use crate::store::{Lease, LeaseHolder, RecordKey, Slot, Taken, Written};

async fn exported(store: &Arc<dyn Store>, most: usize) -> BTreeMap<RecordKey, Slot> {
    let mut all = BTreeMap::new();
    let mut page = store.export(None, most).await.expect(WORKS);
    loop {
        all.extend(page.slots);
        let Some(next) = page.next else { return all };
        page = store.export(Some(&next), most).await.expect(WORKS);
    }
}

pub(super) async fn all_that_is_kept_is_on_a_page(store: Arc<dyn Store>) {
    let grant = new_grant();
    let expires_at = later();
    let slot = |version, grant, sealed| Slot::from_stored(expires_at, version, grant, sealed);
    let mut expected = BTreeMap::new();
    for number in 0..25_u64 {
        let key = new_key();
        let (bytes, version) = (number.to_string(), number % 3 + 1);
        let entry = |bytes| super::Entry::new(sealed(bytes), expires_at);
        for version in 1..=version {
            let written = store.put_version(&key, version, entry(bytes.clone())).await;
            assert_eq!(written.expect(WORKS), Written::Yes);
        }
        expected.insert(key, slot(version, None, Some(sealed(bytes))));
    }
    let (fresh, spent, revoked) = (new_key(), new_key(), new_key());
    for key in [&fresh, &spent] {
        let code = super::Entry::new(sealed("code"), expires_at).naming(grant);
        store.put_new(key, code).await.expect(WORKS);
    }
    store.take(&spent).await.expect(WORKS);
    store.revoke(&revoked, expires_at).await.expect(WORKS);
    expected.insert(fresh, slot(1, Some(grant), Some(sealed("code"))));
    expected.insert(spent, slot(1, Some(grant), None));
    expected.insert(revoked, slot(0, None, None));
    let flight = new_flight();
    let holder = LeaseHolder::generate(&SystemRandom::default());
    let leased = store.lease(&flight, holder, Duration::from_secs(60), now());
    assert_eq!(leased.await.expect(WORKS), Lease::Held);
    for most in [7, 1000] {
        let exported = exported(&store, most).await;
        for (key, slot) in &expected {
            assert_eq!(exported.get(key), Some(slot));
        }
        assert!(!exported.contains_key(&flight));
    }
}

pub(super) async fn a_slot_is_kept_as_another_store_had_it(store: Arc<dyn Store>) {
    let grant = new_grant();
    let slot = |version, grant, sealed| Slot::from_stored(later(), version, grant, sealed);
    let (versioned, fresh, spent, revoked) = (new_key(), new_key(), new_key(), new_key());
    for (key, slot) in [
        (&versioned, slot(7, None, Some(sealed("record")))),
        (&fresh, slot(1, Some(grant), Some(sealed("code")))),
        (&spent, slot(1, Some(grant), None)),
        (&revoked, slot(4, None, None)),
    ] {
        let written = store.import(key, slot).await.expect(WORKS);
        assert_eq!(written, Written::Yes);
    }
    for (version, answer) in [(1, Written::Conflict), (8, Written::Yes)] {
        let written = store.put_version(&versioned, version, entry("next")).await;
        assert_eq!(written.expect(WORKS), answer);
    }
    let taken = store.take(&fresh).await.expect(WORKS);
    assert_eq!(taken, Taken::Fresh(sealed("code")));
    for key in [&fresh, &spent] {
        let taken = store.take(key).await.expect(WORKS);
        assert_eq!(taken, Taken::Spent(Some(grant)));
    }
    let written = store.put_version(&revoked, 5, entry("next")).await;
    assert_eq!(written.expect(WORKS), Written::Revoked);
}

pub(super) async fn a_slot_from_elsewhere_replaces_nothing(store: Arc<dyn Store>) {
    let (live, spent, revoked) = (new_key(), new_key(), new_key());
    store.put(&live, entry("here")).await.expect(WORKS);
    store.put_new(&spent, entry("here")).await.expect(WORKS);
    store.take(&spent).await.expect(WORKS);
    store.revoke(&revoked, later()).await.expect(WORKS);
    for key in [&live, &spent, &revoked] {
        let elsewhere = Slot::from_stored(later(), 9, None, Some(sealed("elsewhere")));
        let written = store.import(key, elsewhere).await.expect(WORKS);
        assert_eq!(written, Written::Conflict);
    }
    assert_eq!(read(&store, &live).await, Some(sealed("here")));
    assert_eq!(read(&store, &spent).await, None);
    assert_eq!(read(&store, &revoked).await, None);
}
