//! Registrations that are not stored: the client's id is what it registered, sealed.

use super::AuthorizationServer;
use crate::keys::Purpose;
use crate::oauth::client::{Client, ClientId, ClientMetadata, HeldRegistration};
use crate::platform::Timestamp;
use crate::store::{SealedStore, StoreError};

/// What such an id is sealed for.
const HELD: Purpose<'static> = Purpose::new("held-registration", b"");

/// What it begins with, as no other does.
const PREFIX: &str = "held.";

/// Where what clients register is kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ClientRegistrations {
    /// In the store.
    #[default]
    Stored,
    /// In the client's id, sealed: the store keeps nothing of it, whoever registers.
    ///
    /// Such an id has some 400 characters, and stands in each access token. It is good for as long as the
    /// sealing key is kept; where keys were revoked its client must register again. What is too long for an id
    /// is stored all the same.
    Held,
}

/// Whether `id` holds its registration, or says so.
pub(crate) fn is_held(id: &ClientId) -> bool {
    id.as_str().starts_with(PREFIX)
}

impl AuthorizationServer {
    /// The client that holds `metadata` itself, if such clients are wanted and it is not too long for
    /// an id; else `metadata` again.
    pub(super) fn held_by_its_client(
        &self,
        metadata: ClientMetadata,
        now: Timestamp,
    ) -> Result<Client, ClientMetadata> {
        if self.0.config.client_registrations == ClientRegistrations::Stored {
            return Err(metadata);
        }
        let held = HeldRegistration::new(metadata, now);
        let sealed = self.0.store.seal_for(HELD, &held).ok();
        let id = sealed.and_then(|sealed| ClientId::parse(&format!("{PREFIX}{sealed}")).ok());
        match id {
            Some(id) => Ok(held.client(id)),
            None => Err(held.into_metadata()),
        }
    }
}

/// The client whose registration `id` holds, if one of the keys of `store` sealed it.
///
/// # Errors
///
/// [`StoreError`] if nobody can tell now.
pub(crate) async fn holder(
    store: &SealedStore,
    id: &ClientId,
) -> Result<Option<Client>, StoreError> {
    let Some(sealed) = id.as_str().strip_prefix(PREFIX) else {
        return Ok(None);
    };
    let held: Option<HeldRegistration> = store.open_for(HELD, sealed).await?;
    Ok(held.map(|held| held.client(id.clone())))
}
