//! Servers of before 2025-03-26, which say on a stream where messages go (MCP 2024-11-05, *HTTP with SSE*).
//!
//! What such a server says holds its session id, and is no credential, yet whoever has it speaks in that
//! session. Clients are therefore told a URL of ours, at random, which is good for whoever opened the
//! stream, for as long as that is open; what the server said never leaves.

use std::collections::HashMap;
use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Bytes, BytesMut};
use entrada::VerifiedToken;
use entrada::platform::{SecureRandom as _, SystemRandom};
use http::Uri;
use http_body::{Body, Frame};

use crate::upstream::first_event::{self, Endpoint, FirstEvent, LaterEvents};
use crate::upstream::target::{ForeignEndpoint, Target};

/// The streams that are open, by the last segment of our URL.
#[derive(Clone, Debug)]
pub(super) struct Endpoints {
    resource_path: String,
    random: SystemRandom,
    open: Arc<Mutex<HashMap<String, Opened>>>,
}

/// Where the messages of a stream go, and whose it is.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    caller: CallerKey,
    replica: usize,
    uri: Uri,
}

/// Issuer, subject and client, as of a session.
type CallerKey = (String, String, String);

fn key(caller: &VerifiedToken) -> CallerKey {
    let client = caller.client_id.as_str();
    (
        caller.issuer.clone(),
        caller.subject.clone(),
        client.to_owned(),
    )
}

impl Endpoints {
    /// Below `resource_path`.
    pub(super) fn new(resource_path: &str) -> Self {
        Self {
            resource_path: resource_path.trim_end_matches('/').to_owned(),
            random: SystemRandom::default(),
            open: Arc::default(),
        }
    }

    /// Where what `caller` sends to `path` goes.
    pub(super) fn find(&self, path: &str, caller: &VerifiedToken) -> Found {
        let below = path.strip_prefix(&*self.resource_path);
        let Some(id) = below.and_then(|below| below.strip_prefix(BELOW)) else {
            return Found::NotOurs;
        };
        let open = lock(&self.open);
        let opened = open.get(id).filter(|opened| opened.caller == key(caller));
        opened.map_or(Found::Gone, |opened| {
            Found::At(opened.replica, opened.uri.clone())
        })
    }

    fn open(&self, opened: Opened) -> (String, Open) {
        let mut id = [0; 24];
        self.random.fill(&mut id);
        let id = URL_SAFE_NO_PAD.encode(id);
        let path = format!("{}{BELOW}{id}", self.resource_path);
        lock(&self.open).insert(id.clone(), opened);
        let of = Arc::clone(&self.open);
        (path, Open { of, id })
    }
}

/// What is found at a path.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// It is none of ours.
    NotOurs,
    /// It is, and leads nowhere, or not for this caller.
    Gone,
    /// It stands for this URL of this replica.
    At(usize, Uri),
}

/// A URL of ours, good until this is dropped.
#[derive(Debug)]
struct Open {
    of: Arc<Mutex<HashMap<String, Opened>>>,
    id: String,
}

impl Drop for Open {
    fn drop(&mut self) {
        lock(&self.of).remove(&self.id);
    }
}

fn lock(open: &Mutex<HashMap<String, Opened>>) -> MutexGuard<'_, HashMap<String, Opened>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream of events in which the server's URL is replaced by ours, if the first event tells one.
#[derive(Debug)]
pub(super) struct EndpointStream<B> {
    body: B,
    target: Target,
    endpoints: Endpoints,
    opening: Opened,
    /// What came of the first event; none once that is over.
    held: Option<BytesMut>,
    later: LaterEvents,
    open: Option<Open>,
}

impl<B> EndpointStream<B> {
    /// What `caller` asked of `replica` at `uri`, which is `target`'s.
    pub(super) fn new(
        body: B,
        endpoints: Endpoints,
        (target, uri): (Target, Uri),
        (replica, caller): (usize, &VerifiedToken),
    ) -> Self {
        let caller = key(caller);
        Self {
            body,
            target,
            endpoints,
            opening: Opened {
                caller,
                replica,
                uri,
            },
            held: Some(BytesMut::new()),
            later: LaterEvents::default(),
            open: None,
        }
    }

    /// What can go on once `bytes` have come.
    fn admit(&mut self, bytes: Bytes) -> Result<Bytes, ForeignEndpoint> {
        let Some(held) = &mut self.held else {
            return self.without_another(bytes);
        };
        held.extend_from_slice(&bytes);
        match first_event::read(held) {
            FirstEvent::Unfinished(before) if held.len() - before <= LONGEST_EVENT => {
                Ok(held.split_to(before).freeze())
            }
            FirstEvent::Unfinished(_) | FirstEvent::Other => {
                let held = self.held.take().unwrap_or_default().freeze();
                let plain = first_event::without_mark(&held).len();
                self.without_another(held.slice(held.len() - plain..))?;
                Ok(held)
            }
            FirstEvent::Endpoint(endpoint) => {
                let held = self.held.take().unwrap_or_default();
                self.replaced(&held, &endpoint)
            }
        }
    }

    /// `bytes`, if they tell no endpoint behind the first event: nobody is told of it where that would go.
    fn without_another(&mut self, bytes: Bytes) -> Result<Bytes, ForeignEndpoint> {
        if self.later.name_endpoint(&bytes) {
            return Err(ForeignEndpoint);
        }
        Ok(bytes)
    }

    fn replaced(&mut self, held: &[u8], endpoint: &Endpoint) -> Result<Bytes, ForeignEndpoint> {
        let asked = &self.opening.uri;
        let uri = self.target.endpoint(asked, &endpoint.url)?;
        let (path, open) = self.endpoints.open(Opened {
            uri,
            ..self.opening.clone()
        });
        self.open = Some(open);
        let event = format!("event: endpoint\ndata: {path}\n\n");
        let before = held.get(..endpoint.start).unwrap_or_default();
        let after = held.get(endpoint.end..).unwrap_or_default();
        if self.later.name_endpoint(after) {
            return Err(ForeignEndpoint);
        }
        Ok([before, event.as_bytes(), after].concat().into())
    }
}

impl<B> Body for EndpointStream<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            let Poll::Ready(polled) = Pin::new(&mut self.body).poll_frame(context) else {
                return Poll::Pending;
            };
            let frame = match polled {
                Some(frame) => frame.map_err(Into::into)?,
                // What has no end is no event: clients leave it out.
                None => return Poll::Ready(None),
            };
            let bytes = match frame.into_data() {
                Ok(bytes) => bytes,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            };
            match self.admit(bytes) {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Err(error) => {
                    let upstream = self.target.origin();
                    tracing::error!(%error, upstream, "a stream is broken off");
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// Between the resource's path and what says which stream.
const BELOW: &str = "/entrada-endpoint/";

/// How much of an event is held to learn what it is.
const LONGEST_EVENT: usize = 16 << 10;
