//! What a gateway keeps, for a command beside it: opened, or asked for where the gateway runs and has it alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use entrada::administration::{
    Administration, ClientFacts, Ended, GrantFacts, GrantFilter, Selection,
};
use entrada::keys::{KeyFile, Keys};
use entrada::oauth::client::ClientId;
use entrada::platform::Platform;
use entrada::store::{EmbeddedStore, OpenStoreError, Store};
#[cfg(unix)]
use serde::de::DeserializeOwned;

use crate::command::CommandError;
use crate::config::{Environment, GrantPlace, KeptSettings, KeyPlace, ProviderSettings};
use crate::control::{self, Listed, PAGE};
#[cfg(unix)]
use crate::control::{Gateway, Order};

/// What a gateway keeps, and where that is.
pub(super) struct Kept {
    access: Access,
    /// Where, for people.
    pub(super) place: String,
}

/// How one gets there.
enum Access {
    /// Nobody else has it, or many may.
    Opened(Administration),
    /// A gateway on this machine has it.
    #[cfg(unix)]
    AtGateway(Gateway),
}

impl Kept {
    /// What the gateway keeps that is set up by `environment` and by the file that `config` or it names.
    ///
    /// # Errors
    ///
    /// [`CommandError`] if the settings are wrong, or the store can be neither opened nor asked for.
    pub(super) async fn of(
        config: Option<&str>,
        environment: &Environment,
    ) -> Result<Self, CommandError> {
        let settings = KeptSettings::read(config, environment)?;
        let place = settings.shown();
        let access = Access::of(settings).await?;
        Ok(Self { access, place })
    }

    /// Some of the grants that `filter` admits, after what the last of them called next.
    ///
    /// # Errors
    ///
    /// [`CommandError`] if they cannot be read.
    pub(super) async fn grants(
        &self,
        filter: &GrantFilter,
        after: Option<String>,
    ) -> Result<Listed<GrantFacts>, CommandError> {
        match &self.access {
            Access::Opened(administration) => {
                let after = after.as_deref().and_then(|after| after.parse().ok());
                let page = administration.grants(filter, after.as_ref(), PAGE).await;
                page.map(Into::into).map_err(CommandError::Kept)
            }
            #[cfg(unix)]
            Access::AtGateway(gateway) => {
                let filter = filter.clone();
                ask(gateway, &Order::Grants { filter, after }, drop).await
            }
        }
    }

    /// Some of the clients, after what the last of them called next.
    ///
    /// # Errors
    ///
    /// [`CommandError`] if they cannot be read.
    pub(super) async fn clients(
        &self,
        after: Option<String>,
    ) -> Result<Listed<ClientFacts>, CommandError> {
        match &self.access {
            Access::Opened(administration) => {
                let after = after.as_deref().and_then(|after| after.parse().ok());
                let page = administration.clients(after.as_ref(), PAGE).await;
                page.map(Into::into).map_err(CommandError::Kept)
            }
            #[cfg(unix)]
            Access::AtGateway(gateway) => ask(gateway, &Order::Clients { after }, drop).await,
        }
    }

    /// Ends the grants of `selection`; `told` hears now and then how far that has come.
    ///
    /// # Errors
    ///
    /// [`CommandError`] if not all could be ended.
    pub(super) async fn revoke(
        &self,
        selection: Selection,
        told: impl FnMut(Ended) + Send,
    ) -> Result<Ended, CommandError> {
        match &self.access {
            Access::Opened(administration) => {
                let ended = administration.revoke(&selection, told).await;
                ended.map_err(CommandError::Kept)
            }
            #[cfg(unix)]
            Access::AtGateway(gateway) => ask(gateway, &Order::Revoke(selection), told).await,
        }
    }

    /// Removes a client and ends its grants, likewise.
    ///
    /// # Errors
    ///
    /// [`CommandError`] if it cannot be removed, or not all of its grants could be ended.
    pub(super) async fn remove_client(
        &self,
        id: &ClientId,
        told: impl FnMut(Ended) + Send,
    ) -> Result<Ended, CommandError> {
        match &self.access {
            Access::Opened(administration) => {
                let removed = administration.remove_client(id, told).await;
                removed.map_err(CommandError::Client)
            }
            #[cfg(unix)]
            Access::AtGateway(gateway) => ask(gateway, &Order::Remove(id.clone()), told).await,
        }
    }
}

impl Access {
    async fn of(settings: KeptSettings) -> Result<Self, CommandError> {
        match GrantPlace::of(&settings.stores, &settings.data_dir) {
            GrantPlace::Memory => {
                return at_gateway(&settings.data_dir, CommandError::KeptInMemory).await;
            }
            GrantPlace::File(path) if !path.exists() => {
                let path = std::path::absolute(&path).unwrap_or(path);
                return Err(CommandError::NothingKept(path));
            }
            GrantPlace::File(path) => match EmbeddedStore::open(&path) {
                Ok(store) => return opened(settings, Arc::new(store)).await,
                Err(OpenStoreError::InUse(path)) => {
                    let otherwise = CommandError::HeldByGateway(path);
                    return at_gateway(&settings.data_dir, otherwise).await;
                }
                Err(error) => return Err(CommandError::Store(error.into())),
            },
            GrantPlace::Elsewhere => {}
        }
        let store = settings.open()?;
        opened(settings, store).await
    }
}

/// What is in `store`, with the keys that open it: those are looked up, and not made.
async fn opened(settings: KeptSettings, store: Arc<dyn Store>) -> Result<Access, CommandError> {
    let platform = Platform::system()?;
    let now = platform.clock.now();
    let ring = match settings.keys {
        KeyPlace::Directory(directory) => {
            let ring = KeyFile::new(directory.join("keys.json")).load(now);
            ring.map_err(|error| CommandError::of_key_file(error, directory))?
        }
        KeyPlace::Store(place) => {
            let stored = place.in_store(Arc::clone(&store));
            let stored = stored.update(now, |_| Ok(None)).await?;
            stored.ok_or(CommandError::NoSharedKeys)?.ring
        }
    };
    let (keys, clients) = (Keys::new(ring), &settings.clients);
    let administration = Administration::of_store(store, keys, clients, platform);
    Ok(Access::Opened(administration))
}

#[cfg(unix)]
async fn at_gateway(data_dir: &Path, otherwise: CommandError) -> Result<Access, CommandError> {
    let gateway = Gateway::at(&control::path(data_dir)).await;
    gateway.map(Access::AtGateway).ok_or(otherwise)
}

#[cfg(not(unix))]
#[expect(clippy::unused_async, reason = "elsewhere it waits")]
async fn at_gateway(_: &Path, otherwise: CommandError) -> Result<Access, CommandError> {
    Err(otherwise)
}

#[cfg(unix)]
async fn ask<T: DeserializeOwned>(
    gateway: &Gateway,
    order: &Order,
    told: impl FnMut(Ended),
) -> Result<T, CommandError> {
    gateway
        .ask(order, told)
        .await
        .map_err(CommandError::Gateway)
}

/// Where a gateway answers commands, if what is kept is its alone while it runs.
pub(super) fn control_socket(provider: &ProviderSettings) -> Option<PathBuf> {
    match GrantPlace::of(&provider.store, &provider.data_dir) {
        GrantPlace::Memory | GrantPlace::File(_) => Some(control::path(&provider.data_dir)),
        GrantPlace::Elsewhere => None,
    }
}
