//! Cases about what is taken from one store to another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Entry, Store, WORKS, awkward, earlier, entry, later, new_flight, new_grant, new_key, now, race,
    read, sealed,
};
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
        let entry = |bytes| Entry::new(sealed(bytes), expires_at);
        for version in 1..=version {
            let written = store.put_version(&key, version, entry(bytes.clone())).await;
            assert_eq!(written.expect(WORKS), Written::Yes);
        }
        expected.insert(key, slot(version, None, Some(sealed(bytes))));
    }
    let (fresh, spent, revoked) = (new_key(), new_key(), new_key());
    for key in [&fresh, &spent] {
        let code = Entry::new(sealed("code"), expires_at).naming(grant);
        store.put_new(key, code).await.expect(WORKS);
    }
    store.take(&spent).await.expect(WORKS);
    store.revoke(&revoked, expires_at).await.expect(WORKS);
    expected.insert(fresh, slot(1, Some(grant), Some(sealed("code"))));
    expected.insert(spent, slot(1, Some(grant), None));
    expected.insert(revoked, slot(0, None, None));
    let flights = [new_flight(), new_flight()];
    for (number, flight) in flights.iter().enumerate() {
        let holder = LeaseHolder::generate(&SystemRandom::default());
        let leased = store.lease(flight, holder, Duration::from_secs(60), now());
        assert_eq!(leased.await.expect(WORKS), Lease::Held);
        if number == 1 {
            let settled = store.settle(flight, holder, Some(entry("answer"))).await;
            assert_eq!(settled.expect(WORKS), Written::Yes);
        }
    }
    for most in [7, 1000] {
        let exported = exported(&store, most).await;
        for (key, slot) in &expected {
            assert_eq!(exported.get(key), Some(slot));
        }
        assert!(!flights.iter().any(|flight| exported.contains_key(flight)));
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
        let written = store.replace(key, None, slot).await.expect(WORKS);
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

pub(super) async fn a_slot_from_elsewhere_replaces_nothing_unseen(store: Arc<dyn Store>) {
    let (live, spent, revoked) = (new_key(), new_key(), new_key());
    store.put(&live, entry("here")).await.expect(WORKS);
    store.put_new(&spent, entry("here")).await.expect(WORKS);
    store.take(&spent).await.expect(WORKS);
    store.revoke(&revoked, later()).await.expect(WORKS);
    for key in [&live, &spent, &revoked] {
        let elsewhere = Slot::from_stored(later(), 9, None, Some(sealed("elsewhere")));
        let written = store.replace(key, None, elsewhere).await.expect(WORKS);
        assert_eq!(written, Written::Conflict);
    }
    assert_eq!(read(&store, &live).await, Some(sealed("here")));
    assert_eq!(read(&store, &spent).await, None);
    assert_eq!(read(&store, &revoked).await, None);
}

/// A key of each way in which a slot can be, and one of which there is nothing.
async fn one_of_each(store: &Arc<dyn Store>) -> [RecordKey; 6] {
    let [replaced, versioned, fresh, spent, revoked, none] = [(); 6].map(|()| new_key());
    store.put(&replaced, entry("record")).await.expect(WORKS);
    for version in 1..=2 {
        let written = store.put_version(&versioned, version, entry("record"));
        assert_eq!(written.await.expect(WORKS), Written::Yes);
    }
    for key in [&fresh, &spent] {
        let code = entry("code").naming(new_grant());
        store.put_new(key, code).await.expect(WORKS);
    }
    store.take(&spent).await.expect(WORKS);
    store.revoke(&revoked, later()).await.expect(WORKS);
    [replaced, versioned, fresh, spent, revoked, none]
}

pub(super) async fn a_slot_is_found_as_it_is_kept(store: Arc<dyn Store>) {
    let keys = one_of_each(&store).await;
    let exported = exported(&store, 100).await;
    for key in &keys {
        let found = store.slot(key).await.expect(WORKS);
        assert_eq!(found.as_ref(), exported.get(key));
    }
    let kept = keys.iter().filter(|key| exported.contains_key(key));
    assert_eq!(kept.count(), keys.len() - 1);
}

pub(super) async fn a_slot_is_replaced_as_it_was_found(store: Arc<dyn Store>) {
    for key in one_of_each(&store).await {
        let next = [
            Slot::from_stored(later(), 7, None, Some(sealed("next"))),
            Slot::from_stored(later(), 1, Some(new_grant()), Some(sealed("code"))),
            Slot::from_stored(later(), 1, Some(new_grant()), None),
            Slot::from_stored(later(), 0, None, None),
        ];
        let long = awkward().map(|bytes| Slot::from_stored(later(), 1, None, Some(sealed(bytes))));
        for slot in next.into_iter().chain(long) {
            let found = store.slot(&key).await.expect(WORKS);
            let written = store.replace(&key, found.as_ref(), slot.clone()).await;
            assert_eq!(written.expect(WORKS), Written::Yes);
            assert_eq!(store.slot(&key).await.expect(WORKS), Some(slot));
            // What was found is not what is there now.
            let late = Slot::from_stored(later(), 9, None, Some(sealed("late")));
            let written = store.replace(&key, found.as_ref(), late).await;
            assert_eq!(written.expect(WORKS), Written::Conflict);
        }
        let expired = Slot::from_stored(earlier(), 1, None, Some(sealed("expired")));
        let found = store.slot(&key).await.expect(WORKS);
        let written = store.replace(&key, found.as_ref(), expired).await;
        assert_eq!(written.expect(WORKS), Written::Yes);
        store.sweep(now()).await.expect(WORKS);
        assert_eq!(store.slot(&key).await.expect(WORKS), None);
    }
}

pub(super) async fn a_slot_that_is_otherwise_is_not_replaced(store: Arc<dyn Store>) {
    let (grant, at) = (new_grant(), later());
    let sooner = earlier();
    let is = |expires_at, version, grant, bytes: Option<&'static str>| {
        Slot::from_stored(expires_at, version, grant, bytes.map(sealed))
    };
    for kept in [
        is(at, 3, Some(grant), Some("record")),
        is(at, 3, None, Some("record")),
        is(at, 3, Some(grant), None),
        is(at, 3, None, None),
    ] {
        let key = new_key();
        let written = store.replace(&key, None, kept.clone()).await.expect(WORKS);
        assert_eq!(written, Written::Yes);
        let mut others: Vec<_> = [Some(grant), Some(new_grant()), None]
            .into_iter()
            .flat_map(|grant| [Some("record"), Some("other"), Some(""), None].map(|it| (grant, it)))
            .flat_map(|(grant, it)| {
                [
                    is(at, 3, grant, it),
                    is(at, 4, grant, it),
                    is(sooner, 3, grant, it),
                ]
            })
            .map(Some)
            .collect();
        others.push(None);
        for other in others.iter().filter(|other| other.as_ref() != Some(&kept)) {
            let written = store.replace(&key, other.as_ref(), is(at, 9, None, Some("late")));
            assert_eq!(written.await.expect(WORKS), Written::Conflict);
        }
        assert_eq!(store.slot(&key).await.expect(WORKS), Some(kept));
    }
}

pub(super) async fn one_of_many_replaces_a_slot(store: Arc<dyn Store>) {
    for key in one_of_each(&store).await {
        let found = store.slot(&key).await.expect(WORKS);
        let written = race(&store, |store, number| {
            let (key, found) = (key.clone(), found.clone());
            async move {
                let next = Slot::from_stored(later(), 1, None, Some(sealed(number.to_string())));
                let written = store.replace(&key, found.as_ref(), next.clone()).await;
                (written.expect(WORKS), next)
            }
        });
        let written = written.await;
        let won: Vec<_> = written
            .iter()
            .filter(|(answer, _)| *answer == Written::Yes)
            .map(|(_, next)| next.clone())
            .collect();
        assert_eq!(won.len(), 1);
        assert_eq!(store.slot(&key).await.expect(WORKS), won.into_iter().next());
    }
}
