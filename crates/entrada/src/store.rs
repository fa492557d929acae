//! What must outlive one request.
//!
//! Three floors: a [`Store`] keeps sealed bytes under digests and makes each verb atomic; a
//! `SealedStore` seals and unseals the records of [`grant`](crate::grant) and
//! [`oauth::client`](crate::oauth::client) above any store; the endpoints see records only.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::grant::GrantId;
use crate::keys::KeysUnavailable;
use crate::platform::{SecureRandom, Timestamp};

#[cfg(feature = "test-util")]
pub mod conformance;
#[cfg(feature = "embedded")]
mod embedded;
mod key;
mod key_ring;
mod leases;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod limit;
mod memory;
mod moving;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "test-util")]
pub mod records;
#[cfg(feature = "redis")]
mod redis;
mod sealed;
mod slot;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod tls;
mod url;
mod watched;

#[cfg(feature = "redis")]
pub use self::redis::{OpenRedisError, RedisSettings, RedisStore};
pub use self::url::{OpenUrlError, StoreKind, StoreUrl, StoreUrlError};
#[cfg(feature = "embedded")]
pub use embedded::{EmbeddedStore, OpenStoreError};
pub use key::{Collection, Flight, RecordKey};
pub(crate) use key_ring::SharedKeys;
pub use key_ring::{StoredKeyRing, StoredRing};
pub use memory::MemoryStore;
pub use moving::{Moved, Moving};
#[cfg(feature = "postgres")]
pub use postgres::{
    OpenPostgresError, PasswordSource, PostgresError, PostgresSettings, PostgresStore,
    PostgresUrlError,
};
pub use sealed::RecordError;
pub(crate) use sealed::{Boarded, Boarding, FlightError, Flights, Kept, Redeemed, SealedStore};
pub use slot::Slot;
#[cfg(any(feature = "postgres", feature = "redis"))]
pub use tls::StoreTlsError;
pub(crate) use watched::{StoreHealth, WatchedStore};

/// A record encrypted by Entrada.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sealed(Bytes);

impl Sealed {
    /// Wraps bytes that a store kept. Bytes that were not sealed will not open.
    pub fn from_stored(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes to keep.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

/// A sealed record and how long it is of use.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// The record.
    pub sealed: Sealed,
    /// From when on the store may forget it, and what it remembers of it.
    pub expires_at: Timestamp,
    /// What is remembered once the record is taken: the grant that a code became.
    pub grant: Option<GrantId>,
}

impl Entry {
    /// A record to be kept until `expires_at`.
    pub fn new(sealed: Sealed, expires_at: Timestamp) -> Self {
        Self {
            sealed,
            expires_at,
            grant: None,
        }
    }

    /// The same, and the grant to be named once the record was taken.
    #[must_use]
    pub fn naming(self, grant: GrantId) -> Self {
        Self {
            grant: Some(grant),
            ..self
        }
    }
}

/// Keeps clients, logins under way, codes, grants, what users are to bring to their next login, what
/// they approved, and the key ring; and who does something that only one replica may.
///
/// It knows nothing of what it keeps: a [`RecordKey`] says where a record lies, a [`Slot`] what
/// there is to it. Every verb is atomic, and what it acknowledged is durable. Whether a record is
/// still valid is written inside the record; `expires_at` only says when a store may forget it, so a
/// store may drop a record late but never early.
///
/// # Security
///
/// [`take`](Self::take) must be atomic across every replica: an implementation that reads and then
/// deletes lets two requests spend one code (RFC 6749 §4.1.2). [`put_version`](Self::put_version)
/// must compare and swap: one that overwrites lets two holders of one refresh token live on side by
/// side, so theft goes unseen (RFC 9700 §4.14.2), and a grant that is overwritten in what a user
/// approved outlives the removal of its client. An acknowledged [`revoke`](Self::revoke) that is
/// lost gives the thief the session back. Answering [`StoreError`] is always safe, merely slow.
///
/// `store::conformance` (feature `test-util`) holds the tests every implementation must pass.
#[async_trait]
pub trait Store: Debug + Send + Sync {
    /// Looks up a record; one that was taken or revoked is not there.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails.
    async fn read(&self, key: &RecordKey) -> Result<Option<Stored>, StoreError>;

    /// Stores a record, in place of whatever was there.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails.
    async fn put(&self, key: &RecordKey, entry: Entry) -> Result<(), StoreError>;

    /// Stores a record, unless one was ever stored there: of any number of calls with one key, at
    /// most one sees [`Written::Yes`], the others [`Written::Conflict`].
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails; the key may then be used up.
    async fn put_new(&self, key: &RecordKey, entry: Entry) -> Result<Written, StoreError>;

    /// Stores version `version` of a record, if version `version - 1` is what is stored. Version 1
    /// is stored if nothing is.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails; the record may then have been stored.
    async fn put_version(
        &self,
        key: &RecordKey,
        version: u64,
        entry: Entry,
    ) -> Result<Written, StoreError>;

    /// Takes a record: of any number of calls with one key, at most one sees [`Taken::Fresh`]; the
    /// others see [`Taken::Spent`] until the entry's expiry.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails; the record may then be gone.
    async fn take(&self, key: &RecordKey) -> Result<Taken, StoreError>;

    /// Ends a record, now or when it comes: a replayed code may be seen before the first use of it
    /// has stored its grant. It stays ended at least until `until`, and a later call never makes
    /// that sooner.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails; the record may then still stand.
    async fn revoke(&self, key: &RecordKey, until: Timestamp) -> Result<(), StoreError>;

    /// Takes the lease on `flight` for `term`, or longer if `holder` has it, unless another holder
    /// has it or the flight was answered: of any number of holders at one time, at most one sees
    /// [`Lease::Held`].
    ///
    /// A lease that was not settled ends with its term, and the next holder may have it. A backend
    /// with a clock of its own goes by that; others go by `now`. Nothing need be durable: a lease
    /// that is forgotten costs a second flight.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails; the lease may then have been taken.
    async fn lease(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        term: Duration,
        now: Timestamp,
    ) -> Result<Lease, StoreError>;

    /// Gives a lease back, with an answer for those who come until the entry's expiry, if there is
    /// one. [`Written::Conflict`] if `holder` has the lease no longer: then nothing changes.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails; the lease then ends with its term.
    async fn settle(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        answer: Option<Entry>,
    ) -> Result<Written, StoreError>;

    /// Forgets what expired before `now`; answers how many entries it forgot.
    ///
    /// Called now and then. A backend whose entries leave by themselves has nothing to do.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails; the rest is swept next time.
    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Some of what is kept, to be taken elsewhere: about `most` slots after `after`, or the first.
    /// What stays as it is while all pages are read is on one of them at least; leases, and what came of
    /// them, are on none.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails.
    async fn export(&self, after: Option<&Cursor>, most: usize) -> Result<SlotPage, StoreError>;

    /// Looks up all that is kept under a key, of what was taken or revoked, too.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails.
    async fn slot(&self, key: &RecordKey) -> Result<Option<Slot>, StoreError>;

    /// Keeps `slot`, as another store had it, if what is there is `found` still, in every part, as
    /// [`slot`](Self::slot) or [`export`](Self::export) answered it; where nothing was found, if
    /// nothing is there. Otherwise [`Written::Conflict`].
    ///
    /// A backend whose slot is one value compares that as a whole; one with columns compares each,
    /// what is absent with what is absent.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails; the slot may then be kept.
    async fn replace(
        &self,
        key: &RecordKey,
        found: Option<&Slot>,
        slot: Slot,
    ) -> Result<Written, StoreError>;
}

/// A record as it was found.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stored {
    /// Which version it is; 1 where there are none.
    pub version: u64,
    /// The record.
    pub sealed: Sealed,
}

impl Stored {
    /// A record and its version.
    pub fn new(version: u64, sealed: Sealed) -> Self {
        Self { version, sealed }
    }
}

/// What came of taking a record.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Taken {
    /// It is the caller's.
    Fresh(Sealed),
    /// It was taken before; the grant it named, if any.
    Spent(Option<GrantId>),
    /// There never was one, or it is long forgotten.
    Unknown,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Written {
    /// It stands.
    Yes,
    /// Another writer was first: read again and decide again.
    Conflict,
    /// The record has been taken or revoked.
    Revoked,
}

/// Who has a lease: drawn anew for each flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeaseHolder([u8; 16]);

impl LeaseHolder {
    /// Draws a new one.
    pub fn generate(random: &dyn SecureRandom) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        Self(bytes)
    }

    /// One that always has this name.
    pub(crate) const fn named(name: [u8; 16]) -> Self {
        Self(name)
    }

    /// The bytes to compare.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// What came of asking for a lease.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Lease {
    /// The caller has it.
    Held,
    /// Another has it: ask again soon.
    Busy,
    /// The flight has landed; its answer.
    Answered(Sealed),
}

/// Some of what a store keeps.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct SlotPage {
    /// Where each slot lies, and what is in it.
    pub slots: Vec<(RecordKey, Slot)>,
    /// Where the next page begins; `None` if this is the last.
    pub next: Option<Cursor>,
}

impl SlotPage {
    /// Some slots, and where the next begin.
    pub fn new(slots: Vec<(RecordKey, Slot)>, next: Option<Cursor>) -> Self {
        Self { slots, next }
    }
}

/// A place between two pages, as the store that made it understands it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cursor(Bytes);

impl Cursor {
    /// A place that the store finds again by `bytes`.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// What the store finds it by.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The backend failed, or what it gave back does not open.
#[derive(Debug, thiserror::Error)]
#[error("the store failed")]
#[non_exhaustive]
pub struct StoreError {
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl From<KeysUnavailable> for StoreError {
    fn from(error: KeysUnavailable) -> Self {
        Self::new(error)
    }
}

impl StoreError {
    /// Says that the store failed, and why.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            source: source.into(),
        }
    }
}
