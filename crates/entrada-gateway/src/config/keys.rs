//! Where the keys are, and what they are sealed with in a store.

use std::path::PathBuf;
use std::sync::Arc;

use entrada::keys::{self, KeyEncryptionKeys};
use entrada::oauth::issuer::Issuer;
use entrada::platform::SystemRandom;
use entrada::store::{EmbeddedStore, OpenStoreError, Store, StoreKind, StoreUrl, StoredKeyRing};

use crate::config::environment::Environment;
use crate::config::file::Secrets;
use crate::config::flags::Flags;
use crate::config::problem::{ConfigError, Problem};
use crate::config::source::Sources;
use crate::config::store::{self, StoreSettings, Unopened, in_data_dir};
use crate::config::table::Setting;

/// What it means that others may use the store, and the keys are here.
const APART: &str = "others may use the store, and the keys are in the data_dir of this gateway alone: unless \
                     all have the same keys.json there, and it outlives them, set key_encryption_key_file";

/// What it means that others may read the file of the key-encryption keys.
const EXPOSED: &str = "others than its owner may read or write the file, and whoever has it has the keys in any copy of \
                       the store: let nobody else (chmod 600)";

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
    /// One that is named, and that a gateway moves what is in it out of.
    #[error(
        "{setting}: {what}. The gateway that has it moves the keys in it, too: ask again once its log says that \
         all grants are in the new store, and without {setting}"
    )]
    Moving {
        /// By which setting.
        setting: &'static str,
        /// Why it cannot be opened.
        what: String,
    },
    /// One that is named, and that a gateway has.
    #[error(
        "{setting}: {what}. A gateway has it, most likely: ask with the same settings as that gateway, or stop \
         it first"
    )]
    InUse {
        /// By which setting.
        setting: &'static str,
        /// Why it cannot be opened.
        what: String,
    },
    /// The one in the data directory.
    #[error("the store in the data_dir cannot be opened")]
    Embedded(#[source] OpenStoreError),
    /// The one in the data directory, which a gateway has.
    #[error(
        "the store {} is in use, by a gateway most likely: ask with the same settings as that gateway, or stop \
         it first",
        .0.display()
    )]
    EmbeddedInUse(PathBuf),
}

impl From<Unopened> for SharedPlaceError {
    fn from(unopened: Unopened) -> Self {
        let Unopened { setting, what, .. } = unopened;
        match setting {
            _ if !unopened.is_in_use => Self::Named { setting, what },
            "store_before" => Self::Moving { setting, what },
            _ => Self::InUse { setting, what },
        }
    }
}

impl From<OpenStoreError> for SharedPlaceError {
    fn from(error: OpenStoreError) -> Self {
        if let OpenStoreError::InUse(path) = error {
            return Self::EmbeddedInUse(path);
        }
        Self::Embedded(error)
    }
}

impl SharedPlace {
    /// The ring in the store, which is opened.
    ///
    /// # Errors
    ///
    /// [`SharedPlaceError`] says what to mend.
    pub fn open(&self) -> Result<StoredKeyRing, SharedPlaceError> {
        let opened = self.stores.open(&self.data_dir);
        let store = match opened?.store {
            Some(store) => store,
            None => Arc::new(EmbeddedStore::open(in_data_dir(&self.data_dir))?) as Arc<dyn Store>,
        };
        Ok(self.in_store(store))
    }

    /// The ring in `store`, which is open.
    pub(crate) fn in_store(&self, store: Arc<dyn Store>) -> StoredKeyRing {
        let (keys, random) = (self.sealed_with.clone(), Arc::new(SystemRandom::default()));
        StoredKeyRing::new(store, &self.issuer, keys, random)
    }
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
    let path = sources.text(file).map(PathBuf::from);
    if path.is_some_and(|path| keys::is_exposed(&path).unwrap_or(false)) {
        sources.warn(file, EXPOSED);
    }
    let given = if sources.is_given(name) { name } else { file };
    let keys = KeyEncryptionKeys::parse(secret.expose());
    let keys = keys.map(Some).map_err(|error| error.to_string());
    sources.check(given, keys)
}

/// Whose keys they are in a store that several servers may use.
fn issuer(sources: &mut Sources<'_>) -> Option<Issuer> {
    let name = ["issuer_url", "base_url"];
    let Some(name) = name.into_iter().find(|name| sources.is_given(name)) else {
        sources.note(Setting::named("base_url").map(Problem::keys_of_nobody));
        return None;
    };
    sources.parsed(name, |issuer| {
        Issuer::parse(issuer).map_err(|error| error.to_string())
    })
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
    let sources = Sources::open_with(&flags, environment, Secrets::LeftOut);
    let mut sources = sources.map_err(ConfigError::new)?;
    let data_dir = PathBuf::from(sources.required("data_dir"));
    let stores = store::read(&mut sources);
    let place = place(&mut sources, stores, data_dir);
    sources.done(place)
}

/// Where the keys are of a gateway with these stores, if that can be told.
pub(super) fn place(
    sources: &mut Sources<'_>,
    stores: StoreSettings,
    data_dir: PathBuf,
) -> Option<KeyPlace> {
    let Some(sealed_with) = read(sources, &stores) else {
        return Some(KeyPlace::Directory(data_dir));
    };
    let issuer = issuer(sources)?;
    Some(KeyPlace::Store(SharedPlace {
        stores,
        data_dir,
        issuer,
        sealed_with,
    }))
}
