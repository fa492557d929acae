//! How groups are looked up that a token has no room for.

use std::sync::Arc;

use super::check::Findings;
use super::error::ConfigError;
use crate::entra::app::EntraApp;
use crate::entra::authority::Authority;
use crate::entra::cloud::Cloud;
use crate::entra::credential::ClientCredential;
use crate::entra::groups::{AppAccess, GroupResolver};
use crate::jwt::verify::is_guid;
use crate::oauth::issuer::bare_url;
use crate::platform::Platform;
use crate::secret::ClientSecret;

/// How the groups of a caller are looked up in Microsoft Graph where the token has no room for
/// them: an app registration asks, which needs a credential for that.
///
/// A caller whose groups cannot be had gets in nowhere meanwhile (503). Memberships are believed
/// for six minutes at most.
#[derive(Clone, Debug)]
pub struct GraphGroups {
    mode: Mode,
    client_secret: ClientSecret,
    graph_url: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    OnBehalfOf,
    AppOnly,
}

impl GraphGroups {
    /// Asks in the caller's name, with the delegated permissions that were consented to: `User.Read`
    /// is enough to read one's own groups.
    pub fn on_behalf_of(client_secret: impl Into<String>) -> Self {
        Self::of(Mode::OnBehalfOf, client_secret)
    }

    /// Asks in the name of the app registration, with its application permissions:
    /// `GroupMember.Read.All` and `User.ReadBasic.All`. Applications are then looked up, too, which
    /// takes `Application.Read.All`.
    pub fn app_only(client_secret: impl Into<String>) -> Self {
        Self::of(Mode::AppOnly, client_secret)
    }

    fn of(mode: Mode, client_secret: impl Into<String>) -> Self {
        Self {
            mode,
            client_secret: ClientSecret::new(client_secret),
            graph_url: None,
        }
    }

    /// Asks there, rather than where the cloud has Graph: an emulator.
    #[must_use]
    pub fn graph_url(mut self, graph_url: impl Into<String>) -> Self {
        self.graph_url = Some(graph_url.into());
        self
    }

    pub(super) fn check(
        &self,
        (authority, client_id): (&Authority, &str),
        cloud: Cloud,
        platform: &Platform,
        found: &mut Findings,
    ) -> Option<GroupResolver> {
        let credential = found.note(credential(&self.client_secret));
        let graph = found.note(graph_url(self.graph_url.as_deref(), cloud));
        let app = EntraApp::new(authority.clone(), client_id, credential?, platform.clone());
        let access = AppAccess::on_behalf_of(app, everything_consented(cloud));
        let access = match self.mode {
            Mode::OnBehalfOf => access,
            Mode::AppOnly => access.in_own_name(),
        };
        Some(GroupResolver::new(
            graph?,
            Arc::new(access),
            platform.clone(),
        ))
    }
}

/// Where Graph is.
pub(in crate::provider) fn graph_url(
    written: Option<&str>,
    cloud: Cloud,
) -> Result<String, ConfigError> {
    match written {
        None => Ok(format!("https://{}", cloud.graph_host())),
        Some(url) => {
            let checked = bare_url(url).map_err(ConfigError::GraphUrl)?;
            Ok(checked.as_str().trim_end_matches('/').to_owned())
        }
    }
}

/// The scope that stands for all permissions at Graph that were consented to.
pub(in crate::provider) fn everything_consented(cloud: Cloud) -> String {
    format!("https://{}/.default", cloud.graph_host())
}

/// A secret, if it can be one.
pub(super) fn credential(secret: &ClientSecret) -> Result<ClientCredential, ConfigError> {
    match secret.expose() {
        "" => Err(ConfigError::NoCredential),
        id if is_guid(id) => Err(ConfigError::SecretId),
        _ => Ok(ClientCredential::Secret(secret.clone())),
    }
}
