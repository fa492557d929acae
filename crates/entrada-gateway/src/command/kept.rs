//! What a gateway keeps, opened for a command beside it.

use std::path::PathBuf;
use std::sync::Arc;

use entrada::administration::Administration;
use entrada::store::{EmbeddedStore, OpenStoreError, StoreKind};

use crate::command::CommandError;
use crate::config::{Environment, Flags, ProviderSettings, Settings};

/// Opens what the gateway keeps that is set up by `environment` and by the file that `config` or it names.
///
/// # Errors
///
/// [`CommandError`] if the settings are wrong, or the store cannot be opened beside a gateway.
pub(super) fn open(
    config: Option<&str>,
    environment: &Environment,
) -> Result<Administration, CommandError> {
    let settings = Settings::read(&Flags::naming(config), environment)?;
    let provider = settings.provider;
    let store = match file(&provider)? {
        Some(path) if !path.exists() => return Err(CommandError::NothingKept(path)),
        Some(path) => match EmbeddedStore::open(&path) {
            Ok(store) => Some(Arc::new(store) as _),
            Err(OpenStoreError::InUse(path)) => return Err(CommandError::HeldByGateway(path)),
            // The library says what is wrong with it.
            Err(_) => None,
        },
        None => provider.open_store()?.store,
    };
    Ok(provider.provider_on(store)?.administration())
}

/// The file that the store is, if it is one, and no records move.
fn file(provider: &ProviderSettings) -> Result<Option<PathBuf>, CommandError> {
    let store = &provider.store;
    if store.next.is_some() || store.before.is_some() {
        return Ok(None);
    }
    match &store.url {
        None => Ok(Some(provider.data_dir.join("grants.redb"))),
        Some(url) if url.kind() == StoreKind::Memory => Err(CommandError::KeptInMemory),
        Some(url) => Ok(url.path().map(ToOwned::to_owned)),
    }
}
