//! The first segment of every path: which tenant, or which kind of account.

use crate::builtin::CONSUMERS_TENANT_ID;
use crate::cloud::Cloud;
use crate::directory::app::{App, SignInAudience};
use crate::directory::tenant::{Tenant, TenantKind};
use crate::directory::user::User;
use crate::directory::{Directory, is_guid};
use crate::error::Aadsts;

/// Whose accounts may sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TenantSpecifier {
    /// Every account.
    Common,
    /// Every account of an organisation.
    Organizations,
    /// Personal accounts.
    Consumers,
    /// The accounts and guests of one tenant, by GUID.
    Tenant(String),
}

impl TenantSpecifier {
    pub(crate) fn parse(segment: &str, directory: &Directory) -> Result<Self, Aadsts> {
        match segment.to_ascii_lowercase().as_str() {
            "common" => return Ok(Self::Common),
            "organizations" => return Ok(Self::Organizations),
            "consumers" => return Ok(Self::Consumers),
            _ => {}
        }
        match directory.tenant(segment) {
            Some(tenant) => Ok(Self::Tenant(tenant.id.clone())),
            None if is_guid(segment) || segment.contains('.') => {
                Err(Aadsts::TenantNotFound(segment.to_owned()))
            }
            None => Err(Aadsts::TenantSpecifier(segment.to_owned())),
        }
    }

    /// The tenant, when one is named.
    pub(crate) fn tenant<'a>(&self, directory: &'a Directory) -> Option<&'a Tenant> {
        match self {
            Self::Common | Self::Organizations => None,
            Self::Consumers => directory.tenant_by_id(CONSUMERS_TENANT_ID),
            Self::Tenant(id) => directory.tenant_by_id(id),
        }
    }

    /// Whether `app` may be used here at all.
    pub(crate) fn admits(&self, app: &App, directory: &Directory) -> Result<(), Aadsts> {
        let (client_id, name) = (app.client_id.clone(), app.display_name.clone());
        match self {
            Self::Common | Self::Organizations => match app.sign_in_audience {
                SignInAudience::AzureADMyOrg => Err(Aadsts::NotMultiTenant { client_id, name }),
                SignInAudience::PersonalMicrosoftAccount => {
                    Err(Aadsts::PersonalOnly { client_id, name })
                }
                SignInAudience::AzureADMultipleOrgs
                | SignInAudience::AzureADandPersonalMicrosoftAccount => Ok(()),
            },
            Self::Consumers if app.sign_in_audience.admits_personal() => Ok(()),
            Self::Consumers => Err(Aadsts::OrganizationsOnly { client_id, name }),
            Self::Tenant(id) => {
                let tenant = directory.tenant_by_id(id);
                let installed = tenant.is_some_and(|tenant| directory.is_installed(app, tenant));
                if installed || app.sign_in_audience.admits_every_tenant() {
                    return Ok(());
                }
                let tenant = tenant.map_or_else(String::new, |known| known.display_name.clone());
                Err(Aadsts::UnknownApplication { client_id, tenant })
            }
        }
    }

    /// The object that the account `username` has here, and the tenant it is in.
    pub(crate) fn resident<'a>(
        &self,
        username: &str,
        app: &App,
        directory: &'a Directory,
    ) -> Result<(&'a User, &'a Tenant), Aadsts> {
        let account = directory
            .user(username)
            .ok_or_else(|| Aadsts::UserNotFound(username.to_owned()))?;
        let home = directory
            .tenant(&account.tenant)
            .ok_or_else(|| Aadsts::TenantNotFound(account.tenant.clone()))?;
        let personal = home.id == CONSUMERS_TENANT_ID;
        let stranger = || Aadsts::UserNotInTenant {
            user: username.to_owned(),
            idp: if personal {
                "live.com".to_owned()
            } else {
                Cloud::Public.v1_issuer(&home.id)
            },
            tenant: self
                .tenant(directory)
                .map_or_else(String::new, |tenant| tenant.display_name.clone()),
            client_id: app.client_id.clone(),
            name: app.display_name.clone(),
        };
        match self {
            Self::Common if personal && !app.sign_in_audience.admits_personal() => Err(stranger()),
            Self::Organizations if personal => Err(stranger()),
            Self::Common | Self::Organizations if home.kind != TenantKind::Workforce => {
                Err(stranger())
            }
            Self::Common | Self::Organizations => Ok((account, home)),
            Self::Consumers if personal => Ok((account, home)),
            Self::Consumers => Err(stranger()),
            Self::Tenant(id) => {
                let tenant = directory.tenant_by_id(id).ok_or_else(stranger)?;
                let user = directory.user_in(tenant, username).ok_or_else(stranger)?;
                Ok((user, tenant))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_segment_is_a_word_a_guid_or_a_domain() {
        let directory = Directory::default();
        let parse = |segment| TenantSpecifier::parse(segment, &directory).map_err(|e| e.code());
        let contoso = TenantSpecifier::Tenant(crate::builtin::TENANT_ID.to_owned());
        for (segment, wanted) in [
            ("common", Ok(TenantSpecifier::Common)),
            ("Organizations", Ok(TenantSpecifier::Organizations)),
            ("consumers", Ok(TenantSpecifier::Consumers)),
            (crate::builtin::TENANT_ID, Ok(contoso.clone())),
            ("CONTOSO.onmicrosoft.com", Ok(contoso)),
            ("00000000-0000-0000-0000-000000000001", Err(90_002)),
            ("nobody.example", Err(90_002)),
            ("nonsense", Err(900_023)),
        ] {
            assert_eq!(parse(segment), wanted, "{segment}");
        }
    }
}
