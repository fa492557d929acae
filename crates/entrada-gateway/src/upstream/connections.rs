//! Connections to one replica.
//!
//! Over HTTP/1.1 each request has one to itself while it lasts. Over HTTP/2 many share one, and a server lets so
//! many have streams on it and no more, while the streams of MCP last for hours. So only so many requests
//! share, and what comes after that gets another. What a client does not read is kept for it: so
//! little of it that all who share could stop reading, and the next would be answered all the same.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Builder, Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::upstream::dial::Connector;
use crate::upstream::lent::Lent;

/// What sends requests over connections of its own.
type Sender = Client<Connector, Lent>;

/// The connections to a replica.
#[derive(Debug)]
pub(super) enum Connections {
    /// One for each request under way.
    OfTheirOwn(Box<Sender>),
    /// Of those over HTTP/2, one for several requests.
    Shared(Shared),
}

/// Connections that several requests share.
#[derive(Debug)]
pub(super) struct Shared {
    connector: Connector,
    open: Mutex<Vec<Sharing>>,
}

/// A connection, if it is over HTTP/2, and those who share it.
#[derive(Clone, Debug)]
struct Sharing {
    sender: Sender,
    by: Arc<AtomicUsize>,
}

/// A place on a connection, for as long as this is there.
#[derive(Debug)]
pub(super) struct Seat(Option<Arc<AtomicUsize>>);

impl Connections {
    /// Those that `connector` opens, with as many requests on each as there can be.
    pub(super) fn new(connector: Connector, http2: bool) -> Self {
        if http2 {
            Self::Shared(Shared {
                connector,
                open: Mutex::default(),
            })
        } else {
            Self::OfTheirOwn(Box::new(sender(connector)))
        }
    }

    /// Those that `connector` opens, each for one request and whatever becomes of it.
    pub(super) fn for_one_each(connector: Connector) -> Self {
        let sender = building().pool_max_idle_per_host(0).build(connector);
        Self::OfTheirOwn(Box::new(sender))
    }

    /// Sends `request`. The answer is under way until the seat is given back.
    pub(super) async fn request(
        &self,
        request: Request<Lent>,
    ) -> Result<(Response<Incoming>, Seat), Error> {
        match self {
            Self::OfTheirOwn(sender) => Ok((sender.request(request).await?, Seat(None))),
            Self::Shared(shared) => {
                let (sender, seat) = shared.seat();
                Ok((sender.request(request).await?, seat))
            }
        }
    }
}

impl Shared {
    /// A connection with a seat left. Those that nobody is on are let go.
    fn seat(&self) -> (Sender, Seat) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let free = |sharing: &&Sharing| sharing.by.load(Ordering::Relaxed) < SEATS;
        let found = open.iter().find(free).cloned();
        let sharing = found.unwrap_or_else(|| {
            open.retain(|sharing| sharing.by.load(Ordering::Relaxed) > 0);
            let sharing = Sharing {
                sender: sender(self.connector.clone()),
                by: Arc::default(),
            };
            open.push(sharing.clone());
            sharing
        });
        sharing.by.fetch_add(1, Ordering::Relaxed);
        (sharing.sender, Seat(Some(sharing.by)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(by) = &self.0 {
            by.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn sender(connector: Connector) -> Sender {
    building().build(connector)
}

fn building() -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_CONNECTION)
        .http1_max_headers(MAX_HEADERS)
        .http2_initial_stream_window_size(UNREAD)
        .http2_initial_connection_window_size(UNREAD * UNREAD_OF_ALL)
        .http2_keep_alive_interval(SILENCE)
        .http2_keep_alive_timeout(SILENCE);
    builder
}

/// How many requests share a connection: servers let a hundred at least (RFC 9113 §6.5.2).
const SEATS: usize = 64;

/// How much of an answer may come that its client has not read.
const UNREAD: u32 = 64 * 1024;

/// For how many answers that may be: for more than there are seats.
const UNREAD_OF_ALL: u32 = 96;

/// How long a connection may be silent before it is asked whether it is there, and how long it may take to
/// say so. The system finds out a quarter of an hour later, and until then all who share it would wait.
const SILENCE: Duration = Duration::from_secs(15);

/// How long an idle connection is kept. Common MCP servers close theirs after five seconds, and a
/// request that meets the closing would be lost: it must not be sent twice.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);

/// How many headers an answer may have.
const MAX_HEADERS: usize = 256;
