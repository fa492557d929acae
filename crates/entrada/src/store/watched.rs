//! A store, and whether it works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;

use super::{
    Cursor, Entry, Lease, LeaseHolder, RecordKey, Slot, SlotPage, Store, StoreError, Stored, Taken,
    Written,
};
use crate::causes::Causes;
use crate::platform::{Clock, Timestamp};

/// A store whose trouble is noted, and told to the log when it begins and when it ends.
#[derive(Debug)]
pub(crate) struct WatchedStore {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    health: StoreHealth,
}

/// What this replica has seen of its store. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreHealth(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    failed_at: AtomicU64,
    is_failing: AtomicBool,
}

impl StoreHealth {
    /// When the store last failed; the beginning of time if it never did.
    pub(crate) fn failed_at(&self) -> Timestamp {
        Timestamp::from_unix(self.0.failed_at.load(Relaxed))
    }
}

impl WatchedStore {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            health: StoreHealth::default(),
        }
    }

    pub(crate) fn health(&self) -> StoreHealth {
        self.health.clone()
    }

    fn seen<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        let Seen {
            failed_at,
            is_failing,
        } = &*self.health.0;
        match &result {
            Ok(_) => {
                if is_failing.load(Relaxed) && is_failing.swap(false, Relaxed) {
                    tracing::info!("the store works again");
                }
            }
            Err(error) => {
                failed_at.fetch_max(self.clock.now().as_unix(), Relaxed);
                if !is_failing.swap(true, Relaxed) {
                    tracing::error!(cause = %Causes(error), "the store fails");
                }
            }
        }
        result
    }
}

#[async_trait]
impl Store for WatchedStore {
    async fn read(&self, key: &RecordKey) -> Result<Option<Stored>, StoreError> {
        self.seen(self.store.read(key).await)
    }

    async fn put(&self, key: &RecordKey, entry: Entry) -> Result<(), StoreError> {
        self.seen(self.store.put(key, entry).await)
    }

    async fn put_new(&self, key: &RecordKey, entry: Entry) -> Result<Written, StoreError> {
        self.seen(self.store.put_new(key, entry).await)
    }

    async fn put_version(
        &self,
        key: &RecordKey,
        version: u64,
        entry: Entry,
    ) -> Result<Written, StoreError> {
        self.seen(self.store.put_version(key, version, entry).await)
    }

    async fn take(&self, key: &RecordKey) -> Result<Taken, StoreError> {
        self.seen(self.store.take(key).await)
    }

    async fn revoke(&self, key: &RecordKey, until: Timestamp) -> Result<(), StoreError> {
        self.seen(self.store.revoke(key, until).await)
    }

    async fn lease(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        term: Duration,
        now: Timestamp,
    ) -> Result<Lease, StoreError> {
        self.seen(self.store.lease(flight, holder, term, now).await)
    }

    async fn settle(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        answer: Option<Entry>,
    ) -> Result<Written, StoreError> {
        self.seen(self.store.settle(flight, holder, answer).await)
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.seen(self.store.sweep(now).await)
    }

    async fn export(&self, after: Option<&Cursor>, most: usize) -> Result<SlotPage, StoreError> {
        self.seen(self.store.export(after, most).await)
    }

    async fn slot(&self, key: &RecordKey) -> Result<Option<Slot>, StoreError> {
        self.seen(self.store.slot(key).await)
    }

    async fn replace(
        &self,
        key: &RecordKey,
        found: Option<&Slot>,
        slot: Slot,
    ) -> Result<Written, StoreError> {
        self.seen(self.store.replace(key, found, slot).await)
    }
}
