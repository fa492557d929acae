//! A store that takes its time, and fails when told to.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use entrada::grant::{GrantId, InteractionKey, UserKey};
use entrada::oauth::client::ClientId;
use entrada::platform::Timestamp;
use entrada::secret::{AuthorizationCode, Hashed, UpstreamState};
use entrada::store::{Entry, MemoryStore, Redeemed, Sealed, Store, StoreError, Written};

/// Keeps records in memory; others get their turn before each verb.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    store: MemoryStore,
    failing: Mutex<Failing>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Failing {
    #[default]
    Nothing,
    Verb(&'static str),
    Everything,
}

impl Outage {
    /// Every verb fails from now on.
    pub(crate) fn begin(&self) {
        self.set(Failing::Everything);
    }

    /// This verb fails from now on.
    pub(crate) fn begin_at(&self, verb: &'static str) {
        self.set(Failing::Verb(verb));
    }

    pub(crate) fn end(&self) {
        self.set(Failing::Nothing);
    }

    fn set(&self, failing: Failing) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = failing;
    }

    async fn reach(&self, verb: &str) -> Result<&MemoryStore, StoreError> {
        tokio::task::yield_now().await;
        let failing = *self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match failing {
            Failing::Nothing => Ok(&self.store),
            Failing::Verb(failing) if failing != verb => Ok(&self.store),
            Failing::Verb(_) | Failing::Everything => Err(StoreError::new("an outage")),
        }
    }
}

#[async_trait]
impl Store for Outage {
    async fn put_client(&self, id: &Hashed<ClientId>, client: Entry) -> Result<(), StoreError> {
        self.reach("put_client").await?.put_client(id, client).await
    }

    async fn client(&self, id: &Hashed<ClientId>) -> Result<Option<Sealed>, StoreError> {
        self.reach("client").await?.client(id).await
    }

    async fn put_request(
        &self,
        state: &Hashed<UpstreamState>,
        request: Entry,
    ) -> Result<Written, StoreError> {
        let store = self.reach("put_request").await?;
        store.put_request(state, request).await
    }

    async fn take_request(
        &self,
        state: &Hashed<UpstreamState>,
    ) -> Result<Option<Sealed>, StoreError> {
        self.reach("take_request").await?.take_request(state).await
    }

    async fn put_code(
        &self,
        code: &Hashed<AuthorizationCode>,
        grant: &GrantId,
        entry: Entry,
    ) -> Result<(), StoreError> {
        let store = self.reach("put_code").await?;
        store.put_code(code, grant, entry).await
    }

    async fn redeem_code(&self, code: &Hashed<AuthorizationCode>) -> Result<Redeemed, StoreError> {
        self.reach("redeem_code").await?.redeem_code(code).await
    }

    async fn put_grant(
        &self,
        id: &GrantId,
        version: u64,
        grant: Entry,
    ) -> Result<Written, StoreError> {
        let store = self.reach("put_grant").await?;
        store.put_grant(id, version, grant).await
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<Sealed>, StoreError> {
        self.reach("grant").await?.grant(id).await
    }

    async fn revoke_grant(&self, id: &GrantId, until: Timestamp) -> Result<(), StoreError> {
        let store = self.reach("revoke_grant").await?;
        store.revoke_grant(id, until).await
    }

    async fn put_interaction(
        &self,
        key: &Hashed<InteractionKey>,
        interaction: Entry,
    ) -> Result<(), StoreError> {
        let store = self.reach("put_interaction").await?;
        store.put_interaction(key, interaction).await
    }

    async fn interaction(
        &self,
        key: &Hashed<InteractionKey>,
    ) -> Result<Option<Sealed>, StoreError> {
        self.reach("interaction").await?.interaction(key).await
    }

    async fn take_interaction(
        &self,
        key: &Hashed<InteractionKey>,
    ) -> Result<Option<Sealed>, StoreError> {
        let store = self.reach("take_interaction").await?;
        store.take_interaction(key).await
    }

    async fn put_approvals(
        &self,
        user: &Hashed<UserKey>,
        version: u64,
        approvals: Entry,
    ) -> Result<Written, StoreError> {
        let store = self.reach("put_approvals").await?;
        store.put_approvals(user, version, approvals).await
    }

    async fn approvals(&self, user: &Hashed<UserKey>) -> Result<Option<(u64, Sealed)>, StoreError> {
        self.reach("approvals").await?.approvals(user).await
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.reach("sweep").await?.sweep(now).await
    }
}
