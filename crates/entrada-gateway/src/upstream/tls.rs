//! How connections to the MCP server are made.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_platform_verifier::Verifier;

use crate::upstream::dial::{Connector, Dial, InTime};
use crate::upstream::place::Place;
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
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    File {
        /// What names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is not PEM, or has nothing of what it is to hold.
    #[error("{path} is no PEM with {what}")]
    NotPem {
        /// What names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What it is to hold.
        what: &'static str,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// A certificate of an authority cannot be used.
    #[error("{path} holds what is no authority")]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The certificate that we show, or its key, cannot be used.
    #[error("{path} cannot be used with its key")]
    Identity {
        /// The file of the certificate.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The certificate authorities cannot be used.
    #[error("the certificate authorities cannot be used")]
    Tls(#[from] rustls::Error),
}

impl UpstreamError {
    /// The setting to look at, where it is one that names a file.
    pub const fn setting(&self) -> Option<&'static str> {
        match self {
            Self::File { setting, .. } | Self::NotPem { setting, .. } => Some(setting),
            Self::Authority { .. } => Some("upstream_ca_file"),
            Self::Identity { .. } => Some("upstream_certificate"),
            Self::Resource | Self::Url(_) | Self::Tls(_) => None,
        }
    }
}

/// How an MCP server and we prove to each other who we are.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TlsSettings {
    /// The only certificate authorities that are trusted, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate that is shown, and its private key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl TlsSettings {
    /// Why the files cannot be used: each that is not as it must be.
    pub(crate) fn mistakes(&self) -> Vec<UpstreamError> {
        let authorities = self.ca_file.as_deref().map(|path| only(path).map(drop));
        let identity = self.identity.as_ref();
        let identity = identity.map_or_else(Vec::new, |(certificate, key)| {
            let chain = certificates("upstream_certificate", certificate);
            match (chain, private_key("upstream_key", key)) {
                (Ok(chain), Ok(key)) => vec![fits(certificate, chain, key)],
                (chain, key) => vec![chain.map(drop), key.map(drop)],
            }
        });
        let looked_at = authorities.into_iter().chain(identity);
        looked_at.filter_map(Result::err).collect()
    }
}

/// Whether `chain`, read from `certificate`, can be shown with `key`.
fn fits(
    certificate: &Path,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<(), UpstreamError> {
    let builder = builder()?.with_root_certificates(RootCertStore::empty());
    let config = builder.with_client_auth_cert(chain, key);
    config
        .map(drop)
        .map_err(|source| unusable(certificate, source))
}

/// TLS as `settings` say, where `is_needed`; where they name no authorities, with the system's and those
/// in `added`.
pub(super) fn client_config(
    settings: &TlsSettings,
    added: Option<&Path>,
    is_needed: bool,
) -> Result<ClientConfig, UpstreamError> {
    let builder = builder()?;
    if !is_needed {
        // The system's authorities take longer to load than all the rest.
        let builder = builder.with_root_certificates(RootCertStore::empty());
        return Ok(builder.with_no_client_auth());
    }
    let builder = if let Some(path) = &settings.ca_file {
        builder.with_root_certificates(only(path)?)
    } else {
        let added = added.map(|path| certificates("ca_file", path));
        let added = added.transpose()?.unwrap_or_default();
        let verifier = Verifier::new_with_extra_roots(added, Arc::new(default_provider()))?;
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
    };
    let Some((certificate, key)) = &settings.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates("upstream_certificate", certificate)?;
    let config = builder.with_client_auth_cert(chain, private_key("upstream_key", key)?);
    config.map_err(|source| unusable(certificate, source))
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, UpstreamError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    Ok(builder.with_safe_default_protocol_versions()?)
}

fn unusable(certificate: &Path, source: rustls::Error) -> UpstreamError {
    UpstreamError::Identity {
        path: certificate.to_owned(),
        source,
    }
}

/// What opens connections to `place`; over HTTP/2 where that is wanted and offered (RFC 7301).
pub(super) fn connector(place: &Place, tls: ClientConfig, http2: bool) -> Connector {
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1();
    let dial = dial(place);
    InTime(if http2 {
        builder.enable_http2().wrap_connector(dial)
    } else {
        builder.wrap_connector(dial)
    })
}

fn dial(place: &Place) -> Dial {
    #[cfg(unix)]
    if let Some(socket) = &place.socket {
        return Dial::Unix(Arc::from(socket.as_path()));
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    Dial::Tcp(tcp)
}

/// The authorities in the file at `path`, and no others.
fn only(path: &Path) -> Result<RootCertStore, UpstreamError> {
    let mut authorities = RootCertStore::empty();
    for certificate in certificates("upstream_ca_file", path)? {
        let added = authorities.add(certificate);
        added.map_err(|source| UpstreamError::Authority {
            path: path.to_owned(),
            source,
        })?;
    }
    Ok(authorities)
}

/// All certificates in the file at `path`, of which there is one at least.
fn certificates(
    setting: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
    let pem = read(setting, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.and_then(|found| match &*found {
        [] => Err(pem::Error::NoItemsFound),
        _ => Ok(found),
    });
    found.map_err(|source| UpstreamError::NotPem {
        setting,
        path: path.to_owned(),
        what: "certificates",
        source,
    })
}

fn private_key(
    setting: &'static str,
    path: &Path,
) -> Result<PrivateKeyDer<'static>, UpstreamError> {
    let pem = read(setting, path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|source| UpstreamError::NotPem {
        setting,
        path: path.to_owned(),
        what: "a private key",
        source,
    })
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, UpstreamError> {
    std::fs::read(path).map_err(|source| UpstreamError::File {
        setting,
        path: path.to_owned(),
        source,
    })
}

/// How long one over TCP may take, to all addresses together: within [`InTime`], so that a slow name leaves
/// time for them.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
