//! The keys and the store of a configuration, opened.

use std::sync::Arc;

use super::AzureConfig;
use super::error::ConfigError;
use crate::keys::{KeyFile, Keys};
use crate::oauth::issuer::Issuer;
use crate::platform::Platform;
use crate::store::{SharedKeys, Store, StoredKeyRing, WatchedStore};

impl AzureConfig {
    /// The keys; `None` if they are to be in a store that there is not.
    pub(super) fn open_keys(
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

    pub(super) fn open_store(&self) -> Result<Arc<dyn Store>, ConfigError> {
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
