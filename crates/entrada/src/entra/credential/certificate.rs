//! Certificates: the app registration knows ours, and we sign with its key (Microsoft, *certificate
//! credentials*).

use std::path::PathBuf;

use super::error::CredentialError;
use super::file;
use crate::platform::Timestamp;
use crate::secret::CertificatePassword;

mod der;
mod key;
mod pem;
mod pfx;
mod prover;
mod x509;

use key::{CertifiedKey, Chain};
pub(crate) use prover::CertificateProver;

/// A file with a certificate and its private key: PEM, or PFX (PKCS #12).
///
/// In PEM the key is RSA in PKCS#8, encrypted or not, or in PKCS#1; further certificates are those
/// above ours. PFX files must be encrypted with AES, as OpenSSL 3 and Windows' `AES256_SHA256` do;
/// `openssl pkcs12 -legacy -in old.pfx -nodes -out new.pem` makes PEM of the others.
///
/// The file is looked at every few seconds, when it is needed: a new certificate that is put in its
/// place is used at once. One that cannot be used leaves the old one in use, and is logged.
#[derive(Clone, Debug)]
pub struct CertificateFile {
    path: PathBuf,
    password: Option<CertificatePassword>,
    chain: Chain,
}

impl CertificateFile {
    /// The file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            password: None,
            chain: Chain::default(),
        }
    }

    /// The password of a PFX file, or of an encrypted key in a PEM file.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(CertificatePassword::new(password));
        self
    }

    /// Sends the certificate and those above it with each assertion (`x5c`), for app registrations
    /// that trust a subject name and its issuer rather than one certificate.
    #[must_use]
    pub fn send_certificate_chain(mut self) -> Self {
        self.chain = Chain::Sent;
        self
    }

    /// Reads `bytes` as if they were in the file.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] says why they could not be used.
    #[cfg(feature = "test-util")]
    pub fn read_bytes(&self, bytes: &[u8]) -> Result<(), CertificateError> {
        CertifiedKey::read(bytes, self.password.as_ref()).map(drop)
    }

    /// Reads the file as it is now.
    fn load(&self, now: Timestamp) -> Result<CertifiedKey, CredentialError> {
        let bytes = file::read(&self.path)?;
        let key = CertifiedKey::read(&bytes, self.password.as_ref());
        let key = key.map_err(|error| self.error(error))?;
        self.outlives(&key, now)?;
        Ok(key)
    }

    fn outlives(&self, key: &CertifiedKey, now: Timestamp) -> Result<(), CredentialError> {
        if now <= key.not_after() {
            return Ok(());
        }
        Err(self.error(CertificateError::Expired))
    }

    fn error(&self, source: CertificateError) -> CredentialError {
        let path = self.path.clone();
        CredentialError::Certificate { path, source }
    }
}

/// Why a file holds no certificate that can be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It is neither PEM nor PFX.
    #[error("neither a PEM nor a PFX file, or damaged")]
    Malformed,
    /// There is no certificate in it.
    #[error("no certificate in it")]
    NoCertificate,
    /// There is no private key in it.
    #[error("no private key in it")]
    NoKey,
    /// There is more than one private key in it.
    #[error("more than one private key in it")]
    ManyKeys,
    /// The key is none Entra takes.
    #[error("the private key is not RSA of 2048 bits or more")]
    NotRsa,
    /// No certificate in it is for the key.
    #[error("no certificate in it is for its private key")]
    AnotherKey,
    /// The password is missing.
    #[error("encrypted: give its password")]
    NoPassword,
    /// The password is another.
    #[error("the password is wrong")]
    WrongPassword,
    /// It is encrypted in a way we do not know.
    #[error(
        "not encrypted with AES and PBKDF2: convert it, openssl pkcs12 -legacy -in old.pfx -nodes \
         -out new.pem"
    )]
    Encryption,
    /// It has expired.
    #[error("the certificate has expired")]
    Expired,
    /// The crypto library failed.
    #[error("signing failed")]
    Signing,
}
