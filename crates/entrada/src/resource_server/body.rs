//! The body of a response that may be the guard's own.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a guarded service's response, or of the guard's own.
    #[derive(Debug)]
    pub struct ResponseBody<C> {
        #[pin]
        source: Source<C>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = SourceProjection]
    enum Source<C> {
        Guard { #[pin] body: Full<Bytes> },
        Service { #[pin] body: C },
    }
}

impl<C> ResponseBody<C> {
    /// A body of ours.
    pub fn of_guard(body: Bytes) -> Self {
        let body = Full::new(body);
        Self {
            source: Source::Guard { body },
        }
    }

    /// The body of a response that passes through.
    pub fn of_service(body: C) -> Self {
        Self {
            source: Source::Service { body },
        }
    }
}

impl<C: Body<Data = Bytes>> Body for ResponseBody<C> {
    type Data = Bytes;
    type Error = C::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, C::Error>>> {
        match self.project().source.project() {
            SourceProjection::Guard { body } => body.poll_frame(cx).map_err(|never| match never {}),
            SourceProjection::Service { body } => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Guard { body } => body.is_end_stream(),
            Source::Service { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Guard { body } => body.size_hint(),
            Source::Service { body } => body.size_hint(),
        }
    }
}
