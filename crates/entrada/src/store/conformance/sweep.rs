//! Cases about what is not there, and what is no longer.

use std::sync::Arc;

use super::approvals::new_user;
use super::clients::new_client;
use super::interactions::new_interaction;
use super::{Entry, Store, WORKS, earlier, later, new_code, new_grant, new_state, now, sealed};
use crate::grant::{InteractionKey, UserKey};
use crate::oauth::client::ClientId;
use crate::platform::Timestamp;
use crate::secret::{AuthorizationCode, Hashed, UpstreamState};
use crate::store::{Redeemed, Written};

pub(super) async fn what_was_never_stored_is_not_there(store: Arc<dyn Store>) {
    let code = store.redeem_code(&new_code().hashed()).await;
    assert_eq!(store.client(&new_client()).await.expect(WORKS), None);
    let taken = store.take_request(&new_state().hashed()).await;
    assert_eq!(taken.expect(WORKS), None);
    assert_eq!(code.expect(WORKS), Redeemed::Unknown);
    assert_eq!(store.grant(&new_grant()).await.expect(WORKS), None);
    let key = new_interaction();
    assert_eq!(store.interaction(&key).await.expect(WORKS), None);
    assert_eq!(store.take_interaction(&key).await.expect(WORKS), None);
    assert_eq!(store.approvals(&new_user()).await.expect(WORKS), None);
}

pub(super) async fn collections_do_not_mix(store: Arc<dyn Store>) {
    let secret = new_code();
    let one = One {
        client: Hashed::of(secret.expose()),
        state: UpstreamState::new(secret.expose()).hashed(),
        code: secret.hashed(),
        grant: new_grant(),
        interaction: Hashed::of(secret.expose()),
        user: Hashed::of(secret.expose()),
    };
    one.put(&store, later()).await;
    let taken = store.take_request(&one.state).await.expect(WORKS);
    assert_eq!(taken, Some(sealed("request")));
    let redeemed = store.redeem_code(&one.code).await.expect(WORKS);
    assert_eq!(redeemed, Redeemed::Fresh(sealed("code")));
    let interaction = store.take_interaction(&one.interaction).await;
    assert_eq!(interaction.expect(WORKS), Some(sealed("interaction")));
    let approvals = store.approvals(&one.user).await.expect(WORKS);
    assert_eq!(approvals, Some((1, sealed("approvals"))));
    let client = store.client(&one.client).await.expect(WORKS);
    assert_eq!(client, Some(sealed("client")));
}

pub(super) async fn a_sweep_forgets_what_expired(store: Arc<dyn Store>) {
    let (unspent, spent) = (One::new(), One::new());
    unspent.put(&store, earlier()).await;
    spent.put(&store, earlier()).await;
    spent.spend(&store, earlier()).await;
    store.sweep(now()).await.expect(WORKS);
    for one in [unspent, spent] {
        assert_eq!(store.client(&one.client).await.expect(WORKS), None);
        assert_eq!(store.take_request(&one.state).await.expect(WORKS), None);
        let redeemed = store.redeem_code(&one.code).await.expect(WORKS);
        assert_eq!(redeemed, Redeemed::Unknown);
        assert_eq!(store.grant(&one.grant).await.expect(WORKS), None);
        let interaction = store.interaction(&one.interaction).await;
        assert_eq!(interaction.expect(WORKS), None);
        assert_eq!(store.approvals(&one.user).await.expect(WORKS), None);
        let entry = Entry::new(sealed("anew"), later());
        let written = store.put_grant(&one.grant, 1, entry).await.expect(WORKS);
        assert_eq!(written, Written::Yes);
    }
}

pub(super) async fn a_sweep_keeps_what_has_not_expired(store: Arc<dyn Store>) {
    let one = One::new();
    one.put(&store, later()).await;
    store.sweep(now()).await.expect(WORKS);
    assert!(store.client(&one.client).await.expect(WORKS).is_some());
    assert!(store.grant(&one.grant).await.expect(WORKS).is_some());
    let interaction = store.interaction(&one.interaction).await;
    assert!(interaction.expect(WORKS).is_some());
    assert!(store.approvals(&one.user).await.expect(WORKS).is_some());
    let taken = store.take_request(&one.state).await.expect(WORKS);
    assert_eq!(taken, Some(sealed("request")));
    let redeemed = store.redeem_code(&one.code).await.expect(WORKS);
    assert_eq!(redeemed, Redeemed::Fresh(sealed("code")));
}

pub(super) async fn a_sweep_keeps_what_is_remembered_of_the_spent(store: Arc<dyn Store>) {
    let one = One::new();
    one.put(&store, later()).await;
    one.spend(&store, later()).await;
    store.sweep(now()).await.expect(WORKS);
    let entry = Entry::new(sealed("anew"), later());
    let written = store.put_request(&one.state, entry.clone()).await;
    assert_eq!(written.expect(WORKS), Written::Conflict);
    let redeemed = store.redeem_code(&one.code).await.expect(WORKS);
    assert_eq!(redeemed, Redeemed::Replayed(one.grant));
    let written = store.put_grant(&one.grant, 2, entry).await.expect(WORKS);
    assert_eq!(written, Written::Revoked);
}

/// The keys of one entry of each kind.
struct One {
    client: Hashed<ClientId>,
    state: Hashed<UpstreamState>,
    code: Hashed<AuthorizationCode>,
    grant: crate::grant::GrantId,
    interaction: Hashed<InteractionKey>,
    user: Hashed<UserKey>,
}

impl One {
    fn new() -> Self {
        Self {
            client: new_client(),
            state: new_state().hashed(),
            code: new_code().hashed(),
            grant: new_grant(),
            interaction: new_interaction(),
            user: new_user(),
        }
    }

    async fn put(&self, store: &Arc<dyn Store>, expires_at: Timestamp) {
        let entry = |bytes: &'static str| Entry::new(sealed(bytes), expires_at);
        let client = store.put_client(&self.client, entry("client")).await;
        client.expect(WORKS);
        let request = store.put_request(&self.state, entry("request")).await;
        request.expect(WORKS);
        let code = store.put_code(&self.code, &self.grant, entry("code")).await;
        code.expect(WORKS);
        let grant = store.put_grant(&self.grant, 1, entry("grant")).await;
        grant.expect(WORKS);
        let interaction = entry("interaction");
        let written = store.put_interaction(&self.interaction, interaction).await;
        written.expect(WORKS);
        let approvals = entry("approvals");
        let written = store.put_approvals(&self.user, 1, approvals).await;
        written.expect(WORKS);
    }

    async fn spend(&self, store: &Arc<dyn Store>, until: Timestamp) {
        store.take_request(&self.state).await.expect(WORKS);
        store.redeem_code(&self.code).await.expect(WORKS);
        store.revoke_grant(&self.grant, until).await.expect(WORKS);
    }
}
