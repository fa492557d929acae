//! A store that takes its time, and fails when told to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use entrada::platform::Timestamp;
use entrada::store::{
    Collection, Cursor, Entry, Lease, LeaseHolder, MemoryStore, RecordKey, Slot, SlotPage, Store,
    StoreError, Stored, Taken, Written,
};
use tokio::sync::Notify;

/// Keeps records in memory; others get their turn before each verb.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    store: Mutex<Arc<MemoryStore>>,
    failing: Mutex<Failing>,
    rings_read: AtomicUsize,
    gate: Gate,
}

/// Where the next one to come by is held.
#[derive(Debug, Default)]
struct Gate {
    at: Mutex<Option<(&'static [&'static str], Collection)>>,
    reached: Notify,
    opened: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
enum Failing {
    #[default]
    Nothing,
    Verb(&'static str, Collection),
    /// What is done is done, but nobody hears of it.
    Answer(&'static str, Collection),
    Sweep,
    Everything,
}

impl Outage {
    /// Every verb fails from now on.
    pub(crate) fn begin(&self) {
        self.set(Failing::Everything);
    }

    /// This verb fails from now on, for records of this kind.
    pub(crate) fn begin_at(&self, verb: &'static str, collection: Collection) {
        self.set(Failing::Verb(verb, collection));
    }

    /// From now on this verb is done for records of this kind, and its answer lost.
    pub(crate) fn lose_answers_of(&self, verb: &'static str, collection: Collection) {
        self.set(Failing::Answer(verb, collection));
    }

    /// Nothing can be swept from now on.
    pub(crate) fn begin_at_sweep(&self) {
        self.set(Failing::Sweep);
    }

    /// What was kept is lost.
    pub(crate) fn forget_everything(&self) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }

    /// The next one of these verbs for a record of this kind is held until [`release`](Self::release).
    pub(crate) fn hold_at(&self, verbs: &'static [&'static str], collection: Collection) {
        let at = Some((verbs, collection));
        *self.gate.at.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Waits until it has come.
    pub(crate) async fn held(&self) {
        self.gate.reached.notified().await;
    }

    pub(crate) fn release(&self) {
        self.gate.opened.notify_one();
    }

    async fn pass(&self, verb: &str, key: &RecordKey) {
        let is_held = {
            let mut at = self.gate.at.lock().unwrap_or_else(PoisonError::into_inner);
            let held =
                at.filter(|(verbs, kind)| verbs.contains(&verb) && *kind == key.collection());
            held.is_some_and(|_| at.take().is_some())
        };
        if is_held {
            self.gate.reached.notify_one();
            self.gate.opened.notified().await;
        }
    }

    /// How often a key ring was asked for.
    pub(crate) fn rings_read(&self) -> usize {
        self.rings_read.load(Ordering::SeqCst)
    }

    fn store(&self) -> Arc<MemoryStore> {
        Arc::clone(&self.store.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn end(&self) {
        self.set(Failing::Nothing);
    }

    fn set(&self, failing: Failing) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = failing;
    }

    async fn reach(&self, verb: &str, key: &RecordKey) -> Result<Arc<MemoryStore>, StoreError> {
        self.pass(verb, key).await;
        let store = self.reach_at_all().await?;
        match self.failing() {
            Failing::Verb(failing, at) if failing == verb && at == key.collection() => {
                Err(outage())
            }
            Failing::Nothing
            | Failing::Verb(..)
            | Failing::Answer(..)
            | Failing::Sweep
            | Failing::Everything => Ok(store),
        }
    }

    async fn reach_at_all(&self) -> Result<Arc<MemoryStore>, StoreError> {
        tokio::task::yield_now().await;
        match self.failing() {
            Failing::Nothing | Failing::Verb(..) | Failing::Answer(..) | Failing::Sweep => {
                Ok(self.store())
            }
            Failing::Everything => Err(outage()),
        }
    }

    /// Whether the answer of a verb arrives.
    fn heard(&self, verb: &str, key: &RecordKey) -> Result<(), StoreError> {
        match self.failing() {
            Failing::Answer(lost, at) if lost == verb && at == key.collection() => Err(outage()),
            Failing::Nothing
            | Failing::Verb(..)
            | Failing::Answer(..)
            | Failing::Sweep
            | Failing::Everything => Ok(()),
        }
    }

    fn failing(&self) -> Failing {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn outage() -> StoreError {
    StoreError::new("an outage")
}

#[async_trait]
impl Store for Outage {
    async fn read(&self, key: &RecordKey) -> Result<Option<Stored>, StoreError> {
        if key.collection() == Collection::KeyRings {
            self.rings_read.fetch_add(1, Ordering::SeqCst);
        }
        self.reach("read", key).await?.read(key).await
    }

    async fn put(&self, key: &RecordKey, entry: Entry) -> Result<(), StoreError> {
        self.reach("put", key).await?.put(key, entry).await
    }

    async fn put_new(&self, key: &RecordKey, entry: Entry) -> Result<Written, StoreError> {
        self.reach("put_new", key).await?.put_new(key, entry).await
    }

    async fn put_version(
        &self,
        key: &RecordKey,
        version: u64,
        entry: Entry,
    ) -> Result<Written, StoreError> {
        let store = self.reach("put_version", key).await?;
        let written = store.put_version(key, version, entry).await;
        self.heard("put_version", key)?;
        written
    }

    async fn take(&self, key: &RecordKey) -> Result<Taken, StoreError> {
        self.reach("take", key).await?.take(key).await
    }

    async fn revoke(&self, key: &RecordKey, until: Timestamp) -> Result<(), StoreError> {
        self.reach("revoke", key).await?.revoke(key, until).await
    }

    async fn lease(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        term: Duration,
        now: Timestamp,
    ) -> Result<Lease, StoreError> {
        let store = self.reach("lease", flight).await?;
        store.lease(flight, holder, term, now).await
    }

    async fn settle(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        answer: Option<Entry>,
    ) -> Result<Written, StoreError> {
        let store = self.reach("settle", flight).await?;
        store.settle(flight, holder, answer).await
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let store = self.reach_at_all().await?;
        if matches!(self.failing(), Failing::Sweep) {
            return Err(outage());
        }
        store.sweep(now).await
    }

    async fn export(&self, after: Option<&Cursor>, most: usize) -> Result<SlotPage, StoreError> {
        self.reach_at_all().await?.export(after, most).await
    }

    async fn slot(&self, key: &RecordKey) -> Result<Option<Slot>, StoreError> {
        self.reach("slot", key).await?.slot(key).await
    }

    async fn replace(
        &self,
        key: &RecordKey,
        found: Option<&Slot>,
        slot: Slot,
    ) -> Result<Written, StoreError> {
        let store = self.reach("replace", key).await?;
        store.replace(key, found, slot).await
    }
}
