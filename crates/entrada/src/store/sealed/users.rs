//! What is remembered of users: what their next login must bring, and what they approved.

use super::SealedStore;
use crate::grant::{Approvals, InteractionKey, NeededInteraction, UserKey};
use crate::keys::Purpose;
use crate::platform::Timestamp;
use crate::secret::Hashed;
use crate::store::{RecordError, RecordKey, Sealed, StoreError, Stored, Taken, Written};

pub(super) const INTERACTION: &str = "store interaction";
pub(super) const APPROVALS: &str = "store approvals";

impl SealedStore {
    /// Remembers what a user's next login must bring.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub(crate) async fn put_interaction(
        &self,
        key: &Hashed<InteractionKey>,
        needed: &NeededInteraction,
    ) -> Result<(), StoreError> {
        let purpose = Purpose::new(INTERACTION, key.as_bytes());
        let entry = self.entry(purpose, needed, needed.expires_at())?;
        self.store.put(&RecordKey::interaction(key), entry).await
    }

    /// Looks up what a user's next login must bring.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub(crate) async fn interaction(
        &self,
        key: &Hashed<InteractionKey>,
        now: Timestamp,
    ) -> Result<Option<NeededInteraction>, StoreError> {
        let stored = self.store.read(&RecordKey::interaction(key)).await?;
        let sealed = stored.map(|stored| stored.sealed);
        self.needed(key, sealed, now).await
    }

    /// Takes what a user's next login must bring.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub(crate) async fn take_interaction(
        &self,
        key: &Hashed<InteractionKey>,
        now: Timestamp,
    ) -> Result<Option<NeededInteraction>, StoreError> {
        let sealed = match self.store.take(&RecordKey::interaction(key)).await? {
            Taken::Fresh(sealed) => Some(sealed),
            Taken::Spent(_) | Taken::Unknown => None,
        };
        self.needed(key, sealed, now).await
    }

    async fn needed(
        &self,
        key: &Hashed<InteractionKey>,
        sealed: Option<Sealed>,
        now: Timestamp,
    ) -> Result<Option<NeededInteraction>, StoreError> {
        let Some(sealed) = sealed else {
            return Ok(None);
        };
        let purpose = Purpose::new(INTERACTION, key.as_bytes());
        let needed = self.open(purpose, &sealed, now).await;
        let needed = needed.map_err(StoreError::new)?;
        Ok(needed.filter(|needed: &NeededInteraction| needed.is_needed(now)))
    }

    /// Stores what a user approved, if the version before it is what is stored.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails; it may then have been stored.
    pub(crate) async fn put_approvals(&self, approvals: &Approvals) -> Result<Written, StoreError> {
        let user = approvals.user();
        let purpose = Purpose::new(APPROVALS, user.as_bytes());
        let entry = self.entry(purpose, approvals, approvals.expires_at())?;
        let key = RecordKey::approvals(&user);
        self.store
            .put_version(&key, approvals.version(), entry)
            .await
    }

    /// Looks up what a user approved.
    ///
    /// What no key opens is nothing, as with a client, nor is what cannot be read: who is told to try later
    /// would be stuck for good.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub(crate) async fn approvals(
        &self,
        user: Hashed<UserKey>,
        now: Timestamp,
    ) -> Result<Approvals, StoreError> {
        let stored = self.store.read(&RecordKey::approvals(&user)).await?;
        let Some(Stored { version, sealed }) = stored else {
            return Ok(Approvals::none(user));
        };
        let purpose = Purpose::new(APPROVALS, user.as_bytes());
        let approvals = match self.open(purpose, &sealed, now).await {
            Err(error @ (RecordError::Unopened | RecordError::Content { .. })) => {
                tracing::warn!(%error, "what a user approved is lost");
                None
            }
            opened => opened.map_err(StoreError::new)?,
        };
        let approvals: Approvals = approvals.unwrap_or_else(|| Approvals::none(user));
        Ok(approvals.stored_as(version))
    }
}
