//! Which database, and how to reach it.

use std::fmt::Debug;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Config;

use super::StoreError;
use super::schema;
use crate::secret::DatabasePassword;
use crate::store::tls::TlsFiles;

mod options;
mod url;

/// Which database a [`PostgresStore`](super::PostgresStore) keeps its records in, and how it gets
/// there: read from a URL, completed by methods.
///
/// ```
/// # use entrada::store::PostgresSettings;
/// let settings: PostgresSettings =
///     "postgres://entrada:secret@db1.example.com,db2.example.com/entrada?sslrootcert=/etc/ca.pem"
///         .parse()?;
/// # Ok::<(), entrada::store::PostgresUrlError>(())
/// ```
///
/// The URL is `postgres://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE&…`. What would end a part of
/// it early is percent-encoded. Several hosts, each with its port, are separated by commas: the
/// first that takes writes is used, so that a fail-over is followed. A host that begins with `/`,
/// as `%2F`, is the folder of a Unix socket. `user`, `password`, `host`, `port` and `dbname` may be
/// options instead.
///
/// | Option | |
/// |---|---|
/// | `sslmode` | see below |
/// | `sslrootcert` | a PEM file: its authorities vouch for the server, and no others; without it, or with `system`, the system's do |
/// | `sslcert`, `sslkey` | PEM files: the certificate that the server is shown, and its key |
/// | `schema` | the schema in which the tables lie, `entrada` if it is not named: lower-case letters, digits and `_` |
/// | `timeout` | how long any one thing may take, waiting for a connection and connecting included: `2s` or `500ms`; `2s` if it is not named |
/// | `pool` | how many connections at most; 8 if it is not named |
/// | `migrate` | `false` if the role may not make tables: they must be there then |
/// | `prepare` | `false` behind a pooler that shares sessions, such as PgBouncer with `pool_mode = transaction`: nothing is prepared, and nothing set for a session |
/// | `application_name`, `channel_binding`, `options` | as libpq has them |
/// | `target_session_attrs` | `read-write`, whatever it says: a standby is of no use |
///
/// # Security
///
/// TLS is on, and the server's certificate and name are verified, whatever of `require`, `verify-ca`
/// and `verify-full` the `sslmode` is: an authority or a name that goes unverified protects from
/// nobody who can answer in the server's place. `allow` and `prefer`, which give up quietly, are
/// refused.
///
/// Without an `sslmode`, and without certificates named, hosts on this machine are spoken to in the
/// clear: sockets, `localhost`, loopback addresses. `sslmode=disable` does so anywhere: who is on the
/// way sees sealed records and digests, cannot open them, but can answer in the server's place that
/// a code was not spent, or that a grant was not revoked.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// All but the hosts. Its `Debug` leaves the password out.
    pub(super) config: Config,
    /// In the order in which they are tried, each with its port.
    pub(super) hosts: Vec<(String, u16)>,
    pub(super) tls: Option<TlsFiles>,
    /// Quoted, as statements name it.
    pub(super) schema: String,
    pub(super) timeout: Duration,
    pub(super) pool: usize,
    pub(super) migrate: bool,
    /// Whether sessions are our own, to prepare statements in.
    pub(super) prepare: bool,
    pub(super) password: Option<Arc<dyn PasswordSource>>,
}

/// Tells the password of a database when a connection is made: one that is in a file and changes
/// there, or a token of Microsoft Entra ID.
///
/// # Security
///
/// It is asked for each connection, so a password that was withdrawn must not be kept for long.
/// What it answers is sent to the server alone, and not in the clear unless the server wants it so.
#[async_trait]
pub trait PasswordSource: Debug + Send + Sync {
    /// The password that holds now.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if there is none: then no connection is made.
    async fn password(&self) -> Result<DatabasePassword, StoreError>;
}

/// Why a URL does not say where a PostgreSQL database is. No part of the URL is told, for there is a
/// password in it.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresUrlError {
    /// It is of another scheme.
    #[error("the URL of a PostgreSQL database begins with postgres:// or postgresql://")]
    Scheme,
    /// Characters that end a part stand in the user's name or password, or there is a fragment.
    #[error("in user and password, @ : / ? # and % must be written %40 %3A %2F %3F %23 and %25")]
    Encoding,
    /// It says not where.
    #[error("the URL names no host")]
    NoHost,
    /// A port is no number, or there are other than one for each host.
    #[error("the URL needs one port, from 1 to 65535, for each host or none")]
    Port,
    /// It says not as whom.
    #[error("the URL names no user")]
    NoUser,
    /// It says not which.
    #[error("the URL names no database")]
    NoDatabase,
    /// An option is not known. Which one is not told: it may be what follows a `&` in a password.
    #[error("the URL has an option that is not known; a & in a password is written %26")]
    Unknown,
    /// An option is there more than once.
    #[error("the URL has the option {0} more than once")]
    Twice(String),
    /// An option has a value that does not fit.
    #[error("{option} in the URL must be {expected}")]
    Value {
        /// The option.
        option: &'static str,
        /// What it may be.
        expected: &'static str,
    },
}

/// How long one thing may take if nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How many connections there are at most if nothing else is said.
const POOL: usize = 8;

/// How long a connection says nothing before it is asked whether it still stands: less than what
/// is in between, such as load balancers, lets pass.
const KEEPALIVE: Duration = Duration::from_secs(30);

impl PostgresSettings {
    /// The same, with `password` in place of what the URL has.
    #[must_use]
    pub fn with_password(mut self, password: &DatabasePassword) -> Self {
        self.config.password(password.expose());
        self
    }

    /// The same, with a password that `source` tells for each connection.
    #[must_use]
    pub fn with_password_from(self, source: Arc<dyn PasswordSource>) -> Self {
        Self {
            password: Some(source),
            ..self
        }
    }

    /// What makes the tables, as SQL for whoever may make them when the role of the server may not.
    ///
    /// Then that role needs USAGE on the schema, SELECT on `migrations`, and SELECT, INSERT, UPDATE
    /// and DELETE on `slots` and `leases`.
    pub fn schema_sql(&self) -> String {
        schema::script(&self.schema)
    }

    /// Where it is, with nothing of a login.
    pub(in crate::store) fn place(&self) -> String {
        let hosts = self.hosts.iter().map(|(host, port)| {
            let is_address = host.contains(':') && !is_socket(host);
            if is_address {
                format!("[{host}]:{port}")
            } else {
                format!("{host}:{port}")
            }
        });
        let hosts: Vec<_> = hosts.collect();
        let database = self.config.get_dbname().unwrap_or_default();
        format!("postgres://{}/{database}", hosts.join(","))
    }

    fn new(mut config: Config, hosts: Vec<(String, u16)>, tls: Option<TlsFiles>) -> Self {
        config.keepalives_idle(KEEPALIVE);
        config.keepalives_interval(KEEPALIVE / 3);
        config.keepalives_retries(3);
        Self {
            config,
            hosts,
            tls,
            schema: r#""entrada""#.to_owned(),
            timeout: TIMEOUT,
            pool: POOL,
            migrate: true,
            prepare: true,
            password: None,
        }
    }
}

impl FromStr for PostgresSettings {
    type Err = PostgresUrlError;

    fn from_str(url: &str) -> Result<Self, PostgresUrlError> {
        options::settings(url::Parts::parse(url)?)
    }
}

/// Whether `host` is the folder of a Unix socket.
fn is_socket(host: &str) -> bool {
    host.starts_with('/')
}

/// Whether `host` is this machine.
fn is_local(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    is_socket(host) || host == "localhost" || address.is_ok_and(|it| it.is_loopback())
}

#[cfg(test)]
mod tests;
