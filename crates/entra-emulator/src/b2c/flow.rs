//! User flows: which one a request names, and what it is called where.

use crate::directory::Directory;
use crate::directory::tenant::{IssuerStyle, Policy, PolicyClaim, Tenant, TenantKind};
use crate::place::Place;

/// How a request named its user flow, which its answers repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `/{tenant}/{policy}/…`
    Path,
    /// `/tfp/{tenant}/{policy}/…`
    TfpPath,
    /// `/{tenant}/…?p={policy}`
    Query,
}

/// The user flow of a request.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    pub(crate) tenant_id: String,
    pub(crate) policy: Policy,
    /// The tenant as the path named it.
    segment: String,
    style: Style,
}

impl Flow {
    /// The user flow called `policy`, in whatever case, of the tenant called `segment`.
    pub(super) fn find(
        segment: &str,
        policy: &str,
        style: Style,
        directory: &Directory,
    ) -> Option<Self> {
        let tenant = directory.tenant(segment)?;
        Some(Self {
            tenant_id: tenant.id.clone(),
            policy: policy_of(tenant, Some(policy))?.clone(),
            segment: segment.to_ascii_lowercase(),
            style,
        })
    }

    /// The user flow a minted token comes from, the tenant's first unless one is named.
    pub(crate) fn of(tenant: &Tenant, policy: Option<&str>) -> Option<Self> {
        Some(Self {
            tenant_id: tenant.id.clone(),
            policy: policy_of(tenant, policy)?.clone(),
            segment: tenant.id.clone(),
            style: Style::Path,
        })
    }

    /// The name as URLs and issuers have it.
    pub(crate) fn name(&self) -> String {
        self.policy.name.to_ascii_lowercase()
    }

    /// The issuer of its tokens. It follows the host, and ends with a slash.
    pub(crate) fn issuer(&self, place: &Place) -> String {
        let (base, id) = (&place.base, &self.tenant_id);
        match self.policy.issuer_style {
            IssuerStyle::Default => format!("{base}/{id}/v2.0/"),
            IssuerStyle::Tfp => format!("{base}/tfp/{id}/{}/v2.0/", self.name()),
        }
    }

    /// The claim that names it. `tfp` keeps the capitals it was registered with.
    pub(crate) fn claim(&self) -> (&'static str, String) {
        match self.policy.policy_claim {
            PolicyClaim::Tfp => ("tfp", self.policy.name.clone()),
            PolicyClaim::Acr => ("acr", self.name()),
        }
    }

    /// The URL of one of its endpoints, named as the request named it.
    pub(super) fn url(&self, place: &Place, endpoint: &str) -> String {
        match self.style {
            Style::Path | Style::TfpPath => {
                format!("{}{}", place.base, self.path(endpoint))
            }
            Style::Query => {
                let (base, segment) = (&place.base, &self.segment);
                format!("{base}/{segment}/{endpoint}?p={}", self.name())
            }
        }
    }

    /// The path of one of its endpoints or pages.
    pub(super) fn path(&self, endpoint: &str) -> String {
        let prefix = match self.style {
            Style::TfpPath => "/tfp",
            Style::Path | Style::Query => "",
        };
        format!("{prefix}/{}/{}/{endpoint}", self.segment, self.name())
    }
}

fn policy_of<'t>(tenant: &'t Tenant, name: Option<&str>) -> Option<&'t Policy> {
    if tenant.kind != TenantKind::B2c {
        return None;
    }
    let mut policies = tenant.policies.iter();
    policies.find(|policy| name.is_none_or(|name| policy.name.eq_ignore_ascii_case(name)))
}
