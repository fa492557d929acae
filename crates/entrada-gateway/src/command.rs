//! The subcommands, one file each.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use entrada::administration::RemoveClientError;
use entrada::keys::{KeyFileError, KeysError};
use entrada::platform::SystemHttpError;
use entrada::store::{OpenUrlError, StoreError};

use crate::acme::AcmeError;
use crate::config::{ConfigError, SharedPlaceError};
#[cfg(unix)]
use crate::control::AskError;
use crate::tls::TlsError;
use crate::upstream::UpstreamError;

pub mod clients;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod grants;
mod kept;
pub mod keys;
pub mod policy;
pub mod serve;
pub mod shell;
pub mod store;
pub mod terminal;

const CONFIG_HELP: &str =
    "The TOML file of the gateway; what is in its environment counts, too [env: ENTRADA_CONFIG]";

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The way to the MCP server cannot be prepared.
    #[error("{} cannot be used", .0.setting().unwrap_or("the upstream"))]
    Upstream(#[from] UpstreamError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address} ({})", other_address(*address, flag, source.kind()))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The flag that names it.
        flag: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The audit log cannot be opened.
    #[error("the audit log cannot be opened (audit_log says where it is)")]
    Audit(#[source] io::Error),
    /// Nothing can be counted.
    #[error("metrics cannot be kept")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// The certificate cannot be used.
    #[error("{} cannot be used", .0.setting())]
    Tls(#[from] TlsError),
    /// No certificate can be got.
    #[error("no certificate can be got by ACME")]
    Acme(#[from] AcmeError),
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
    /// The example callers cannot be read, or do not fit the configuration.
    #[error("the cases cannot be used:\n  - {}", .0.join("\n  - "))]
    UnusableCases(Vec<String>),
    /// A policy does not do what is expected of it.
    #[error("{failed} of {of} cases are not as expected")]
    Cases {
        /// How many.
        failed: usize,
        /// Of how many.
        of: usize,
    },
    /// No gateway has kept anything yet where it would.
    #[error(
        "there is nothing at {}: no gateway has kept anything there yet, or data_dir and store are another's",
        .0.display()
    )]
    NothingKept(PathBuf),
    /// A gateway has the file.
    #[error(
        "the store {} is in use, by a gateway most likely, and one process at a time can open it; that one \
         does not answer at control.sock in data_dir: use the page or the API of that gateway (--admin-listen), or \
         stop it first",
        .0.display()
    )]
    HeldByGateway(PathBuf),
    /// What is kept is in the memory of a gateway.
    #[error(
        "the store is memory:, which only the gateway itself can read, and none answers at control.sock in \
         data_dir: use its page or its API (--admin-listen); all grants end when it is stopped"
    )]
    KeptInMemory,
    /// The gateway that has it does not do it.
    #[cfg(unix)]
    #[error(transparent)]
    Gateway(AskError),
    /// The store failed.
    #[error("not all could be done: what was done stays so, and the same command does the rest")]
    Kept(#[source] StoreError),
    /// A client is not removed.
    #[error(transparent)]
    Client(RemoveClientError),
    /// Nobody could be asked.
    #[error("nobody can be asked whether that is meant: say --yes")]
    NotConfirmed,
    /// Whoever was asked said no.
    #[error("nothing was changed")]
    SaidNo,
    /// What was looked at is not as it must be.
    #[error("something is wrong")]
    Unwell,
    /// It was said already.
    #[error("the configuration cannot be used")]
    Told,
    /// The manual cannot be written there.
    #[error("cannot write the manual to {} (--dir names a directory that is there)", directory.display())]
    Manual {
        /// Where.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Nobody can read what is said.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

impl CommandError {
    /// Why the keys in `directory` cannot be read or changed.
    fn of_key_file(error: KeyFileError, directory: PathBuf) -> Self {
        let is_of_no_file = matches!(
            &error,
            KeyFileError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound
        );
        if is_of_no_file {
            let source = error;
            return Self::NoKeys { directory, source };
        }
        error.into()
    }

    /// Whether the command line or a setting must change, rather than what is there.
    pub fn is_configuration(&self) -> bool {
        if let Self::Config(error) = self {
            return error.is_of_settings();
        }
        matches!(
            self,
            Self::Upstream(_)
                | Self::Tls(_)
                | Self::UnusableCases(_)
                | Self::NotConfirmed
                | Self::Told
        )
    }
}

/// What whoever cannot listen on `address` can do.
fn other_address(address: SocketAddr, flag: &str, why: io::ErrorKind) -> String {
    if why == io::ErrorKind::PermissionDenied && address.port() < 1024 {
        return format!(
            "the system keeps ports below 1024 to root: give the program CAP_NET_BIND_SERVICE, by \
             AmbientCapabilities= in its systemd unit or by setcap, or lower \
             net.ipv4.ip_unprivileged_port_start, or name another with --{flag}"
        );
    }
    if why == io::ErrorKind::AddrNotAvailable {
        return format!(
            "this machine has no such address: name another with --{flag}; 0.0.0.0 and [::] are all it has"
        );
    }
    format!("--{flag} names another; port 0 takes a free one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_cannot_listen_is_told_what_helps() {
        use io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
        for (address, kind, expected) in [
            ("0.0.0.0:443", PermissionDenied, "CAP_NET_BIND_SERVICE"),
            ("0.0.0.0:8443", PermissionDenied, "(--listen names another"),
            ("192.0.2.1:8000", AddrNotAvailable, "no such address"),
            ("127.0.0.1:443", AddrInUse, "(--listen names another"),
        ] {
            let error = CommandError::Listen {
                address: address.parse().unwrap(),
                flag: "listen",
                source: kind.into(),
            };
            let told = error.to_string();
            assert!(
                told.starts_with(&format!("cannot listen on {address} (")),
                "{told}"
            );
            assert!(
                told.contains(expected) && told.contains("--listen"),
                "{told}"
            );
        }
    }
}
