//! Organisations, and the tenants they keep their customers in.

use serde::Deserialize;

/// One tenant.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Tenant {
    /// The tenant GUID.
    pub id: String,
    /// Its verified domain.
    pub domain: String,
    /// What people call it.
    pub display_name: String,
    /// `tenant_region_scope` in its metadata.
    pub region: String,
    /// Whose accounts it holds.
    pub kind: TenantKind,
    /// What its own login host begins with, if it has one: `{subdomain}.ciamlogin.com` or
    /// `{subdomain}.b2clogin.com`.
    pub subdomain: String,
    /// A login host under a name of its own.
    pub custom_domain: Option<String>,
    /// Its user flows, if it is of [`TenantKind::B2c`].
    pub policies: Vec<Policy>,
}

/// A user flow, or a custom policy.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Policy {
    /// Its name, such as `B2C_1_signin`. Requests may write it in any case.
    pub name: String,
    /// What the issuer of its tokens looks like.
    pub issuer_style: IssuerStyle,
    /// Which claim of its tokens names it.
    pub policy_claim: PolicyClaim,
}

/// What the issuer of a user flow's tokens looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IssuerStyle {
    /// `https://{host}/{tenant}/v2.0/`, from which no metadata can be found.
    #[default]
    Default,
    /// `https://{host}/tfp/{tenant}/{policy}/v2.0/`.
    Tfp,
}

/// The claim that names a user flow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PolicyClaim {
    /// `tfp`, with the name as it was registered.
    #[default]
    Tfp,
    /// `acr`, with the name in lower case.
    Acr,
}

/// Whose accounts a tenant holds, which decides where people sign in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TenantKind {
    /// An organisation's own people.
    #[default]
    Workforce,
    /// An organisation's customers: Microsoft Entra External ID.
    External,
    /// An organisation's customers: Azure AD B2C, which signs people in by user flows.
    B2c,
}

impl Tenant {
    /// Whether `host` is a login host of this tenant and of no other.
    pub(crate) fn owns_host(&self, host: &str) -> bool {
        let own = match self.kind {
            TenantKind::Workforce => return false,
            TenantKind::External => host.strip_suffix(".ciamlogin.com"),
            TenantKind::B2c => host.strip_suffix(".b2clogin.com"),
        };
        let named = |name: &str| {
            name.eq_ignore_ascii_case(&self.subdomain) || name.eq_ignore_ascii_case(&self.id)
        };
        let custom = self.custom_domain.as_deref();
        own.is_some_and(named) || custom.is_some_and(|custom| custom.eq_ignore_ascii_case(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tenant_for_customers_has_hosts_of_its_own() {
        let mut tenant = Tenant {
            id: "t".to_owned(),
            kind: TenantKind::External,
            subdomain: "shop".to_owned(),
            custom_domain: Some("login.shop.example".to_owned()),
            ..Tenant::default()
        };
        for (host, owned) in [
            ("shop.ciamlogin.com", true),
            ("t.ciamlogin.com", true),
            ("LOGIN.shop.example", true),
            ("other.ciamlogin.com", false),
            ("shop.b2clogin.com", false),
            ("ciamlogin.com", false),
            ("", false),
        ] {
            assert_eq!(tenant.owns_host(host), owned, "{host}");
        }
        tenant.kind = TenantKind::Workforce;
        assert!(!tenant.owns_host("shop.ciamlogin.com"));
    }
}
