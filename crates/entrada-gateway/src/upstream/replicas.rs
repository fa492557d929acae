//! The replicas of an MCP server, and the way a request takes to one of them.
//!
//! Where there are several, the replica that opened a session stands in the session's id, before what the
//! server itself calls it, and the guard ties both to the caller. So every gateway knows the replica, and
//! shares nothing with the others.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::config::UpstreamSettings;
use crate::upstream::checks::PATIENCE;
use crate::upstream::connections::{Connections, Seat};
use crate::upstream::content::RequestContent;
use crate::upstream::error::ForwardError;
use crate::upstream::greeting::{Greeting, NoGreeting, greet};
use crate::upstream::health::{Health, Standing, order};
use crate::upstream::lent::{Lender, Lent};
use crate::upstream::place::Place;
use crate::upstream::target::Target;
use crate::upstream::tls::{UpstreamError, client_config, connector};

/// All replicas of one server.
#[derive(Debug)]
pub(super) struct Replicas {
    all: Vec<Replica>,
    /// Where the next count begins.
    turn: AtomicUsize,
    session_grace: Duration,
}

#[derive(Debug)]
struct Replica {
    target: Target,
    mark: String,
    connections: Connections,
    /// Those for WebSockets, where there may be some.
    for_websockets: Option<Connections>,
    busy: Arc<AtomicUsize>,
    health: Mutex<Health>,
}

/// Where a request is to go.
#[derive(Debug)]
pub(super) enum Way {
    /// To any replica.
    Any,
    /// To the replica that has its session.
    Session(usize),
    /// To the URL that a replica told on a stream.
    Endpoint(usize, Uri),
}

/// What a request is to become.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Becomes {
    /// An answer.
    Answer,
    /// A WebSocket, if the server will have it.
    WebSocket,
}

impl Replicas {
    pub(super) fn new(
        places: &[Place],
        settings: &UpstreamSettings,
    ) -> Result<Self, UpstreamError> {
        let is_https = places.iter().any(|place| place.url.scheme() == "https");
        let tls = client_config(&settings.tls, settings.ca_file.as_deref(), is_https)?;
        let all = places.iter().map(|place| {
            let for_websockets = || {
                // What is upgraded is HTTP/1.1 (RFC 6455 §4.1), and no other request comes after.
                Connections::for_one_each(connector(place, tls.clone(), false))
            };
            let connector = connector(place, tls.clone(), settings.http2);
            Ok(Replica {
                target: Target::new(place, &settings.resource_path)?,
                mark: place.mark(),
                connections: Connections::new(connector, settings.http2),
                for_websockets: settings.websocket.then(for_websockets),
                busy: Arc::default(),
                health: Mutex::default(),
            })
        });
        Ok(Self {
            all: all.collect::<Result<_, UpstreamError>>()?,
            turn: AtomicUsize::new(0),
            session_grace: settings.session_grace,
        })
    }

    /// The target of the replica with that number.
    pub(super) fn target(&self, index: usize) -> Option<&Target> {
        self.all.get(index).map(|replica| &replica.target)
    }

    /// Where they are, for a log.
    pub(super) fn shown(&self) -> String {
        let origins = self.all.iter().map(|replica| replica.target.origin());
        origins.collect::<Vec<_>>().join(", ")
    }

    /// The way of a request with these `headers`, in which its session is called what the server calls it
    /// from then on.
    pub(super) fn way(&self, headers: &mut HeaderMap) -> Result<Way, ForwardError> {
        let Some(marked) = headers.get(MCP_SESSION_ID).filter(|_| self.all.len() > 1) else {
            return Ok(Way::Any);
        };
        let (mark, id) = split(marked).ok_or(ForwardError::SessionLost)?;
        let replica = self.all.iter().position(|replica| replica.mark == mark);
        let replica = replica.ok_or(ForwardError::SessionLost)?;
        headers.insert(MCP_SESSION_ID, id);
        Ok(Way::Session(replica))
    }

    /// Sends `request`, whose own target is not yet set, on its `way`, with what was `asked` of us. It
    /// goes to a second replica only while nothing was sent to the first.
    pub(super) async fn send(
        &self,
        request: Request<RequestContent>,
        asked: &Uri,
        (way, becomes): (Way, Becomes),
    ) -> Result<(usize, Response<Counted>), ForwardError> {
        let (mut head, content) = request.into_parts();
        let lender = Lender::new(content);
        let (candidates, uri) = match way {
            Way::Any => (self.order(Instant::now()), None),
            Way::Session(index) => (vec![index], None),
            Way::Endpoint(index, uri) => (vec![index], Some(uri)),
        };
        let is_bound = candidates.len() == 1;
        let mut left = candidates.into_iter();
        while let Some((index, replica)) = left.next().and_then(|at| Some((at, self.all.get(at)?)))
        {
            head.uri = match &uri {
                Some(uri) => uri.clone(),
                None => replica.target.uri(asked)?,
            };
            let is_last = left.len() == 0;
            let head = if is_last {
                std::mem::replace(&mut head, Request::new(()).into_parts().0)
            } else {
                head.clone()
            };
            let request = Request::from_parts(head, lender.lend());
            match replica.ask(request, becomes).await {
                Ok(response) => return Ok((index, response)),
                Err(error) if !error.is_connect() => return Err(ForwardError::of_client(error)),
                Err(error) => {
                    let now = Instant::now();
                    replica.health().failed(now);
                    if is_bound && self.has_lost_sessions(index, now) {
                        return Err(ForwardError::SessionLost);
                    }
                    if is_last || !lender.is_whole() {
                        return Err(ForwardError::of_client(error));
                    }
                    let upstream = replica.target.origin();
                    tracing::warn!(upstream, "cannot be reached: the next one is asked");
                }
            }
        }
        Err(ForwardError::SessionLost)
    }

    /// Writes into the answer of a replica that it has the session.
    pub(super) fn mark(&self, index: usize, headers: &mut HeaderMap) {
        let replica = self.all.get(index).filter(|_| self.all.len() > 1);
        let Some((replica, id)) = replica.zip(headers.get(MCP_SESSION_ID)) else {
            return;
        };
        let marked = [replica.mark.as_bytes(), b".", id.as_bytes()].concat();
        match HeaderValue::from_bytes(&marked) {
            Ok(marked) => drop(headers.insert(MCP_SESSION_ID, marked)),
            Err(_) => drop(headers.remove(MCP_SESSION_ID)),
        }
    }

    /// Asks each replica at `path` whether it is well.
    pub(super) fn checked(
        &self,
        path: &PathAndQuery,
    ) -> impl Iterator<Item = impl Future<Output = ()>> {
        self.all.iter().map(|replica| replica.check(path))
    }

    /// What each replica answers to whoever only looks, with these `headers`.
    pub(super) async fn greeted(&self, headers: &HeaderMap) -> Vec<Result<Greeting, NoGreeting>> {
        let greeted = self.all.iter();
        let greeted =
            greeted.map(|replica| greet(&replica.connections, replica.target.whole(), headers));
        join_all(greeted).await
    }

    fn order(&self, now: Instant) -> Vec<usize> {
        let standings = self.all.iter().map(|replica| Standing {
            busy: replica.busy.load(Ordering::Relaxed),
            is_out: replica.health().is_out(now),
        });
        let standings: Vec<_> = standings.collect();
        order(&standings, self.turn.fetch_add(1, Ordering::Relaxed))
    }

    fn has_lost_sessions(&self, index: usize, now: Instant) -> bool {
        let mut others = self.all.iter().enumerate();
        let others = others.any(|(other, replica)| other != index && !replica.health().is_out(now));
        let replica = self.all.get(index);
        replica.is_some_and(|replica| {
            let health = replica.health();
            health.has_lost_sessions(self.session_grace, others, now)
        })
    }
}

impl Replica {
    async fn ask(
        &self,
        request: Request<Lent>,
        becomes: Becomes,
    ) -> Result<Response<Counted>, hyper_util::client::legacy::Error> {
        let busy = Busy::one_more(&self.busy);
        let span = tracing::debug_span!(
            "upstream",
            otel.kind = "client",
            server.address = self.target.origin(),
        );
        let its_own = self.for_websockets.as_ref();
        let its_own = its_own.filter(|_| becomes == Becomes::WebSocket);
        let connections = its_own.unwrap_or(&self.connections);
        let answer = connections.request(request).instrument(span).await?;
        self.health().answered();
        let (response, seat) = answer;
        Ok(response.map(|body| Counted {
            body,
            _under_way: (busy, seat),
        }))
    }

    /// Asks at `path` whether it is well, and takes note of it.
    async fn check(&self, path: &PathAndQuery) {
        let mut request = Request::new(Lender::new(RequestContent::empty()).lend());
        *request.uri_mut() = self.target.at(path);
        let answer = tokio::time::timeout(PATIENCE, self.connections.request(request)).await;
        let was_out = self.health().is_out(Instant::now());
        match answer {
            Ok(Err(error)) if error.is_connect() => self.health().failed(Instant::now()),
            Ok(Ok((answer, _))) => self.health().said(answer.status().is_success()),
            Ok(Err(_)) | Err(_) => self.health().said(false),
        }
        let is_out = self.health().is_out(Instant::now());
        if was_out != is_out {
            let upstream = self.target.origin();
            if is_out {
                tracing::warn!(upstream, "a replica is not well: it gets no new sessions");
            } else {
                tracing::info!(upstream, "a replica is well again");
            }
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The mark in a session id, and what the server calls the session.
fn split(marked: &HeaderValue) -> Option<(&str, HeaderValue)> {
    let (mark, rest) = marked.as_bytes().split_at_checked(MARK_LENGTH)?;
    let id = HeaderValue::from_bytes(rest.strip_prefix(b".")?).ok()?;
    Some((str::from_utf8(mark).ok()?, id))
}

/// A request under way, counted for as long as this is there.
#[derive(Debug)]
struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn one_more(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer, which keeps its replica busy.
#[derive(Debug)]
pub(super) struct Counted {
    body: Incoming,
    _under_way: (Busy, Seat),
}

impl Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// `Mcp-Session-Id` (MCP transports, *Session Management*).
pub(super) const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// How long a [`Place::mark`] is.
const MARK_LENGTH: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_session_id_is_read_as_it_was_written(mark in "[0-9a-f]{16}", id in "[!-~]{0,40}") {
            let marked = HeaderValue::try_from(format!("{mark}.{id}")).unwrap();
            let (read, rest) = split(&marked).unwrap();
            prop_assert_eq!(read, mark);
            prop_assert_eq!(rest.as_bytes(), id.as_bytes());
        }

        #[test]
        fn whatever_a_client_sends_is_no_session_or_one(bytes in prop::collection::vec(32_u8..=126, 0..40)) {
            let value = HeaderValue::from_bytes(&bytes).unwrap();
            let has_mark = bytes.get(MARK_LENGTH) == Some(&b'.');
            prop_assert_eq!(split(&value).is_some(), has_mark);
        }
    }
}
