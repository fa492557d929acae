//! A body that can be had back as long as nothing of it was read.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::upstream::content::RequestContent;

/// Lends a body to one request after another, until one of them reads.
#[derive(Debug)]
pub(super) struct Lender {
    content: Arc<Mutex<Option<RequestContent>>>,
    size: SizeHint,
    is_empty: bool,
}

/// A body on loan.
#[derive(Debug)]
pub(super) struct Lent {
    from: Arc<Mutex<Option<RequestContent>>>,
    /// Once something of it was read.
    content: Option<RequestContent>,
    size: SizeHint,
    is_empty: bool,
}

impl Lender {
    pub(super) fn new(content: RequestContent) -> Self {
        Self {
            size: content.size_hint(),
            is_empty: content.is_end_stream(),
            content: Arc::new(Mutex::new(Some(content))),
        }
    }

    pub(super) fn lend(&self) -> Lent {
        Lent {
            from: Arc::clone(&self.content),
            content: None,
            size: self.size,
            is_empty: self.is_empty,
        }
    }

    /// Whether nothing of it was read.
    pub(super) fn is_whole(&self) -> bool {
        lock(&self.content).is_some()
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.content.is_none() {
            let taken = lock(&self.from).take();
            self.content = taken;
        }
        match &mut self.content {
            Some(taken) => Pin::new(taken).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        let content = self.content.as_ref();
        content.map_or(self.is_empty, Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let content = self.content.as_ref();
        content.map_or_else(|| self.size, Body::size_hint)
    }
}

fn lock(
    content: &Mutex<Option<RequestContent>>,
) -> std::sync::MutexGuard<'_, Option<RequestContent>> {
    content.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn what_was_not_read_can_be_lent_again_and_what_was_cannot() {
        let lender = Lender::new(RequestContent::new(axum::body::Body::from("{}"), 9));
        let first = lender.lend();
        assert_eq!(first.size_hint().exact(), Some(2));
        assert!(!first.is_end_stream());
        drop(first);
        assert!(lender.is_whole());
        let second = lender.lend().collect().await.unwrap();
        assert_eq!(second.to_bytes(), "{}");
        assert!(!lender.is_whole());
    }
}
