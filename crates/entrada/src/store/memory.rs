//! A store that is gone when the process is.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::slot::{self, Shelf, Slot};
use super::{Entry, Redeemed, Sealed, Store, StoreError, Written};
use crate::grant::{GrantId, InteractionKey, UserKey};
use crate::oauth::client::ClientId;
use crate::platform::Timestamp;
use crate::secret::{AuthorizationCode, Hashed, UpstreamState};

/// A store in memory: for tests, and for servers whose users may sign in anew after a restart.
///
/// It holds what is not swept: about the size of each sealed record and 200 bytes. Whoever may
/// register clients can make it grow, so bound that, and call [`sweep`](Store::sweep).
#[derive(Default)]
pub struct MemoryStore {
    clients: Mutex<Slots>,
    requests: Mutex<Slots>,
    codes: Mutex<Slots>,
    grants: Mutex<Slots>,
    interactions: Mutex<Slots>,
    approvals: Mutex<Slots>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

/// Slots by key, and keys by expiry, so that sweeping costs no more than what it removes.
#[derive(Default)]
struct Slots {
    by_key: HashMap<Box<[u8]>, Slot>,
    by_expiry: BTreeSet<(Timestamp, Box<[u8]>)>,
}

impl Shelf for Slots {
    type Error = Infallible;

    fn slot(&self, key: &[u8]) -> Result<Option<Slot>, Infallible> {
        Ok(self.by_key.get(key).cloned())
    }

    fn place(&mut self, key: &[u8], slot: Slot) -> Result<(), Infallible> {
        let expires_at = slot.expires_at;
        if let Some(replaced) = self.by_key.insert(key.into(), slot) {
            self.by_expiry.remove(&(replaced.expires_at, key.into()));
        }
        self.by_expiry.insert((expires_at, key.into()));
        Ok(())
    }
}

impl Slots {
    fn sealed(&self, key: &[u8]) -> Option<Sealed> {
        self.by_key.get(key).and_then(|slot| slot.sealed.clone())
    }

    fn sweep(&mut self, now: Timestamp) -> u64 {
        let mut swept = 0;
        while let Some((expires_at, key)) = self.by_expiry.pop_first() {
            if expires_at >= now {
                self.by_expiry.insert((expires_at, key));
                break;
            }
            self.by_key.remove(&key);
            swept += 1;
        }
        swept
    }
}

/// A verb that panicked changed nothing halfway: each ends with its one write.
fn held(slots: &Mutex<Slots>) -> MutexGuard<'_, Slots> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Memory does not fail.
fn sure<T>(done: Result<T, Infallible>) -> T {
    match done {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn put_client(&self, id: &Hashed<ClientId>, client: Entry) -> Result<(), StoreError> {
        sure(slot::put(&mut *held(&self.clients), id.as_bytes(), client));
        Ok(())
    }

    async fn client(&self, id: &Hashed<ClientId>) -> Result<Option<Sealed>, StoreError> {
        Ok(held(&self.clients).sealed(id.as_bytes()))
    }

    async fn put_request(
        &self,
        state: &Hashed<UpstreamState>,
        request: Entry,
    ) -> Result<Written, StoreError> {
        let mut requests = held(&self.requests);
        Ok(sure(slot::put_request(
            &mut *requests,
            state.as_bytes(),
            request,
        )))
    }

    async fn take_request(
        &self,
        state: &Hashed<UpstreamState>,
    ) -> Result<Option<Sealed>, StoreError> {
        let mut requests = held(&self.requests);
        Ok(sure(slot::take(&mut *requests, state.as_bytes())))
    }

    async fn put_code(
        &self,
        code: &Hashed<AuthorizationCode>,
        grant: &GrantId,
        entry: Entry,
    ) -> Result<(), StoreError> {
        let mut codes = held(&self.codes);
        sure(slot::put_code(&mut *codes, code.as_bytes(), *grant, entry)).map_err(StoreError::new)
    }

    async fn redeem_code(&self, code: &Hashed<AuthorizationCode>) -> Result<Redeemed, StoreError> {
        let mut codes = held(&self.codes);
        Ok(sure(slot::redeem_code(&mut *codes, code.as_bytes())))
    }

    async fn put_grant(
        &self,
        id: &GrantId,
        version: u64,
        grant: Entry,
    ) -> Result<Written, StoreError> {
        let mut grants = held(&self.grants);
        Ok(sure(slot::put_version(
            &mut *grants,
            id.as_bytes(),
            version,
            grant,
        )))
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<Sealed>, StoreError> {
        Ok(held(&self.grants).sealed(id.as_bytes()))
    }

    async fn revoke_grant(&self, id: &GrantId, until: Timestamp) -> Result<(), StoreError> {
        sure(slot::revoke_grant(
            &mut *held(&self.grants),
            id.as_bytes(),
            until,
        ));
        Ok(())
    }

    async fn put_interaction(
        &self,
        key: &Hashed<InteractionKey>,
        interaction: Entry,
    ) -> Result<(), StoreError> {
        let mut interactions = held(&self.interactions);
        sure(slot::put(&mut *interactions, key.as_bytes(), interaction));
        Ok(())
    }

    async fn interaction(
        &self,
        key: &Hashed<InteractionKey>,
    ) -> Result<Option<Sealed>, StoreError> {
        Ok(held(&self.interactions).sealed(key.as_bytes()))
    }

    async fn take_interaction(
        &self,
        key: &Hashed<InteractionKey>,
    ) -> Result<Option<Sealed>, StoreError> {
        let mut interactions = held(&self.interactions);
        Ok(sure(slot::take(&mut *interactions, key.as_bytes())))
    }

    async fn put_approvals(
        &self,
        user: &Hashed<UserKey>,
        version: u64,
        approvals: Entry,
    ) -> Result<Written, StoreError> {
        let mut stored = held(&self.approvals);
        Ok(sure(slot::put_version(
            &mut *stored,
            user.as_bytes(),
            version,
            approvals,
        )))
    }

    async fn approvals(&self, user: &Hashed<UserKey>) -> Result<Option<(u64, Sealed)>, StoreError> {
        Ok(sure(held(&self.approvals).slot(user.as_bytes())).and_then(Slot::versioned))
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let collections = [
            &self.clients,
            &self.requests,
            &self.codes,
            &self.grants,
            &self.interactions,
            &self.approvals,
        ];
        Ok(collections.map(|slots| held(slots).sweep(now)).iter().sum())
    }
}
