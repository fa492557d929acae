//! How issuers are written, and which tenant each is of.

use url::Url;

/// Where the tenant stands in Entra's issuers.
pub(super) const PLACEHOLDER: &str = "{tenantid}";

/// An issuer with a gap for the tenant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct IssuerTemplate {
    before: String,
    after: &'static str,
}

impl IssuerTemplate {
    /// `{base}/{tenantid}/v2.0`
    pub(crate) fn v2(base: &str) -> Self {
        Self {
            before: format!("{base}/"),
            after: "/v2.0",
        }
    }

    /// `https://{host}/{tenantid}/`
    pub(crate) fn v1(host: &str) -> Self {
        Self {
            before: format!("https://{host}/"),
            after: "/",
        }
    }

    /// The issuer of one tenant.
    pub(crate) fn of(&self, tenant_id: &str) -> String {
        format!("{}{tenant_id}{}", self.before, self.after)
    }

    /// The tenant that `issuer` is the issuer of.
    pub(super) fn tenant_of<'t>(&self, issuer: &'t str) -> Option<&'t str> {
        let rest = issuer.strip_prefix(self.before.as_str())?;
        rest.strip_suffix(self.after)
    }
}

/// `https://{tenant}.ciamlogin.com/{tenant}/v2.0`: the host is the tenant's id, wherever the
/// metadata was read.
pub(super) fn external_tenant(issuer: &str) -> Option<String> {
    let rest = issuer.strip_prefix("https://")?;
    let (host, rest) = rest.split_once('/')?;
    let tenant = rest.strip_suffix("/v2.0")?;
    let host = host.strip_suffix(".ciamlogin.com")?;
    (host == tenant).then(|| tenant.to_owned())
}

/// `https://{host}/{tenant}/v2.0/`, or `https://{host}/tfp/{tenant}/{policy}/v2.0/`.
pub(super) fn b2c_tenant(issuer: &str) -> Option<String> {
    let url = Url::parse(issuer)
        .ok()
        .filter(|url| url.scheme() == "https")?;
    let mut segments = url.path_segments()?;
    let first = segments.next()?;
    let tenant = if first == "tfp" {
        segments.next()?
    } else {
        first
    };
    let whole = url.query().is_none() && url.fragment().is_none();
    whole.then(|| tenant.to_owned())
}
