//! Standing refusals: what a tenant's policies, or a user's state, hold against a grant.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::json;

use crate::calendar::round_trip;
use crate::error::Aadsts;
use crate::error::policy::PolicyError;

/// Why a user's grant gets no token, for as long as it is demanded.
///
/// Those of Conditional Access carry a claims challenge. An authorization request that repeats the
/// challenge meets the policy before the user comes back: on the page for the second factor, or on
/// an error page when the policy cannot be met in a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GrantRefusal {
    /// A second factor was not shown: `AADSTS50076`, `basic_action`, with a challenge.
    ///
    /// A grant of a sign-in that showed one is not refused.
    MfaRequired,
    /// The same as the documentation's sample has it: `AADSTS50079`, `interaction_required`, with a
    /// challenge that says `polids`.
    MfaEnrolmentRequired,
    /// The device is not compliant: `AADSTS53000`, with a challenge.
    DeviceNotCompliant,
    /// A policy blocks it: `AADSTS53003`, `message_only`, with a challenge.
    Blocked,
    /// Nobody consented: `AADSTS65001`, `consent_required`, without a challenge.
    ConsentRequired,
    /// The password changed, or the sessions were revoked, since: `AADSTS50173`.
    Revoked,
    /// The password has expired: `AADSTS50055`, `user_password_expired`.
    PasswordExpired,
    /// The account is disabled: `AADSTS50057`.
    UserDisabled,
}

/// A grant that stands before a refusal.
#[derive(Debug)]
pub(crate) struct Refused<'a> {
    /// Whether its sign-in showed a second factor.
    pub(crate) mfa: bool,
    pub(crate) issued_at: u64,
    pub(crate) client: (&'a str, &'a str),
    pub(crate) resource: &'a str,
    pub(crate) now: u64,
}

impl GrantRefusal {
    /// The policy its challenge names, if it is one of Conditional Access.
    fn policy(self) -> Option<&'static str> {
        match self {
            Self::MfaRequired | Self::MfaEnrolmentRequired => Some(MFA_POLICY),
            Self::DeviceNotCompliant => Some(DEVICE_POLICY),
            Self::Blocked => Some(BLOCKING_POLICY),
            Self::ConsentRequired | Self::Revoked | Self::PasswordExpired | Self::UserDisabled => {
                None
            }
        }
    }

    /// What an authorization request that names `policies` is told, in a browser.
    pub(crate) fn at_authorize(self, policies: &[String]) -> Option<Aadsts> {
        let policy = self.policy()?;
        if !policies.iter().any(|named| named == policy) {
            return None;
        }
        let claims = challenge("capolids", policy);
        match self {
            Self::DeviceNotCompliant => Some(PolicyError::DeviceNotCompliant { claims }.into()),
            Self::Blocked => Some(PolicyError::Blocked { claims }.into()),
            // Met on the page for the second factor.
            Self::MfaRequired | Self::MfaEnrolmentRequired => None,
            Self::ConsentRequired | Self::Revoked | Self::PasswordExpired | Self::UserDisabled => {
                None
            }
        }
    }

    fn check(self, grant: &Refused<'_>) -> Result<(), Aadsts> {
        let resource = || grant.resource.to_owned();
        Err(match self {
            Self::MfaRequired | Self::MfaEnrolmentRequired if grant.mfa => return Ok(()),
            Self::MfaRequired => mfa_required(resource()),
            Self::MfaEnrolmentRequired => PolicyError::MfaEnrolment {
                resource: resource(),
                claims: challenge("polids", MFA_POLICY),
            }
            .into(),
            Self::DeviceNotCompliant => PolicyError::DeviceNotCompliant {
                claims: challenge("capolids", DEVICE_POLICY),
            }
            .into(),
            Self::Blocked => PolicyError::Blocked {
                claims: challenge("capolids", BLOCKING_POLICY),
            }
            .into(),
            Self::ConsentRequired => Aadsts::ConsentRequired {
                client_id: grant.client.0.to_owned(),
                name: grant.client.1.to_owned(),
            },
            Self::Revoked => Aadsts::GrantRevoked {
                issued: round_trip(grant.issued_at),
                valid_from: round_trip(grant.now),
                claims: None,
            },
            Self::PasswordExpired => Aadsts::PasswordExpired,
            Self::UserDisabled => Aadsts::UserDisabled,
        })
    }
}

/// The refusals that stand, by the object id of the user.
#[derive(Debug, Default)]
pub(crate) struct Refusals(HashMap<String, GrantRefusal>);

impl Refusals {
    pub(crate) fn set(&mut self, oid: String, refusal: Option<GrantRefusal>) {
        match refusal {
            Some(refusal) => self.0.insert(oid, refusal),
            None => self.0.remove(&oid),
        };
    }

    pub(crate) fn of(&self, oid: &str) -> Option<GrantRefusal> {
        self.0.get(oid).copied()
    }

    pub(crate) fn check(&self, oid: &str, grant: &Refused<'_>) -> Result<(), Aadsts> {
        self.of(oid).map_or(Ok(()), |refusal| refusal.check(grant))
    }
}

/// What a policy says that wants a second factor.
pub(crate) fn mfa_required(resource: String) -> Aadsts {
    let claims = challenge("capolids", MFA_POLICY);
    PolicyError::Mfa { resource, claims }.into()
}

/// Whether the policy wants a second factor: the others want something no page can give.
pub(crate) fn wants_mfa(policy: &str) -> bool {
    ![DEVICE_POLICY, BLOCKING_POLICY].contains(&policy)
}

fn challenge(claim: &str, policy: &str) -> String {
    json!({"access_token": {claim: {"essential": true, "values": [policy]}}}).to_string()
}

const MFA_POLICY: &str = "70000000-0000-4000-8000-000000000001";
const DEVICE_POLICY: &str = "70000000-0000-4000-8000-000000000002";
const BLOCKING_POLICY: &str = "70000000-0000-4000-8000-000000000003";
