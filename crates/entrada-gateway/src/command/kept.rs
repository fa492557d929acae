//! What a gateway keeps, for a command beside it: opened, or asked for where the gateway runs and has it alone.

use std::path::PathBuf;
use std::sync::Arc;

use entrada::administration::{
    Administration, ClientFacts, Ended, GrantFacts, GrantFilter, Selection,
};
use entrada::oauth::client::ClientId;
use entrada::store::{EmbeddedStore, OpenStoreError, StoreKind};
#[cfg(unix)]
use serde::de::DeserializeOwned;

use crate::command::CommandError;
use crate::config::{Environment, Flags, ProviderSettings, Settings};
use crate::control::{self, Listed, PAGE};
#[cfg(unix)]
use crate::control::{Gateway, Order};

/// What a gateway keeps.
pub(super) enum Kept {
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
        let settings = Settings::read(&Flags::naming(config), environment)?;
        let provider = settings.provider;
        let store = match place(&provider) {
            Place::Memory => return Self::at_gateway(&provider, CommandError::KeptInMemory).await,
            Place::File(path) if !path.exists() => return Err(CommandError::NothingKept(path)),
            Place::File(path) => match EmbeddedStore::open(&path) {
                Ok(store) => Some(Arc::new(store) as _),
                Err(OpenStoreError::InUse(path)) => {
                    return Self::at_gateway(&provider, CommandError::HeldByGateway(path)).await;
                }
                // The library says what is wrong with it.
                Err(_) => None,
            },
            Place::Elsewhere => provider.open_store()?.store,
        };
        let provider = provider.provider_on(store)?;
        Ok(Self::Opened(provider.administration()))
    }

    #[cfg(unix)]
    async fn at_gateway(
        provider: &ProviderSettings,
        otherwise: CommandError,
    ) -> Result<Self, CommandError> {
        let socket = control::path(&provider.data_dir);
        let gateway = Gateway::at(&socket).await.ok_or(otherwise)?;
        Ok(Self::AtGateway(gateway))
    }

    #[cfg(not(unix))]
    #[expect(clippy::unused_async, reason = "elsewhere it waits")]
    async fn at_gateway(
        _: &ProviderSettings,
        otherwise: CommandError,
    ) -> Result<Self, CommandError> {
        Err(otherwise)
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
        match self {
            Self::Opened(administration) => {
                let after = after.as_deref().and_then(|after| after.parse().ok());
                let page = administration.grants(filter, after.as_ref(), PAGE).await;
                page.map(Into::into).map_err(CommandError::Kept)
            }
            #[cfg(unix)]
            Self::AtGateway(gateway) => {
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
        match self {
            Self::Opened(administration) => {
                let after = after.as_deref().and_then(|after| after.parse().ok());
                let page = administration.clients(after.as_ref(), PAGE).await;
                page.map(Into::into).map_err(CommandError::Kept)
            }
            #[cfg(unix)]
            Self::AtGateway(gateway) => ask(gateway, &Order::Clients { after }, drop).await,
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
        match self {
            Self::Opened(administration) => {
                let ended = administration.revoke(&selection, told).await;
                ended.map_err(CommandError::Kept)
            }
            #[cfg(unix)]
            Self::AtGateway(gateway) => ask(gateway, &Order::Revoke(selection), told).await,
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
        match self {
            Self::Opened(administration) => {
                let removed = administration.remove_client(id, told).await;
                removed.map_err(CommandError::Client)
            }
            #[cfg(unix)]
            Self::AtGateway(gateway) => ask(gateway, &Order::Remove(id.clone()), told).await,
        }
    }
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
    match place(provider) {
        Place::Memory | Place::File(_) => Some(control::path(&provider.data_dir)),
        Place::Elsewhere => None,
    }
}

/// Where things are kept.
enum Place {
    /// In the memory of a gateway.
    Memory,
    /// In a file that one process at a time can open.
    File(PathBuf),
    /// Where many can, or in two places at once.
    Elsewhere,
}

fn place(provider: &ProviderSettings) -> Place {
    let store = &provider.store;
    if store.next.is_some() || store.before.is_some() {
        return Place::Elsewhere;
    }
    match &store.url {
        None => Place::File(provider.data_dir.join("grants.redb")),
        Some(url) if url.kind() == StoreKind::Memory => Place::Memory,
        Some(url) => match url.path() {
            Some(path) => Place::File(path.to_owned()),
            None => Place::Elsewhere,
        },
    }
}
