//! A store that is gone when the process is.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::leases::Leases;
use super::slot::{self, Shelf, Slot, sure};
use super::{
    Cursor, Entry, Lease, LeaseHolder, RecordKey, SlotPage, Store, StoreError, Stored, Taken,
    Written,
};
use crate::platform::Timestamp;

/// A store in memory: for tests, and for servers whose users may sign in anew after a restart.
///
/// It holds what is not swept: about the size of each sealed record and 200 bytes. Whoever may
/// register clients can make it grow, so bound that, and call [`sweep`](Store::sweep).
#[derive(Default)]
pub struct MemoryStore {
    slots: Mutex<Slots>,
    leases: Leases,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A verb that panicked changed nothing halfway: each ends with its one write.
    fn held(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
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
    by_key: BTreeMap<RecordKey, Slot>,
    by_expiry: BTreeSet<(Timestamp, RecordKey)>,
}

impl Shelf for Slots {
    type Error = Infallible;

    fn slot(&self, key: &RecordKey) -> Result<Option<Slot>, Infallible> {
        Ok(self.by_key.get(key).cloned())
    }

    fn place(&mut self, key: &RecordKey, slot: Slot) -> Result<(), Infallible> {
        let expires_at = slot.expires_at;
        if let Some(replaced) = self.by_key.insert(key.clone(), slot) {
            self.by_expiry.remove(&(replaced.expires_at, key.clone()));
        }
        self.by_expiry.insert((expires_at, key.clone()));
        Ok(())
    }
}

impl Slots {
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

    fn page(&self, after: Option<&Cursor>, most: usize) -> SlotPage {
        let after = after.and_then(|cursor| RecordKey::from_stored(cursor.as_bytes()));
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let slots = self.by_key.range((from, Bound::Unbounded)).take(most);
        let slots: Vec<_> = slots
            .map(|(key, slot)| (key.clone(), slot.clone()))
            .collect();
        let last = slots.last().filter(|_| slots.len() == most);
        let next = last.map(|(key, _)| Cursor::new(key.as_bytes().to_vec()));
        SlotPage::new(slots, next)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn read(&self, key: &RecordKey) -> Result<Option<Stored>, StoreError> {
        Ok(self.held().by_key.get(key).cloned().and_then(Slot::stored))
    }

    async fn put(&self, key: &RecordKey, entry: Entry) -> Result<(), StoreError> {
        sure(slot::put(&mut *self.held(), key, entry));
        Ok(())
    }

    async fn put_new(&self, key: &RecordKey, entry: Entry) -> Result<Written, StoreError> {
        Ok(sure(slot::put_new(&mut *self.held(), key, entry)))
    }

    async fn put_version(
        &self,
        key: &RecordKey,
        version: u64,
        entry: Entry,
    ) -> Result<Written, StoreError> {
        Ok(sure(slot::put_version(
            &mut *self.held(),
            key,
            version,
            entry,
        )))
    }

    async fn take(&self, key: &RecordKey) -> Result<Taken, StoreError> {
        Ok(sure(slot::take(&mut *self.held(), key)))
    }

    async fn revoke(&self, key: &RecordKey, until: Timestamp) -> Result<(), StoreError> {
        sure(slot::revoke(&mut *self.held(), key, until));
        Ok(())
    }

    async fn lease(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        term: Duration,
        now: Timestamp,
    ) -> Result<Lease, StoreError> {
        Ok(self.leases.lease(flight, holder, term, now))
    }

    async fn settle(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        answer: Option<Entry>,
    ) -> Result<Written, StoreError> {
        Ok(self.leases.settle(flight, holder, answer))
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let swept = self.held().sweep(now);
        Ok(swept + self.leases.sweep(now))
    }

    async fn export(&self, after: Option<&Cursor>, most: usize) -> Result<SlotPage, StoreError> {
        Ok(self.held().page(after, most))
    }

    async fn slot(&self, key: &RecordKey) -> Result<Option<Slot>, StoreError> {
        Ok(sure(self.held().slot(key)))
    }

    async fn replace(
        &self,
        key: &RecordKey,
        found: Option<&Slot>,
        slot: Slot,
    ) -> Result<Written, StoreError> {
        Ok(sure(slot::replace(&mut *self.held(), key, found, slot)))
    }
}
