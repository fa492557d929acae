//! Where Entra is, and how its tokens name it.

use std::fmt;

use http::Uri;
use url::{Host, Url};

use crate::jwt::verify::is_guid;
use crate::oauth::redirect_uri::is_loopback;

/// The public cloud.
pub(crate) const PUBLIC_CLOUD: &str = "login.microsoftonline.com";

/// The tenant all personal accounts live in.
const PERSONAL_ACCOUNTS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// Whose users may sign in.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub(crate) enum Tenant {
    /// One tenant, by its id.
    Id(String),
    /// One tenant, by a verified domain.
    Domain(String),
    /// Any organisation's tenant.
    Organizations,
    /// Any organisation's tenant, and personal accounts.
    Common,
    /// Personal accounts.
    Consumers,
}

/// The text names no tenant.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a tenant id, a verified domain, organizations, common or consumers")]
#[non_exhaustive]
pub struct TenantError;

impl Tenant {
    /// Parses a tenant as it is written in Entra's URLs.
    ///
    /// # Errors
    ///
    /// [`TenantError`] if it is none of the five forms.
    pub(crate) fn parse(text: &str) -> Result<Self, TenantError> {
        let lower = text.to_ascii_lowercase();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
        let domain = lower.contains('.') && !lower.starts_with('.') && !lower.ends_with('.');
        match lower.as_str() {
            "organizations" => Ok(Self::Organizations),
            "common" => Ok(Self::Common),
            "consumers" => Ok(Self::Consumers),
            guid if is_guid(guid) => Ok(Self::Id(lower)),
            _ if domain && lower.bytes().all(fits) => Ok(Self::Domain(lower)),
            _ => Err(TenantError),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Id(name) | Self::Domain(name) => name,
            Self::Organizations => "organizations",
            Self::Common => "common",
            Self::Consumers => "consumers",
        }
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The host of a cloud, and how it is spoken to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct AuthorityHost {
    scheme: &'static str,
    host: String,
}

/// Why a host cannot be an authority.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityHostError {
    /// It is not `host` or `host:port`.
    #[error("not a bare host, such as login.microsoftonline.com")]
    NotAHost,
    /// Plain `http` was asked for on a host that is not the machine itself.
    #[error("plain http is for a loopback host")]
    NotLoopback,
}

impl AuthorityHost {
    /// Parses `host` or `host:port`, spoken to over TLS.
    ///
    /// # Errors
    ///
    /// [`AuthorityHostError::NotAHost`] if there is a scheme, a path, or anything else with it.
    pub(crate) fn parse(text: &str) -> Result<Self, AuthorityHostError> {
        Self::with_scheme("https", text)
    }

    /// Parses the host of an authority spoken to without TLS.
    ///
    /// # Errors
    ///
    /// [`AuthorityHostError::NotLoopback`] if the host is not the machine itself.
    ///
    /// # Security
    ///
    /// Anybody on the path reads the client secret and poses as Entra; hence loopback only.
    pub(crate) fn insecure_http(text: &str) -> Result<Self, AuthorityHostError> {
        let parsed = Self::with_scheme("http", text)?;
        let url =
            Url::parse(&format!("http://{text}")).map_err(|_| AuthorityHostError::NotAHost)?;
        let loopback = url
            .host()
            .is_some_and(|host: Host<&str>| is_loopback(&host));
        if loopback {
            Ok(parsed)
        } else {
            Err(AuthorityHostError::NotLoopback)
        }
    }

    fn with_scheme(scheme: &'static str, text: &str) -> Result<Self, AuthorityHostError> {
        let url = Url::parse(&format!("{scheme}://{text}/"));
        let url = url.map_err(|_| AuthorityHostError::NotAHost)?;
        // What the parser would have to repair, or take for more than a host, is refused.
        let bare =
            !text.is_empty() && url.as_str() == format!("{scheme}://{}/", text.to_lowercase());
        if bare && url.username().is_empty() && url.path() == "/" {
            Ok(Self {
                scheme,
                host: text.to_lowercase(),
            })
        } else {
            Err(AuthorityHostError::NotAHost)
        }
    }
}

/// Entra's endpoints for one tenant, or for any.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    base: String,
    tenant: Tenant,
    authorization_endpoint: Url,
    token_endpoint: Uri,
    jwks_uri: Uri,
    openid_configuration: Uri,
}

/// How the issuer of a token is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum IssuerRule {
    /// This one.
    Exactly(String),
    /// This one, the token's tenant filled in.
    PerTenant(String),
    /// The one the discovery document names: a domain does not tell its tenant's id.
    Discover,
}

impl Authority {
    /// The v2.0 endpoints of `tenant` at `host`.
    ///
    /// # Errors
    ///
    /// [`AuthorityHostError::NotAHost`] if no URL can be made of them.
    pub(crate) fn new(host: &AuthorityHost, tenant: Tenant) -> Result<Self, AuthorityHostError> {
        let base = format!("{}://{}", host.scheme, host.host);
        let uri = |path: &str| {
            let text = format!("{base}/{tenant}/{path}");
            text.parse::<Uri>()
                .map_err(|_| AuthorityHostError::NotAHost)
        };
        let authorization_endpoint = uri("oauth2/v2.0/authorize")?.to_string();
        Ok(Self {
            authorization_endpoint: Url::parse(&authorization_endpoint)
                .map_err(|_| AuthorityHostError::NotAHost)?,
            token_endpoint: uri("oauth2/v2.0/token")?,
            jwks_uri: uri("discovery/v2.0/keys")?,
            openid_configuration: uri("v2.0/.well-known/openid-configuration")?,
            base,
            tenant,
        })
    }

    pub(crate) fn authorization_endpoint(&self) -> &Url {
        &self.authorization_endpoint
    }

    pub(crate) fn token_endpoint(&self) -> &Uri {
        &self.token_endpoint
    }

    /// The token endpoint of a tenant that a verified token named.
    pub(crate) fn token_endpoint_of(&self, tenant_id: &str) -> Uri {
        let guid = is_guid(tenant_id);
        let own = format!("{}/{tenant_id}/oauth2/v2.0/token", self.base);
        let parsed = guid.then(|| own.parse().ok()).flatten();
        parsed.unwrap_or_else(|| self.token_endpoint.clone())
    }

    pub(crate) fn jwks_uri(&self) -> &Uri {
        &self.jwks_uri
    }

    pub(crate) fn openid_configuration(&self) -> &Uri {
        &self.openid_configuration
    }

    pub(crate) fn issuer_rule(&self) -> IssuerRule {
        let issuer = |tenant: &str| format!("{}/{tenant}/v2.0", self.base);
        match &self.tenant {
            Tenant::Id(id) => IssuerRule::Exactly(issuer(id)),
            Tenant::Consumers => IssuerRule::Exactly(issuer(PERSONAL_ACCOUNTS)),
            Tenant::Organizations | Tenant::Common => IssuerRule::PerTenant(issuer("{tenantid}")),
            Tenant::Domain(_) => IssuerRule::Discover,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

    #[test]
    fn tenants_come_in_five_forms() {
        for (text, expected) in [
            (GUID, Ok(Tenant::Id(GUID.to_owned()))),
            (&*GUID.to_uppercase(), Ok(Tenant::Id(GUID.to_owned()))),
            (
                "Contoso.onmicrosoft.com",
                Ok(Tenant::Domain("contoso.onmicrosoft.com".to_owned())),
            ),
            ("organizations", Ok(Tenant::Organizations)),
            ("common", Ok(Tenant::Common)),
            ("consumers", Ok(Tenant::Consumers)),
            ("", Err(TenantError)),
            ("contoso", Err(TenantError)),
            ("contoso.com/evil", Err(TenantError)),
            ("../common", Err(TenantError)),
            ("72f988bf-86f1-41af-91ab-2d7cd011db4", Err(TenantError)),
        ] {
            assert_eq!(Tenant::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn hosts_are_bare() {
        let secure = |text| AuthorityHost::parse(text).err();
        let plain = |text| AuthorityHost::insecure_http(text).err();
        assert_eq!(secure(PUBLIC_CLOUD), None);
        assert_eq!(secure("Login.MicrosoftOnline.us"), None);
        assert_eq!(secure("127.0.0.1:8443"), None);
        for text in [
            "",
            "https://login.microsoftonline.com",
            "h/common",
            "user@h",
            "h:x",
            "h?x",
            "h#x",
        ] {
            assert_eq!(secure(text), Some(AuthorityHostError::NotAHost), "{text}");
        }
        assert_eq!(plain("localhost:8080"), None);
        assert_eq!(plain("[::1]:8080"), None);
        assert_eq!(plain(PUBLIC_CLOUD), Some(AuthorityHostError::NotLoopback));
    }

    #[test]
    fn endpoints_and_issuers_follow_the_tenant() {
        let authority = |tenant| {
            let host = AuthorityHost::parse(PUBLIC_CLOUD).unwrap();
            Authority::new(&host, Tenant::parse(tenant).unwrap()).unwrap()
        };
        let one = authority(GUID);
        let base = format!("https://login.microsoftonline.com/{GUID}");
        assert_eq!(
            one.authorization_endpoint().as_str(),
            format!("{base}/oauth2/v2.0/authorize")
        );
        assert_eq!(
            one.token_endpoint().to_string(),
            format!("{base}/oauth2/v2.0/token")
        );
        assert_eq!(
            one.jwks_uri().to_string(),
            format!("{base}/discovery/v2.0/keys")
        );
        assert_eq!(
            one.issuer_rule(),
            IssuerRule::Exactly(format!("{base}/v2.0"))
        );
        let template = "https://login.microsoftonline.com/{tenantid}/v2.0".to_owned();
        assert_eq!(
            authority("common").issuer_rule(),
            IssuerRule::PerTenant(template)
        );
        assert_eq!(authority("contoso.com").issuer_rule(), IssuerRule::Discover);
        let any = authority("organizations");
        assert_eq!(
            any.token_endpoint_of(GUID).to_string(),
            format!("{base}/oauth2/v2.0/token")
        );
        assert_eq!(any.token_endpoint_of("evil"), *any.token_endpoint());
    }
}
