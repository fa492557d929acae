//! Where the emulator is for whoever asked, and what follows from it.

use url::Url;

use crate::cloud::Cloud;
use crate::directory::Directory;
use crate::directory::tenant::{Tenant, TenantKind};

/// Where the emulator is for whoever asked.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Scheme and authority.
    pub(crate) base: String,
    /// The same in v2 issuers: aliases of a login host are not issuers.
    issuer_base: String,
    pub(crate) cloud: Cloud,
    /// The tenant whose own host it is; no other is served there.
    pub(crate) owner: Option<String>,
}

impl Place {
    /// A place of no significance, which belongs to `cloud` because somebody said so.
    pub(crate) fn new(base: String, cloud: Cloud) -> Self {
        Self {
            issuer_base: base.clone(),
            base,
            cloud,
            owner: None,
        }
    }

    /// The place `host` stands for by itself: a login host of some cloud, or of some tenant.
    pub(crate) fn well_known(host: &str, directory: &Directory) -> Option<Self> {
        let host = host.to_ascii_lowercase();
        if let Some(tenant) = directory.tenant_of_host(&host) {
            return Some(Self {
                owner: Some(tenant.id.clone()),
                ..Self::new(format!("https://{host}"), Cloud::Public)
            });
        }
        let cloud = Cloud::of_login_host(&host)?;
        Some(Self {
            base: format!("https://{host}"),
            issuer_base: format!("https://{}", cloud.login_host()),
            cloud,
            owner: None,
        })
    }

    /// The place at this URL, well known or not.
    pub(crate) fn at_url(base: &str, cloud: Cloud, directory: &Directory) -> Self {
        let url = Url::parse(base).ok();
        let url = url.filter(|url| url.scheme() == "https" && url.port().is_none());
        url.and_then(|url| Self::well_known(url.host_str()?, directory))
            .unwrap_or_else(|| Self::new(base.to_owned(), cloud))
    }

    /// The issuer of a tenant's v2 tokens.
    ///
    /// That of a tenant for customers has the tenant's GUID for a host, whatever host was asked.
    pub(crate) fn issuer_of(&self, tenant: &Tenant) -> String {
        let id = &tenant.id;
        match tenant.kind {
            // A tenant of user flows is an ordinary one underneath.
            TenantKind::Workforce | TenantKind::B2c => self.v2_issuer(id),
            TenantKind::External => format!("https://{id}.ciamlogin.com/{id}/v2.0"),
        }
    }

    /// What v2 issuers begin with.
    pub(crate) fn issuer_base(&self) -> &str {
        &self.issuer_base
    }

    pub(crate) fn v2_issuer(&self, tenant_id: &str) -> String {
        format!("{}/{tenant_id}/v2.0", self.issuer_base)
    }

    pub(crate) fn v1_issuer(&self, tenant_id: &str) -> String {
        self.cloud.v1_issuer(tenant_id)
    }

    /// Where an error is explained: at the cloud's login host, if it is not the public cloud's.
    pub(crate) fn error_uri(&self, code: u32) -> String {
        match self.cloud {
            Cloud::Public => format!("{}/error?code={code}", self.base),
            Cloud::UsGovernment | Cloud::China | Cloud::Bleu | Cloud::Delos | Cloud::GovSg => {
                format!("https://{}/error?code={code}", self.cloud.login_host())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_a_place_but_no_issuer() {
        let directory = Directory::empty();
        for (url, base, issuer) in [
            (
                "https://login.microsoftonline.us",
                "https://login.microsoftonline.us",
                "https://login.microsoftonline.us/t/v2.0",
            ),
            (
                "https://LOGIN.windows.net/",
                "https://login.windows.net",
                "https://login.microsoftonline.com/t/v2.0",
            ),
            (
                "https://login.windows.net:8443",
                "https://login.windows.net:8443",
                "https://login.windows.net:8443/t/v2.0",
            ),
            ("nonsense", "nonsense", "nonsense/t/v2.0"),
        ] {
            let place = Place::at_url(url, Cloud::Public, &directory);
            assert_eq!(place.base, base);
            assert_eq!(place.v2_issuer("t"), issuer);
        }
    }
}
