//! A store, and whether it works.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tracing::Instrument as _;

use super::{
    Cursor, Entry, Lease, LeaseHolder, RecordKey, Slot, SlotPage, Store, StoreError, Stored, Taken,
    Written,
};
use crate::causes::Causes;
use crate::grant::Outage;
use crate::meters::Timed;
use crate::platform::{Clock, Timestamp};

/// A store whose trouble is noted, and told to the log when it begins and when it ends. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct WatchedStore {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    health: StoreHealth,
}

/// What this replica has seen of its store. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreHealth(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    outage: Option<Outage>,
    is_failing: bool,
}

/// How far apart failures are that are of one outage.
const ONE_OUTAGE: Duration = Duration::from_secs(60);

impl StoreHealth {
    /// The last time that the store was away, if it ever was.
    pub(crate) fn last_outage(&self) -> Option<Outage> {
        self.seen().outage
    }

    fn failed(&self, now: Timestamp) -> bool {
        let mut seen = self.seen();
        let begun_at = match seen.outage {
            Some(last) if last.last_failed_at.is_within(ONE_OUTAGE, now) => last.begun_at,
            Some(_) | None => now,
        };
        seen.outage = Some(Outage {
            begun_at,
            last_failed_at: now,
        });
        !std::mem::replace(&mut seen.is_failing, true)
    }

    fn worked(&self) -> bool {
        std::mem::take(&mut self.seen().is_failing)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Does what is asked of the store under `verb`, and takes note of how it fares.
    async fn seen<T>(
        &self,
        verb: &'static str,
        asked: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let timed = Timed::begin(verb);
        let span = tracing::debug_span!("store", otel.kind = "client", db.operation.name = verb);
        let result = asked.instrument(span).await;
        timed.store(if result.is_ok() { "ok" } else { "failed" });
        match &result {
            Ok(_) if self.health.worked() => tracing::info!("the store works again"),
            Ok(_) => {}
            Err(error) => {
                if self.health.failed(self.clock.now()) {
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
        self.seen("read", self.store.read(key)).await
    }

    async fn put(&self, key: &RecordKey, entry: Entry) -> Result<(), StoreError> {
        self.seen("put", self.store.put(key, entry)).await
    }

    async fn put_new(&self, key: &RecordKey, entry: Entry) -> Result<Written, StoreError> {
        self.seen("put_new", self.store.put_new(key, entry)).await
    }

    async fn put_version(
        &self,
        key: &RecordKey,
        version: u64,
        entry: Entry,
    ) -> Result<Written, StoreError> {
        self.seen("put_version", self.store.put_version(key, version, entry))
            .await
    }

    async fn take(&self, key: &RecordKey) -> Result<Taken, StoreError> {
        self.seen("take", self.store.take(key)).await
    }

    async fn revoke(&self, key: &RecordKey, until: Timestamp) -> Result<(), StoreError> {
        self.seen("revoke", self.store.revoke(key, until)).await
    }

    async fn lease(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        term: Duration,
        now: Timestamp,
    ) -> Result<Lease, StoreError> {
        self.seen("lease", self.store.lease(flight, holder, term, now))
            .await
    }

    async fn settle(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        answer: Option<Entry>,
    ) -> Result<Written, StoreError> {
        self.seen("settle", self.store.settle(flight, holder, answer))
            .await
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.seen("sweep", self.store.sweep(now)).await
    }

    async fn export(&self, after: Option<&Cursor>, most: usize) -> Result<SlotPage, StoreError> {
        self.seen("export", self.store.export(after, most)).await
    }

    async fn slot(&self, key: &RecordKey) -> Result<Option<Slot>, StoreError> {
        self.seen("slot", self.store.slot(key)).await
    }

    async fn replace(
        &self,
        key: &RecordKey,
        found: Option<&Slot>,
        slot: Slot,
    ) -> Result<Written, StoreError> {
        self.seen("replace", self.store.replace(key, found, slot))
            .await
    }
}
