//! Cases about clients.

use std::sync::Arc;

use super::{Entry, Store, WORKS, awkward, earlier, entry, later, new_code, now, sealed};
use crate::oauth::client::ClientId;
use crate::secret::Hashed;

pub(super) fn new_client() -> Hashed<ClientId> {
    Hashed::of(new_code().expose())
}

pub(super) async fn a_client_comes_back_byte_for_byte(store: Arc<dyn Store>) {
    for bytes in awkward() {
        let id = new_client();
        store
            .put_client(&id, entry(bytes.clone()))
            .await
            .expect(WORKS);
        let stored = store.client(&id).await.expect(WORKS);
        assert_eq!(stored, Some(sealed(bytes)));
    }
}

pub(super) async fn a_client_stored_anew_replaces_the_old_one(store: Arc<dyn Store>) {
    let (id, other) = (new_client(), new_client());
    for (id, bytes) in [(&id, "old"), (&other, "other"), (&id, "new")] {
        store.put_client(id, entry(bytes)).await.expect(WORKS);
    }
    assert_eq!(store.client(&id).await.expect(WORKS), Some(sealed("new")));
    assert_eq!(
        store.client(&other).await.expect(WORKS),
        Some(sealed("other"))
    );
}

pub(super) async fn a_client_stored_anew_lives_until_its_new_expiry(store: Arc<dyn Store>) {
    let (longer, shorter) = (new_client(), new_client());
    for (id, expires_at) in [
        (&longer, earlier()),
        (&longer, later()),
        (&shorter, later()),
        (&shorter, earlier()),
    ] {
        let client = Entry::new(sealed("client"), expires_at);
        store.put_client(id, client).await.expect(WORKS);
    }
    store.sweep(now()).await.expect(WORKS);
    assert!(store.client(&longer).await.expect(WORKS).is_some());
    assert!(store.client(&shorter).await.expect(WORKS).is_none());
}
