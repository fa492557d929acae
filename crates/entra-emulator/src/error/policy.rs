//! What Conditional Access says.

/// A policy that is not met. Each carries the challenge that names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error(
        "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access '{resource}'."
    )]
    Mfa { resource: String, claims: String },
    #[error(
        "Due to a configuration change made by your administrator, or because you moved to a new location, you must enroll in multi-factor authentication to access '{resource}'."
    )]
    MfaEnrolment { resource: String, claims: String },
    #[error(
        "Device is not in required device state: compliant. Conditional Access policy requires a compliant device, and the device is not compliant. The user must enroll their device with an approved MDM provider like Intune."
    )]
    DeviceNotCompliant { claims: String },
    #[error(
        "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance."
    )]
    Blocked { claims: String },
}

impl PolicyError {
    pub(super) fn facts(&self) -> (u32, &'static str) {
        match self {
            Self::Mfa { .. } => (50_076, "invalid_grant"),
            Self::MfaEnrolment { .. } => (50_079, "interaction_required"),
            Self::DeviceNotCompliant { .. } => (53_000, "invalid_grant"),
            Self::Blocked { .. } => (53_003, "invalid_grant"),
        }
    }

    pub(super) fn claims(&self) -> &str {
        match self {
            Self::Mfa { claims, .. }
            | Self::MfaEnrolment { claims, .. }
            | Self::DeviceNotCompliant { claims }
            | Self::Blocked { claims } => claims,
        }
    }
}
