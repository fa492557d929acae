//! Where Redis is and how it is spoken to, as one URL says it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use rustls::pki_types::ServerName;

use super::dial::{Login, Peer};
use crate::store::StoreTlsError;
use crate::store::tls::TlsFiles;

mod url;

/// How long a command may take unless the URL says otherwise.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What all keys begin with unless the URL says otherwise.
const PREFIX: &str = "entrada:";

/// Where Redis is, and how it is spoken to.
///
/// One URL says it all:
///
/// ```
/// # use entrada::store::RedisSettings;
/// # fn main() -> Result<(), entrada::store::OpenRedisError> {
/// RedisSettings::from_url("redis://user:password@redis.example:6379/0")?;
/// RedisSettings::from_url("rediss://redis.example?prefix=entrada:&timeout=500ms")?;
/// RedisSettings::from_url("redis+unix:///run/redis/redis.sock?db=1")?;
/// RedisSettings::from_url("redis+sentinel://one.example,two.example:26379/primary-name")?;
/// RedisSettings::from_url("rediss+cluster://one.example:6379,two.example:6379")?;
/// # Ok(())
/// # }
/// ```
///
/// `valkey` may stand for `redis` everywhere; `rediss` is with TLS, to sentinels too. In user and password, `/`, `?`, `#`, `@`, `:` and `%`
/// are written percent-encoded. Hosts without a port have 6379, sentinels 26379. After `?`:
///
/// | parameter | what it says | otherwise |
/// |---|---|---|
/// | `prefix` | what all keys begin with; servers that share a Redis need one each | `entrada:` |
/// | `timeout` | how long a command may take, with connecting: `500ms`, `2s` | `2s` |
/// | `db` | the number of the database, for URLs whose path says something else | 0 |
/// | `tls_ca` | a PEM file of the certificate authorities to trust, and no others | the system's |
/// | `tls_name` | whose certificate every server shows, however it is named: clusters and sentinels of a cloud often name addresses | the name or address by which each is named |
/// | `tls_cert`, `tls_key` | PEM files of a certificate to show and its key | none is shown |
/// | `wait_replicas` | how many replicas must confirm each write | 0: none need |
/// | `wait_timeout` | how long they may take | half of `timeout` |
/// | `sentinel_user`, `sentinel_password` | how to log in to the sentinels | not at all |
/// | `sentinel_password_file` | the file their password is in; it is read when the store is opened | |
#[derive(Clone, Debug)]
pub struct RedisSettings {
    pub(super) place: Place,
    pub(super) tls: Option<TlsFiles>,
    /// Whose certificate every server shows, if not its own.
    pub(super) tls_name: Option<ServerName<'static>>,
    pub(super) login: Login,
    pub(super) sentinel_login: Login,
    pub(super) sentinel_password_file: Option<PathBuf>,
    pub(super) prefix: String,
    pub(super) timeout: Duration,
    pub(super) wait: Option<WaitFor>,
}

/// What kind of Redis there is, and where.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// One server.
    One(Peer),
    /// Sentinels that know who is the primary of `service`.
    Sentinels {
        sentinels: Vec<Peer>,
        service: String,
    },
    /// Some nodes of a cluster.
    Cluster(Vec<Peer>),
}

/// How many replicas must confirm a write, and within what time.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitFor {
    pub(super) replicas: u32,
    pub(super) timeout: Duration,
}

/// A password for Redis: printed by nothing.
#[derive(Clone)]
pub(super) struct Password(Zeroizing<String>);

impl Password {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Password {
    fn from(password: String) -> Self {
        Self(Zeroizing::new(password))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl RedisSettings {
    /// Reads the settings in a URL.
    ///
    /// # Errors
    ///
    /// [`OpenRedisError`] says what to mend, and nothing of the password.
    pub fn from_url(url: &str) -> Result<Self, OpenRedisError> {
        url::read(url)
    }

    /// The same with this password, which is then not in the URL.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<String>) -> Self {
        self.login.password = Some(password.into().into());
        self
    }

    /// The same with this password for the sentinels.
    #[must_use]
    pub fn with_sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel_login.password = Some(password.into().into());
        self.sentinel_password_file = None;
        self
    }

    /// Where it is, with nothing of a login.
    pub(in crate::store) fn place(&self) -> String {
        let scheme = if self.tls.is_some() {
            "rediss"
        } else {
            "redis"
        };
        let all = |peers: &[Peer]| {
            let peers: Vec<_> = peers.iter().map(Peer::to_string).collect();
            peers.join(",")
        };
        match &self.place {
            Place::One(Peer::Unix(path)) => format!("redis+unix://{}", path.display()),
            Place::One(peer) => format!("{scheme}://{peer}"),
            Place::Sentinels { sentinels, service } => {
                format!("{scheme}+sentinel://{}/{service}", all(sentinels))
            }
            Place::Cluster(nodes) => format!("{scheme}+cluster://{}", all(nodes)),
        }
    }

    /// How to log in to the sentinels.
    ///
    /// # Errors
    ///
    /// [`OpenRedisError::SentinelPassword`].
    pub(super) fn login_to_sentinels(&self) -> Result<Login, OpenRedisError> {
        let mut login = self.sentinel_login.clone();
        if let Some(path) = &self.sentinel_password_file {
            let password = std::fs::read_to_string(path).map(Zeroizing::new);
            let password = password.map_err(|source| OpenRedisError::SentinelPassword {
                path: path.clone(),
                source,
            })?;
            login.password = Some(password.trim().to_owned().into());
        }
        Ok(login)
    }

    /// The same with this prefix of all keys.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }
}

/// Why a store in Redis cannot be opened: the settings are wrong.
///
/// That Redis is not reachable is no such error: a store opens nevertheless, and its verbs fail
/// until Redis is there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenRedisError {
    /// It does not have the shape of a URL.
    #[error("this is no URL of a Redis: one looks like redis://user:password@host:6379/0")]
    NotAUrl,
    /// The scheme is another.
    #[error(
        "the scheme of a Redis URL is redis, rediss (with TLS), redis+unix, redis+sentinel, \
         rediss+sentinel, redis+cluster or rediss+cluster, or the same with valkey"
    )]
    Scheme,
    /// There is an `@` where none can be.
    #[error(
        "the Redis URL has an @ behind its hosts: write /, ?, #, @, : and % percent-encoded in \
         user, password and parameters"
    )]
    NotEncoded,
    /// A host or a port is none.
    #[error(
        "the Redis URL has no host that can be read: hosts are written host:port, several of them \
         with commas between"
    )]
    Host,
    /// The path says too much.
    #[error("the path of the Redis URL must be {0}")]
    Path(&'static str),
    /// A parameter is not known. Which one is not told: it may be what follows a `&` in a password.
    #[error("the Redis URL has a parameter that is not known; a & in a password is written %26")]
    UnknownParameter,
    /// A parameter has a value that it cannot have.
    #[error("`{name}` of the Redis URL must be {expected}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// What it can be.
        expected: &'static str,
    },
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] StoreTlsError),
    /// The file with the password for the sentinels cannot be read.
    #[error("cannot read the password for the sentinels in {}", path.display())]
    SentinelPassword {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}
