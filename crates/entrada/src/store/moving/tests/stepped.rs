//! A store that others may come before at each verb.

use std::task::Poll;

use super::*;

#[derive(Debug)]
pub(super) struct Stepped(pub(super) Arc<MemoryStore>);

/// Lets others go first, once.
async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut paused, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

#[async_trait]
impl Store for Stepped {
    async fn read(&self, key: &RecordKey) -> Result<Option<Stored>, StoreError> {
        pause().await;
        self.0.read(key).await
    }

    async fn put(&self, key: &RecordKey, entry: Entry) -> Result<(), StoreError> {
        pause().await;
        self.0.put(key, entry).await
    }

    async fn put_new(&self, key: &RecordKey, entry: Entry) -> Result<Written, StoreError> {
        pause().await;
        self.0.put_new(key, entry).await
    }

    async fn put_version(
        &self,
        key: &RecordKey,
        version: u64,
        entry: Entry,
    ) -> Result<Written, StoreError> {
        pause().await;
        self.0.put_version(key, version, entry).await
    }

    async fn take(&self, key: &RecordKey) -> Result<Taken, StoreError> {
        pause().await;
        self.0.take(key).await
    }

    async fn revoke(&self, key: &RecordKey, until: Timestamp) -> Result<(), StoreError> {
        pause().await;
        self.0.revoke(key, until).await
    }

    async fn lease(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        term: Duration,
        now: Timestamp,
    ) -> Result<Lease, StoreError> {
        pause().await;
        self.0.lease(flight, holder, term, now).await
    }

    async fn settle(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        answer: Option<Entry>,
    ) -> Result<Written, StoreError> {
        pause().await;
        self.0.settle(flight, holder, answer).await
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        pause().await;
        self.0.sweep(now).await
    }

    async fn export(&self, after: Option<&Cursor>, most: usize) -> Result<SlotPage, StoreError> {
        pause().await;
        self.0.export(after, most).await
    }

    async fn slot(&self, key: &RecordKey) -> Result<Option<Slot>, StoreError> {
        pause().await;
        self.0.slot(key).await
    }

    async fn replace(
        &self,
        key: &RecordKey,
        found: Option<&Slot>,
        slot: Slot,
    ) -> Result<Written, StoreError> {
        pause().await;
        self.0.replace(key, found, slot).await
    }
}
