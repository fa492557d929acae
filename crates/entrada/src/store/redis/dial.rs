//! Makes a connection to the server that is to be spoken to.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, RedisConnectionInfo, RedisError, Value};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::eviction;
use super::failure::Unreachable;
use super::settings::Password;

/// Where a server is.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Peer {
    /// On the network.
    Tcp { host: String, port: u16 },
    /// On this machine.
    Unix(PathBuf),
}

impl Peer {
    /// Another port of the same host; a socket has none.
    pub(super) fn at_port(&self, port: u16) -> Option<Self> {
        match self {
            Self::Tcp { host, .. } => Some(Self::Tcp {
                host: host.clone(),
                port,
            }),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// As whom one logs in, and to which database.
#[derive(Clone, Debug, Default)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<Password>,
    pub(super) db: i64,
}

/// How connections are made.
pub(super) struct Dialler {
    pub(super) tls: Option<TlsConnector>,
    /// Whose certificate every server shows, if not its own.
    pub(super) tls_name: Option<ServerName<'static>>,
    pub(super) login: Login,
    pub(super) sentinel_login: Login,
    /// How long making one may take, and asking a sentinel.
    pub(super) limit: Duration,
    /// Whether somebody looked how the server is set up.
    pub(super) looked: AtomicBool,
}

/// Who is to be spoken to.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// This server.
    Peer(Peer),
    /// Whoever the sentinels say is the primary.
    PrimaryOf(Arc<Sentinels>),
}

/// Those who know which server is the primary.
#[derive(Debug)]
pub(super) struct Sentinels {
    peers: Vec<Peer>,
    service: String,
    /// Which of them helped last.
    answered: AtomicUsize,
}

impl Sentinels {
    pub(super) fn new(peers: Vec<Peer>, service: String) -> Self {
        Self {
            peers,
            service,
            answered: AtomicUsize::new(0),
        }
    }

    /// All of them, beginning with the one that helped last.
    fn in_order(&self) -> impl Iterator<Item = (usize, &Peer)> {
        let first = self.answered.load(Ordering::Relaxed);
        let all = self.peers.iter().enumerate();
        all.clone().skip(first).chain(all.take(first))
    }
}

impl Target {
    /// A name for the log.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Peer(peer) => peer.to_string(),
            Self::PrimaryOf(sentinels) => format!("the primary of {}", sentinels.service),
        }
    }
}

/// A connection that many may use at the same time.
#[derive(Debug)]
pub(super) struct Wire {
    connection: MultiplexedConnection,
    running: AbortHandle,
    /// Ends with the last who uses the connection.
    _driver: JoinSet<()>,
}

impl Wire {
    pub(super) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    /// Whether the other end closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.running.is_finished()
    }

    pub(super) async fn ask(&self, command: &redis::Cmd) -> Result<Value, RedisError> {
        let answer = self.connection().send_packed_command(command).await?;
        answer.extract_error()
    }

    /// Has the server answer: the system takes connections for one that hangs, too.
    async fn ping(&self, peer: &Peer) -> Result<(), Unreachable> {
        let Err(error) = self.ask(&redis::cmd("PING")).await else {
            return Ok(());
        };
        if error.code() == Some("NOAUTH") {
            return Err(Unreachable::NoPassword(peer.clone()));
        }
        match unanswered(peer, error) {
            Ok(unanswered) => Err(unanswered),
            // An ACL may forbid it.
            Err(_) => Ok(()),
        }
    }

    /// Takes a database.
    async fn select(&self, peer: &Peer, db: i64) -> Result<(), Unreachable> {
        let selected = self.ask(redis::cmd("SELECT").arg(db)).await;
        selected.map(drop).map_err(|source| {
            let peer = peer.clone();
            unanswered(&peer, source).unwrap_or_else(|source| Unreachable::Database {
                peer,
                db,
                source,
            })
        })
    }
}

impl Dialler {
    /// Makes a connection, and looks at how the first server is set up.
    pub(super) async fn dial(&self, target: &Target) -> Result<Wire, Unreachable> {
        let wire = self.reach(target).await?;
        if !self.looked.load(Ordering::Relaxed)
            && let Ok(told) = timeout(self.limit, wire.ask(&eviction::question())).await
            && !self.looked.swap(true, Ordering::Relaxed)
        {
            eviction::warn_if_lossy(&target.name(), told.unwrap_or_default());
        }
        Ok(wire)
    }

    async fn reach(&self, target: &Target) -> Result<Wire, Unreachable> {
        match target {
            Target::Peer(peer) => self.connect(peer, &self.login).await,
            Target::PrimaryOf(sentinels) => {
                let mut why = Unreachable::NoSuchService(sentinels.service.clone());
                for (at, sentinel) in sentinels.in_order() {
                    match self.primary(sentinel, &sentinels.service).await {
                        Ok(wire) => {
                            sentinels.answered.store(at, Ordering::Relaxed);
                            return Ok(wire);
                        }
                        Err(error) => why = error,
                    }
                }
                Err(why)
            }
        }
    }

    /// Connects to whom one sentinel says is the primary, and asks it whether it is.
    async fn primary(&self, sentinel: &Peer, service: &str) -> Result<Wire, Unreachable> {
        let limit = self.limit;
        let wire = self.connect(sentinel, &self.sentinel_login).await;
        let wire = wire.map_err(Unreachable::of_sentinel)?;
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
        let answer = within(limit, sentinel, wire.ask(&command)).await?;
        let named = redis::from_redis_value::<Option<(String, u16)>>(answer);
        let Ok(Some((host, port))) = named else {
            return Err(Unreachable::NoSuchService(service.to_owned()));
        };
        let peer = Peer::Tcp { host, port };
        let wire = self.connect(&peer, &self.login).await?;
        // Sentinels learn of a failover one after the other: only the server itself knows.
        match within(limit, &peer, wire.ask(&redis::cmd("ROLE"))).await {
            Ok(Value::Array(role)) if !is_text(role.first(), b"master") => {
                Err(Unreachable::NotPrimary(peer))
            }
            // An ACL may forbid to ask; a replica then refuses the first write.
            Ok(_) | Err(Unreachable::Refused { .. }) => Ok(wire),
            Err(error) => Err(error),
        }
    }

    async fn connect(&self, peer: &Peer, login: &Login) -> Result<Wire, Unreachable> {
        let shakes_hands = AtomicBool::new(false);
        let made = self.connected(peer, login, &shakes_hands);
        let limit = self.limit;
        match timeout(limit, made).await {
            Ok(made) => made,
            // A server without TLS waits for the rest of a line.
            Err(_) if shakes_hands.into_inner() => Err(Unreachable::NotTls {
                peer: peer.clone(),
                source: None,
            }),
            Err(_) => Err(Unreachable::timed_out(peer, limit)),
        }
    }

    /// The name that the certificate of a host must be for.
    fn certified(&self, host: &str) -> io::Result<ServerName<'static>> {
        match &self.tls_name {
            Some(name) => Ok(name.clone()),
            None => ServerName::try_from(host.to_owned()).map_err(io::Error::other),
        }
    }

    async fn connected(
        &self,
        peer: &Peer,
        login: &Login,
        shakes_hands: &AtomicBool,
    ) -> Result<Wire, Unreachable> {
        let failed = |source| Unreachable::Io {
            peer: peer.clone(),
            source,
        };
        match peer {
            Peer::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await;
                let stream = stream.map_err(failed)?;
                stream.set_nodelay(true).map_err(failed)?;
                let Some(tls) = &self.tls else {
                    return wire(stream, peer, login).await;
                };
                let shaken = tls.connect(self.certified(host).map_err(failed)?, stream);
                shakes_hands.store(true, Ordering::Relaxed);
                let stream = shaken.await;
                let stream = stream.map_err(|source| Unreachable::of_tls(peer, source))?;
                shakes_hands.store(false, Ordering::Relaxed);
                wire(stream, peer, login).await
            }
            #[cfg(unix)]
            Peer::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path).await;
                wire(stream.map_err(failed)?, peer, login).await
            }
            #[cfg(not(unix))]
            Peer::Unix(_) => Err(failed(io::ErrorKind::Unsupported.into())),
        }
    }
}

/// Logs in, and takes the database.
async fn wire<C>(stream: C, peer: &Peer, login: &Login) -> Result<Wire, Unreachable>
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut hello = RedisConnectionInfo::default()
        // It would take one right more.
        .set_skip_set_lib_name();
    if let Some(user) = &login.user {
        hello = hello.set_username(user);
    }
    if let Some(password) = &login.password {
        hello = hello.set_password(password.expose());
    }
    // Who sends a command bounds its time.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let made = MultiplexedConnection::new_with_config(&hello, stream, config).await;
    let (connection, driver) = made.map_err(|source| {
        let peer = peer.clone();
        unanswered(&peer, source).unwrap_or_else(|source| Unreachable::Login { peer, source })
    })?;
    let mut tasks = JoinSet::new();
    let running = tasks.spawn(driver);
    let wire = Wire {
        connection,
        running,
        _driver: tasks,
    };
    wire.ping(peer).await?;
    if login.db != 0 {
        wire.select(peer, login.db).await?;
    }
    Ok(wire)
}

async fn within<T>(
    limit: Duration,
    peer: &Peer,
    asked: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, Unreachable> {
    match timeout(limit, asked).await {
        Ok(answer) => answer.map_err(|source| {
            let peer = peer.clone();
            unanswered(&peer, source).unwrap_or_else(|source| Unreachable::Refused { peer, source })
        }),
        Err(_) => Err(Unreachable::timed_out(peer, limit)),
    }
}

/// That the network let a command down; or else what `peer` said.
fn unanswered(peer: &Peer, error: RedisError) -> Result<Unreachable, RedisError> {
    if error.kind() != ErrorKind::Io {
        return Err(error);
    }
    Ok(Unreachable::Io {
        peer: peer.clone(),
        source: io::Error::other(error),
    })
}

fn is_text(value: Option<&Value>, text: &[u8]) -> bool {
    match value {
        Some(Value::BulkString(found)) => found == text,
        Some(Value::SimpleString(found)) => found.as_bytes() == text,
        _ => false,
    }
}
