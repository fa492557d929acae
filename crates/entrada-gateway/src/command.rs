//! The subcommands, one file each.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use entrada::keys::{KeyFileError, KeysError};
use entrada::platform::SystemHttpError;
use entrada::store::{OpenUrlError, StoreError};

use crate::config::{ConfigError, SharedPlaceError};
use crate::tls::TlsError;
use crate::upstream::UpstreamError;

pub mod demo;
pub mod keys;
pub mod policy;
pub mod serve;
pub mod store;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The way to the MCP server cannot be prepared.
    #[error("the upstream cannot be used")]
    Upstream(#[from] UpstreamError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address} (--listen names another; port 0 takes a free one)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error("{} cannot be used", .0.setting())]
    Tls(#[from] TlsError),
    /// Signals cannot be listened for.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// There are no threads to run on.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    /// There are no keys where they are looked for.
    #[error(
        "there are no keys in {}: say where they are with --data-dir, with --config, or with the variables of \
         the gateway. Where it keeps them in its store, those are ENTRADA_STORE, ENTRADA_BASE_URL and \
         ENTRADA_KEY_ENCRYPTION_KEY or ENTRADA_KEY_ENCRYPTION_KEY_FILE",
        directory.display()
    )]
    NoKeys {
        /// Where there are none.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: KeyFileError,
    },
    /// The keys cannot be read or changed.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The store that the keys are in cannot be opened.
    #[error(transparent)]
    Store(#[from] SharedPlaceError),
    /// There are no keys in the store.
    #[error(
        "there are no keys in the store: no gateway has made them yet, or base_url and issuer_url are \
         another server's"
    )]
    NoSharedKeys,
    /// The keys in the store cannot be read or changed.
    #[error(transparent)]
    SharedKeys(#[from] KeysError),
    /// The pretend Entra cannot listen.
    #[error("the pretend entra cannot start")]
    Emulator(#[from] entra_emulator::ServeError),
    /// There is no place for the demo's data.
    #[error("cannot make a temporary directory")]
    Directory(#[source] io::Error),
    /// The HTTP client cannot be set up.
    #[error(transparent)]
    Http(#[from] SystemHttpError),
    /// There is no store to empty.
    #[error("there is no store at {}: nothing to move", .0.display())]
    NoStore(PathBuf),
    /// A gateway has the file.
    #[error(
        "the store {} is in use, by a gateway most likely, and one process at a time can open it: start \
         that gateway with this file as store_before, and it moves what is in it by itself",
        .0.display()
    )]
    StoreInUse(PathBuf),
    /// A store cannot be opened.
    #[error("the store of {flag} cannot be opened")]
    OpenStore {
        /// The flag that names it.
        flag: &'static str,
        /// Why.
        #[source]
        source: OpenUrlError,
    },
    /// A store failed while records moved.
    #[error("not all has moved: what did stays so, and the same command moves the rest")]
    Move(#[source] StoreError),
    /// A policy does not do what is expected of it.
    #[error("{failed} of {of} cases are not as expected")]
    Cases {
        /// How many.
        failed: usize,
        /// Of how many.
        of: usize,
    },
    /// Nobody can read what is said.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

impl CommandError {
    /// Whether a setting must change.
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Tls(_) | Self::Upstream(_))
    }
}
