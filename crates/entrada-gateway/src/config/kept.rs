//! What commands beside a gateway need of its settings: where it keeps what, and what opens that.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use entrada::authorization_server::PreregisteredClient;
use entrada::store::{EmbeddedStore, Store, StoreKind};

use crate::config::environment::Environment;
use crate::config::file::Secrets;
use crate::config::flags::Flags;
use crate::config::keys::{self, KeyPlace, SharedPlaceError};
use crate::config::problem::ConfigError;
use crate::config::source::Sources;
use crate::config::store::{self, StoreSettings, in_data_dir};

/// Where a gateway keeps grants and clients, and where it has the keys that open them.
#[derive(Debug)]
pub(crate) struct KeptSettings {
    pub(crate) stores: StoreSettings,
    pub(crate) data_dir: PathBuf,
    pub(crate) keys: KeyPlace,
    /// The clients of the configuration, without their secrets.
    pub(crate) clients: Vec<PreregisteredClient>,
}

/// What kind of place grants and clients are kept in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum GrantPlace {
    /// The memory of a gateway.
    Memory,
    /// A file that one process at a time can open.
    File(PathBuf),
    /// Where many can, or two places at once.
    Elsewhere,
}

impl KeptSettings {
    /// Reads them from `environment` and from the file that `config` or it names. Nothing that the gateway needs to
    /// serve is asked for.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if any of that is wrong: what is not understood may have named another place.
    pub(crate) fn read(
        config: Option<&str>,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let flags = Flags::naming(config);
        let sources = Sources::open_with(&flags, environment, Secrets::LeftOut);
        let mut sources = sources.map_err(ConfigError::new)?;
        let data_dir = PathBuf::from(sources.required("data_dir"));
        let stores = store::read(&mut sources);
        let keys = keys::place(&mut sources, stores.clone(), data_dir.clone());
        let clients = sources.take_clients();
        let settings = keys.map(|keys| Self {
            stores,
            data_dir,
            keys,
            clients,
        });
        sources.done(settings)
    }

    /// Where grants and clients are, for people: without whatever logs in there, and whole where it is on this
    /// machine.
    pub(crate) fn shown(&self) -> String {
        let data_dir = std::path::absolute(&self.data_dir);
        self.stores
            .places(data_dir.as_deref().unwrap_or(&self.data_dir))
    }

    /// Opens what is not in the memory of another process.
    ///
    /// # Errors
    ///
    /// [`SharedPlaceError`] says what to mend.
    pub(crate) fn open(&self) -> Result<Arc<dyn Store>, SharedPlaceError> {
        match self.stores.open(&self.data_dir)?.store {
            Some(store) => Ok(store),
            None => Ok(Arc::new(EmbeddedStore::open(in_data_dir(&self.data_dir))?)),
        }
    }
}

impl GrantPlace {
    /// That of a gateway with these `stores` and this `data_dir`.
    pub(crate) fn of(stores: &StoreSettings, data_dir: &Path) -> Self {
        if stores.next.is_some() || stores.before.is_some() {
            return Self::Elsewhere;
        }
        match &stores.url {
            None => Self::File(in_data_dir(data_dir)),
            Some(url) if url.kind() == StoreKind::Memory => Self::Memory,
            Some(url) => match url.path() {
                Some(path) => Self::File(path.to_owned()),
                None => Self::Elsewhere,
            },
        }
    }
}
