//! Answers that are held back until it is known whether a challenge comes instead.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use entrada::access_token::Shortfall;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

/// How long an answer is held back at most: what a tool finds lacking later than that is told in
/// the answer itself.
const LONGEST: Duration = Duration::from_secs(10);

/// Where a tool notes what its caller lacks, while the answer can still be a challenge. It goes with
/// one HTTP request, and nobody else sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note(Arc<Mutex<Option<Shortfall>>>);

impl Note {
    /// The first that is noted counts.
    pub(crate) fn write(&self, shortfall: Shortfall) {
        self.noted().get_or_insert(shortfall);
    }

    fn take(&self) -> Option<Shortfall> {
        self.noted().take()
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Option<Shortfall>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until `response` has begun to answer, and then looks whether `note` says what is lacking.
///
/// # Errors
///
/// What is lacking: the response is of no use then.
pub(crate) async fn hold<C>(
    response: Response<C>,
    note: &Note,
) -> Result<Response<Held<C>>, Shortfall>
where
    C: Body<Data = Bytes> + Unpin,
{
    let (parts, body) = response.into_parts();
    let mut held = Held::new(body);
    if is_stream_of_events(&parts.headers) {
        let _ = tokio::time::timeout(LONGEST, held.begin()).await;
    }
    match note.take() {
        Some(shortfall) => Err(shortfall),
        None => Ok(Response::from_parts(parts, held)),
    }
}

fn is_stream_of_events(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("text/event-stream")
}

/// A body whose beginning was read ahead.
#[derive(Debug)]
pub struct Held<C: Body> {
    read: VecDeque<Result<Frame<C::Data>, C::Error>>,
    rest: C,
}

impl<C: Body> Held<C> {
    pub(crate) fn new(rest: C) -> Self {
        Self {
            read: VecDeque::new(),
            rest,
        }
    }
}

impl<C: Body<Data = Bytes> + Unpin> Held<C> {
    /// Reads ahead to the first message, or the end. What only keeps the connection alive, or tells how
    /// to resume, says nothing yet.
    async fn begin(&mut self) {
        let mut line = Line::default();
        while let Some(frame) = self.rest.frame().await {
            let begun = match &frame {
                Ok(frame) => frame
                    .data_ref()
                    .is_some_and(|data| line.holds_message(data)),
                Err(_) => true,
            };
            self.read.push_back(frame);
            if begun {
                return;
            }
        }
    }
}

/// The line of an event stream that is being read.
#[derive(Default)]
struct Line(Vec<u8>);

impl Line {
    /// Whether there is an event with data in what was read so far (HTML, *server-sent events*).
    fn holds_message(&mut self, data: &[u8]) -> bool {
        const DATA: &[u8] = b"data:";
        for &byte in data {
            match byte {
                b'\n' | b'\r' => self.0.clear(),
                b' ' if self.0 == DATA => {}
                // As much as tells one field from another.
                _ if self.0.len() <= DATA.len() => self.0.push(byte),
                _ => {}
            }
            if self.0.len() > DATA.len() && self.0.starts_with(DATA) {
                return true;
            }
        }
        false
    }
}

impl<C: Body + Unpin> Body for Held<C>
where
    C::Data: Unpin,
    C::Error: Unpin,
{
    type Data = C::Data;
    type Error = C::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<C::Data>, C::Error>>> {
        match self.read.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.read.is_empty() {
            self.rest.size_hint()
        } else {
            SizeHint::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use entrada::oauth::scope::Scope;

    use super::*;

    #[test]
    fn the_first_that_is_noted_counts() {
        let (note, scope) = (Note::default(), |text| Scope::parse(text).unwrap());
        note.write(Shortfall::Scope(scope("first")));
        note.write(Shortfall::Scope(scope("second")));
        let taken = note.take().unwrap();
        assert!(matches!(&taken, Shortfall::Scope(taken) if *taken == scope("first")));
        assert!(note.take().is_none());
    }

    /// A body that keeps its connection alive and never says anything.
    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_begin_is_held_back_only_so_long() {
        let began = tokio::time::Instant::now();
        let response = Response::builder().header(CONTENT_TYPE, "text/event-stream");
        let held = hold(response.body(Silent).unwrap(), &Note::default()).await;
        assert!(held.is_ok());
        assert_eq!(began.elapsed(), LONGEST);
    }

    #[test]
    fn comments_and_events_without_data_are_no_message() {
        for (stream, begun) in [
            (&["", ": ping\n\n", ":\n\n"][..], false),
            (&["id: 0/0\nretry: 3000\ndata:\n\n"], false),
            (&["data: \n\n"], false),
            (&["event: data: x\n\n"], false),
            (&["data: {}\n\n"], true),
            (&["data:{}\n\n"], true),
            (&["id: 1\r\nda", "ta", ": ", "{}"], true),
            (&["data:\ndata: {}\n\n"], true),
        ] {
            let mut line = Line::default();
            let found = stream
                .iter()
                .any(|part| line.holds_message(part.as_bytes()));
            assert_eq!(found, begun, "{stream:?}");
        }
    }
}
