//! A key ring in the store, which all replicas of a server share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Entry, RecordKey, Sealed, Store, StoreError, Stored, Written};
use crate::jwt::jwks::Algorithm;
use crate::jwt::sign::SigningKeyError;
use crate::keys::{
    Change, KeyEncryptionKeys, KeyFile, KeyFileError, KeyRing, KeySource, KeysError, RingDocument,
    RingDocumentError,
};
use crate::oauth::issuer::Issuer;
use crate::platform::{SecureRandom, Timestamp};
use crate::secret::Hashed;

/// How long the store keeps a ring that nobody changes: for good.
const KEPT: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// The only version there is.
const FORMAT: u32 = 1;

/// How often a lost race is run again. Each loss means that somebody else made progress.
const MOST_ROUNDS: usize = 8;

const ID_LEN: usize = 16;

/// Where the ring of one server lies in a store, and what it is sealed with there.
///
/// # Security
///
/// It is sealed, so a copy of the store opens nothing. Whoever has a [key-encryption
/// key](KeyEncryptionKeys), too, has what whoever reads a [`KeyFile`] has.
#[derive(Clone, Debug)]
pub struct StoredKeyRing {
    store: Arc<dyn Store>,
    issuer: Hashed<Issuer>,
    sealed_with: KeyEncryptionKeys,
    random: Arc<dyn SecureRandom>,
}

/// A ring as it was found in the store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredRing {
    /// The ring.
    pub ring: KeyRing,
    /// Whether it is sealed with the first of the key-encryption keys: then it needs no other.
    pub is_by_first: bool,
    version: u64,
    edition: Edition,
    sealed: Sealed,
}

/// Which ring it is, and how often it was changed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Edition {
    made_at: Timestamp,
    id: [u8; ID_LEN],
    changes: u64,
}

impl Edition {
    fn first(random: &dyn SecureRandom, now: Timestamp) -> Self {
        let mut id = [0; ID_LEN];
        random.fill(&mut id);
        Self {
            made_at: now,
            id,
            changes: 0,
        }
    }

    fn next(self) -> Self {
        let changes = self.changes.saturating_add(1);
        Self { changes, ..self }
    }

    /// Whether this is to be in use, and `other` is not. All replicas say the same of two rings: of two
    /// that were made apart the first made is, for more was done with it; of one ring what it became.
    fn prevails_over(self, other: Self) -> bool {
        let made = |edition: Self| (edition.made_at, edition.id);
        if made(self) == made(other) {
            self.changes > other.changes
        } else {
            made(self) < made(other)
        }
    }
}

/// What is sealed.
#[derive(Deserialize, Serialize)]
struct Document {
    format: u32,
    edition: Edition,
    ring: RingDocument,
}

impl StoredKeyRing {
    /// The ring of the server called `issuer` in `store`, sealed with the first of `sealed_with`. Nothing
    /// is read yet.
    pub fn new(
        store: Arc<dyn Store>,
        issuer: &Issuer,
        sealed_with: KeyEncryptionKeys,
        random: Arc<dyn SecureRandom>,
    ) -> Self {
        Self {
            store,
            issuer: Hashed::of(issuer.as_str()),
            sealed_with,
            random,
        }
    }

    /// Reads the ring, as it is at `now`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`KeysError`] says what to mend.
    pub async fn load(&self, now: Timestamp) -> Result<Option<StoredRing>, KeysError> {
        let stored = self.stored().await?;
        stored.map(|stored| self.open(stored, now)).transpose()
    }

    /// Makes of the ring in the store what `change` makes of it, as it is at `now`, unless that is
    /// nothing; answers with the ring that is then there, or `None` if there is none.
    ///
    /// No change is lost: whoever was second changes what the first made.
    ///
    /// # Errors
    ///
    /// [`KeysError`] says what to mend; if it is [`KeysError::Store`], the change may have been stored.
    pub async fn update<F>(
        &self,
        now: Timestamp,
        change: F,
    ) -> Result<Option<StoredRing>, KeysError>
    where
        F: Fn(&KeyRing) -> Result<Option<KeyRing>, SigningKeyError> + Send + Sync,
    {
        for _ in 0..MOST_ROUNDS {
            let Some(found) = self.load(now).await? else {
                return Ok(None);
            };
            let Some(ring) = change(&found.ring)? else {
                return Ok(Some(found));
            };
            let (version, edition) = (found.version + 1, found.edition.next());
            if let Some(stored) = self.put(version, (ring, edition), now).await? {
                return Ok(Some(stored));
            }
        }
        Err(KeysError::Contended)
    }

    fn key(&self) -> RecordKey {
        RecordKey::key_ring(&self.issuer)
    }

    async fn stored(&self) -> Result<Option<Stored>, KeysError> {
        self.store.read(&self.key()).await.map_err(failed)
    }

    /// Stores a ring as this version; `None` if another was first.
    async fn put(
        &self,
        version: u64,
        (ring, edition): (KeyRing, Edition),
        now: Timestamp,
    ) -> Result<Option<StoredRing>, KeysError> {
        let sealed = self.seal(&ring, edition)?;
        let entry = Entry::new(sealed.clone(), now + KEPT);
        let written = self.store.put_version(&self.key(), version, entry).await;
        match written.map_err(failed)? {
            Written::Yes => Ok(Some(StoredRing {
                ring,
                is_by_first: true,
                version,
                edition,
                sealed,
            })),
            Written::Conflict | Written::Revoked => Ok(None),
        }
    }

    fn seal(&self, ring: &KeyRing, edition: Edition) -> Result<Sealed, KeysError> {
        let document = Document {
            format: FORMAT,
            edition,
            ring: RingDocument::of(ring),
        };
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| KeysError::Store(error);
        let text = serde_json::to_vec(&document).map(Zeroizing::new);
        let text = text.map_err(|error| failed(error.into()))?;
        let server = self.issuer.as_bytes();
        let sealed = self.sealed_with.seal(server, &text, &*self.random);
        sealed
            .map(Sealed::from_stored)
            .map_err(|error| failed(error.into()))
    }

    fn open(&self, stored: Stored, now: Timestamp) -> Result<StoredRing, KeysError> {
        let Stored { version, sealed } = stored;
        let bytes = sealed.as_bytes();
        let text = self.sealed_with.open(self.issuer.as_bytes(), bytes);
        let text = text.map_err(|_| KeysError::Unopened)?;
        let document: Document = serde_json::from_slice(&text).map_err(|_| KeysError::Format)?;
        if document.format != FORMAT {
            return Err(KeysError::Format);
        }
        let ring = document.ring.into_ring(now).map_err(|error| match error {
            RingDocumentError::Format => KeysError::Format,
            RingDocumentError::Key(error) => KeysError::Key(error),
        })?;
        Ok(StoredRing {
            ring,
            is_by_first: self.sealed_with.is_by_first(bytes),
            version,
            edition: document.edition,
            sealed,
        })
    }
}

fn failed(error: StoreError) -> KeysError {
    KeysError::Store(error.into())
}

/// The ring in the store as one replica uses it: made where there is none, and put back where it was
/// lost.
#[derive(Debug)]
pub(crate) struct SharedKeys {
    place: StoredKeyRing,
    /// The ring of before, which becomes the first that is shared.
    before: KeyFile,
    algorithm: Algorithm,
    /// What was in use last.
    known: Mutex<Option<StoredRing>>,
}

impl SharedKeys {
    /// The ring at `place`. Where none ever was it becomes what the file `before` holds, or a new one
    /// for `algorithm`.
    pub(crate) fn new(place: StoredKeyRing, before: KeyFile, algorithm: Algorithm) -> Self {
        Self {
            place,
            before,
            algorithm,
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Option<StoredRing>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, ring: StoredRing) -> StoredRing {
        *self.known() = Some(ring.clone());
        ring
    }

    /// What is in the store and to be in use; `None` if it has to be looked at once more.
    async fn settle(&self, now: Timestamp) -> Result<Option<StoredRing>, KeysError> {
        let known = self.known().clone();
        let Some(stored) = self.place.stored().await? else {
            return self.restore(known, now).await;
        };
        if let Some(known) = known.as_ref().filter(|it| it.sealed == stored.sealed) {
            let version = stored.version;
            return Ok(Some(StoredRing {
                version,
                ..known.clone()
            }));
        }
        let next = stored.version + 1;
        let found = self.place.open(stored, now)?;
        if let Some(known) = known.filter(|known| known.edition.prevails_over(found.edition)) {
            // Of a backup, or of a replica that saw the store empty.
            tracing::warn!("the store held an older key ring: the one in use was put back");
            return self.place.put(next, (known.ring, known.edition), now).await;
        }
        if found.is_by_first {
            return Ok(Some(found));
        }
        let resealed = self.place.put(next, (found.ring, found.edition), now).await;
        let name = self.place.sealed_with.names().next();
        resealed.inspect(|resealed| {
            if resealed.is_some() {
                tracing::info!(
                    key = name,
                    "the key ring is sealed with the first key-encryption key: the others may go"
                );
            }
        })
    }

    /// Stores the ring that was in use, or the first.
    async fn restore(
        &self,
        known: Option<StoredRing>,
        now: Timestamp,
    ) -> Result<Option<StoredRing>, KeysError> {
        if let Some(known) = known {
            tracing::warn!("the store had lost the key ring: the one in use was put back");
            return self.place.put(1, (known.ring, known.edition), now).await;
        }
        let ring = match self.before.read(now).await {
            Ok(ring) => {
                tracing::info!(
                    "the keys of the key file become those all replicas share: the file is of no more use"
                );
                ring
            }
            Err(KeysError::File(KeyFileError::Io { source, .. }))
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                let ring = KeyRing::generate(self.algorithm, &*self.place.random, now)?;
                tracing::info!(
                    "the store held no key ring, so new keys were made: nothing that is stored under others opens"
                );
                ring
            }
            Err(error) => return Err(error),
        };
        let edition = Edition::first(&*self.place.random, now);
        self.place.put(1, (ring, edition), now).await
    }

    async fn settled(&self, now: Timestamp) -> Result<StoredRing, KeysError> {
        for _ in 0..MOST_ROUNDS {
            if let Some(ring) = self.settle(now).await? {
                return Ok(self.note(ring));
            }
        }
        Err(KeysError::Contended)
    }
}

#[async_trait]
impl KeySource for SharedKeys {
    async fn read(&self, now: Timestamp) -> Result<KeyRing, KeysError> {
        self.settled(now).await.map(|found| found.ring.at(now))
    }

    async fn change(&self, change: &Change, now: Timestamp) -> Result<KeyRing, KeysError> {
        for _ in 0..MOST_ROUNDS {
            let found = self.settled(now).await?;
            let Some(ring) = change(&found.ring.at(now))? else {
                return Ok(found.ring.at(now));
            };
            let (version, edition) = (found.version + 1, found.edition.next());
            if let Some(stored) = self.place.put(version, (ring, edition), now).await? {
                return Ok(self.note(stored).ring.at(now));
            }
        }
        Err(KeysError::Contended)
    }
}

#[cfg(test)]
mod tests;
