//! A store in one file, for one process.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use redb::{Database, ReadableDatabase as _};

use super::slot::{self, CodeStoredBefore, Slot};
use super::{Entry, Redeemed, Sealed, Store, StoreError, Written};
use crate::grant::{GrantId, InteractionKey, UserKey};
use crate::oauth::client::ClientId;
use crate::platform::Timestamp;
use crate::secret::{AuthorizationCode, Hashed, UpstreamState};

mod file;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

pub use file::OpenStoreError;

use tables::{Collection, Failure, SLOTS, Tables};
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
        Ok(Self { database, writer })
    }

    fn read(&self, collection: Collection, key: &[u8]) -> Result<Option<Sealed>, StoreError> {
        let slot = self.slot(collection, key).map_err(StoreError::new)?;
        Ok(slot.and_then(|slot| slot.sealed))
    }

    fn slot(&self, collection: Collection, key: &[u8]) -> Result<Option<Slot>, Failure> {
        let transaction = self.database.begin_read()?;
        tables::slot(&transaction.open_table(SLOTS)?, &collection.key(key))
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
    async fn put_client(&self, id: &Hashed<ClientId>, client: Entry) -> Result<(), StoreError> {
        let id = *id;
        self.write(move |tables| {
            slot::put(
                &mut tables.shelf(Collection::Clients),
                id.as_bytes(),
                client,
            )
        })
        .await
    }

    async fn client(&self, id: &Hashed<ClientId>) -> Result<Option<Sealed>, StoreError> {
        self.read(Collection::Clients, id.as_bytes())
    }

    async fn put_request(
        &self,
        state: &Hashed<UpstreamState>,
        request: Entry,
    ) -> Result<Written, StoreError> {
        let state = *state;
        self.write(move |tables| {
            let mut requests = tables.shelf(Collection::Requests);
            slot::put_request(&mut requests, state.as_bytes(), request)
        })
        .await
    }

    async fn take_request(
        &self,
        state: &Hashed<UpstreamState>,
    ) -> Result<Option<Sealed>, StoreError> {
        let state = *state;
        self.write(move |tables| {
            slot::take(&mut tables.shelf(Collection::Requests), state.as_bytes())
        })
        .await
    }

    async fn put_code(
        &self,
        code: &Hashed<AuthorizationCode>,
        grant: &GrantId,
        entry: Entry,
    ) -> Result<(), StoreError> {
        let (code, grant) = (*code, *grant);
        let put: Result<(), CodeStoredBefore> = self
            .write(move |tables| {
                let mut codes = tables.shelf(Collection::Codes);
                slot::put_code(&mut codes, code.as_bytes(), grant, entry)
            })
            .await?;
        put.map_err(StoreError::new)
    }

    async fn redeem_code(&self, code: &Hashed<AuthorizationCode>) -> Result<Redeemed, StoreError> {
        let code = *code;
        self.write(move |tables| {
            slot::redeem_code(&mut tables.shelf(Collection::Codes), code.as_bytes())
        })
        .await
    }

    async fn put_grant(
        &self,
        id: &GrantId,
        version: u64,
        grant: Entry,
    ) -> Result<Written, StoreError> {
        let id = *id;
        self.write(move |tables| {
            let mut grants = tables.shelf(Collection::Grants);
            slot::put_version(&mut grants, id.as_bytes(), version, grant)
        })
        .await
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<Sealed>, StoreError> {
        self.read(Collection::Grants, id.as_bytes())
    }

    async fn revoke_grant(&self, id: &GrantId, until: Timestamp) -> Result<(), StoreError> {
        let id = *id;
        self.write(move |tables| {
            slot::revoke_grant(&mut tables.shelf(Collection::Grants), id.as_bytes(), until)
        })
        .await
    }

    async fn put_interaction(
        &self,
        key: &Hashed<InteractionKey>,
        interaction: Entry,
    ) -> Result<(), StoreError> {
        let key = *key;
        self.write(move |tables| {
            let mut interactions = tables.shelf(Collection::Interactions);
            slot::put(&mut interactions, key.as_bytes(), interaction)
        })
        .await
    }

    async fn interaction(
        &self,
        key: &Hashed<InteractionKey>,
    ) -> Result<Option<Sealed>, StoreError> {
        self.read(Collection::Interactions, key.as_bytes())
    }

    async fn take_interaction(
        &self,
        key: &Hashed<InteractionKey>,
    ) -> Result<Option<Sealed>, StoreError> {
        let key = *key;
        // Nearly always: a login must not wait for the disk for nothing.
        if self
            .read(Collection::Interactions, key.as_bytes())?
            .is_none()
        {
            return Ok(None);
        }
        self.write(move |tables| {
            let mut interactions = tables.shelf(Collection::Interactions);
            slot::take(&mut interactions, key.as_bytes())
        })
        .await
    }

    async fn put_approvals(
        &self,
        user: &Hashed<UserKey>,
        version: u64,
        approvals: Entry,
    ) -> Result<Written, StoreError> {
        let user = *user;
        self.write(move |tables| {
            let mut stored = tables.shelf(Collection::Approvals);
            slot::put_version(&mut stored, user.as_bytes(), version, approvals)
        })
        .await
    }

    async fn approvals(&self, user: &Hashed<UserKey>) -> Result<Option<(u64, Sealed)>, StoreError> {
        let slot = self.slot(Collection::Approvals, user.as_bytes());
        let slot = slot.map_err(StoreError::new)?;
        Ok(slot.and_then(Slot::versioned))
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut swept = 0;
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
}
