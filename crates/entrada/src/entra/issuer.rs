//! Who may have issued a token, and whose keys may have signed it. Pure.
//!
//! Tokens of every tenant are signed with the same keys, so an issuer that is not held against
//! the token's own tenant, and a key that is not held against its own issuer, let one tenant's
//! users in as another's (Microsoft, *access tokens*, validate the issuer).

use crate::access_token::{Claimed, PERSONAL_ACCOUNTS, VerifyError};
use crate::jwt::verify::is_guid;

mod naming;

pub(crate) use naming::IssuerTemplate;
use naming::{PLACEHOLDER, b2c_tenant, external_tenant};

/// Who may have issued a token.
#[derive(Clone, Debug)]
pub(crate) enum IssuerRules {
    /// Entra ID: a tenant of an organisation, or that of personal accounts.
    EntraId(EntraIdIssuers),
    /// Entra External ID: the issuer that the tenant's own metadata names.
    ExternalId,
    /// Azure AD B2C: the issuer that the metadata of the user flow names.
    B2c {
        /// The user flow or custom policy.
        policy: String,
    },
}

/// The issuers of Entra ID in one cloud.
#[derive(Clone, Debug)]
pub(crate) struct EntraIdIssuers {
    pub(crate) v2: IssuerTemplate,
    /// Where v1.0 tokens are known to come from.
    pub(crate) v1: Option<IssuerTemplate>,
    pub(crate) tenants: Tenants,
}

/// Whose users are let in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Tenants {
    /// The one tenant whose keys are asked for.
    Own(String),
    /// The one behind a domain, which the metadata names.
    Discovered,
    /// Some of all.
    Listed(Vec<String>),
    /// Those of organisations.
    Organizations,
    /// Every tenant, and personal accounts.
    Everybody,
}

/// What the metadata of an authority says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Discovered {
    pub(super) issuer: String,
    pub(super) tenant_id: String,
}

/// What a token says of its origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    /// `iss`
    pub(super) issuer: &'a str,
    /// `tid`
    pub(super) tenant_id: Option<&'a str>,
    /// `ver`
    pub(super) version: Option<&'a str>,
    /// `tfp`, or `acr` where that is missing
    pub(super) policy: Option<&'a str>,
}

impl IssuerRules {
    /// The tenant of a token that says `said` and was signed with a key of `key_issuer`.
    ///
    /// # Errors
    ///
    /// [`VerifyError`], the first rule that is broken.
    pub(super) fn admit(
        &self,
        said: Said<'_>,
        key_issuer: Option<&str>,
        discovered: Option<&Discovered>,
    ) -> Result<String, VerifyError> {
        let known = |discovered: Option<&Discovered>| {
            let missing = "the authority's metadata is not known";
            discovered
                .cloned()
                .ok_or_else(|| VerifyError::Unavailable(missing.into()))
        };
        match self {
            Self::EntraId(issuers) => issuers.admit(said, key_issuer, discovered),
            Self::ExternalId => {
                said.is_of_version("2.0")?;
                said.is_from(known(discovered)?, key_issuer)
            }
            Self::B2c { policy } => {
                said.is_of_version("1.0")?;
                let tenant_id = said.is_from(known(discovered)?, key_issuer)?;
                // Names of user flows fold case.
                if said
                    .policy
                    .is_some_and(|said| said.eq_ignore_ascii_case(policy))
                {
                    Ok(tenant_id)
                } else {
                    Err(VerifyError::UserFlow {
                        expected: policy.clone(),
                        got: Claimed::or_nothing(said.policy),
                    })
                }
            }
        }
    }

    /// Whether the metadata must be read before a token can be judged.
    pub(super) fn need_discovery(&self) -> bool {
        match self {
            Self::EntraId(issuers) => issuers.tenants == Tenants::Discovered,
            Self::ExternalId | Self::B2c { .. } => true,
        }
    }

    /// Whether `issuer` looks like one of these, for choosing among several verifiers.
    pub(super) fn may_issue(&self, issuer: &str, discovered: Option<&Discovered>) -> bool {
        match self {
            Self::EntraId(issuers) => issuers.may_issue(issuer),
            Self::ExternalId | Self::B2c { .. } => {
                discovered.is_none_or(|discovered| discovered.issuer == issuer)
            }
        }
    }

    /// What the metadata says, if it says what metadata of its kind says: it decides whom tokens
    /// are believed from.
    pub(super) fn read_metadata(&self, issuer: &str) -> Option<Discovered> {
        let tenant_id = match self {
            Self::EntraId(issuers) => issuers.v2.tenant_of(issuer).map(str::to_owned),
            Self::ExternalId => external_tenant(issuer),
            Self::B2c { .. } => b2c_tenant(issuer),
        };
        let tenant_id = tenant_id.filter(|id| is_guid(id))?;
        Some(Discovered {
            issuer: issuer.to_owned(),
            tenant_id,
        })
    }
}

impl EntraIdIssuers {
    fn admit(
        &self,
        said: Said<'_>,
        key_issuer: Option<&str>,
        discovered: Option<&Discovered>,
    ) -> Result<String, VerifyError> {
        let tenant_id = said.tenant_id.filter(|id| is_guid(id));
        let tenant_id = tenant_id.ok_or_else(|| VerifyError::Tenant {
            expected: "a tenant id".to_owned(),
            got: Claimed::or_nothing(said.tenant_id),
        })?;
        let template = self.of_version(said.version)?;
        if template.tenant_of(said.issuer) != Some(tenant_id) {
            return Err(VerifyError::Issuer {
                expected: template.of(tenant_id),
                got: Claimed::new(said.issuer),
            });
        }
        self.tenants.admit(tenant_id, discovered)?;
        self.admit_key(tenant_id, key_issuer)?;
        Ok(tenant_id.to_owned())
    }

    fn of_version(&self, version: Option<&str>) -> Result<&IssuerTemplate, VerifyError> {
        let template = match version {
            Some("2.0") => Some(&self.v2),
            Some("1.0") => self.v1.as_ref(),
            Some(_) | None => None,
        };
        template.ok_or_else(|| VerifyError::Version {
            expected: if self.v1.is_some() {
                "1.0 or 2.0"
            } else {
                "2.0"
            }
            .to_owned(),
            got: Claimed::or_nothing(version),
        })
    }

    /// Keys name the issuer of v2.0 tokens, which those of v1.0 share: a key for personal accounts
    /// must not vouch for an organisation's user. Where all tenants share a key document, a key
    /// that names nobody is nobody's.
    fn admit_key(&self, tenant_id: &str, key_issuer: Option<&str>) -> Result<(), VerifyError> {
        let fits = match key_issuer {
            Some(issuer) => self
                .v2
                .tenant_of(issuer)
                .is_some_and(|tenant| tenant == PLACEHOLDER || tenant == tenant_id),
            None => matches!(self.tenants, Tenants::Own(_) | Tenants::Discovered),
        };
        if fits {
            Ok(())
        } else {
            Err(VerifyError::KeyIssuer {
                expected: self.v2.of(tenant_id),
                got: Claimed::or_nothing(key_issuer),
            })
        }
    }

    fn may_issue(&self, issuer: &str) -> bool {
        let templates = std::iter::once(&self.v2).chain(&self.v1);
        let mut tenants = templates.filter_map(|template| template.tenant_of(issuer));
        tenants.any(|tenant| match &self.tenants {
            Tenants::Own(own) => own.eq_ignore_ascii_case(tenant),
            Tenants::Listed(listed) => listed.iter().any(|one| one.eq_ignore_ascii_case(tenant)),
            Tenants::Discovered | Tenants::Organizations | Tenants::Everybody => is_guid(tenant),
        })
    }
}

impl Tenants {
    fn admit(&self, tenant_id: &str, discovered: Option<&Discovered>) -> Result<(), VerifyError> {
        let is = |other: &str| other.eq_ignore_ascii_case(tenant_id);
        let (admitted, expected) = match self {
            Self::Own(own) => (is(own), own.clone()),
            Self::Discovered => {
                let own = discovered.map(|known| known.tenant_id.as_str());
                let missing = "the authority's metadata is not known";
                let own = own.ok_or_else(|| VerifyError::Unavailable(missing.into()))?;
                (is(own), own.to_owned())
            }
            Self::Listed(listed) => (listed.iter().any(|one| is(one)), listed.join(" or ")),
            Self::Organizations => {
                let personal = is(PERSONAL_ACCOUNTS);
                (!personal, "an organisation's".to_owned())
            }
            Self::Everybody => (true, String::new()),
        };
        if admitted {
            Ok(())
        } else {
            Err(VerifyError::Tenant {
                expected,
                got: Claimed::new(tenant_id),
            })
        }
    }
}

impl Said<'_> {
    fn is_of_version(&self, version: &str) -> Result<(), VerifyError> {
        if self.version == Some(version) {
            Ok(())
        } else {
            Err(VerifyError::Version {
                expected: version.to_owned(),
                got: Claimed::or_nothing(self.version),
            })
        }
    }

    /// The tenant, if the token is from the issuer that was discovered.
    fn is_from(
        &self,
        discovered: Discovered,
        key_issuer: Option<&str>,
    ) -> Result<String, VerifyError> {
        let Discovered { issuer, tenant_id } = discovered;
        if self.issuer != issuer {
            return Err(VerifyError::Issuer {
                expected: issuer,
                got: Claimed::new(self.issuer),
            });
        }
        if self.tenant_id.is_some_and(|said| said != tenant_id) {
            return Err(VerifyError::Tenant {
                expected: tenant_id,
                got: Claimed::or_nothing(self.tenant_id),
            });
        }
        if key_issuer.is_some_and(|key_issuer| key_issuer != issuer) {
            return Err(VerifyError::KeyIssuer {
                expected: issuer,
                got: Claimed::or_nothing(key_issuer),
            });
        }
        Ok(tenant_id)
    }
}

#[cfg(test)]
mod tests;
