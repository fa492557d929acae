//! TLS to Redis: whom it trusts, and what it shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use super::settings::OpenRedisError;

/// The files that TLS to Redis goes by.
#[derive(Clone, Debug)]
pub(super) struct TlsFiles {
    /// The authorities to trust; the system's if there is none.
    pub(super) ca: Option<PathBuf>,
    /// A certificate to show, and its key.
    pub(super) client: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// Reads the files.
    pub(super) fn connector(&self) -> Result<TlsConnector, OpenRedisError> {
        let unusable = |error: rustls::Error| OpenRedisError::Tls(error.into());
        let provider = Arc::new(default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = if let Some(path) = &self.ca {
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
        let config = match &self.client {
            Some((certificate, key)) => {
                let (certificate, key) = (certificates(certificate)?, private_key(key)?);
                let shown = builder.with_client_auth_cert(certificate, key);
                shown.map_err(unusable)?
            }
            None => builder.with_no_client_auth(),
        };
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, OpenRedisError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = match found {
        Ok(found) if found.is_empty() => Err(pem::Error::NoItemsFound),
        found => found,
    };
    found.map_err(|source| OpenRedisError::NotPem {
        path: path.to_owned(),
        expected: "certificates",
        source: source.into(),
    })
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, OpenRedisError> {
    let pem = zeroize::Zeroizing::new(read(path)?);
    PrivateKeyDer::from_pem_slice(&pem).map_err(|source| OpenRedisError::NotPem {
        path: path.to_owned(),
        expected: "a private key",
        source: source.into(),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, OpenRedisError> {
    fs::read(path).map_err(|source| OpenRedisError::Unreadable {
        path: path.to_owned(),
        source,
    })
}
