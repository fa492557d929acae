//! What [`AzureJwtVerifier`] is told.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::authority::{AuthoritySettings, Directory};
use super::check::{Findings, parse_scopes};
use super::error::{ConfigError, ConfigErrors};
use super::graph::{GraphGroups, prover};
use super::setters;
use crate::access_token::Backs;
use crate::authorization_server::ScopePolicy;
use crate::entra::app::EntraApp;
use crate::entra::authority::Authority;
use crate::entra::cloud::Cloud;
use crate::entra::credential::ClientCredential;
use crate::entra::groups::GroupResolver;
use crate::entra::scope::ScopeNames;
use crate::entra::verifier::{AppOnlyTokens, AzureJwtVerifier, VerifierSettings};
use crate::jwt::verify::is_guid;
use crate::oauth::scope::Scope;
use crate::on_behalf_of::OnBehalfOf;
use crate::platform::Platform;
use crate::policy::Requirement;

/// By how much the clocks may differ, unless told otherwise.
const LEEWAY: Duration = Duration::from_secs(60);

/// By how much they may at most (Microsoft, *access tokens*).
const MOST_LEEWAY: Duration = Duration::from_secs(5 * 60);

/// What [`AzureJwtVerifier`] is told. Nothing is checked until it is used, and then all of it.
///
/// ```
/// use entrada::{AzureJwtConfig, AzureJwtVerifier, Platform};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = AzureJwtConfig::new("contoso.com", "11111111-2222-3333-4444-555555555555")
///     .required_scopes(["mcp.access"]);
/// let verifier = AzureJwtVerifier::new(config, Platform::system()?)?;
/// # let _ = verifier;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AzureJwtConfig {
    authority: AuthoritySettings,
    client_id: String,
    identifier_uris: Vec<String>,
    default_uri: String,
    required_scopes: Vec<String>,
    app_only: AppOnlyTokens,
    required_app_roles: Vec<String>,
    allowed_clients: Vec<String>,
    requirement: Requirement,
    leeway: Duration,
    own_keys: bool,
    groups: Option<GraphGroups>,
    credential: Option<ClientCredential>,
    continuous_access_evaluation: bool,
}

impl AzureJwtConfig {
    /// Tokens of Entra ID, for users of a tenant (its id or a verified domain), or of
    /// `organizations`, `common` or `consumers`, issued for the app registration with this
    /// Application (client) ID.
    pub fn new(tenant: impl Into<String>, client_id: impl Into<String>) -> Self {
        let client_id = client_id.into();
        let default_uri = format!("api://{}", client_id.to_ascii_lowercase());
        Self::of(Directory::EntraId(tenant.into()), client_id, default_uri)
    }

    /// Tokens for customers of an Entra External ID tenant: the name before `.onmicrosoft.com`, or
    /// the tenant's id where it is reached under a domain of its own, which
    /// [`authority_host`](Self::authority_host) then names.
    pub fn external_id(tenant: impl Into<String>, client_id: impl Into<String>) -> Self {
        let client_id = client_id.into();
        let default_uri = format!("api://{}", client_id.to_ascii_lowercase());
        Self::of(Directory::ExternalId(tenant.into()), client_id, default_uri)
    }

    /// Tokens of one user flow, or custom policy, of an Azure AD B2C tenant: the name before
    /// `.onmicrosoft.com`. A domain of the tenant's own is named by
    /// [`authority_host`](Self::authority_host).
    pub fn b2c(
        tenant: impl Into<String>,
        policy: impl Into<String>,
        client_id: impl Into<String>,
    ) -> Self {
        let (tenant, client_id) = (tenant.into(), client_id.into());
        let id = client_id.to_ascii_lowercase();
        let default_uri = format!("https://{tenant}.onmicrosoft.com/{id}");
        let policy = policy.into();
        Self::of(Directory::B2c { tenant, policy }, client_id, default_uri)
    }

    fn of(directory: Directory, client_id: String, default_uri: String) -> Self {
        Self {
            authority: AuthoritySettings::new(directory),
            client_id,
            identifier_uris: Vec::new(),
            default_uri,
            required_scopes: Vec::new(),
            app_only: AppOnlyTokens::default(),
            required_app_roles: Vec::new(),
            allowed_clients: Vec::new(),
            requirement: Requirement::default(),
            leeway: LEEWAY,
            own_keys: false,
            groups: None,
            credential: None,
            continuous_access_evaluation: false,
        }
    }
}

setters! { AzureJwtConfig:
    /// The cloud the app registration is in.
    cloud(authority.cloud: Cloud) = cloud;
    /// The host people sign in at, `host` or `host:port`, where it is not the cloud's: a domain of
    /// the tenant's own, or an emulator.
    authority_host(authority.host: impl Into<String>) = Some(authority_host.into());
    /// The only tenants whose users are let in, by id, where the tenant is `organizations` or
    /// `common`.
    allowed_tenants(authority.allowed_tenants: impl IntoIterator<Item = impl Into<String>>) =
        allowed_tenants.into_iter().map(Into::into).collect();
    /// The Application ID URIs, which v1.0 tokens name us by; clients are told the first.
    /// `api://{client id}` if none is given. Where there are several tenants, an `api://` URI must
    /// hold the client id: any other can be somebody else's in another tenant.
    identifier_uris(identifier_uris: impl IntoIterator<Item = impl Into<String>>) =
        identifier_uris.into_iter().map(Into::into).collect();
    /// Scopes of your own API that every user's token must hold: `mcp.access`, or with the
    /// identifier URI before it.
    required_scopes(required_scopes: impl IntoIterator<Item = impl Into<String>>) =
        required_scopes.into_iter().map(Into::into).collect();
    /// Whether applications that signed in as themselves are let in: not unless told so, and then
    /// by their app roles or by name. Where every tenant is, only by name.
    app_only(app_only: AppOnlyTokens) = app_only;
    /// App roles that every application must hold; what users must hold is a
    /// [`requirement`](Self::requirement).
    required_app_roles(required_app_roles: impl IntoIterator<Item = impl Into<String>>) =
        required_app_roles.into_iter().map(Into::into).collect();
    /// The only clients that may use tokens, by Application (client) ID.
    allowed_clients(allowed_clients: impl IntoIterator<Item = impl Into<String>>) =
        allowed_clients.into_iter().map(Into::into).collect();
    /// What every caller must have besides.
    requirement(requirement: Requirement) = requirement;
    /// Looks up the groups of callers who are in more than a token lists.
    groups_from_graph(groups: GraphGroups) = Some(groups_from_graph);
    /// How the app registration proves itself. Callers' tokens can then be exchanged for tokens to
    /// downstream APIs: see [`VerifiedToken::downstream_token`](crate::VerifiedToken). Entra must
    /// have issued them for this app registration.
    credential(credential: impl Into<ClientCredential>) = Some(credential.into());
    /// By how much our clock and Entra's may differ: a minute, unless told otherwise, and five at
    /// most.
    leeway(leeway: Duration) = leeway;
}

impl AzureJwtConfig {
    /// Verifies with the keys Entra signs with for this app registration alone: it has a claims
    /// mapping policy.
    #[must_use]
    pub fn own_signing_keys(mut self) -> Self {
        self.own_keys = true;
        self
    }

    /// The client secret of the app registration: its value, not its id. The same as to give it to
    /// [`credential`](Self::credential).
    #[must_use]
    pub fn client_secret(self, client_secret: impl Into<String>) -> Self {
        self.credential(ClientCredential::secret(client_secret))
    }

    /// Tells Entra that we understand continuous access evaluation, as
    /// [`AzureConfig`](super::AzureConfig::continuous_access_evaluation) does.
    #[must_use]
    pub fn continuous_access_evaluation(mut self) -> Self {
        self.continuous_access_evaluation = true;
        self
    }

    /// Speaks plain `http` to an authority on this machine: an emulator.
    ///
    /// # Security
    ///
    /// Anybody on the path poses as Entra; hence loopback only.
    #[must_use]
    pub fn insecure_http_authority(mut self) -> Self {
        self.authority.insecure_http = true;
        self
    }

    fn check(self, platform: &Platform) -> Result<VerifierSettings, ConfigErrors> {
        let mut found = Findings::default();
        let authority = self.authority.check(&mut found);
        if !is_guid(&self.client_id) {
            found.add(ConfigError::ClientId);
        }
        let uris = self.uris(&mut found);
        let names = ScopeNames::new(uris.first().cloned().unwrap_or_default());
        let required_scope = self.scopes(&names, &mut found);
        let requirement = required_scope
            .as_ref()
            .map(|scope| self.whole_requirement(scope, &mut found));
        self.requires_what_tokens_spell(&names, &mut found);
        if self.leeway > MOST_LEEWAY {
            found.add(ConfigError::Leeway);
        }
        let authority = authority.map(|authority| self.with_own_keys(authority));
        let groups = authority
            .as_ref()
            .and_then(|authority| self.groups(authority, platform, &mut found));
        let backs = authority
            .as_ref()
            .and_then(|authority| self.on_behalf_of(authority, platform, &mut found));
        match (authority, required_scope, requirement) {
            (Some(authority), Some(required_scope), Some(requirement)) if found.count() == 0 => {
                Ok(VerifierSettings {
                    authority,
                    client_id: self.client_id.to_ascii_lowercase(),
                    identifier_uris: uris,
                    required_scope,
                    names,
                    requirement,
                    leeway: self.leeway,
                    groups,
                    backs,
                })
            }
            _ => Err(found.into_errors()),
        }
    }

    fn with_own_keys(&self, authority: Authority) -> Authority {
        if self.own_keys {
            authority.with_keys_of(&self.client_id)
        } else {
            authority
        }
    }

    fn groups(
        &self,
        authority: &Authority,
        platform: &Platform,
        found: &mut Findings,
    ) -> Option<GroupResolver> {
        let app = (authority, self.client_id.as_str());
        let groups = self.groups.as_ref()?;
        groups.check(app, self.authority.cloud, platform, found)
    }

    /// What exchanges callers' tokens, where there is a credential for that.
    fn on_behalf_of(
        &self,
        authority: &Authority,
        platform: &Platform,
        found: &mut Findings,
    ) -> Option<Arc<dyn Backs>> {
        let given = self.credential.as_ref()?;
        let credential = found.note(prover(given, self.authority.cloud, platform))?;
        if !authority.exchanges_tokens() {
            found.add(ConfigError::NoExchange);
        }
        let (authority, client_id) = (authority.clone(), self.client_id.to_ascii_lowercase());
        let app = EntraApp::new(authority, client_id, credential, platform.clone())
            .capable_of_continuous_access_evaluation(self.continuous_access_evaluation);
        let on_behalf_of = OnBehalfOf::of_presented_tokens(app, platform.clone());
        Some(Arc::new(on_behalf_of))
    }

    fn uris(&self, found: &mut Findings) -> Vec<String> {
        let uris = if self.identifier_uris.is_empty() {
            vec![self.default_uri.clone()]
        } else {
            self.identifier_uris.clone()
        };
        if uris
            .iter()
            .any(|uri| uri.ends_with('/') || Url::parse(uri).is_err())
        {
            found.add(ConfigError::IdentifierUri);
        }
        // Entra holds a name that holds no id for unique within one tenant only.
        let own = |uri: &&String| {
            let uri = uri.to_ascii_lowercase();
            !uri.starts_with("api:") || uri.contains(&self.client_id.to_ascii_lowercase())
        };
        if self.authority.is_for_several_tenants() {
            for uri in uris.iter().filter(|uri| !own(uri)) {
                found.add(ConfigError::SharedIdentifierUri(uri.clone()));
            }
        }
        uris
    }

    /// The scopes users need, in short spelling. Where users are not let in there may be none; those
    /// there are, clients are told.
    fn scopes(&self, names: &ScopeNames, found: &mut Findings) -> Option<Scope> {
        let required = parse_scopes(&self.required_scopes, found)?;
        if self.app_only == AppOnlyTokens::Require && required.is_empty() {
            return Some(required);
        }
        let policy = ScopePolicy::new(&required, names.clone());
        let policy = found.note(policy.map_err(ConfigError::RequiredScopes))?;
        Some(policy.required().clone())
    }

    /// A scope spelled as clients ask for it stands in no token.
    fn requires_what_tokens_spell(&self, names: &ScopeNames, found: &mut Findings) {
        let required = self.requirement.scopes_named();
        let long = required.without(&names.to_short(&required));
        if !long.is_empty() {
            let short = names.to_short(&long);
            found.add(ConfigError::Requirement(format!(
                "in tokens {long} is spelled {short}"
            )));
        }
    }

    /// Everything a caller must have, in one.
    fn whole_requirement(&self, scope: &Scope, found: &mut Findings) -> Requirement {
        let scopes = || Requirement::scopes([scope.to_string()]);
        let users = || Requirement::user().and(scopes());
        let roles = if self.required_app_roles.is_empty() {
            Requirement::nothing()
        } else {
            Requirement::roles(&self.required_app_roles)
        };
        let applications = || Requirement::application().and(roles);
        for client in self.allowed_clients.iter().filter(|id| !is_guid(id)) {
            found.add(ConfigError::AllowedClient(client.clone()));
        }
        let unnamed = self.required_app_roles.is_empty() && self.allowed_clients.is_empty();
        if self.app_only != AppOnlyTokens::Refuse && unnamed {
            found.add(ConfigError::AppOnly);
        }
        if self.app_only == AppOnlyTokens::Refuse && !self.required_app_roles.is_empty() {
            found.add(ConfigError::RolesOfNobody);
        }
        // Each tenant's administrators hand out our app roles there.
        let anybody = self.authority.allows_any_tenant() && self.allowed_clients.is_empty();
        if self.app_only != AppOnlyTokens::Refuse && anybody {
            found.add(ConfigError::AppOnlyOfAnyTenant);
        }
        let callers = match self.app_only {
            AppOnlyTokens::Refuse => users(),
            AppOnlyTokens::Allow => Requirement::any([users(), applications()]),
            AppOnlyTokens::Require => applications(),
        };
        let clients = if self.allowed_clients.is_empty() {
            Requirement::nothing()
        } else {
            Requirement::any_client(&self.allowed_clients)
        };
        let whole = callers.and(clients).and(self.requirement.clone());
        if let Some(mistake) = whole.mistake() {
            found.add(ConfigError::Requirement(mistake.to_owned()));
        }
        whole
    }
}

impl AzureJwtVerifier {
    /// Puts a verifier together. Nothing is asked of the network yet.
    ///
    /// # Errors
    ///
    /// [`ConfigErrors`] names everything that is wrong, at once, and says what to change.
    pub fn new(config: AzureJwtConfig, platform: Platform) -> Result<Self, ConfigErrors> {
        Ok(Self::of(config.check(&platform)?, platform))
    }
}

#[cfg(test)]
mod tests;
