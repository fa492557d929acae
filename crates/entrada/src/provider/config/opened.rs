//! The keys and the store of a configuration, opened.

use std::sync::Arc;

use super::AzureConfig;
use super::check::Findings;
use super::error::ConfigError;
use crate::dpop::UsedProofs;
use crate::keys::{KeyFile, Keys};
use crate::oauth::issuer::Issuer;
use crate::platform::Platform;
use crate::store::{SharedKeys, Store, StoredKeyRing, WatchedStore};

/// What outlives a configuration: nothing of it is opened again while the server runs.
#[derive(Clone, Debug)]
pub(in crate::provider) struct Opened {
    pub(in crate::provider) store: WatchedStore,
    pub(in crate::provider) keys: Keys,
    /// Whether the keys are those that replicas share in the store.
    pub(super) keys_are_shared: bool,
    /// Kept even while no proofs are wanted: one that was used must not be good again when they are.
    pub(super) used_proofs: Arc<UsedProofs>,
}

impl AzureConfig {
    /// Opens the store and the keys; nothing, and what is wrong with them, if they cannot be.
    pub(super) fn open(
        &self,
        issuer: &Issuer,
        platform: &Platform,
        found: &mut Findings,
    ) -> Option<Opened> {
        let store = found.note(self.open_store());
        // Reading the keys tells of trouble, too.
        let store = store.map(|store| WatchedStore::new(store, Arc::clone(&platform.clock)));
        let keys = found.note(self.open_keys((issuer, store.as_ref()), platform));
        Some(Opened {
            keys: keys.flatten()?,
            store: store?,
            keys_are_shared: self.shared_keys.is_some(),
            used_proofs: Arc::default(),
        })
    }

    /// The keys; `None` if they are to be in a store that there is not.
    fn open_keys(
        &self,
        (issuer, store): (&Issuer, Option<&WatchedStore>),
        platform: &Platform,
    ) -> Result<Option<Keys>, ConfigError> {
        if let Some(keys) = &self.keys {
            return Ok(Some(keys.clone()));
        }
        let file = KeyFile::new(self.data_dir.join("keys.json"));
        let clock = Arc::clone(&platform.clock);
        let Some(sealed_with) = &self.shared_keys else {
            let (random, now) = (&*platform.random, clock.now());
            let ring = file.load_or_create(self.signing_algorithm, random, now);
            let ring = ring.map_err(ConfigError::Keys)?;
            return Ok(Some(Keys::kept_by(Arc::new(file), Some(ring), clock)));
        };
        let Some(store) = store else {
            return Ok(None);
        };
        let (store, random) = (Arc::new(store.clone()), Arc::clone(&platform.random));
        let place = StoredKeyRing::new(store, issuer, sealed_with.clone(), random);
        let shared = SharedKeys::new(place, file, self.signing_algorithm);
        Ok(Some(Keys::kept_by(Arc::new(shared), None, clock)))
    }

    fn open_store(&self) -> Result<Arc<dyn Store>, ConfigError> {
        match &self.store {
            Some(store) => Ok(Arc::clone(store)),
            #[cfg(feature = "embedded")]
            None => crate::store::EmbeddedStore::open(self.data_dir.join("grants.redb"))
                .map(|store| Arc::new(store) as Arc<dyn Store>)
                .map_err(|error| ConfigError::Store(error.into())),
            #[cfg(not(feature = "embedded"))]
            None => Err(ConfigError::NoStore),
        }
    }
}
