//! Cases about logins under way.

use std::sync::Arc;

use super::{Store, WORKS, awkward, entry, new_state, nth, race, sealed};
use crate::store::Written;

pub(super) async fn a_login_is_taken_once(store: Arc<dyn Store>) {
    for bytes in awkward() {
        let state = new_state().hashed();
        let written = store.put_request(&state, entry(bytes.clone())).await;
        assert_eq!(written.expect(WORKS), Written::Yes);
        let taken = store.take_request(&state).await.expect(WORKS);
        assert_eq!(taken, Some(sealed(bytes)));
        assert_eq!(store.take_request(&state).await.expect(WORKS), None);
    }
}

pub(super) async fn one_of_many_takers_gets_the_login(store: Arc<dyn Store>) {
    let state = new_state().hashed();
    store
        .put_request(&state, entry("login"))
        .await
        .expect(WORKS);
    let taken = race(&store, |store, _| async move {
        store.take_request(&state).await.expect(WORKS)
    });
    let taken: Vec<_> = taken.await.into_iter().flatten().collect();
    assert_eq!(taken, [sealed("login")]);
}

pub(super) async fn one_of_many_logins_gets_the_state(store: Arc<dyn Store>) {
    let state = new_state().hashed();
    let written = race(&store, |store, number| async move {
        let written = store.put_request(&state, nth(number)).await.expect(WORKS);
        (written, nth(number).sealed)
    });
    let written = written.await;
    let won = written.iter().filter(|(answer, _)| *answer == Written::Yes);
    let won: Vec<_> = won.map(|(_, sealed)| sealed.clone()).collect();
    let lost = (written.iter()).filter(|(answer, _)| *answer == Written::Conflict);
    assert_eq!((won.len(), lost.count()), (1, written.len() - 1));
    let taken = store.take_request(&state).await.expect(WORKS);
    assert_eq!(taken.as_ref(), won.first());
}

pub(super) async fn a_used_state_stays_used_up(store: Arc<dyn Store>) {
    let state = new_state().hashed();
    store
        .put_request(&state, entry("first"))
        .await
        .expect(WORKS);
    let waiting = store.put_request(&state, entry("second")).await;
    assert_eq!(waiting.expect(WORKS), Written::Conflict);
    let taken = store.take_request(&state).await.expect(WORKS);
    assert_eq!(taken, Some(sealed("first")));
    let taken = store.put_request(&state, entry("third")).await;
    assert_eq!(taken.expect(WORKS), Written::Conflict);
    assert_eq!(store.take_request(&state).await.expect(WORKS), None);
}
