//! How connections to the MCP server are made.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use url::Url;

use crate::upstream::target::TargetError;

/// The way to the MCP server cannot be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// What it stands behind is no URL.
    #[error("the protected resource is no URL")]
    Resource,
    /// The URL has no host.
    #[error("upstream: {0}")]
    Url(#[from] TargetError),
    /// The file of certificate authorities cannot be read.
    #[error("ca_file: {path} cannot be read")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file of certificate authorities is not PEM.
    #[error("ca_file: {path} is not PEM")]
    NotPem {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The certificate authorities cannot be used.
    #[error("the certificate authorities cannot be used")]
    Tls(#[from] rustls::Error),
}

/// A connector for `url`, that trusts the system's authorities and those in `ca_file`.
pub(super) fn connector(
    url: &Url,
    ca_file: Option<&Path>,
) -> Result<HttpsConnector<HttpConnector>, UpstreamError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?;
    let builder = if url.scheme() == "https" {
        let added = ca_file.map(authorities).transpose()?.unwrap_or_default();
        let verifier = Verifier::new_with_extra_roots(added, Arc::new(default_provider()))?;
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
    } else {
        // The system's authorities take longer to load than all the rest.
        builder.with_root_certificates(RootCertStore::empty())
    };
    // HTTP/1.1 alone: HTTP/2 has no `Host` beside the target, so there would be none to preserve.
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(builder.with_no_client_auth())
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp))
}

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
    let pem = std::fs::read(path).map_err(|source| UpstreamError::CaFile {
        path: path.to_owned(),
        source,
    })?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    found.map_err(|source| UpstreamError::NotPem {
        path: path.to_owned(),
        source,
    })
}

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
