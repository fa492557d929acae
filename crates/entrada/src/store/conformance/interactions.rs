//! Cases about what users are to bring to their next login.

use std::sync::Arc;

use super::{Store, WORKS, awkward, entry, new_code, race, sealed};
use crate::grant::InteractionKey;
use crate::secret::Hashed;

pub(super) fn new_interaction() -> Hashed<InteractionKey> {
    Hashed::of(new_code().expose())
}

pub(super) async fn an_interaction_is_seen_until_it_is_taken(store: Arc<dyn Store>) {
    for bytes in awkward() {
        let key = new_interaction();
        let written = store.put_interaction(&key, entry(bytes.clone())).await;
        written.expect(WORKS);
        for _ in 0..2 {
            let seen = store.interaction(&key).await.expect(WORKS);
            assert_eq!(seen.as_ref(), Some(&sealed(bytes.clone())));
        }
        let taken = store.take_interaction(&key).await.expect(WORKS);
        assert_eq!(taken, Some(sealed(bytes)));
        assert_eq!(store.interaction(&key).await.expect(WORKS), None);
        assert_eq!(store.take_interaction(&key).await.expect(WORKS), None);
    }
}

pub(super) async fn an_interaction_stored_anew_replaces_the_old_one(store: Arc<dyn Store>) {
    let (key, other) = (new_interaction(), new_interaction());
    for (key, bytes) in [(&key, "old"), (&other, "other"), (&key, "new")] {
        store.put_interaction(key, entry(bytes)).await.expect(WORKS);
    }
    let taken = store.take_interaction(&key).await.expect(WORKS);
    assert_eq!(taken, Some(sealed("new")));
    let again = store.put_interaction(&key, entry("again")).await;
    again.expect(WORKS);
    let taken = store.take_interaction(&key).await.expect(WORKS);
    assert_eq!(taken, Some(sealed("again")));
    let seen = store.interaction(&other).await.expect(WORKS);
    assert_eq!(seen, Some(sealed("other")));
}

pub(super) async fn one_of_many_takers_gets_the_interaction(store: Arc<dyn Store>) {
    let key = new_interaction();
    let written = store.put_interaction(&key, entry("interaction")).await;
    written.expect(WORKS);
    let taken = race(&store, |store, _| async move {
        store.take_interaction(&key).await.expect(WORKS)
    });
    let taken: Vec<_> = taken.await.into_iter().flatten().collect();
    assert_eq!(taken, [sealed("interaction")]);
}
