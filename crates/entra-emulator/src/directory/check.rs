//! What a directory must be to be of use.

use std::collections::BTreeSet;

use crate::directory::app::App;
use crate::directory::federated_credential::{FederatedCredential, LIMIT};
use crate::directory::tenant::TenantKind;
use crate::directory::{Directory, is_guid};
use crate::keys::Certificate;

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The file is not TOML of the right shape.
    #[error("the directory is not valid TOML")]
    Toml(#[from] toml::de::Error),
    /// Something names a tenant that is not in the directory.
    #[error("{what} names the tenant '{tenant}', which is not in the directory")]
    UnknownTenant {
        /// What names it.
        what: String,
        /// The name.
        tenant: String,
    },
    /// Two registrations share an application id or an Application ID URI.
    #[error("two applications are called '{0}'")]
    DuplicateApp(String),
    /// An id is not a GUID.
    #[error("'{0}' is not a GUID")]
    NotAGuid(String),
    /// An Application ID URI ends with a slash, which Entra refuses.
    #[error("the identifier URI '{0}' ends with a slash")]
    IdentifierUri(String),
    /// A registration's certificate cannot be read.
    #[error("the certificate of application '{0}' is not a PEM certificate with an RSA key")]
    Certificate(String),
    /// A federated credential is one Entra would not create.
    #[error("a federated credential of application '{app}' {problem}")]
    FederatedCredential {
        /// The application.
        app: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// An agent identity is made from an application.
    #[error("the blueprint of agent '{0}' is not in the directory")]
    UnknownBlueprint(String),
    /// A tenant for customers has a login host of its own.
    #[error("the tenant '{0}' is for customers, so it must have a subdomain")]
    NoSubdomain(String),
    /// A registration open to personal accounts must issue v2 tokens.
    #[error("application '{0}' is open to personal accounts, so it must ask for version 2 tokens")]
    PersonalNeedsV2(String),
}

impl Directory {
    pub(super) fn check(&self) -> Result<(), DirectoryError> {
        let mut names = BTreeSet::new();
        for app in &self.apps {
            self.check_app(app)?;
            let own = std::iter::once(&app.client_id).chain(&app.identifier_uris);
            if let Some(twice) = own.into_iter().find(|name| !names.insert(name.as_str())) {
                return Err(DirectoryError::DuplicateApp(twice.clone()));
            }
        }
        for user in &self.users {
            self.known(&user.tenant, &user.username)?;
            guid(&user.oid)?;
        }
        for tenant in &self.tenants {
            guid(&tenant.id)?;
            if tenant.kind != TenantKind::Workforce && tenant.subdomain.is_empty() {
                return Err(DirectoryError::NoSubdomain(tenant.domain.clone()));
            }
        }
        for identity in &self.managed_identities {
            self.known(&identity.tenant, &identity.name)?;
            guid(&identity.client_id)?;
            guid(&identity.principal_id)?;
        }
        for consent in &self.consents {
            self.known(&consent.tenant, "a consent")?;
        }
        Ok(())
    }

    fn check_app(&self, app: &App) -> Result<(), DirectoryError> {
        guid(&app.client_id)?;
        if app.is_graph() {
            return Ok(());
        }
        for tenant in std::iter::once(&app.tenant).chain(&app.installed_in) {
            self.known(tenant, &app.display_name)?;
        }
        if let Some(uri) = app.identifier_uris.iter().find(|uri| uri.ends_with('/')) {
            return Err(DirectoryError::IdentifierUri(uri.clone()));
        }
        for pem in &app.certificates {
            Certificate::from_pem(pem)
                .ok_or_else(|| DirectoryError::Certificate(app.display_name.clone()))?;
        }
        check_federated(app)?;
        let blueprint = app.agent_blueprint.as_ref();
        if blueprint.is_some_and(|blueprint| self.app(blueprint).is_none()) {
            return Err(DirectoryError::UnknownBlueprint(app.display_name.clone()));
        }
        if app.sign_in_audience.admits_personal() && app.requested_access_token_version != Some(2) {
            return Err(DirectoryError::PersonalNeedsV2(app.display_name.clone()));
        }
        Ok(())
    }

    fn known(&self, tenant: &str, what: &str) -> Result<(), DirectoryError> {
        match self.tenant(tenant) {
            Some(_) => Ok(()),
            None => Err(DirectoryError::UnknownTenant {
                what: what.to_owned(),
                tenant: tenant.to_owned(),
            }),
        }
    }
}

fn check_federated(app: &App) -> Result<(), DirectoryError> {
    let credentials = &app.federated_credentials;
    let mut pairs = BTreeSet::new();
    let mut known = credentials.iter();
    let problem = if credentials.len() > LIMIT {
        "is the twenty-first"
    } else if !credentials.iter().all(FederatedCredential::is_named_well) {
        "has no good name"
    } else if known.any(|known| known.issuer.is_empty() || known.subject.is_empty()) {
        "lacks an issuer or a subject"
    } else if !credentials
        .iter()
        .all(|known| pairs.insert((&known.issuer, &known.subject)))
    {
        "has the issuer and subject of another"
    } else {
        return Ok(());
    };
    Err(DirectoryError::FederatedCredential {
        app: app.display_name.clone(),
        problem,
    })
}

fn guid(id: &str) -> Result<(), DirectoryError> {
    if is_guid(id) {
        Ok(())
    } else {
        Err(DirectoryError::NotAGuid(id.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_a_mistake_is_refused() {
        let tenant =
            "[[tenants]]\nid = '10000000-0000-4000-8000-000000000001'\ndomain = 'a.example'\n";
        let app = "[[apps]]\ntenant = 'a.example'\ndisplay_name = 'A'\n";
        let id = "client_id = '30000000-0000-4000-8000-000000000001'\n";
        let fic = "federated_credentials = [";
        let one = "{ name = 'one', issuer = 'i', subject = 's' }";
        for (toml, wanted) in [
            ("colour = 'blue'".to_owned(), "not valid TOML"),
            (format!("{app}{id}"), "names the tenant"),
            (format!("{tenant}kind = 'external'"), "a subdomain"),
            (format!("{tenant}{app}client_id = 'x'"), "not a GUID"),
            (
                format!("{tenant}{app}{id}identifier_uris = ['api://x/']"),
                "ends with a slash",
            ),
            (format!("{tenant}{app}{id}{app}{id}"), "two applications"),
            (
                format!("{tenant}{app}{id}certificates = ['x']"),
                "not a PEM certificate",
            ),
            (
                format!("{tenant}{app}{id}agent_blueprint = 'x'"),
                "blueprint",
            ),
            (
                format!("{tenant}{app}{id}{fic}{{ name = 'x' }}]"),
                "no good name",
            ),
            (
                format!("{tenant}{app}{id}{fic}{{ name = 'one', issuer = 'i' }}]"),
                "lacks an issuer or a subject",
            ),
            (format!("{tenant}{app}{id}{fic}{one}, {one}]"), "of another"),
            (
                format!("{tenant}{app}{id}{fic}{}]", [one; 21].join(", ")),
                "twenty-first",
            ),
            (
                format!("{tenant}{app}{id}sign_in_audience = 'PersonalMicrosoftAccount'"),
                "version 2",
            ),
        ] {
            let error = Directory::from_toml(&toml).unwrap_err().to_string();
            assert!(error.contains(wanted), "{toml}: {error}");
        }
    }
}
