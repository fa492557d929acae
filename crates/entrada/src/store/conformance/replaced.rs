//! Cases about records that are stored anew.

use std::sync::Arc;

use super::{Entry, Store, WORKS, awkward, earlier, entry, later, new_key, now, read, sealed};
use crate::store::{Stored, Taken};

pub(super) async fn a_record_comes_back_byte_for_byte(store: Arc<dyn Store>) {
    for bytes in awkward() {
        let key = new_key();
        store.put(&key, entry(bytes.clone())).await.expect(WORKS);
        for _ in 0..2 {
            let stored = store.read(&key).await.expect(WORKS);
            assert_eq!(stored, Some(Stored::new(1, sealed(bytes.clone()))));
        }
    }
}

pub(super) async fn a_record_stored_anew_replaces_the_old_one(store: Arc<dyn Store>) {
    let (key, other) = (new_key(), new_key());
    for (key, bytes) in [(&key, "old"), (&other, "other"), (&key, "new")] {
        store.put(key, entry(bytes)).await.expect(WORKS);
    }
    assert_eq!(read(&store, &key).await, Some(sealed("new")));
    assert_eq!(read(&store, &other).await, Some(sealed("other")));
}

pub(super) async fn a_record_stored_anew_lives_until_its_new_expiry(store: Arc<dyn Store>) {
    let (longer, shorter) = (new_key(), new_key());
    for (key, expires_at) in [
        (&longer, earlier()),
        (&longer, later()),
        (&shorter, later()),
        (&shorter, earlier()),
    ] {
        let record = Entry::new(sealed("record"), expires_at);
        store.put(key, record).await.expect(WORKS);
    }
    store.sweep(now()).await.expect(WORKS);
    assert!(read(&store, &longer).await.is_some());
    assert!(read(&store, &shorter).await.is_none());
}

pub(super) async fn a_record_that_was_taken_can_be_stored_anew(store: Arc<dyn Store>) {
    let key = new_key();
    for bytes in ["first", "second"] {
        store.put(&key, entry(bytes)).await.expect(WORKS);
        assert_eq!(read(&store, &key).await, Some(sealed(bytes)));
        let taken = store.take(&key).await.expect(WORKS);
        assert_eq!(taken, Taken::Fresh(sealed(bytes)));
        assert_eq!(read(&store, &key).await, None);
        let again = store.take(&key).await.expect(WORKS);
        assert_eq!(again, Taken::Spent(None));
    }
}
