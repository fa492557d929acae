//! Where Entra is, and how its tokens name it.

use std::fmt;

use http::Uri;
use url::{Host, Url};

use super::cloud::Cloud;
use super::issuer::{EntraIdIssuers, IssuerRules, IssuerTemplate, Tenants};
use crate::access_token::PERSONAL_ACCOUNTS;
use crate::jwt::verify::is_guid;
use crate::oauth::redirect_uri::is_loopback;

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

    fn base(&self) -> String {
        format!("{}://{}", self.scheme, self.host)
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

/// Entra's endpoints for one tenant, or for any, and whom tokens from there are believed from.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    base: String,
    /// The tenant, or tenant and user flow, as it stands in every path.
    path: String,
    authorization_endpoint: Url,
    token_endpoint: Uri,
    jwks_uri: Uri,
    openid_configuration: Uri,
    issuers: IssuerRules,
}

/// Where v1.0 tokens come from at a host that is no cloud's: an emulator follows the public cloud.
const V1_ISSUER_HOST: &str = "sts.windows.net";

impl Authority {
    /// Entra ID: the v2.0 endpoints of `tenant` at `host`, for users of the `allowed` tenants, or
    /// of all that `tenant` stands for if none is listed.
    ///
    /// # Errors
    ///
    /// [`AuthorityHostError::NotAHost`] if no URL can be made of them.
    pub(crate) fn entra_id(
        host: &AuthorityHost,
        tenant: &Tenant,
        allowed: Vec<String>,
    ) -> Result<Self, AuthorityHostError> {
        let base = host.base();
        let (v2, v1) = match Cloud::of_host(&host.host) {
            // Tokens bear the host's own name, whatever name it was asked by.
            Some(cloud) => {
                let v2 = IssuerTemplate::v2(&format!("https://{}", cloud.login_host()));
                (v2, cloud.v1_issuer_host().map(IssuerTemplate::v1))
            }
            None => (
                IssuerTemplate::v2(&base),
                Some(IssuerTemplate::v1(V1_ISSUER_HOST)),
            ),
        };
        let tenants = match tenant {
            Tenant::Id(id) => Tenants::Own(id.clone()),
            Tenant::Consumers => Tenants::Own(PERSONAL_ACCOUNTS.to_owned()),
            Tenant::Domain(_) => Tenants::Discovered,
            Tenant::Organizations | Tenant::Common if !allowed.is_empty() => {
                Tenants::Listed(allowed)
            }
            Tenant::Organizations => Tenants::Organizations,
            Tenant::Common => Tenants::Everybody,
        };
        let issuers = IssuerRules::EntraId(EntraIdIssuers { v2, v1, tenants });
        Self::at(base, tenant.as_str(), issuers)
    }

    /// Entra External ID: the endpoints of the tenant written `tenant` in paths.
    ///
    /// # Errors
    ///
    /// [`AuthorityHostError::NotAHost`] if no URL can be made of them.
    pub(crate) fn external_id(
        host: &AuthorityHost,
        tenant: &str,
    ) -> Result<Self, AuthorityHostError> {
        Self::at(host.base(), tenant, IssuerRules::ExternalId)
    }

    /// Azure AD B2C: the endpoints of one user flow, or custom policy.
    ///
    /// # Errors
    ///
    /// [`AuthorityHostError::NotAHost`] if no URL can be made of them.
    pub(crate) fn b2c(
        host: &AuthorityHost,
        tenant: &str,
        policy: &str,
    ) -> Result<Self, AuthorityHostError> {
        let rules = IssuerRules::B2c {
            policy: policy.to_owned(),
        };
        Self::at(host.base(), &format!("{tenant}/{policy}"), rules)
    }

    fn at(base: String, path: &str, issuers: IssuerRules) -> Result<Self, AuthorityHostError> {
        let uri = |rest: &str| {
            let text = format!("{base}/{path}/{rest}");
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
            path: path.to_owned(),
            base,
            issuers,
        })
    }

    /// The same for an app registration with signing keys of its own, which Entra publishes to
    /// whoever names it (Microsoft, *access tokens*, validate the signature).
    pub(crate) fn with_keys_of(self, client_id: &str) -> Self {
        let with_app = |uri: &Uri| format!("{uri}?appid={client_id}").parse();
        let keys = with_app(&self.jwks_uri);
        Self {
            jwks_uri: keys.unwrap_or_else(|_| self.jwks_uri.clone()),
            ..self
        }
    }

    pub(crate) fn authorization_endpoint(&self) -> &Url {
        &self.authorization_endpoint
    }

    /// Whether `other` is the same tenant at the same place, whoever is let in from there.
    pub(crate) fn is_where(&self, other: &Self) -> bool {
        (&self.base, &self.path) == (&other.base, &other.path)
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

    /// Where an administrator of a tenant consents for everybody in it (Microsoft, *admin consent
    /// endpoint*): of the tenant that a verified token named, or of our own.
    pub(crate) fn admin_consent_endpoint(&self, tenant_id: Option<&str>) -> String {
        let tenant = tenant_id.filter(|id| is_guid(id)).unwrap_or(&self.path);
        format!("{}/{tenant}/v2.0/adminconsent", self.base)
    }

    /// Whether Entra exchanges tokens there (Microsoft, *on-behalf-of flow*): for organisations,
    /// not for customers.
    pub(crate) fn exchanges_tokens(&self) -> bool {
        matches!(self.issuers, IssuerRules::EntraId(_))
    }

    pub(crate) fn jwks_uri(&self) -> &Uri {
        &self.jwks_uri
    }

    pub(crate) fn openid_configuration(&self) -> &Uri {
        &self.openid_configuration
    }

    /// Whom tokens are believed from.
    pub(crate) fn issuers(&self) -> &IssuerRules {
        &self.issuers
    }

    /// Whether an application can sign in there: at a tenant, by its id or a domain of it.
    pub(crate) fn is_of_one_tenant(&self) -> bool {
        !["organizations", "common", "consumers"].contains(&&*self.path)
    }

    /// Whether users of more than one tenant may come.
    pub(crate) fn is_for_several_tenants(&self) -> bool {
        match &self.issuers {
            IssuerRules::EntraId(EntraIdIssuers { tenants, .. }) => match tenants {
                Tenants::Own(_) | Tenants::Discovered => false,
                Tenants::Listed(listed) => listed.len() > 1,
                Tenants::Organizations | Tenants::Everybody => true,
            },
            IssuerRules::ExternalId | IssuerRules::B2c { .. } => false,
        }
    }

    /// The issuers of the tenants that are let in, as clients look for their metadata; where the
    /// metadata names the issuer, a guess until it was read.
    pub(super) fn issuer_urls(&self, discovered: Option<&str>) -> Vec<String> {
        let guess = || format!("{}/{}/v2.0", self.base, self.path);
        match &self.issuers {
            IssuerRules::EntraId(EntraIdIssuers { v2, tenants, .. }) => match tenants {
                Tenants::Own(own) => vec![v2.of(own)],
                Tenants::Listed(listed) => listed.iter().map(|one| v2.of(one)).collect(),
                Tenants::Discovered => vec![discovered.map_or_else(guess, str::to_owned)],
                Tenants::Organizations | Tenants::Everybody => vec![guess()],
            },
            IssuerRules::ExternalId | IssuerRules::B2c { .. } => {
                vec![discovered.map_or_else(guess, str::to_owned)]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    const PUBLIC: &str = Cloud::Public.login_host();

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
        assert_eq!(secure(PUBLIC), None);
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
        assert_eq!(plain(PUBLIC), Some(AuthorityHostError::NotLoopback));
    }

    fn entra_id(host: &str, tenant: &str) -> Authority {
        let host = AuthorityHost::parse(host).unwrap();
        Authority::entra_id(&host, &Tenant::parse(tenant).unwrap(), Vec::new()).unwrap()
    }

    #[test]
    fn endpoints_follow_the_tenant() {
        let one = entra_id(PUBLIC, GUID);
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
        let own = one.with_keys_of(GUID).jwks_uri().to_string();
        assert_eq!(own, format!("{base}/discovery/v2.0/keys?appid={GUID}"));
        let any = entra_id(PUBLIC, "organizations");
        assert_eq!(
            any.token_endpoint_of(GUID).to_string(),
            format!("{base}/oauth2/v2.0/token")
        );
        assert_eq!(any.token_endpoint_of("evil"), *any.token_endpoint());
    }

    #[test]
    fn issuers_are_those_clients_look_for_metadata_at() {
        let host = AuthorityHost::parse(PUBLIC).unwrap();
        let listed = vec![GUID.to_owned(), PERSONAL_ACCOUNTS.to_owned()];
        let listed = Authority::entra_id(&host, &Tenant::Common, listed).unwrap();
        let host = AuthorityHost::parse("contoso.b2clogin.com").unwrap();
        let b2c = Authority::b2c(&host, "contoso.onmicrosoft.com", "B2C_1_in").unwrap();
        let login = "https://login.microsoftonline.com";
        for (authority, discovered, expected) in [
            (
                &entra_id(PUBLIC, GUID),
                None,
                vec![format!("{login}/{GUID}/v2.0")],
            ),
            (
                &entra_id("login.windows.net", GUID),
                None,
                vec![format!("{login}/{GUID}/v2.0")],
            ),
            (
                &entra_id("login.chinacloudapi.cn", GUID),
                None,
                vec![format!(
                    "https://login.partner.microsoftonline.cn/{GUID}/v2.0"
                )],
            ),
            (
                &entra_id(PUBLIC, "contoso.com"),
                Some("https://x/"),
                vec!["https://x/".to_owned()],
            ),
            (
                &entra_id(PUBLIC, "consumers"),
                None,
                vec![format!("{login}/{PERSONAL_ACCOUNTS}/v2.0")],
            ),
            (
                &entra_id(PUBLIC, "common"),
                None,
                vec![format!("{login}/common/v2.0")],
            ),
            (
                &listed,
                None,
                vec![
                    format!("{login}/{GUID}/v2.0"),
                    format!("{login}/{PERSONAL_ACCOUNTS}/v2.0"),
                ],
            ),
            (
                &b2c,
                None,
                vec![
                    "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_in/v2.0".to_owned(),
                ],
            ),
        ] {
            assert_eq!(authority.issuer_urls(discovered), expected);
        }
    }
}
