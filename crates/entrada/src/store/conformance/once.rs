//! Cases about records that are stored once and taken once.

use std::sync::Arc;

use super::{CONTENDERS, Store, WORKS, awkward, entry, new_grant, new_key, nth, race, sealed};
use crate::store::{Taken, Written};

pub(super) async fn a_record_is_taken_once_and_named_ever_after(store: Arc<dyn Store>) {
    for bytes in awkward() {
        for grant in [None, Some(new_grant())] {
            let key = new_key();
            let entry = entry(bytes.clone());
            let entry = grant.map_or_else(|| entry.clone(), |grant| entry.clone().naming(grant));
            let written = store.put_new(&key, entry).await.expect(WORKS);
            assert_eq!(written, Written::Yes);
            let first = store.take(&key).await.expect(WORKS);
            assert_eq!(first, Taken::Fresh(sealed(bytes.clone())));
            for _ in 0..3 {
                let again = store.take(&key).await.expect(WORKS);
                assert_eq!(again, Taken::Spent(grant));
            }
        }
    }
}

pub(super) async fn one_of_many_takers_gets_the_record(store: Arc<dyn Store>) {
    let (key, grant) = (new_key(), new_grant());
    let record = entry("record").naming(grant);
    store.put_new(&key, record).await.expect(WORKS);
    let taken = race(&store, |store, _| {
        let key = key.clone();
        async move { store.take(&key).await.expect(WORKS) }
    });
    let taken = taken.await;
    let times = |outcome| taken.iter().filter(|found| **found == outcome).count();
    assert_eq!(times(Taken::Fresh(sealed("record"))), 1);
    assert_eq!(times(Taken::Spent(Some(grant))), CONTENDERS - 1);
}

pub(super) async fn one_of_many_writers_gets_the_key(store: Arc<dyn Store>) {
    let key = new_key();
    let written = race(&store, |store, number| {
        let key = key.clone();
        async move {
            let written = store.put_new(&key, nth(number)).await.expect(WORKS);
            (written, nth(number).sealed)
        }
    });
    let written = written.await;
    let won = written.iter().filter(|(answer, _)| *answer == Written::Yes);
    let won: Vec<_> = won.map(|(_, sealed)| sealed.clone()).collect();
    let lost = (written.iter()).filter(|(answer, _)| *answer == Written::Conflict);
    assert_eq!((won.len(), lost.count()), (1, written.len() - 1));
    let taken = store.take(&key).await.expect(WORKS);
    assert_eq!(won.into_iter().next().map(Taken::Fresh), Some(taken));
}

pub(super) async fn a_used_key_stays_used_up(store: Arc<dyn Store>) {
    let (key, grant) = (new_key(), new_grant());
    let first = entry("first").naming(grant);
    store.put_new(&key, first).await.expect(WORKS);
    let waiting = store.put_new(&key, entry("second")).await.expect(WORKS);
    assert_eq!(waiting, Written::Conflict);
    let taken = store.take(&key).await.expect(WORKS);
    assert_eq!(taken, Taken::Fresh(sealed("first")));
    let third = entry("third").naming(new_grant());
    let spent = store.put_new(&key, third).await.expect(WORKS);
    assert_eq!(spent, Written::Conflict);
    let again = store.take(&key).await.expect(WORKS);
    assert_eq!(again, Taken::Spent(Some(grant)));
}
