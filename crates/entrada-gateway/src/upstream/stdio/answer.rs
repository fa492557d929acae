//! From a stream of a child's to the answer to an HTTP request.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use crate::upstream::stdio::channel::Channel;
use crate::upstream::stdio::error::{StdioError, json};
use crate::upstream::stdio::events::{Cursor, Event};
use crate::upstream::stdio::outbox::{Reader, StreamEnd};
use crate::upstream::stdio::usage::Held;

/// What a client waits for.
#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) reader: Reader,
    pub(super) asked: Asked,
    /// What is in use until the answer has ended.
    pub(super) _held: Vec<Held>,
    /// Whether the stream may be resumed.
    pub(super) resumable: bool,
}

/// Requests of a client's that the child has.
#[derive(Debug)]
pub(super) struct Asked {
    channel: Option<Arc<Channel>>,
    numbers: Vec<u64>,
    /// Whether a client that leaves wants no answer (MCP 2026-07-28, *Cancellation*).
    leaving_cancels: bool,
}

impl Asked {
    /// No request: whatever comes.
    pub(super) const fn nothing() -> Self {
        Self {
            channel: None,
            numbers: Vec::new(),
            leaving_cancels: false,
        }
    }

    /// Requests that go on when the client leaves, or that end with it.
    pub(super) const fn of(channel: Arc<Channel>, leaving_cancels: bool) -> Self {
        Self {
            channel: Some(channel),
            numbers: Vec::new(),
            leaving_cancels,
        }
    }

    /// One more.
    pub(super) fn add(&mut self, number: u64) {
        self.numbers.push(number);
    }

    fn cancel(&self) {
        for number in &self.numbers {
            if let Some(channel) = &self.channel {
                channel.cancel(*number);
            }
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.leaving_cancels {
            self.cancel();
        }
    }
}

impl Awaited {
    /// The answer, when it begins, and the message that it is, where it is that alone.
    pub(super) async fn answer(
        mut self,
        limit: Option<Duration>,
    ) -> Result<(Response<Body>, Option<Bytes>), StdioError> {
        let first = match limit {
            Some(limit) => tokio::time::timeout(limit, self.reader.next()).await,
            None => Ok(self.reader.next().await),
        };
        match first {
            Ok(Ok((_, event))) if event.is_answer && self.asked.numbers.len() == 1 => {
                let message = event.data;
                Ok((json(StatusCode::OK, message.clone()), Some(message)))
            }
            Ok(Ok(first)) => Ok((self.events(Some(first)), None)),
            // Cancelled by the client itself.
            Ok(Err(StreamEnd::Whole)) => Ok((self.events(None), None)),
            Ok(Err(StreamEnd::Broken)) => Err(StdioError::Gone),
            Err(_) => {
                self.asked.cancel();
                Err(StdioError::TimedOut)
            }
        }
    }

    /// A stream of events, which begins with `first`, or with a sign that it has begun.
    pub(super) fn events(self, first: Option<(Cursor, Event)>) -> Response<Body> {
        let begin = match first {
            Some((at, event)) => event.written(self.resumable.then_some(at)),
            None => Bytes::from_static(SILENCE),
        };
        let written = stream::unfold((Some(begin), Some(self)), |(first, awaited)| async {
            let mut awaited = awaited?;
            if let Some(first) = first {
                return Some((Ok(first), (None, Some(awaited))));
            }
            match tokio::time::timeout(KEEP_ALIVE, awaited.reader.next()).await {
                Err(_) => Some((Ok(Bytes::from_static(SILENCE)), (None, Some(awaited)))),
                Ok(Ok((at, event))) => {
                    let written = event.written(awaited.resumable.then_some(at));
                    Some((Ok(written), (None, Some(awaited))))
                }
                Ok(Err(StreamEnd::Whole)) => None,
                Ok(Err(StreamEnd::Broken)) => {
                    let broken = io::Error::from(io::ErrorKind::UnexpectedEof);
                    Some((Err(broken), (None, None)))
                }
            }
        });
        let mut response = Response::new(Body::from_stream(written));
        let headers = response.headers_mut();
        let events = HeaderValue::from_static("text/event-stream");
        headers.insert(CONTENT_TYPE, events);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
        response
    }
}

/// Proxies must not wait for more (MCP transports).
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// A comment, which clients pass over (HTML Standard, *Server-sent events*).
const SILENCE: &[u8] = b":\n\n";
/// How long a stream may be silent: proxies cut those that are for longer.
const KEEP_ALIVE: Duration = Duration::from_secs(25);
