//! Sockets: accepting connections, and leaving in good order.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use http::header::HOST;
use http::{Request, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower::Service as _;
use tower_http::timeout::DeadlineBody;

use crate::live::Live;
use crate::metrics::Open;
use crate::server::admission::Admission;
pub use crate::server::admission::ConnectionLimits;
use crate::server::handshakes::Handshakes;
use crate::tls::Certificates;

mod admission;
mod handshakes;

/// A listener and what answers on it.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    live: Live,
    counted: bool,
    tls: Option<Handshakes>,
}

impl Server {
    /// Answers with `router` on `listener`. After a stop, requests under way have `drain_timeout`
    /// to end.
    pub fn new(listener: TcpListener, router: Router, drain_timeout: Duration) -> Self {
        Self::live(listener, Live::new(router, drain_timeout))
    }

    /// Answers on `listener` with what `live` has when a request comes.
    pub(crate) const fn live(listener: TcpListener, live: Live) -> Self {
        Self {
            listener,
            live,
            counted: true,
            tls: None,
        }
    }

    /// The same, whose connections are in no metric.
    pub(crate) fn uncounted(
        listener: TcpListener,
        router: Router,
        drain_timeout: Duration,
    ) -> Self {
        let counted = false;
        Self {
            counted,
            ..Self::new(listener, router, drain_timeout)
        }
    }

    /// The same inside TLS, with what `certificates` holds when a connection opens.
    #[must_use]
    pub fn tls(mut self, certificates: Certificates) -> Self {
        self.tls = Some(Handshakes::new(certificates));
        self
    }

    /// The same, which holds no more connections than `limits` say.
    #[must_use]
    pub fn limited(self, limits: ConnectionLimits) -> Self {
        self.live.limit_connections(limits);
        self
    }

    /// Serves until `stop`, then until requests under way have ended or their time is over.
    pub async fn run(self, stop: CancellationToken) {
        let way = Way {
            http: Arc::new(builder()),
            tls: self.tls,
        };
        let requests = Requests::default();
        let mut connections = JoinSet::new();
        let mut admission = Admission::default();
        // Dropped before the connections, so that requests know who cut them off.
        let cut = requests.cut.clone().drop_guard();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    while connections.try_join_next().is_some() {}
                    let limits = self.live.connection_limits();
                    let admitted = admission.admit(peer.ip(), connections.len(), &limits);
                    let Some(admitted) = admitted else { continue };
                    let connection = Connection::new(self.live.clone(), peer, requests.clone());
                    let open = self.counted.then(Open::connection);
                    let served = connection.serve(stream, way.clone(), stop.clone());
                    connections.spawn(async move {
                        let _counted = (open, admitted);
                        served.await;
                    });
                }
                Err(error) => pause_after(&error).await,
            }
        }
        drop(self.listener);
        let drain_timeout = self.live.drain_timeout();
        requests.announce_waiting(drain_timeout);
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(drain_timeout, drained).await.is_err() {
            drop(cut);
            requests.last_words().await;
            connections.shutdown().await;
            tracing::warn!("connections still open at the drain limit were closed");
        }
    }
}

/// A request under way. Whoever answers it keeps this until the answer has ended.
#[derive(Clone, Debug)]
pub(crate) struct UnderWay {
    cut: CancellationToken,
    _counted: TaskTrackerToken,
}

impl UnderWay {
    /// Whether the server itself ends the connection before the answer has.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.cut.is_cancelled()
    }

    /// Ends when the server does so; what goes on after an answer has a moment then to say it.
    pub(crate) fn cut_off(&self) -> WaitForCancellationFutureOwned {
        self.cut.clone().cancelled_owned()
    }
}

/// What goes on on a connection once HTTP has ended there. Whoever answers a request with another protocol puts it
/// into the extensions of the answer; the server runs it as a part of the connection, which is served until its end.
#[derive(Clone)]
pub(crate) struct Afterwards(Rest);

type Rest = Arc<Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>>;

impl Afterwards {
    pub(crate) fn new(rest: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::pin(rest)))))
    }

    async fn run(self) {
        let rest = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(rest) = rest {
            rest.await;
        }
    }
}

impl std::fmt::Debug for Afterwards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Afterwards(…)")
    }
}

/// The requests under way.
#[derive(Clone, Debug, Default)]
struct Requests {
    counted: TaskTracker,
    /// What goes on after they were answered.
    afterwards: TaskTracker,
    cut: CancellationToken,
}

impl Requests {
    fn begin(&self) -> UnderWay {
        UnderWay {
            cut: self.cut.clone(),
            _counted: self.counted.token(),
        }
    }

    /// Waits for what goes on after requests were answered, which was told to end, but not for long.
    async fn last_words(&self) {
        self.afterwards.close();
        let _ = tokio::time::timeout(LAST_WORDS, self.afterwards.wait()).await;
    }

    fn announce_waiting(&self, limit: Duration) {
        let count = self.counted.len();
        let requests = if count == 1 { "request" } else { "requests" };
        if count > 0 {
            tracing::info!(
                "stopping: waiting up to {limit:?} for {count} {requests}; a second signal stops \
                 at once"
            );
        }
    }
}

/// The settings of HTTP/1.1 and of HTTP/2.
fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    builder
}

/// What is spoken on a connection, and in what.
#[derive(Clone, Debug)]
struct Way {
    http: Arc<Builder<TokioExecutor>>,
    tls: Option<Handshakes>,
}

/// What answers on one connection.
#[derive(Clone, Debug)]
struct Connection {
    live: Live,
    peer: SocketAddr,
    requests: Requests,
    /// Whether a whole request head has come yet.
    spoke: Arc<AtomicBool>,
    afterwards: Arc<OnceLock<Afterwards>>,
}

impl Connection {
    fn new(live: Live, peer: SocketAddr, requests: Requests) -> Self {
        Self {
            live,
            peer,
            requests,
            spoke: Arc::default(),
            afterwards: Arc::default(),
        }
    }

    async fn serve(self, stream: TcpStream, way: Way, stop: CancellationToken) {
        // Events are small and wanted at once; a socket that cannot do it is only slower.
        let _ = stream.set_nodelay(true);
        let Some(tls) = way.tls else {
            return self.answer(stream, way.http, stop).await;
        };
        let accepted = tokio::select! {
            accepted = tls.accept(stream) => accepted,
            () = stop.cancelled() => None,
        };
        if let Some(stream) = accepted {
            self.answer(stream, way.http, stop).await;
        }
    }

    async fn answer(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        http: Arc<Builder<TokioExecutor>>,
        stop: CancellationToken,
    ) {
        let (spoke, afterwards) = (Arc::clone(&self.spoke), Arc::clone(&self.afterwards));
        let goes_on = self.requests.afterwards.clone();
        let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), self);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = silence(spoke) => return,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
        if let Some(rest) = afterwards.get() {
            goes_on.track_future(rest.clone().run()).await;
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Connection {
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.spoke.store(true, Ordering::Relaxed);
        // RFC 9112 §3.2: of two hosts, some would go by the first and others by the last.
        if request.headers().get_all(HOST).iter().nth(1).is_some() {
            let mut refused = Response::new(Body::from("the request names two hosts\n"));
            *refused.status_mut() = StatusCode::BAD_REQUEST;
            return Box::pin(std::future::ready(Ok(refused)));
        }
        let mut request = request.map(|body| {
            if body.is_end_stream() {
                Body::empty()
            } else {
                Body::new(DeadlineBody::new(BODY_TIMEOUT, body))
            }
        });
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(self.peer));
        extensions.insert(self.requests.begin());
        let (mut router, on_its_way) = self.live.now();
        let answering = router.call(request);
        let afterwards = Arc::clone(&self.afterwards);
        Box::pin(async move {
            let mut answer = answering.await?;
            drop(on_its_way);
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS
                && let Some(rest) = answer.extensions_mut().remove()
            {
                // There is no request after it.
                let _ = afterwards.set(rest);
            }
            Ok(answer)
        })
    }
}

/// Ends when a connection has said nothing for too long after it opened. The header timeout begins
/// only when the protocol is known, so it does not see those that never show theirs.
async fn silence(spoke: Arc<AtomicBool>) {
    tokio::time::sleep(HEAD_TIMEOUT).await;
    if spoke.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// Lets a passing shortage, of file descriptors say, pass.
async fn pause_after(error: &io::Error) {
    if matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    ) {
        return;
    }
    tracing::error!(%error, "no connection can be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// How long a request's head may take to come, and a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a request's body may take to come: it is one message, never a stream.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How many headers a request may have: clients send one for each parameter a server names.
const MAX_HEADERS: usize = 256;
/// How large the headers of a request may be. A connection of HTTP/2 may have us hold as much for each of
/// its streams, and one of HTTP/1.1 before anything is known of who sends it.
const MAX_HEADER_BYTES: u32 = 64 << 10;
/// How many requests may be under way on one HTTP/2 connection, streams of events among them.
const MAX_STREAMS: u32 = 128;
/// How often a silent HTTP/2 peer is asked whether it is there, and how long it may take to say.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long what goes on after an answer has to end, once the time to drain is over: a WebSocket has a second for
/// the end of a frame, and one for its client to go.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How long to wait before accepting again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);
