//! How groups are looked up that a token has no room for.

use std::sync::Arc;

use super::check::Findings;
use super::error::ConfigError;
use crate::entra::app::EntraApp;
use crate::entra::authority::Authority;
use crate::entra::cloud::Cloud;
use crate::entra::credential::{ClientCredential, ClientProver, CredentialError};
use crate::entra::groups::{AppAccess, GroupResolver};
use crate::oauth::issuer::bare_url;
use crate::platform::Platform;

/// How the groups of a caller are looked up in Microsoft Graph where the token has no room for
/// them: an app registration asks, which needs a credential for that.
///
/// A caller whose groups cannot be had gets in nowhere meanwhile (503). Memberships are believed
/// for six minutes at most.
#[derive(Clone, Debug)]
pub struct GraphGroups {
    mode: Mode,
    credential: ClientCredential,
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
    pub fn on_behalf_of(credential: impl Into<ClientCredential>) -> Self {
        Self::of(Mode::OnBehalfOf, credential.into())
    }

    /// Asks in the name of the app registration, with its application permissions:
    /// `GroupMember.Read.All` and `User.ReadBasic.All`. Applications are then looked up, too, which
    /// takes `Application.Read.All`.
    pub fn app_only(credential: impl Into<ClientCredential>) -> Self {
        Self::of(Mode::AppOnly, credential.into())
    }

    const fn of(mode: Mode, credential: ClientCredential) -> Self {
        Self {
            mode,
            credential,
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
        let credential = found.note(prover(&self.credential, cloud, platform));
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

/// A credential, ready to be used, if it can be.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "everything but a secret is told in its own words"
)]
pub(super) fn prover(
    credential: &ClientCredential,
    cloud: Cloud,
    platform: &Platform,
) -> Result<ClientProver, ConfigError> {
    let prover = credential.prover(cloud, platform.clock.now());
    prover.map_err(|error| match error {
        CredentialError::NoSecret => ConfigError::NoCredential,
        CredentialError::SecretId => ConfigError::SecretId,
        error => ConfigError::Credential(error),
    })
}
