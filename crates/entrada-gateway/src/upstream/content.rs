//! What of a request's body goes on to the MCP server.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::Limited;

/// The content of a request, up to a limit, without its trailer fields.
///
/// Servers may merge those into the headers, past all that was removed and added there
/// (RFC 9110 §6.5.1).
#[derive(Debug)]
pub(super) struct RequestContent(Limited<Body>);

impl RequestContent {
    /// Of `body` no more than `limit` bytes, or the stream fails.
    pub(super) fn new(body: Body, limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self(Limited::new(body, limit))
    }

    /// Nothing.
    pub(super) fn empty() -> Self {
        Self::new(Body::empty(), 0)
    }
}

impl http_body::Body for RequestContent {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            let polled = Pin::new(&mut self.0).poll_frame(context);
            if !matches!(&polled, Poll::Ready(Some(Ok(frame))) if frame.is_trailers()) {
                return polled;
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{HeaderMap, HeaderValue};
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    #[tokio::test]
    async fn trailer_fields_are_left_behind() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-entrada-roles", HeaderValue::from_static("Everything"));
        let frames = [
            Frame::data(Bytes::from_static(b"{}")),
            Frame::trailers(trailers),
        ];
        let frames = futures_util::stream::iter(frames.map(Ok::<_, Infallible>));
        let content = RequestContent::new(Body::new(StreamBody::new(frames)), 2);
        let collected = content.collect().await.unwrap();
        assert_eq!(collected.trailers(), None);
        assert_eq!(collected.to_bytes(), "{}");
    }
}
