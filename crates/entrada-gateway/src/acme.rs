//! A certificate of the gateway's own, from an authority that speaks ACME (RFC 8555).
//!
//! The authority is shown in handshakes on the gateway's own port that a name leads here (RFC 8737), so nothing
//! else need be reached. What it issued is kept in the data directory, and renewed in time.

use std::fmt;
use std::path::PathBuf;

use entrada::secret::ClientSecret;
use url::{Host, Url};

#[cfg(feature = "acme")]
mod account;
#[cfg(feature = "acme")]
mod kept;
#[cfg(feature = "acme")]
mod order;
#[cfg(feature = "acme")]
mod schedule;
#[cfg(feature = "acme")]
mod tending;
#[cfg(feature = "acme")]
mod transport;
#[cfg(feature = "acme")]
pub use tending::Acme;

#[cfg(not(feature = "acme"))]
mod absent;
#[cfg(not(feature = "acme"))]
pub use absent::Acme;

/// Whether this program was built with ACME.
pub const IS_BUILT: bool = cfg!(feature = "acme");

/// The directory of Let's Encrypt.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Whether `url` leads to this machine, whatever a resolver would say (RFC 6761 §6.3).
pub(crate) fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// What certificate is wanted, and of whom.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AcmeSettings {
    /// The names it is for, in small letters.
    pub domains: Vec<String>,
    /// The authority's directory (RFC 8555 §7.1.1).
    pub directory: Url,
    /// Where the authority may write to.
    pub contact: Option<String>,
    /// Certificate authorities (PEM) to trust besides the system's when it is asked.
    pub authorities: Vec<u8>,
    /// The account there is already, where the authority wants that.
    pub external_account: Option<ExternalAccount>,
    /// Where account and certificate are kept.
    pub folder: PathBuf,
}

impl AcmeSettings {
    /// A certificate for `domains` from the authority of `directory`, kept in `folder`.
    pub fn new(domains: Vec<String>, directory: Url, folder: impl Into<PathBuf>) -> Self {
        Self {
            domains,
            directory,
            contact: None,
            authorities: Vec::new(),
            external_account: None,
            folder: folder.into(),
        }
    }
}

/// An account with the authority that is not ACME's (RFC 8555 §7.3.4).
#[derive(Clone)]
pub struct ExternalAccount {
    /// The id of the key.
    pub key_id: String,
    key: ClientSecret,
}

impl ExternalAccount {
    /// The account whose key is called `key_id`; `key` is it, in base64url.
    pub const fn new(key_id: String, key: ClientSecret) -> Self {
        Self { key_id, key }
    }

    /// The key, in base64url.
    pub fn key(&self) -> &str {
        self.key.expose()
    }
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExternalAccount({:?})", self.key_id)
    }
}

/// Why there can be no certificate, whatever the authority says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcmeError {
    /// The folder cannot be used.
    #[error("{} cannot be used", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The way to the authority cannot be prepared.
    #[error("the authority cannot be asked")]
    Http(#[from] entrada::platform::SystemHttpError),
    /// No TLS can be spoken.
    #[error("TLS cannot be spoken")]
    Tls(#[from] rustls::Error),
    /// This program was built without ACME.
    #[error(
        "this program was built without ACME: build it with `cargo build --release --features acme`"
    )]
    NotBuilt,
}
