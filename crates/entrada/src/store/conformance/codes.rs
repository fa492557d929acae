//! Cases about codes.

use std::sync::Arc;

use super::{CONTENDERS, Store, WORKS, awkward, entry, new_code, new_grant, race, sealed};
use crate::store::Redeemed;

pub(super) async fn a_code_is_fresh_once_and_a_replay_ever_after(store: Arc<dyn Store>) {
    for bytes in awkward() {
        let (code, grant) = (new_code().hashed(), new_grant());
        let stored = store.put_code(&code, &grant, entry(bytes.clone())).await;
        stored.expect(WORKS);
        let first = store.redeem_code(&code).await.expect(WORKS);
        assert_eq!(first, Redeemed::Fresh(sealed(bytes)));
        for _ in 0..3 {
            let again = store.redeem_code(&code).await.expect(WORKS);
            assert_eq!(again, Redeemed::Replayed(grant));
        }
    }
}

pub(super) async fn one_of_many_redeemers_gets_the_code(store: Arc<dyn Store>) {
    let (code, grant) = (new_code().hashed(), new_grant());
    store
        .put_code(&code, &grant, entry("code"))
        .await
        .expect(WORKS);
    let redeemed = race(&store, |store, _| async move {
        store.redeem_code(&code).await.expect(WORKS)
    });
    let redeemed = redeemed.await;
    let times = |outcome| redeemed.iter().filter(|found| **found == outcome).count();
    assert_eq!(times(Redeemed::Fresh(sealed("code"))), 1);
    assert_eq!(times(Redeemed::Replayed(grant)), CONTENDERS - 1);
}

pub(super) async fn a_code_cannot_be_stored_again(store: Arc<dyn Store>) {
    let (code, first, second) = (new_code().hashed(), new_grant(), new_grant());
    store
        .put_code(&code, &first, entry("first"))
        .await
        .expect(WORKS);
    let again = store.put_code(&code, &second, entry("second")).await;
    assert!(again.is_err());
    let redeemed = store.redeem_code(&code).await.expect(WORKS);
    assert_eq!(redeemed, Redeemed::Fresh(sealed("first")));
    let again = store.put_code(&code, &second, entry("second")).await;
    assert!(again.is_err());
    let redeemed = store.redeem_code(&code).await.expect(WORKS);
    assert_eq!(redeemed, Redeemed::Replayed(first));
}
