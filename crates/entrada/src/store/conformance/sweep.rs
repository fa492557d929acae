//! Cases about what is not there, and what is no longer.

use std::sync::Arc;

use super::{
    Entry, Store, WORKS, digest, earlier, later, new_grant, new_key, now, read, same_digest, sealed,
};
use crate::grant::GrantId;
use crate::platform::Timestamp;
use crate::store::{RecordKey, Taken, Written};

pub(super) async fn what_was_never_stored_is_not_there(store: Arc<dyn Store>) {
    assert_eq!(read(&store, &new_key()).await, None);
    let taken = store.take(&new_key()).await.expect(WORKS);
    assert_eq!(taken, Taken::Unknown);
}

pub(super) async fn collections_do_not_mix(store: Arc<dyn Store>) {
    let keys = same_digest(&digest());
    for (number, key) in keys.iter().enumerate() {
        let entry = Entry::new(sealed(number.to_string()), later());
        let written = store.put_version(key, 1, entry).await.expect(WORKS);
        assert_eq!(written, Written::Yes);
    }
    for (number, key) in keys.iter().enumerate() {
        let expected = Some(sealed(number.to_string()));
        assert_eq!(read(&store, key).await, expected);
        store.take(key).await.expect(WORKS);
    }
}

pub(super) async fn a_sweep_forgets_what_expired(store: Arc<dyn Store>) {
    let (unspent, spent) = (One::new(), One::new());
    unspent.put(&store, earlier()).await;
    spent.put(&store, earlier()).await;
    spent.spend(&store, earlier()).await;
    store.sweep(now()).await.expect(WORKS);
    for one in [unspent, spent] {
        for key in [&one.replaced, &one.once, &one.versioned] {
            assert_eq!(read(&store, key).await, None);
            let taken = store.take(key).await.expect(WORKS);
            assert_eq!(taken, Taken::Unknown);
        }
        let entry = Entry::new(sealed("anew"), later());
        let written = store.put_version(&one.versioned, 1, entry).await;
        assert_eq!(written.expect(WORKS), Written::Yes);
    }
}

pub(super) async fn a_sweep_keeps_what_has_not_expired(store: Arc<dyn Store>) {
    let one = One::new();
    one.put(&store, later()).await;
    store.sweep(now()).await.expect(WORKS);
    for key in [&one.replaced, &one.once, &one.versioned] {
        assert_eq!(read(&store, key).await, Some(sealed("record")));
    }
}

pub(super) async fn a_sweep_keeps_what_never_expires(store: Arc<dyn Store>) {
    let key = new_key();
    let entry = Entry::new(sealed("record"), Timestamp::from_unix(u64::MAX));
    store.put_version(&key, 1, entry).await.expect(WORKS);
    store.sweep(now()).await.expect(WORKS);
    assert_eq!(read(&store, &key).await, Some(sealed("record")));
}

pub(super) async fn a_sweep_keeps_what_is_remembered_of_the_spent(store: Arc<dyn Store>) {
    let one = One::new();
    one.put(&store, later()).await;
    one.spend(&store, later()).await;
    store.sweep(now()).await.expect(WORKS);
    let entry = Entry::new(sealed("anew"), later());
    let written = store.put_new(&one.once, entry.clone()).await;
    assert_eq!(written.expect(WORKS), Written::Conflict);
    let taken = store.take(&one.once).await.expect(WORKS);
    assert_eq!(taken, Taken::Spent(Some(one.grant)));
    let written = store.put_version(&one.versioned, 2, entry).await;
    assert_eq!(written.expect(WORKS), Written::Revoked);
}

/// The keys of one record of each way of writing.
struct One {
    replaced: RecordKey,
    once: RecordKey,
    versioned: RecordKey,
    grant: GrantId,
}

impl One {
    fn new() -> Self {
        Self {
            replaced: new_key(),
            once: new_key(),
            versioned: new_key(),
            grant: new_grant(),
        }
    }

    async fn put(&self, store: &Arc<dyn Store>, expires_at: Timestamp) {
        let entry = || Entry::new(sealed("record"), expires_at);
        store.put(&self.replaced, entry()).await.expect(WORKS);
        let once = entry().naming(self.grant);
        store.put_new(&self.once, once).await.expect(WORKS);
        let written = store.put_version(&self.versioned, 1, entry()).await;
        written.expect(WORKS);
    }

    async fn spend(&self, store: &Arc<dyn Store>, until: Timestamp) {
        store.take(&self.replaced).await.expect(WORKS);
        store.take(&self.once).await.expect(WORKS);
        store.revoke(&self.versioned, until).await.expect(WORKS);
    }
}
