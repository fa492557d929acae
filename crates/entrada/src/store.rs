//! What must outlive one request.
//!
//! Three floors: a [`Store`] keeps sealed bytes under digests and makes each verb atomic; a
//! `SealedStore` seals and unseals the records of [`grant`](crate::grant) and
//! [`oauth::client`](crate::oauth::client) above any store; the endpoints see records only.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;

use crate::grant::{GrantId, InteractionKey, UserKey};
use crate::oauth::client::ClientId;
use crate::platform::Timestamp;
use crate::secret::{AuthorizationCode, Hashed, UpstreamState};

#[cfg(feature = "test-util")]
pub mod conformance;
#[cfg(feature = "embedded")]
mod embedded;
mod memory;
#[cfg(feature = "test-util")]
pub mod records;
mod sealed;
mod slot;

#[cfg(feature = "embedded")]
pub use embedded::{EmbeddedStore, OpenStoreError};
pub use memory::MemoryStore;
pub use sealed::RecordError;
pub(crate) use sealed::SealedStore;

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
}

impl Entry {
    /// A record to be kept until `expires_at`.
    pub fn new(sealed: Sealed, expires_at: Timestamp) -> Self {
        Self { sealed, expires_at }
    }
}

/// Keeps clients, logins under way, codes, grants, what users are to bring to their next login, and
/// what they approved.
///
/// Every verb is atomic, and what it acknowledged is durable. Whether a record is still valid is
/// written inside the record; `expires_at` only says when a store may forget it, so a store may
/// drop a record late but never early.
///
/// # Security
///
/// [`take_request`](Self::take_request) and [`redeem_code`](Self::redeem_code) must be atomic
/// across every replica: an implementation that reads and then deletes lets two requests spend
/// one code (RFC 6749 §4.1.2). [`put_grant`](Self::put_grant) must compare and swap: one that
/// overwrites lets two holders of one refresh token live on side by side, so theft goes unseen
/// (RFC 9700 §4.14.2). So must [`put_approvals`](Self::put_approvals): a grant that is overwritten there
/// outlives the removal of its client. An acknowledged [`revoke_grant`](Self::revoke_grant) that is lost gives
/// the thief the session back. Answering [`StoreError`] is always safe, merely slow.
///
/// `store::conformance` (feature `test-util`) holds the tests every implementation must pass.
#[async_trait]
pub trait Store: Debug + Send + Sync {
    /// Stores a client, or stores it anew.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails.
    async fn put_client(&self, id: &Hashed<ClientId>, client: Entry) -> Result<(), StoreError>;

    /// Looks up a client.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails.
    async fn client(&self, id: &Hashed<ClientId>) -> Result<Option<Sealed>, StoreError>;

    /// Stores a login under way, unless one was ever stored under that state: of any number of
    /// calls with one state, at most one sees [`Written::Yes`].
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails; the state may then be used up.
    async fn put_request(
        &self,
        state: &Hashed<UpstreamState>,
        request: Entry,
    ) -> Result<Written, StoreError>;

    /// Takes a login under way: of any number of calls with one state, at most one sees it. The
    /// state stays used up until the entry's expiry.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails; the login may then be lost.
    async fn take_request(
        &self,
        state: &Hashed<UpstreamState>,
    ) -> Result<Option<Sealed>, StoreError>;

    /// Stores a code and the name of the grant it will become.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails, or if a code was ever stored under that digest: a spent
    /// code must not come back.
    async fn put_code(
        &self,
        code: &Hashed<AuthorizationCode>,
        grant: &GrantId,
        entry: Entry,
    ) -> Result<(), StoreError>;

    /// Spends a code: of any number of calls with one code, at most one sees
    /// [`Redeemed::Fresh`]; the others see [`Redeemed::Replayed`] until the entry's expiry.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails; the code may then be spent.
    async fn redeem_code(&self, code: &Hashed<AuthorizationCode>) -> Result<Redeemed, StoreError>;

    /// Stores version `version` of a grant, if version `version - 1` is what is stored. Version 1
    /// is stored if nothing is.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails; the grant may then have been stored.
    async fn put_grant(
        &self,
        id: &GrantId,
        version: u64,
        grant: Entry,
    ) -> Result<Written, StoreError>;

    /// Looks up a grant; one that was revoked is not there.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails.
    async fn grant(&self, id: &GrantId) -> Result<Option<Sealed>, StoreError>;

    /// Ends a grant, now or when it comes: a replayed code may be seen before the first use of it
    /// has stored its grant. The grant stays ended at least until `until`, and a later call never
    /// makes that sooner.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails; the grant may then still stand.
    async fn revoke_grant(&self, id: &GrantId, until: Timestamp) -> Result<(), StoreError>;

    /// Remembers what a user's next login must bring, in place of what was remembered before.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails.
    async fn put_interaction(
        &self,
        key: &Hashed<InteractionKey>,
        interaction: Entry,
    ) -> Result<(), StoreError>;

    /// Looks up what a user's next login must bring.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails.
    async fn interaction(&self, key: &Hashed<InteractionKey>)
    -> Result<Option<Sealed>, StoreError>;

    /// Takes what a user's next login must bring: of any number of calls, at most one sees it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails; it may then be forgotten.
    async fn take_interaction(
        &self,
        key: &Hashed<InteractionKey>,
    ) -> Result<Option<Sealed>, StoreError>;

    /// Stores version `version` of what a user approved, if version `version - 1` is what is stored.
    /// Version 1 is stored if nothing is.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails; it may then have been stored.
    async fn put_approvals(
        &self,
        user: &Hashed<UserKey>,
        version: u64,
        approvals: Entry,
    ) -> Result<Written, StoreError>;

    /// Looks up what a user approved, and its version.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails.
    async fn approvals(&self, user: &Hashed<UserKey>) -> Result<Option<(u64, Sealed)>, StoreError>;

    /// Forgets what expired before `now`; answers how many entries it forgot.
    ///
    /// Called now and then. A backend whose entries leave by themselves has nothing to do.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the backend fails; the rest is swept next time.
    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError>;
}

/// What came of spending a code.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Redeemed<T = Sealed> {
    /// The first use.
    Fresh(T),
    /// A second use: revoke this grant (RFC 6749 §4.1.2).
    Replayed(GrantId),
    /// Never issued, or long forgotten.
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
    /// The grant has been revoked.
    Revoked,
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

impl StoreError {
    /// Says that the store failed, and why.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            source: source.into(),
        }
    }
}
