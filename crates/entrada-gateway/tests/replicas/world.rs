//! The hosts there are, as a browser and a client reach them: Entra, and three replicas behind one name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderValue, Uri, header};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::{Instant, timeout};

pub(crate) const BASE_URL: &str = "https://mcp.example.com";
pub(crate) const HOST: &str = "mcp.example.com";
pub(crate) const RESOURCE: &str = "https://mcp.example.com/mcp";

/// A replica where a request hangs for so long is left alone by the load balancer.
const SUSPICIOUS: Duration = Duration::from_secs(2);

/// How much longer clients wait for an answer: some less long than a lease of a replica lasts, some longer.
const PATIENCE: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_secs(6),
    Duration::from_secs(13),
];

/// How long it is left alone after that, and one that cannot be reached.
const LEFT_ALONE: Duration = Duration::from_secs(2);

/// Whether Entra answers for `host`.
pub(crate) fn is_entra(host: &str) -> bool {
    host == "127.0.0.1"
}

/// What the shared browser takes for a replica.
pub(crate) struct World {
    pub(crate) hosts: Hosts,
}

/// A load balancer before the replicas, and the way to Entra. Clones share what they know.
#[derive(Clone)]
pub(crate) struct Hosts {
    http: Client<HttpConnector, Body>,
    replicas: Arc<[Listener]>,
    next: Arc<AtomicUsize>,
    /// How many requests have hung.
    hung: Arc<AtomicUsize>,
}

struct Listener {
    address: SocketAddr,
    left_alone_until: Mutex<Instant>,
    /// How many requests hang there.
    hanging: AtomicUsize,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Answer(Answer),
    /// Nobody took it.
    Unsent,
    /// Somebody may have taken it, and did not answer.
    Broken,
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) json: Value,
    /// Which replica answered.
    pub(crate) by: usize,
}

impl Hosts {
    pub(crate) fn new(replicas: impl IntoIterator<Item = SocketAddr>) -> Self {
        let replicas = replicas.into_iter().map(|address| Listener {
            address,
            left_alone_until: Mutex::new(Instant::now()),
            hanging: AtomicUsize::new(0),
        });
        Self {
            http: Client::builder(TokioExecutor::new()).build_http(),
            replicas: replicas.collect(),
            next: Arc::default(),
            hung: Arc::default(),
        }
    }

    /// Sends a request of a browser; `None` if nobody answers, or there is no such host.
    pub(crate) async fn send(&self, request: Request) -> Option<Response> {
        match request.uri().host() {
            Some(HOST) => {
                let answer = self.send_to(self.pick(), request).await;
                answer.ok().map(|response| response.map(Body::from))
            }
            Some(host) if is_entra(host) => {
                let response = self.http.request(request).await.ok()?;
                Some(response.map(Body::new))
            }
            Some(_) | None => None,
        }
    }

    /// Sends a request of a client to the replica that the load balancer chooses.
    pub(crate) async fn ask(&self, request: Request) -> Reply {
        self.ask_at(self.pick(), request).await
    }

    /// Sends a request of a client to one replica.
    pub(crate) async fn ask_at(&self, replica: usize, request: Request) -> Reply {
        read(replica, self.send_to(replica, request).await)
    }

    /// The same, and waits for as long as it takes.
    pub(crate) async fn ask_patiently(&self, replica: usize, mut request: Request) -> Reply {
        self.replicas[replica].direct(&mut request);
        read(replica, self.exchange(request).await)
    }

    /// By turns, but for those that are left alone.
    pub(crate) fn pick(&self) -> usize {
        let count = self.replicas.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed) % count;
        let mut all = (first..first + count).map(|at| at % count);
        let trusted = all.find(|at| self.replicas[*at].is_trusted());
        trusted.unwrap_or(first)
    }

    async fn send_to(
        &self,
        replica: usize,
        mut request: Request,
    ) -> Result<http::Response<bytes::Bytes>, Reply> {
        let listener = &self.replicas[replica];
        listener.direct(&mut request);
        let mut exchange = Box::pin(self.exchange(request));
        let answer = if let Ok(answer) = timeout(SUSPICIOUS, &mut exchange).await {
            answer
        } else {
            listener.hanging.fetch_add(1, Ordering::SeqCst);
            let patience = PATIENCE[self.hung.fetch_add(1, Ordering::Relaxed) % PATIENCE.len()];
            let answer = timeout(patience, exchange).await;
            listener.hanging.fetch_sub(1, Ordering::SeqCst);
            listener.leave_alone();
            answer.unwrap_or(Err(Reply::Broken))
        };
        if matches!(answer, Err(Reply::Unsent)) {
            listener.leave_alone();
        }
        answer
    }

    async fn exchange(&self, request: Request) -> Result<http::Response<bytes::Bytes>, Reply> {
        let sent = self.http.request(request).await;
        let (parts, body) = match sent {
            Ok(response) => response.into_parts(),
            Err(error) if error.is_connect() => return Err(Reply::Unsent),
            Err(_) => return Err(Reply::Broken),
        };
        let body = body.collect().await.map_err(|_| Reply::Broken)?;
        Ok(http::Response::from_parts(parts, body.to_bytes()))
    }
}

impl Listener {
    /// Sends what is meant for all of them to this one.
    fn direct(&self, request: &mut Request) {
        let path = request.uri().path_and_query().unwrap();
        let uri = format!("http://{}{path}", self.address);
        *request.uri_mut() = uri.parse::<Uri>().unwrap();
        let host = HeaderValue::from_static(HOST);
        request.headers_mut().insert(header::HOST, host);
    }

    fn is_trusted(&self) -> bool {
        let hangs = self.hanging.load(Ordering::SeqCst) > 0;
        !hangs && *self.left_alone_until.lock().unwrap() <= Instant::now()
    }

    fn leave_alone(&self) {
        *self.left_alone_until.lock().unwrap() = Instant::now() + LEFT_ALONE;
    }
}

fn read(replica: usize, response: Result<http::Response<bytes::Bytes>, Reply>) -> Reply {
    let response = match response {
        Ok(response) => response,
        Err(reply) => return reply,
    };
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let retry_after = retry_after.map(|after| after.to_str().unwrap().parse().unwrap());
    Reply::Answer(Answer {
        status: response.status().as_u16(),
        retry_after: retry_after.map(Duration::from_secs),
        json: serde_json::from_slice(response.body()).unwrap_or(Value::Null),
        by: replica,
    })
}
