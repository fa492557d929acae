//! Records written by hand, for benchmarks.
//!
//! A record is what proves that a login happened, so outside of tests only logins write one.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{RecordError, SealedStore, Store, StoreError, Written};
use crate::grant::{Grant, GrantId, IssuedCode};
use crate::keys::Keys;
use crate::oauth::client::Client;
use crate::platform::{SecureRandom, Timestamp};
use crate::secret::AuthorizationCode;

/// A store, read and written past the endpoints.
#[derive(Clone, Debug)]
pub struct RecordStore(SealedStore);

/// What a grant record holds.
#[derive(Clone, Debug)]
pub struct GrantRecord(Grant);

/// What a code record holds.
#[derive(Clone, Debug)]
pub struct CodeRecord(IssuedCode);

impl GrantRecord {
    /// Reads the JSON of a record.
    ///
    /// # Errors
    ///
    /// [`RecordError::Content`] if it is no grant.
    pub fn from_json(json: &str) -> Result<Self, RecordError> {
        parse(json).map(Self)
    }

    /// Which grant it is.
    pub fn id(&self) -> GrantId {
        self.0.id()
    }
}

impl CodeRecord {
    /// Reads the JSON of a record.
    ///
    /// # Errors
    ///
    /// [`RecordError::Content`] if it is no code.
    pub fn from_json(json: &str) -> Result<Self, RecordError> {
        parse(json).map(Self)
    }
}

impl RecordStore {
    /// Seals what `store` keeps with the newest of `keys`.
    pub fn new(store: Arc<dyn Store>, keys: Keys, random: Arc<dyn SecureRandom>) -> Self {
        Self(SealedStore::new(store, keys, random))
    }

    /// Stores a client.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub async fn put_client(
        &self,
        client: &Client,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.0.put_client(client, expires_at).await
    }

    /// Stores a code.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub async fn put_code(
        &self,
        code: &AuthorizationCode,
        record: &CodeRecord,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.0.put_code(code, &record.0, expires_at).await
    }

    /// Stores a grant.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub async fn put_grant(&self, record: &GrantRecord) -> Result<Written, StoreError> {
        self.0.put_grant(&record.0).await
    }

    /// Looks up a grant.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails.
    pub async fn grant(
        &self,
        id: &GrantId,
        now: Timestamp,
    ) -> Result<Option<GrantRecord>, StoreError> {
        let grant = self.0.grant(id, now).await?;
        Ok(grant.map(GrantRecord))
    }
}

fn parse<T: DeserializeOwned>(json: &str) -> Result<T, RecordError> {
    serde_json::from_str(json).map_err(|error| RecordError::Content {
        column: error.column(),
    })
}
