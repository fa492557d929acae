//! TLS on the gateway's own listener: its certificate, and taking over a new one.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCertUsingSni};
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, ServerConfig};

mod challenges;
mod expiry;
mod leaf;

pub use challenges::{Answer, Challenges};
pub(crate) use expiry::Expiry;
pub use leaf::{Leaf, Validity};

/// What is spoken inside, what we would rather speak first (RFC 7301 §6; RFC 9113 §3.2).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where a certificate and its key are.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CertificateFiles {
    /// The certificate, then those that lead to an authority (PEM).
    pub certificate: PathBuf,
    /// The key of the certificate (PEM).
    pub key: PathBuf,
}

/// Why files are no certificate and its key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Which setting names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no PEM of that kind in a file.
    #[error("there is no {what} in {}", path.display())]
    NotPem {
        /// Which setting names it.
        setting: &'static str,
        /// What is not there.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The key is another's.
    #[error(
        "the key in {} is not that of the first certificate in {}",
        .0.key.display(),
        .0.certificate.display()
    )]
    Mismatch(CertificateFiles),
    /// They are there, and cannot be used.
    #[error(
        "{} and the key in {} cannot be used",
        files.certificate.display(),
        files.key.display()
    )]
    Unusable {
        /// The files.
        files: CertificateFiles,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

impl TlsError {
    /// The setting to look at.
    pub const fn setting(&self) -> &'static str {
        match self {
            Self::Unreadable { setting, .. } | Self::NotPem { setting, .. } => setting,
            Self::Mismatch(_) => KEY,
            Self::Unusable { .. } => CERTIFICATE,
        }
    }
}

/// The name of the setting with the certificate.
pub(crate) const CERTIFICATE: &str = "tls_certificate";
/// The name of the setting with its key.
pub(crate) const KEY: &str = "tls_key";

impl CertificateFiles {
    /// The certificate in `certificate`, with its key in `key`.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
        }
    }

    /// Why they cannot be used: each that is not as it must be.
    pub(crate) fn mistakes(&self) -> Vec<TlsError> {
        let certificate = read(CERTIFICATE, &self.certificate);
        let chain = certificate.and_then(|pem| chain(&self.certificate, &pem));
        let key = read(KEY, &self.key).and_then(|pem| private_key(&self.key, &pem));
        let looked_at = match (chain, key) {
            (Ok(chain), Ok(key)) => vec![settings(self, chain, key).map(drop)],
            (chain, key) => vec![chain.map(drop), key.map(drop)],
        };
        looked_at.into_iter().filter_map(Result::err).collect()
    }

    fn read(&self) -> Result<Content, TlsError> {
        Ok(Content {
            certificate: read(CERTIFICATE, &self.certificate)?,
            key: read(KEY, &self.key)?,
        })
    }
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Unreadable {
        setting,
        path: path.to_owned(),
        source,
    })
}

/// What the files hold.
struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Content {
    /// What tells it from other content: no digest, for nobody gains from two that are alike.
    fn print(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.certificate, &self.key).hash(&mut hasher);
        hasher.finish()
    }

    /// From when until when it is good, where that can be read.
    fn validity(&self) -> Option<Validity> {
        let first = CertificateDer::from_pem_slice(&self.certificate).ok()?;
        Leaf::read(&first).map(|leaf| leaf.validity)
    }

    fn settings(&self, files: &CertificateFiles) -> Result<ServerConfig, TlsError> {
        let chain = chain(&files.certificate, &self.certificate)?;
        settings(files, chain, private_key(&files.key, &self.key)?)
    }
}

/// The certificates in `pem`, the content of the file at `path`.
fn chain(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.and_then(|chain| {
        if chain.is_empty() {
            return Err(pem::Error::NoItemsFound);
        }
        Ok(chain)
    });
    chain.map_err(|source| TlsError::NotPem {
        setting: CERTIFICATE,
        what: "certificate",
        path: path.to_owned(),
        source,
    })
}

/// The key in `pem`, the content of the file at `path`.
fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|source| TlsError::NotPem {
        setting: KEY,
        what: "private key that is not encrypted",
        path: path.to_owned(),
        source,
    })
}

/// What a handshake is to go by, with what is in `files`.
fn settings(
    files: &CertificateFiles,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12]);
    let settings =
        builder.and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut settings = settings.map_err(|source| {
        let files = files.clone();
        if source == rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
            TlsError::Mismatch(files)
        } else {
            TlsError::Unusable { files, source }
        }
    })?;
    settings.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(settings)
}

/// The certificate that new connections are shown. Clones are one: what one renews, all have.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: CertificateFiles,
    state: RwLock<State>,
    challenges: Challenges,
}

#[derive(Debug)]
struct State {
    settings: Arc<ServerConfig>,
    /// Of the content of the files; none where there is no certificate yet.
    print: Option<u64>,
    /// From when until when it is good.
    validity: Option<Validity>,
    /// Why what is in the files was not taken, as it was told.
    refused: Option<String>,
}

/// What came of looking at the files again.
#[derive(Debug)]
#[non_exhaustive]
pub enum Renewal {
    /// They are as they were, good or bad.
    Unchanged,
    /// New connections get what is in them now.
    Renewed,
    /// What is in them cannot be used: what was shown before still is.
    Refused(TlsError),
}

impl Certificates {
    /// Reads `files`.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if they cannot be used.
    pub fn open(files: CertificateFiles) -> Result<Self, TlsError> {
        let content = files.read()?;
        let state = State {
            settings: Arc::new(content.settings(&files)?),
            print: Some(content.print()),
            validity: content.validity(),
            refused: None,
        };
        Ok(Self::holding(files, state))
    }

    /// Refuses every handshake until there is something in `files`, which is not looked at yet.
    ///
    /// # Errors
    ///
    /// [`rustls::Error`] where nothing could be spoken with a certificate, either.
    pub fn awaiting(files: CertificateFiles) -> Result<Self, rustls::Error> {
        let settings = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        let state = State {
            settings: Arc::new(settings),
            print: None,
            validity: None,
            refused: None,
        };
        Ok(Self::holding(files, state))
    }

    fn holding(files: CertificateFiles, state: State) -> Self {
        Self(Arc::new(Inner {
            files,
            state: RwLock::new(state),
            challenges: Challenges::default(),
        }))
    }

    /// Reads the files again. Sessions of before are not resumed with a new certificate.
    pub fn renew(&self) -> Renewal {
        let Inner { files, state, .. } = &*self.0;
        let read = files.read().map(|content| (content.print(), content));
        let mut state = state.write().unwrap_or_else(PoisonError::into_inner);
        let renewed = read.and_then(|(print, content)| {
            if state.print == Some(print) {
                return Ok(None);
            }
            let settings = content.settings(files)?;
            Ok(Some((settings, print, content.validity())))
        });
        match renewed {
            Ok(renewed) => {
                state.refused = None;
                let Some((settings, print, validity)) = renewed else {
                    return Renewal::Unchanged;
                };
                (state.settings, state.print) = (Arc::new(settings), Some(print));
                state.validity = validity;
                Renewal::Renewed
            }
            Err(error) => {
                let told = Some(error.to_string());
                if state.refused == told {
                    return Renewal::Unchanged;
                }
                state.refused = told;
                Renewal::Refused(error)
            }
        }
    }

    /// What the first certificate of `chain` says of itself, if `key` is its key (both PEM).
    #[cfg(feature = "acme")]
    pub(crate) fn leaf_of(chain: &str, key: &str) -> Option<Leaf> {
        let content = Content {
            certificate: chain.as_bytes().to_vec(),
            key: key.as_bytes().to_vec(),
        };
        content.settings(&CertificateFiles::new("", "")).ok()?;
        let first = CertificateDer::from_pem_slice(&content.certificate).ok()?;
        Leaf::read(&first)
    }

    /// Whether there is one.
    pub fn are_there(&self) -> bool {
        self.state().print.is_some()
    }

    /// From when until when the one that is shown is good, where there is one that says so.
    pub fn validity(&self) -> Option<Validity> {
        self.state().validity
    }

    /// Where answers to an authority are put, while it asks whether a name leads here.
    pub fn challenges(&self) -> &Challenges {
        &self.0.challenges
    }

    /// What a handshake is to go by that begins now, with `hello`.
    pub(crate) fn settings(&self, hello: &ClientHello<'_>) -> Asked {
        match self.0.challenges.to(hello) {
            Some(settings) => Asked::ByAuthority(settings),
            None => Asked::ByClient(Arc::clone(&self.state().settings)),
        }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who begins a handshake, and what it is to go by.
pub(crate) enum Asked {
    /// Who is to be served.
    ByClient(Arc<ServerConfig>),
    /// Who looks whether a name leads here, and leaves (RFC 8737 §3).
    ByAuthority(Arc<ServerConfig>),
}
