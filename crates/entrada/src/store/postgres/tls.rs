//! How the server is recognised, and how it recognises us.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::settings::TlsFiles;

/// Why a [`PostgresStore`](super::PostgresStore) could not be opened. Whether the server is there
/// plays no part in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenPostgresError {
    /// A file of certificates, or of a key, cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file holds no certificates, or no key.
    #[error("{} is no PEM file of {expected}", path.display())]
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
    #[error("cannot use the certificates or the key")]
    Tls(#[source] Box<dyn Error + Send + Sync>),
    /// The pool cannot be made.
    #[error("cannot make a pool of connections")]
    Pool(#[source] Box<dyn Error + Send + Sync>),
}

/// TLS that verifies the server's certificate and its name.
pub(super) fn verified(files: &TlsFiles) -> Result<MakeRustlsConnect, OpenPostgresError> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = if let Some(path) = &files.roots {
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
    let config = match &files.client {
        Some((certificate, key)) => builder
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(unusable)?,
        None => builder.with_no_client_auth(),
    };
    Ok(MakeRustlsConnect::new(config))
}

fn unusable(error: rustls::Error) -> OpenPostgresError {
    OpenPostgresError::Tls(error.into())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, OpenPostgresError> {
    let refused = |source: pem::Error| OpenPostgresError::Pem {
        path: path.to_owned(),
        expected: "certificates",
        source: source.into(),
    };
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(refused)?;
    if found.is_empty() {
        return Err(refused(pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, OpenPostgresError> {
    let key = PrivateKeyDer::from_pem_slice(&read(path)?);
    key.map_err(|source| OpenPostgresError::Pem {
        path: path.to_owned(),
        expected: "a key",
        source: source.into(),
    })
}

fn read(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, OpenPostgresError> {
    let read = std::fs::read(path).map_err(|source| OpenPostgresError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(zeroize::Zeroizing::new(read))
}
