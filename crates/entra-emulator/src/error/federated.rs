//! Why a token of somebody else's does not prove who the client is.

/// A federated identity credential that does not match.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FederatedError {
    #[error(
        "No matching federated identity record found for presented assertion. Assertion Issuer: '{issuer}'. Assertion Subject: '{subject}'. Assertion Audience: '{audience}'. https://docs.microsoft.com/en-us/azure/active-directory/develop/workload-identity-federation"
    )]
    NoRecord {
        issuer: String,
        subject: String,
        audience: String,
    },
    #[error(
        "No matching federated identity record found for presented assertion issuer '{0}'. Please check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
    )]
    Issuer(String),
    #[error(
        "No matching federated identity record found for presented assertion audience '{0}'. Please check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
    )]
    Audience(String),
    #[error(
        "No matching federated identity record found for presented assertion subject '{0}'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
    )]
    Subject(String),
    #[error(
        "No matching federated identity record found for presented assertion subject '{0}'. The subject matches with case-insensitive comparison, but not with case-sensitive comparison. Check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
    )]
    SubjectCapitals(String),
    #[error(
        "Only app-only tokens can be used as Federated Identity Credentials for Microsoft Entra issuer."
    )]
    NotAppOnly,
}

impl FederatedError {
    pub(super) fn code(&self) -> u32 {
        match self {
            Self::NoRecord { .. } => 70_021,
            Self::Issuer(_) => 700_211,
            Self::Audience(_) => 700_212,
            Self::Subject(_) => 700_213,
            Self::SubjectCapitals(_) => 7_002_138,
            Self::NotAppOnly => 700_229,
        }
    }
}
