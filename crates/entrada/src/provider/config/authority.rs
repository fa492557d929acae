//! Which Entra, and whose users.

use super::check::Findings;
use super::error::ConfigError;
use crate::entra::authority::{Authority, AuthorityHost, AuthorityHostError, Tenant};
use crate::entra::cloud::Cloud;
use crate::jwt::verify::is_guid;

/// Which Entra, and whose users, as it was written.
#[derive(Clone, Debug)]
pub(in crate::provider) struct AuthoritySettings {
    pub(in crate::provider) directory: Directory,
    pub(in crate::provider) allowed_tenants: Vec<String>,
    pub(in crate::provider) cloud: Cloud,
    /// Where people sign in, if not where the cloud or the tenant has it.
    pub(in crate::provider) host: Option<String>,
    pub(in crate::provider) insecure_http: bool,
}

/// What kind of directory the users are in.
#[derive(Clone, Debug)]
pub(in crate::provider) enum Directory {
    /// Entra ID: a tenant, or what stands for several.
    EntraId(String),
    /// Entra External ID: the tenant's subdomain or id.
    ExternalId(String),
    /// Azure AD B2C.
    B2c {
        /// The tenant's subdomain.
        tenant: String,
        /// The user flow, or custom policy.
        policy: String,
    },
}

impl AuthoritySettings {
    pub(in crate::provider) fn new(directory: Directory) -> Self {
        Self {
            directory,
            allowed_tenants: Vec::new(),
            cloud: Cloud::default(),
            host: None,
            insecure_http: false,
        }
    }

    /// Whether users of more than one tenant may have tokens for us.
    pub(super) fn is_for_several_tenants(&self) -> bool {
        let Directory::EntraId(tenant) = &self.directory else {
            return false;
        };
        let tenant = Tenant::parse(tenant);
        matches!(tenant, Ok(Tenant::Organizations | Tenant::Common))
    }

    /// Whether the tenant stands for several, and nothing says which.
    pub(super) fn allows_any_tenant(&self) -> bool {
        self.is_for_several_tenants() && self.allowed_tenants.is_empty()
    }

    pub(super) fn check(&self, found: &mut Findings) -> Option<Authority> {
        let authority = match &self.directory {
            Directory::EntraId(tenant) => self.entra_id(tenant, found)?,
            Directory::ExternalId(tenant) => self.external_id(tenant, found)?,
            Directory::B2c { tenant, policy } => self.b2c(tenant, policy, found)?,
        };
        found.note(authority.map_err(ConfigError::AuthorityHost))
    }

    fn entra_id(
        &self,
        tenant: &str,
        found: &mut Findings,
    ) -> Option<Result<Authority, AuthorityHostError>> {
        let host = self.host_or(self.cloud.login_host(), found);
        let tenant = found.note(Tenant::parse(tenant).map_err(ConfigError::Tenant));
        let allowed = self.allowed(tenant.as_ref(), found);
        Some(Authority::entra_id(&host?, &tenant?, allowed?))
    }

    /// The tenants of the list, which narrow what stands for several.
    fn allowed(&self, tenant: Option<&Tenant>, found: &mut Findings) -> Option<Vec<String>> {
        let before = found.count();
        for id in self.allowed_tenants.iter().filter(|id| !is_guid(id)) {
            found.add(ConfigError::AllowedTenant(id.clone()));
        }
        let several = matches!(tenant, Some(Tenant::Organizations | Tenant::Common) | None);
        if !several && !self.allowed_tenants.is_empty() {
            found.add(ConfigError::AllowedTenants);
        }
        let lower = self
            .allowed_tenants
            .iter()
            .map(|id| id.to_ascii_lowercase());
        (found.count() == before).then(|| lower.collect())
    }

    fn external_id(
        &self,
        tenant: &str,
        found: &mut Findings,
    ) -> Option<Result<Authority, AuthorityHostError>> {
        let tenant = found.note(subdomain(tenant))?;
        let host = self.host_or(&format!("{tenant}.ciamlogin.com"), found);
        let path = if is_guid(&tenant) {
            tenant
        } else {
            format!("{tenant}.onmicrosoft.com")
        };
        Some(Authority::external_id(&host?, &path))
    }

    fn b2c(
        &self,
        tenant: &str,
        policy: &str,
        found: &mut Findings,
    ) -> Option<Result<Authority, AuthorityHostError>> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if policy.is_empty() || !policy.bytes().all(fits) {
            found.add(ConfigError::Policy);
        }
        let tenant = found.note(subdomain(tenant))?;
        let host = self.host_or(&format!("{tenant}.b2clogin.com"), found);
        let path = format!("{tenant}.onmicrosoft.com");
        Some(Authority::b2c(&host?, &path, policy))
    }

    /// The host that was written, or else `usual`.
    fn host_or(&self, usual: &str, found: &mut Findings) -> Option<AuthorityHost> {
        let host = self.host.as_deref().unwrap_or(usual);
        let parsed = if self.insecure_http {
            AuthorityHost::insecure_http(host)
        } else {
            AuthorityHost::parse(host)
        };
        found.note(parsed.map_err(ConfigError::AuthorityHost))
    }
}

/// A tenant's own label before `onmicrosoft.com`, or its id.
fn subdomain(text: &str) -> Result<String, ConfigError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if !text.is_empty() && text.bytes().all(fits) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(ConfigError::Subdomain)
    }
}
