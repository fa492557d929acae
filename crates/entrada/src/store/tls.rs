//! TLS to a store: whom it trusts, and what it shows.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use zeroize::Zeroizing;

/// The files that TLS goes by.
#[derive(Clone, Debug, Default)]
pub(super) struct TlsFiles {
    /// The authorities to trust; the system's if there is none.
    pub(super) authorities: Option<PathBuf>,
    /// A certificate to show, and its key.
    pub(super) client: Option<(PathBuf, PathBuf)>,
}

/// Why TLS to a store cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreTlsError {
    /// A file of certificates, or of a key, cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is not PEM, or holds something else.
    #[error("{} does not hold {expected} as PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The certificates or the key cannot be used.
    #[error("the certificates or the key cannot be used")]
    Unusable(#[source] Box<dyn Error + Send + Sync>),
}

impl TlsFiles {
    /// Reads the files. What comes of them verifies the server's certificate and its name.
    pub(super) fn read(&self) -> Result<ClientConfig, StoreTlsError> {
        let provider = Arc::new(default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = if let Some(path) = &self.authorities {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(unusable)?;
            }
            builder.with_root_certificates(roots)
        } else {
            let verifier = Verifier::new(provider).map_err(unusable)?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        };
        match &self.client {
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
                .map_err(unusable),
            None => Ok(builder.with_no_client_auth()),
        }
    }
}

fn unusable(error: rustls::Error) -> StoreTlsError {
    StoreTlsError::Unusable(error.into())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, StoreTlsError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = match found {
        Ok(found) if found.is_empty() => Err(pem::Error::NoItemsFound),
        found => found,
    };
    found.map_err(|source| not_pem(path, "certificates", source))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, StoreTlsError> {
    let key = PrivateKeyDer::from_pem_slice(&read(path)?);
    key.map_err(|source| not_pem(path, "a private key", source))
}

fn not_pem(path: &Path, expected: &'static str, source: pem::Error) -> StoreTlsError {
    StoreTlsError::Pem {
        path: path.to_owned(),
        expected,
        source: source.into(),
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, StoreTlsError> {
    let read = std::fs::read(path).map_err(|source| StoreTlsError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(Zeroizing::new(read))
}
