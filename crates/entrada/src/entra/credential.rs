//! How our app registration proves itself to Entra.
//!
//! A [`ClientCredential`] says what there is: a secret, a certificate, a token that somebody else
//! keeps in a file, a managed identity, or whatever gives assertions. The configuration is given
//! it, and checks it before anything is served. All but the secret may change while we run.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use http::Uri;
use url::form_urlencoded;

use super::cloud::Cloud;
use crate::jwt::verify::is_guid;
use crate::platform::{Platform, Timestamp};
use crate::secret::{ClientAssertion, ClientSecret};

mod certificate;
mod error;
mod federated;
mod file;
mod managed_identity;
mod variables;

pub use certificate::{CertificateError, CertificateFile};
pub use error::CredentialError;
pub use managed_identity::ManagedIdentity;

use certificate::CertificateProver;
use federated::TokenFile;
use managed_identity::IdentityProver;

/// A credential of the app registration. Cheap to clone.
///
/// ```
/// use entrada::AzureConfig;
/// use entrada::entra::credential::{CertificateFile, ClientCredential, ManagedIdentity};
///
/// # let config = || AzureConfig::new("contoso.com", "11111111-2222-3333-4444-555555555555", "https://h");
/// let secret = config().credential("the secret's value");
/// let certificate = config().credential(CertificateFile::new("/run/entrada.pfx").password("hush"));
/// let identity = config().credential(ManagedIdentity::imds().client_id("the identity's client id"));
/// let on_aks = config().credential(ClientCredential::federated_token_file(
///     "/var/run/secrets/azure/tokens/azure-identity-token",
/// ));
/// ```
#[derive(Clone, Debug)]
pub struct ClientCredential(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Secret(ClientSecret),
    Certificate(CertificateFile),
    FederatedTokenFile(PathBuf),
    ManagedIdentity(ManagedIdentity),
    Provider(Arc<dyn ClientAssertionProvider>),
}

impl ClientCredential {
    /// A client secret: its value, not its id.
    pub fn secret(secret: impl Into<String>) -> Self {
        Self(Kind::Secret(ClientSecret::new(secret)))
    }

    /// A certificate and its private key in a PEM file, or in a PFX file without a password.
    pub fn certificate_file(path: impl Into<PathBuf>) -> Self {
        Self::certificate(CertificateFile::new(path))
    }

    /// A certificate and its private key in a file.
    pub fn certificate(file: CertificateFile) -> Self {
        Self(Kind::Certificate(file))
    }

    /// A file with a token of an issuer that a federated credential of the app registration trusts,
    /// read at each use: what `AZURE_FEDERATED_TOKEN_FILE` names on AKS.
    pub fn federated_token_file(path: impl Into<PathBuf>) -> Self {
        Self(Kind::FederatedTokenFile(path.into()))
    }

    /// A managed identity that a federated credential of the app registration trusts.
    pub fn managed_identity(identity: ManagedIdentity) -> Self {
        Self(Kind::ManagedIdentity(identity))
    }

    /// Assertions from elsewhere: a key in a vault, another platform's workload identity.
    pub fn assertion_provider(provider: Arc<dyn ClientAssertionProvider>) -> Self {
        Self(Kind::Provider(provider))
    }

    /// Makes ready to use it in `cloud`: what is in files must be good now.
    ///
    /// # Errors
    ///
    /// [`CredentialError`]: it cannot be used.
    pub(crate) fn prover(
        &self,
        cloud: Cloud,
        now: Timestamp,
    ) -> Result<ClientProver, CredentialError> {
        match &self.0 {
            Kind::Secret(secret) => match secret.expose() {
                "" => Err(CredentialError::NoSecret),
                id if is_guid(id) => Err(CredentialError::SecretId),
                _ => Ok(ClientProver::Secret(secret.clone())),
            },
            Kind::Certificate(file) => CertificateProver::new(file.clone(), now)
                .map(|prover| ClientProver::Certificate(Arc::new(prover))),
            Kind::FederatedTokenFile(path) => {
                let file = TokenFile::new(path.clone());
                file.read()?;
                Ok(ClientProver::FederatedTokenFile(file))
            }
            Kind::ManagedIdentity(identity) => {
                let prover = IdentityProver::new(identity, cloud.federation_audience())?;
                Ok(ClientProver::ManagedIdentity(Arc::new(prover)))
            }
            Kind::Provider(provider) => Ok(ClientProver::Provider(Arc::clone(provider))),
        }
    }
}

impl From<String> for ClientCredential {
    fn from(secret: String) -> Self {
        Self::secret(secret)
    }
}

impl From<&str> for ClientCredential {
    fn from(secret: &str) -> Self {
        Self::secret(secret)
    }
}

impl From<CertificateFile> for ClientCredential {
    fn from(file: CertificateFile) -> Self {
        Self::certificate(file)
    }
}

impl From<ManagedIdentity> for ClientCredential {
    fn from(identity: ManagedIdentity) -> Self {
        Self::managed_identity(identity)
    }
}

/// Gives assertions of who our app registration is (RFC 7523 §2.2).
///
/// ```
/// use std::sync::Arc;
///
/// use async_trait::async_trait;
/// use entrada::entra::credential::{AssertionRequest, ClientAssertionProvider, ClientCredential};
/// use entrada::secret::ClientAssertion;
///
/// #[derive(Debug)]
/// struct Vault;
///
/// # async fn sign_in_the_vault(_client_id: &str, _audience: &str) -> Result<String, std::io::Error> {
/// #     Ok("header.claims.signature".to_owned())
/// # }
/// #[async_trait]
/// impl ClientAssertionProvider for Vault {
///     async fn assertion(
///         &self,
///         asked: AssertionRequest<'_>,
///     ) -> Result<ClientAssertion, Box<dyn std::error::Error + Send + Sync>> {
///         let audience = asked.token_endpoint.to_string();
///         let signed = sign_in_the_vault(asked.client_id, &audience).await?;
///         Ok(ClientAssertion::new(signed))
///     }
/// }
///
/// let credential = ClientCredential::assertion_provider(Arc::new(Vault));
/// ```
///
/// # Security
///
/// Whoever has an assertion is our app registration for as long as it is good: let it live for
/// minutes, and have its audience be the token endpoint or what the federated credential says. It is
/// asked for before every request to Entra's token endpoint and not kept here; it must bound how long
/// it takes. What its errors say is logged, and what its `Debug` shows may be.
#[async_trait]
pub trait ClientAssertionProvider: Debug + Send + Sync {
    /// An assertion that Entra will take for this request.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from giving one; the request is answered as if Entra were not available.
    async fn assertion(
        &self,
        asked: AssertionRequest<'_>,
    ) -> Result<ClientAssertion, Box<dyn std::error::Error + Send + Sync>>;
}

/// What an assertion is for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AssertionRequest<'a> {
    /// Our Application (client) ID: issuer and subject of what we sign ourselves.
    pub client_id: &'a str,
    /// Where the assertion is sent: the audience of what we sign ourselves.
    pub token_endpoint: &'a Uri,
    /// The time.
    pub now: Timestamp,
}

impl<'a> AssertionRequest<'a> {
    /// Asks for an assertion of `client_id` for `token_endpoint`, as tests of a provider do.
    pub const fn new(client_id: &'a str, token_endpoint: &'a Uri, now: Timestamp) -> Self {
        Self {
            client_id,
            token_endpoint,
            now,
        }
    }
}

/// A credential that was found good, and what it keeps from one use to the next.
#[derive(Clone, Debug)]
pub(crate) enum ClientProver {
    /// Nothing proves us, for nothing is asked in our name.
    Nothing,
    Secret(ClientSecret),
    Certificate(Arc<CertificateProver>),
    FederatedTokenFile(TokenFile),
    ManagedIdentity(Arc<IdentityProver>),
    Provider(Arc<dyn ClientAssertionProvider>),
}

/// What one token request carries to prove who sends it.
#[derive(Clone, Debug)]
pub(crate) enum ClientProof {
    /// A client secret (RFC 6749 §2.3.1).
    Secret(ClientSecret),
    /// A signed assertion (RFC 7523 §2.2).
    Assertion(ClientAssertion),
}

impl ClientProver {
    /// The proof for one request.
    ///
    /// # Errors
    ///
    /// [`CredentialError`]: it cannot be had.
    pub(crate) async fn proof(
        &self,
        asked: AssertionRequest<'_>,
        platform: &Platform,
    ) -> Result<ClientProof, CredentialError> {
        let assertion = match self {
            Self::Nothing => return Err(CredentialError::Missing),
            Self::Secret(secret) => return Ok(ClientProof::Secret(secret.clone())),
            Self::Certificate(prover) => prover.assertion(asked, &*platform.random).await?,
            Self::FederatedTokenFile(file) => file.assertion().await?,
            Self::ManagedIdentity(prover) => prover.assertion(platform, asked.now).await?,
            Self::Provider(provider) => {
                let given = provider.assertion(asked).await;
                given.map_err(CredentialError::Provider)?
            }
        };
        Ok(ClientProof::Assertion(assertion))
    }
}

impl ClientProof {
    /// Adds the proof to a token request.
    ///
    /// In the body rather than in `Authorization`, where secrets with reserved characters are
    /// read differently by different servers (RFC 6749 §2.3.1).
    pub(super) fn append_to(&self, form: &mut form_urlencoded::Serializer<'_, String>) {
        match self {
            Self::Secret(secret) => form.append_pair("client_secret", secret.expose()),
            Self::Assertion(assertion) => form
                .append_pair(
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                )
                .append_pair("client_assertion", assertion.expose()),
        };
    }
}
