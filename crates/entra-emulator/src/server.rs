//! Sockets: HTTP, and HTTPS with a certificate authority of its own.

mod tls;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use url::Url;

use crate::faults::Dropped;
use crate::server::tls::Authority;

/// Where to listen. Port 0 takes a free one.
#[derive(Debug, Clone, Copy, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "options are written as a struct literal"
)]
pub struct Listen {
    /// The address for plain HTTP, if any.
    pub http: Option<SocketAddr>,
    /// The address for HTTPS, if any.
    pub https: Option<SocketAddr>,
}

impl Listen {
    /// HTTPS on a free port of `127.0.0.1`.
    pub fn https() -> Self {
        Self {
            http: None,
            https: Some(loopback()),
        }
    }

    /// Plain HTTP on a free port of `127.0.0.1`.
    pub fn http() -> Self {
        Self {
            http: Some(loopback()),
            https: None,
        }
    }
}

/// How long answers under way may take once the emulator is to stop.
const GRACE: Duration = Duration::from_secs(2);

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// Why the emulator cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Neither HTTP nor HTTPS was asked for.
    #[error("no address to listen on was given")]
    NoAddress,
    /// An address cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No certificate can be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The certificate cannot be served.
    #[error("cannot serve the certificate")]
    Tls(#[from] rustls::Error),
}

/// A listening emulator. Dropping it stops it at once.
#[derive(Debug)]
pub struct Running {
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
    authority_host: String,
    ca_pem: Option<String>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    /// The URL of the plain HTTP listener.
    pub fn http_url(&self) -> Option<Url> {
        url("http", self.http?)
    }

    /// The URL of the HTTPS listener.
    pub fn https_url(&self) -> Option<Url> {
        url("https", self.https?)
    }

    /// Host and port of the HTTPS listener, or of the HTTP one when there is no other.
    pub fn authority_host(&self) -> &str {
        &self.authority_host
    }

    /// The certificate authority to trust, when there is an HTTPS listener.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Stops listening, and waits for the answers under way.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

fn url(scheme: &str, address: SocketAddr) -> Option<Url> {
    Url::parse(&format!("{scheme}://{}", host(address))).ok()
}

// Nobody connects to `0.0.0.0`.
fn host(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

/// The listener a request came in on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listener {
    scheme: &'static str,
    address: SocketAddr,
}

impl Listener {
    /// Scheme and authority of the emulator for a caller who asked for `asked`.
    ///
    /// The names of this machine are all as good as each other; any other name is ignored.
    pub(crate) fn base(&self, asked: &str) -> String {
        let mut names = ["localhost", "127.0.0.1", "[::1]"].iter();
        let loopback = names.any(|name| asked == format!("{name}:{}", self.address.port()));
        let own = host(self.address);
        format!("{}://{}", self.scheme, if loopback { asked } else { &own })
    }
}

pub(crate) async fn serve(router: Router, listen: Listen) -> Result<Running, ServeError> {
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let mut running = (None, None, None);
    if let Some(address) = listen.http {
        let (listener, bound) = bind(address).await?;
        let site = Site {
            router: router.clone(),
            listener: Listener {
                scheme: "http",
                address: bound,
            },
            acceptor: None,
        };
        tasks.spawn(site.accept(listener, stop.clone()));
        running.0 = Some(bound);
    }
    if let Some(address) = listen.https {
        let (listener, bound) = bind(address).await?;
        let authority = Authority::new(bound.ip())?;
        let site = Site {
            router,
            listener: Listener {
                scheme: "https",
                address: bound,
            },
            acceptor: Some(TlsAcceptor::from(Arc::new(authority.server_config()?))),
        };
        tasks.spawn(site.accept(listener, stop.clone()));
        running.1 = Some(bound);
        running.2 = Some(authority.pem().to_owned());
    }
    let (http, https, ca_pem) = running;
    let authority_host = host(https.or(http).ok_or(ServeError::NoAddress)?);
    Ok(Running {
        http,
        https,
        authority_host,
        ca_pem,
        stop,
        tasks,
    })
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// A router behind one listener.
#[derive(Clone)]
struct Site {
    router: Router,
    listener: Listener,
    acceptor: Option<TlsAcceptor>,
}

impl Site {
    async fn accept(self, listener: TcpListener, stop: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = connections.join_next(), if !connections.is_empty() => continue,
                () = stop.cancelled() => break,
            };
            if let Ok((stream, _)) = accepted {
                connections.spawn(self.clone().connection(stream, stop.clone()));
            }
        }
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        // Who does not end by itself, for instance half-way through a handshake, is cut off.
        let _ = tokio::time::timeout(GRACE, ended).await;
    }

    async fn connection(self, stream: TcpStream, stop: CancellationToken) {
        // Small answers are sent at once; failing to say so costs only speed.
        let _ = stream.set_nodelay(true);
        match self.acceptor.clone() {
            None => self.http(stream, stop).await,
            Some(acceptor) => {
                if let Ok(stream) = acceptor.accept(stream).await {
                    self.http(stream, stop).await;
                }
            }
        }
    }

    async fn http<S>(self, stream: S, stop: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(move |request| self.clone().answer(request));
        let builder = auto::Builder::new(TokioExecutor::new());
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }

    async fn answer(self, mut request: Request<Incoming>) -> io::Result<Response> {
        request.extensions_mut().insert(self.listener);
        let answered = self.router.oneshot(request.map(Body::new)).await;
        match answered {
            Ok(response) if response.extensions().get::<Dropped>().is_some() => {
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Ok(response) => Ok(response),
            Err(never) => match never {},
        }
    }
}

pub(crate) fn names_of(ip: IpAddr) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"]
        .map(str::to_owned)
        .to_vec();
    let own = ip.to_string();
    if !names.contains(&own) {
        names.push(own);
    }
    names
}
