//! Answers of a server whose lists are filtered on the way.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use entrada::VerifiedToken;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::events::{Events, MOST_HELD};
use super::{ListError, edited};
use crate::message::{Item, is_json};
use crate::policy::Policy;
use crate::telemetry::WithCauses;
use crate::upstream::headers::is_event_stream;

/// Who sees what.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) policy: Arc<Policy>,
    pub(crate) caller: VerifiedToken,
}

impl View {
    fn shows(&self, item: &Item) -> bool {
        self.policy.shows(item, &self.caller)
    }
}

/// `response` with what `view` shows alone.
pub(crate) async fn filtered(
    response: Response<Body>,
    view: View,
) -> Result<Response<Body>, ListError> {
    let (mut parts, body) = response.into_parts();
    let coded = parts.headers.get_all(CONTENT_ENCODING).iter();
    let mut coded = coded.filter(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let is_coded = coded.next().is_some();
    let is_json = parts.headers.get(CONTENT_TYPE).is_some_and(is_json);
    if is_event_stream(&parts.headers) && !is_coded {
        unbind(&mut parts.headers);
        parts.headers.remove(CONTENT_LENGTH);
        let events = FilteredEvents::new(body, view);
        return Ok(Response::from_parts(parts, Body::new(events)));
    }
    // Where the answer comes on a stream this says no more than that it will, in words of the server's own.
    if parts.status == StatusCode::ACCEPTED && !is_json {
        unbind(&mut parts.headers);
        for name in [CONTENT_LENGTH, CONTENT_TYPE, CONTENT_ENCODING] {
            parts.headers.remove(name);
        }
        return Ok(Response::from_parts(parts, Body::empty()));
    }
    if body.is_end_stream() || (!is_json && !is_coded && is_no_answer(parts.status)) {
        return Ok(Response::from_parts(parts, body));
    }
    if !is_json || is_coded {
        return Err(ListError::Kind);
    }
    let whole = Limited::new(body, MOST_HELD).collect().await;
    let whole = whole.map_err(|error| match error.downcast::<axum::Error>() {
        Ok(error) => ListError::Broken(*error),
        Err(error) if error.is::<LengthLimitError>() => ListError::TooLarge,
        Err(error) => ListError::Broken(axum::Error::new(error)),
    })?;
    let whole = whole.to_bytes();
    if whole.trim_ascii().is_empty() {
        return Ok(Response::from_parts(parts, Body::from(whole)));
    }
    let text = str::from_utf8(&whole).map_err(|_| ListError::NotJson)?;
    let new = edited(text, &|item| view.shows(item))?;
    let whole = new.map_or(whole, Bytes::from);
    unbind(&mut parts.headers);
    parts.headers.insert(CONTENT_LENGTH, whole.len().into());
    Ok(Response::from_parts(parts, Body::from(whole)))
}

/// Whether a client takes it for trouble, whatever is in it.
fn is_no_answer(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// Removes what speaks of the bytes as they were, and lets nobody keep what is one caller's.
fn unbind(headers: &mut HeaderMap) {
    for name in [ETAG, DIGEST, CONTENT_DIGEST, REPR_DIGEST, CONTENT_MD5] {
        headers.remove(name);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

const DIGEST: HeaderName = HeaderName::from_static("digest");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// A stream of events whose lists are filtered.
struct FilteredEvents {
    body: Body,
    events: Events,
    view: View,
    ready: VecDeque<Bytes>,
    ended: bool,
}

impl FilteredEvents {
    fn new(body: Body, view: View) -> Self {
        Self {
            body,
            events: Events::default(),
            view,
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// Takes out every event that is complete.
    fn take(&mut self) -> Result<(), ListError> {
        let Self { events, view, .. } = self;
        while let Some(event) = events.next(self.ended, &|item| view.shows(item))? {
            self.ready.push_back(event);
        }
        Ok(())
    }
}

impl http_body::Body for FilteredEvents {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(event))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let came = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame.into_data().ok(),
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.ended = true;
                    None
                }
            };
            let taken = self.events.push(&came.unwrap_or_default());
            if let Err(error) = taken.and_then(|()| self.take()) {
                // What cannot be read is not shown, and neither is what follows it.
                tracing::error!(error = %WithCauses::of(&error), "a stream was cut off");
                self.ended = true;
                self.ready.clear();
                return Poll::Ready(Some(Err(axum::Error::new(error))));
            }
        }
    }
}

impl fmt::Debug for FilteredEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilteredEvents").finish_non_exhaustive()
    }
}
