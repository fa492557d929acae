//! Tenants, users, applications and what they consented to.
//!
//! Written as TOML; `directory/contoso.toml` in this crate shows every setting. Field names follow
//! the Microsoft Graph `application` and `user` resources where those have one.

pub mod app;
mod check;
pub mod federated_credential;
pub mod managed_identity;
pub mod tenant;
pub mod user;

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::builtin;
use crate::directory::app::App;
pub use crate::directory::check::DirectoryError;
use crate::directory::managed_identity::ManagedIdentity;
use crate::directory::tenant::Tenant;
use crate::directory::user::User;

/// Everything the pretend Entra knows about people and programs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Directory {
    /// Whether a `login_hint` is enough to sign in, with no page shown.
    #[serde(default)]
    pub auto_sign_in: bool,
    /// What an authorization request without a `login_hint` is taken to have sent.
    #[serde(default)]
    pub default_login_hint: Option<String>,
    /// The organisations.
    #[serde(default)]
    pub tenants: Vec<Tenant>,
    /// The people.
    #[serde(default)]
    pub users: Vec<User>,
    /// The app registrations.
    #[serde(default)]
    pub apps: Vec<App>,
    /// The managed identities of the machine around the emulator.
    #[serde(default)]
    pub managed_identities: Vec<ManagedIdentity>,
    /// What has been consented to.
    #[serde(default)]
    pub consents: Vec<Consent>,
}

/// One `oauth2PermissionGrant`: scopes of a resource that a client may use for a user.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Consent {
    /// The tenant it was given in, by GUID or domain.
    pub tenant: String,
    /// The client it was given to.
    pub client_id: String,
    /// The application id of the resource.
    pub resource: String,
    /// Scope values, without prefix. Those of `OpenID` Connect belong to Microsoft Graph.
    pub scopes: Vec<String>,
    /// The user who gave it, by name; `None` when an administrator gave it for all.
    pub user: Option<String>,
}

impl Default for Directory {
    /// The built-in directory; its names are in [`builtin`].
    fn default() -> Self {
        builtin::directory()
    }
}

impl Directory {
    /// A directory with nothing in it but Microsoft Graph and the tenant of personal accounts.
    pub fn empty() -> Self {
        let mut directory = Self {
            auto_sign_in: false,
            default_login_hint: None,
            tenants: Vec::new(),
            users: Vec::new(),
            apps: Vec::new(),
            managed_identities: Vec::new(),
            consents: Vec::new(),
        };
        directory.add_what_microsoft_owns();
        directory
    }

    /// Reads a directory from TOML.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`] says what is wrong with the file.
    pub fn from_toml(text: &str) -> Result<Self, DirectoryError> {
        let mut directory: Self = toml::from_str(text)?;
        directory.add_what_microsoft_owns();
        directory.check()?;
        Ok(directory)
    }

    fn add_what_microsoft_owns(&mut self) {
        if self.tenant_by_id(builtin::CONSUMERS_TENANT_ID).is_none() {
            self.tenants.push(Tenant {
                id: builtin::CONSUMERS_TENANT_ID.to_owned(),
                domain: "consumers.example".to_owned(),
                display_name: "Personal accounts".to_owned(),
                ..Tenant::default()
            });
        }
        if self.app(builtin::GRAPH_APP_ID).is_none() {
            self.apps.push(App::graph());
        }
    }

    /// The tenant with this GUID or domain.
    pub fn tenant(&self, name: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| {
            tenant.id.eq_ignore_ascii_case(name) || tenant.domain.eq_ignore_ascii_case(name)
        })
    }

    pub(crate) fn tenant_by_id(&self, id: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.id == id)
    }

    /// The tenant whose own login host this is.
    pub(crate) fn tenant_of_host(&self, host: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.owns_host(host))
    }

    /// The registration with this application id.
    pub fn app(&self, client_id: &str) -> Option<&App> {
        self.apps
            .iter()
            .find(|app| app.client_id.eq_ignore_ascii_case(client_id))
    }

    /// The registration with this application id, to change.
    pub fn app_mut(&mut self, client_id: &str) -> Option<&mut App> {
        self.apps
            .iter_mut()
            .find(|app| app.client_id.eq_ignore_ascii_case(client_id))
    }

    /// The registration a scope's prefix names: by application id or Application ID URI.
    pub(crate) fn resource(&self, named: &str) -> Option<&App> {
        self.apps
            .iter()
            .find(|app| app.client_id == named || app.identifier_uris.iter().any(|u| u == named))
    }

    /// The user who signs in with this name, home account first.
    pub fn user(&self, username: &str) -> Option<&User> {
        self.users
            .iter()
            .find(|user| user.username.eq_ignore_ascii_case(username))
    }

    /// The user who signs in with this name, to change.
    pub fn user_mut(&mut self, username: &str) -> Option<&mut User> {
        self.users
            .iter_mut()
            .find(|user| user.username.eq_ignore_ascii_case(username))
    }

    pub(crate) fn user_by_oid(&self, oid: &str) -> Option<&User> {
        self.users.iter().find(|user| user.oid == oid)
    }

    /// The object a home account has in `tenant`: itself, or its guest.
    pub(crate) fn user_in(&self, tenant: &Tenant, username: &str) -> Option<&User> {
        self.users.iter().find(|user| {
            self.belongs(user, tenant) && user.sign_in_name().eq_ignore_ascii_case(username)
        })
    }

    pub(crate) fn belongs(&self, user: &User, tenant: &Tenant) -> bool {
        self.tenant(&user.tenant)
            .is_some_and(|home| home.id == tenant.id)
    }

    /// Whether `app` has a service principal in `tenant`.
    pub(crate) fn is_installed(&self, app: &App, tenant: &Tenant) -> bool {
        let named = |name: &String| self.tenant(name).is_some_and(|t| t.id == tenant.id);
        app.is_graph() || named(&app.tenant) || app.installed_in.iter().any(named)
    }

    /// The scopes of `resource` that `client` may use for `user` in `tenant`.
    pub(crate) fn consented(
        &self,
        tenant: &Tenant,
        client: &App,
        resource: &App,
        user: &User,
    ) -> BTreeSet<String> {
        let mut scopes: BTreeSet<String> = self
            .consents
            .iter()
            .filter(|consent| {
                self.tenant(&consent.tenant)
                    .is_some_and(|t| t.id == tenant.id)
                    && consent.client_id == client.client_id
                    && consent.resource == resource.client_id
                    && consent
                        .user
                        .as_ref()
                        .is_none_or(|name| name.eq_ignore_ascii_case(&user.username))
            })
            .flat_map(|consent| consent.scopes.iter().cloned())
            .collect();
        let pre_authorized = resource
            .pre_authorized_applications
            .iter()
            .filter(|known| known.client_id == client.client_id);
        scopes.extend(pre_authorized.flat_map(|known| known.scopes.iter().cloned()));
        scopes.retain(|scope| resource.scope(scope).is_some());
        scopes
    }
}

pub(crate) fn is_guid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths = groups.iter().map(|group| group.len());
    lengths.eq([8, 4, 4, 4, 12])
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_constant_names_something_in_the_directory() {
        let directory = Directory::default();
        for user in [
            builtin::ALICE,
            builtin::BOB,
            builtin::GRACE_MANY_GROUPS,
            builtin::MALLORY_MFA,
            builtin::DISABLED,
            builtin::ADMIN,
            builtin::DANA_GUEST,
            builtin::FRANK,
            builtin::PAT_PERSONAL,
            builtin::CAROL_CUSTOMER,
            builtin::BELLA_B2C,
            builtin::AGENT_USER,
        ] {
            let found = directory.user(user).unwrap_or_else(|| panic!("{user}"));
            assert_eq!(found.password, builtin::PASSWORD, "{user}");
        }
        for (client_id, secret, uri) in [
            (
                builtin::CLIENT_ID,
                Some(builtin::CLIENT_SECRET),
                Some(builtin::IDENTIFIER_URI),
            ),
            (
                builtin::MULTI_TENANT_CLIENT_ID,
                Some(builtin::MULTI_TENANT_CLIENT_SECRET),
                None,
            ),
            (builtin::V1_CLIENT_ID, Some(builtin::V1_CLIENT_SECRET), None),
            (
                builtin::DAEMON_CLIENT_ID,
                Some(builtin::DAEMON_CLIENT_SECRET),
                None,
            ),
            (
                builtin::DOWNSTREAM_CLIENT_ID,
                None,
                Some(builtin::DOWNSTREAM_IDENTIFIER_URI),
            ),
            (
                builtin::URL_CLIENT_ID,
                Some(builtin::URL_CLIENT_SECRET),
                Some(builtin::URL_IDENTIFIER_URI),
            ),
            (builtin::PUBLIC_CLIENT_ID, None, None),
            (builtin::SPA_CLIENT_ID, None, None),
            (
                builtin::UNCONSENTED_CLIENT_ID,
                None,
                Some(builtin::UNCONSENTED_IDENTIFIER_URI),
            ),
            (builtin::GRAPH_APP_ID, None, None),
        ] {
            let app = directory.app(client_id).unwrap();
            if let Some(secret) = secret {
                assert_eq!(app.secrets[0].value, secret, "{client_id}");
            }
            if let Some(uri) = uri {
                assert_eq!(directory.resource(uri).unwrap().client_id, client_id);
            }
        }
        let daemon = directory.app(builtin::DAEMON_CLIENT_ID).unwrap();
        assert_eq!(
            daemon.certificates[0].trim(),
            builtin::DAEMON_CERTIFICATE.trim()
        );
        assert_eq!(
            directory.user_by_oid(builtin::ALICE_OID).unwrap().username,
            builtin::ALICE
        );
        assert_eq!(
            directory.user_by_oid(builtin::BOB_OID).unwrap().username,
            builtin::BOB
        );
    }

    #[test]
    fn the_constants_of_credentials_that_are_no_secrets_belong_together() {
        let directory = Directory::default();
        let identity = &directory.managed_identities[0];
        assert_eq!(identity.client_id, builtin::MANAGED_IDENTITY_CLIENT_ID);
        assert_eq!(
            identity.principal_id,
            builtin::MANAGED_IDENTITY_PRINCIPAL_ID
        );
        assert_eq!(identity.resource_id, builtin::MANAGED_IDENTITY_RESOURCE_ID);
        let app = directory.app(builtin::CLIENT_ID).unwrap();
        let (base, tenant) = (builtin::BASE_URL, builtin::TENANT_ID);
        for (subject, issuer) in [
            (builtin::WORKLOAD_SUBJECT, builtin::WORKLOAD_ISSUER),
            (
                builtin::MANAGED_IDENTITY_PRINCIPAL_ID,
                &format!("{base}/{tenant}/v2.0"),
            ),
        ] {
            let mut credentials = app.federated_credentials.iter();
            let known = credentials.find(|known| known.subject == subject).unwrap();
            assert!(known.is_issued_by(issuer, &[base]), "{subject}");
            assert!(
                !known.is_issued_by(&format!("{issuer}/"), &[base]),
                "{subject}"
            );
        }
    }

    #[test]
    fn the_constants_of_customers_and_agents_name_something_too() {
        let directory = Directory::default();
        for (client_id, secret, uri, domain) in [
            (
                builtin::CUSTOMERS_CLIENT_ID,
                builtin::CUSTOMERS_CLIENT_SECRET,
                builtin::CUSTOMERS_IDENTIFIER_URI,
                builtin::CUSTOMERS_TENANT_DOMAIN,
            ),
            (
                builtin::B2C_CLIENT_ID,
                builtin::B2C_CLIENT_SECRET,
                builtin::B2C_IDENTIFIER_URI,
                builtin::B2C_TENANT_DOMAIN,
            ),
        ] {
            let app = directory.resource(uri).unwrap();
            assert_eq!(app.client_id, client_id);
            assert_eq!(app.secrets[0].value, secret);
            assert_eq!(app.tenant, domain);
        }
        let agent = directory.app(builtin::AGENT_CLIENT_ID).unwrap();
        let blueprint = agent.agent_blueprint.as_deref();
        assert_eq!(blueprint, Some(builtin::AGENT_BLUEPRINT_CLIENT_ID));
        let blueprint = directory.app(builtin::AGENT_BLUEPRINT_CLIENT_ID).unwrap();
        let secret = &blueprint.secrets[0].value;
        assert_eq!(secret, builtin::AGENT_BLUEPRINT_CLIENT_SECRET);
        for (id, host, custom, domain) in [
            (
                builtin::CUSTOMERS_TENANT_ID,
                builtin::CUSTOMERS_LOGIN_HOST,
                builtin::CUSTOMERS_CUSTOM_DOMAIN,
                builtin::CUSTOMERS_TENANT_DOMAIN,
            ),
            (
                builtin::B2C_TENANT_ID,
                builtin::B2C_LOGIN_HOST,
                builtin::B2C_CUSTOM_DOMAIN,
                builtin::B2C_TENANT_DOMAIN,
            ),
        ] {
            for host in [host, custom] {
                let tenant = directory.tenant_of_host(host).unwrap();
                assert_eq!((tenant.id.as_str(), tenant.domain.as_str()), (id, domain));
            }
        }
        let b2c = directory.tenant(builtin::B2C_TENANT_ID).unwrap();
        let policies = b2c.policies.iter().map(|policy| policy.name.as_str());
        assert!(policies.eq([
            builtin::B2C_POLICY,
            builtin::B2C_TFP_POLICY,
            builtin::B2C_ACR_POLICY
        ]));
    }
}
