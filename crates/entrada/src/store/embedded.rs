//! A store in one file, for one process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redb::{Database, ReadableDatabase as _};

use super::leases::Leases;
use super::slot::{self, Slot};
use super::{
    Cursor, Entry, Lease, LeaseHolder, RecordKey, SlotPage, Store, StoreError, Stored, Taken,
    Written,
};
use crate::platform::Timestamp;

mod file;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

pub use file::OpenStoreError;

use tables::{Failure, SLOTS, Tables};
use writer::Writer;

/// How much one transaction of a sweep removes, so that other writes need not wait for all of it.
const SWEPT_AT_ONCE: usize = 1000;

/// A store in one file, for one process: no service to run, nothing acknowledged is lost.
///
/// Writes go through a thread of their own. Those that come while it waits for the disk are then
/// written together, so that a crowd pays for one wait. Reads are made where they are asked for:
/// they come from memory, or wait for one page of the file.
///
/// After the disk failed a write, all that follow fail until the store is opened anew.
#[derive(Debug)]
pub struct EmbeddedStore {
    database: Arc<Database>,
    writer: Writer,
    /// One process has the file to itself, so who does what need not stand in it.
    leases: Leases,
}

impl EmbeddedStore {
    /// Opens the store in the file `path`, or makes it, readable by its owner alone.
    ///
    /// Blocks while the file is read, which takes longer after a crash.
    ///
    /// # Errors
    ///
    /// [`OpenStoreError`] says what to mend; a file that is not understood is left as it is.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenStoreError> {
        let path = path.as_ref();
        let database = Arc::new(file::open(path)?);
        let writer = Writer::start(Arc::clone(&database));
        let writer = writer.map_err(|source| OpenStoreError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            database,
            writer,
            leases: Leases::default(),
        })
    }

    fn found(&self, key: &RecordKey) -> Result<Option<Slot>, Failure> {
        let transaction = self.database.begin_read()?;
        tables::found(&transaction.open_table(SLOTS)?, key)
    }

    fn page(&self, after: Option<&Cursor>, most: usize) -> Result<SlotPage, Failure> {
        let transaction = self.database.begin_read()?;
        let after = after.map(Cursor::as_bytes);
        tables::page(&transaction.open_table(SLOTS)?, after, most)
    }

    /// Answers once what `verb` wrote is on the disk.
    async fn write<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&mut Tables<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.write(verb).await.map_err(StoreError::new)
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn read(&self, key: &RecordKey) -> Result<Option<Stored>, StoreError> {
        let slot = self.found(key).map_err(StoreError::new)?;
        Ok(slot.and_then(Slot::stored))
    }

    async fn put(&self, key: &RecordKey, entry: Entry) -> Result<(), StoreError> {
        let key = key.clone();
        self.write(move |tables| slot::put(tables, &key, entry))
            .await
    }

    async fn put_new(&self, key: &RecordKey, entry: Entry) -> Result<Written, StoreError> {
        let key = key.clone();
        self.write(move |tables| slot::put_new(tables, &key, entry))
            .await
    }

    async fn put_version(
        &self,
        key: &RecordKey,
        version: u64,
        entry: Entry,
    ) -> Result<Written, StoreError> {
        let key = key.clone();
        self.write(move |tables| slot::put_version(tables, &key, version, entry))
            .await
    }

    async fn take(&self, key: &RecordKey) -> Result<Taken, StoreError> {
        // Who guesses, and a login of which nothing is remembered, must not wait for the disk.
        if self.found(key).map_err(StoreError::new)?.is_none() {
            return Ok(Taken::Unknown);
        }
        let key = key.clone();
        self.write(move |tables| slot::take(tables, &key)).await
    }

    async fn revoke(&self, key: &RecordKey, until: Timestamp) -> Result<(), StoreError> {
        let key = key.clone();
        self.write(move |tables| slot::revoke(tables, &key, until))
            .await
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
        let mut swept = self.leases.sweep(now);
        loop {
            let some = self
                .write(move |tables| tables.sweep(now, SWEPT_AT_ONCE))
                .await?;
            swept += some as u64;
            if some < SWEPT_AT_ONCE {
                return Ok(swept);
            }
        }
    }

    async fn export(&self, after: Option<&Cursor>, most: usize) -> Result<SlotPage, StoreError> {
        self.page(after, most).map_err(StoreError::new)
    }

    async fn slot(&self, key: &RecordKey) -> Result<Option<Slot>, StoreError> {
        self.found(key).map_err(StoreError::new)
    }

    async fn replace(
        &self,
        key: &RecordKey,
        found: Option<&Slot>,
        slot: Slot,
    ) -> Result<Written, StoreError> {
        let (key, found) = (key.clone(), found.cloned());
        self.write(move |tables| slot::replace(tables, &key, found.as_ref(), slot))
            .await
    }
}
