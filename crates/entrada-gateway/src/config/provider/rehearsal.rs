//! The library set up to be asked, and not to serve: nothing is kept, and nothing is written to disk.

use std::sync::Arc;

use entrada::AzureProvider;
use entrada::jwt::jwks::Algorithm;
use entrada::keys::{KeyRing, Keys};
use entrada::platform::Platform;
use entrada::provider::ConfigError as Finding;
use entrada::store::MemoryStore;

use super::ProviderSettings;
use crate::config::findings::problems;
use crate::config::problem::{ConfigError, Problem};

impl ProviderSettings {
    /// What the library would find wrong besides what was `reported`, without anything written
    /// to disk.
    pub(crate) fn rehearse(&self, reported: &[Problem]) -> Vec<Problem> {
        let Ok(platform) = self.platform() else {
            return Vec::new();
        };
        let found = self.rehearsal(platform).err();
        found.map_or_else(Vec::new, |found| problems(&found, reported, self))
    }

    /// Sets the library up to be asked, with nothing kept and nothing written to disk.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything the library finds wrong.
    pub(crate) fn rehearsed(&self) -> Result<AzureProvider, ConfigError> {
        let provider = self.rehearsal(self.usable_platform()?);
        provider.map_err(|found| ConfigError::new(problems(&found, &[], self)))
    }

    fn rehearsal(&self, platform: Platform) -> Result<AzureProvider, Vec<Finding>> {
        let now = platform.clock.now();
        let ring = KeyRing::generate(Algorithm::EdDsa, &*platform.random, now);
        let ring = ring.map_err(|_| Vec::new())?;
        let config = self.azure_config().keys(Keys::new(ring));
        let config = config.store(Arc::new(MemoryStore::default()));
        self.assemble(config, platform, None)
    }
}
