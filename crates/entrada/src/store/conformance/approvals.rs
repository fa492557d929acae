//! Cases about what users approved.

use std::sync::Arc;

use super::{CONTENDERS, Store, WORKS, awkward, entry, new_code, nth, race, sealed};
use crate::grant::UserKey;
use crate::secret::Hashed;
use crate::store::Written;

pub(super) fn new_user() -> Hashed<UserKey> {
    Hashed::of(new_code().expose())
}

pub(super) async fn approvals_come_back_byte_for_byte_and_with_their_version(
    store: Arc<dyn Store>,
) {
    let user = new_user();
    for (version, bytes) in (1..).zip(awkward()) {
        for skipped in [0, version - 1, version + 1, u64::MAX] {
            let written = store.put_approvals(&user, skipped, entry("skipped")).await;
            assert_eq!(written.expect(WORKS), Written::Conflict, "{skipped}");
        }
        let written = store
            .put_approvals(&user, version, entry(bytes.clone()))
            .await;
        assert_eq!(written.expect(WORKS), Written::Yes, "{version}");
        for _ in 0..2 {
            let stored = store.approvals(&user).await.expect(WORKS);
            assert_eq!(stored, Some((version, sealed(bytes.clone()))));
        }
    }
    assert_eq!(store.approvals(&new_user()).await.expect(WORKS), None);
}

pub(super) async fn one_of_many_writers_gets_each_version_of_approvals(store: Arc<dyn Store>) {
    let user = new_user();
    for version in 1..=5 {
        let written = race(&store, |store, number| async move {
            let written = store.put_approvals(&user, version, nth(number)).await;
            written.expect(WORKS)
        });
        let written = written.await;
        let times = |answer| written.iter().filter(|found| **found == answer).count();
        assert_eq!(times(Written::Yes), 1, "version {version}");
        assert_eq!(times(Written::Conflict), CONTENDERS - 1);
        let stored = store.approvals(&user).await.expect(WORKS);
        assert!(stored.is_some_and(|(stored, _)| stored == version));
    }
}
