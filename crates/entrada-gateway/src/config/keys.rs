//! Where the keys are, and what they are sealed with in a store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use entrada::keys::KeyEncryptionKeys;
use entrada::oauth::issuer::Issuer;
use entrada::platform::SystemRandom;
use entrada::store::{EmbeddedStore, OpenStoreError, Store, StoreKind, StoreUrl, StoredKeyRing};

use crate::config::environment::Environment;
use crate::config::flags::Flags;
use crate::config::problem::ConfigError;
use crate::config::source::Sources;
use crate::config::store::{self, StoreSettings};

/// What it means that others may use the store, and the keys are here.
const APART: &str = "others may use the store, and the keys are in the data_dir of this gateway alone: unless \
                     all have the same keys.json there, and it outlives them, set key_encryption_key_file";

/// Where keys are kept.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyPlace {
    /// In `keys.json` in this directory.
    Directory(PathBuf),
    /// In the store.
    Store(SharedPlace),
}

/// Which store, and what the ring in it is sealed with.
#[derive(Debug)]
#[non_exhaustive]
pub struct SharedPlace {
    stores: StoreSettings,
    data_dir: PathBuf,
    issuer: Issuer,
    sealed_with: KeyEncryptionKeys,
}

/// Why the store that has the keys cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SharedPlaceError {
    /// One that is named.
    #[error("{setting}: {what}")]
    Named {
        /// By which setting.
        setting: &'static str,
        /// Why it cannot be opened.
        what: String,
    },
    /// The one in the data directory.
    #[error("the store in the data_dir cannot be opened")]
    Embedded(#[from] OpenStoreError),
}

impl SharedPlace {
    /// The ring in the store, which is opened.
    ///
    /// # Errors
    ///
    /// [`SharedPlaceError`] says what to mend.
    pub fn open(&self) -> Result<StoredKeyRing, SharedPlaceError> {
        let opened = self.stores.open(&self.data_dir);
        let named = opened.map_err(|(setting, what)| SharedPlaceError::Named { setting, what });
        let store = match named?.store {
            Some(store) => store,
            None => Arc::new(EmbeddedStore::open(in_data_dir(&self.data_dir))?) as Arc<dyn Store>,
        };
        let (keys, random) = (self.sealed_with.clone(), Arc::new(SystemRandom::default()));
        Ok(StoredKeyRing::new(store, &self.issuer, keys, random))
    }
}

/// Where the library keeps grants if it is not told.
fn in_data_dir(directory: &Path) -> PathBuf {
    directory.join("grants.redb")
}

/// What seals the ring in the store, where it is there; a problem where it cannot be used.
pub(super) fn read(sources: &mut Sources<'_>, stores: &StoreSettings) -> Option<KeyEncryptionKeys> {
    let (name, file) = ("key_encryption_key", "key_encryption_key_file");
    let Some(secret) = sources.secret(name, file) else {
        let is_given = sources.is_given(name) || sources.is_given(file);
        if !is_given && stores.url.as_ref().is_some_and(may_be_shared) {
            sources.warn("store", APART);
        }
        return None;
    };
    let given = if sources.is_given(name) { name } else { file };
    let keys = KeyEncryptionKeys::parse(secret.expose());
    let keys = keys.map(Some).map_err(|error| error.to_string());
    sources.check(given, keys)
}

/// Whether other processes may use `store`, too.
fn may_be_shared(store: &StoreUrl) -> bool {
    !matches!(store.kind(), StoreKind::Memory | StoreKind::File)
}

/// Where the keys are, by `environment` and by the file that `config` or it names.
///
/// # Errors
///
/// [`ConfigError`] if any of that is wrong: what is not understood may have named another place.
pub fn key_place(config: Option<&str>, environment: &Environment) -> Result<KeyPlace, ConfigError> {
    let flags = Flags::naming(config);
    let mut sources = Sources::open(&flags, environment).map_err(ConfigError::new)?;
    let data_dir = PathBuf::from(sources.required("data_dir"));
    let stores = store::read(&mut sources);
    let place = match read(&mut sources, &stores) {
        None => Some(KeyPlace::Directory(data_dir)),
        Some(sealed_with) => {
            let name = ["issuer_url", "base_url"];
            let name = name.into_iter().find(|name| sources.is_given(name));
            let issuer = sources.required_as(name.unwrap_or("base_url"), |issuer| {
                Issuer::parse(issuer).map_err(|error| error.to_string())
            });
            issuer.map(|issuer| {
                KeyPlace::Store(SharedPlace {
                    stores,
                    data_dir,
                    issuer,
                    sealed_with,
                })
            })
        }
    };
    match (place, sources.into_problems()) {
        (Some(place), problems) if problems.is_empty() => Ok(place),
        (Some(_) | None, problems) => Err(ConfigError::new(problems)),
    }
}
