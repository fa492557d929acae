//! Why our app registration cannot prove itself.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::StatusCode;

use super::certificate::CertificateError;
use crate::platform::TransportError;

/// When to try again where nobody says.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why there is nothing to prove our app registration with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// None was given, and something is to be asked in our name all the same.
    #[error("there is none: give a client secret, or another credential")]
    Missing,
    /// The client secret is empty.
    #[error("the client secret is empty")]
    NoSecret,
    /// The client secret looks like the id of one.
    #[error("the client secret is the id of one; pass its value")]
    SecretId,
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is larger than what it should hold can be.
    #[error("{} is too large", .0.display())]
    TooLarge(PathBuf),
    /// A file holds no certificate that can be used.
    #[error("{} holds no certificate that can be used", path.display())]
    Certificate {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: CertificateError,
    },
    /// A file holds no token.
    #[error("{} holds no token", .0.display())]
    NoToken(PathBuf),
    /// The managed identity endpoint is no URL.
    #[error("the endpoint of the managed identity is no http url, or its header cannot be sent")]
    ManagedIdentityEndpoint,
    /// Nobody has said which audience the assertions of managed identities have in this cloud.
    #[error("the audience of assertions in this cloud is not known: say it (audience)")]
    NoAudience,
    /// There is nobody who gives tokens of a managed identity.
    #[error("the managed identity endpoint cannot be reached: does this run in azure?")]
    NoManagedIdentity(#[source] TransportError),
    /// The managed identity endpoint has no token now.
    #[error("the managed identity endpoint has no token now (http status {status})")]
    ManagedIdentityUnavailable {
        /// The status it answered with.
        status: StatusCode,
        /// How long it asked us to wait.
        retry_after: Duration,
    },
    /// The managed identity endpoint refuses.
    #[error(
        "the managed identity endpoint refuses (http status {0}): is the identity assigned to what \
         this runs on, and are its id and the audience right?"
    )]
    ManagedIdentityRefused(StatusCode),
    /// The answer of the managed identity endpoint is not one we understand.
    #[error("the managed identity endpoint's answer is not understood")]
    ManagedIdentityMalformed,
    /// It was asked for a moment ago, in vain.
    #[error("the managed identity endpoint gave no token a moment ago")]
    FailedBefore {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The provider of assertions has none.
    #[error("the assertion provider gives no assertion")]
    Provider(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl CredentialError {
    pub(super) fn unreadable(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::Unreadable { path, source }
    }

    /// When it may be otherwise with nobody doing anything; `None` if the configuration must be
    /// mended.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::ManagedIdentityUnavailable { retry_after, .. }
            | Self::FailedBefore { retry_after } => Some(*retry_after),
            // Files are replaced, machines start, providers have their own troubles.
            Self::Unreadable { .. }
            | Self::NoManagedIdentity(_)
            | Self::ManagedIdentityMalformed
            | Self::Provider(_) => Some(RETRY_AFTER),
            Self::Missing
            | Self::NoSecret
            | Self::SecretId
            | Self::TooLarge(_)
            | Self::Certificate { .. }
            | Self::NoToken(_)
            | Self::ManagedIdentityEndpoint
            | Self::NoAudience
            | Self::ManagedIdentityRefused(_) => None,
        }
    }
}
