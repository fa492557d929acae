//! How many of something one user, or one address, may have at once.
//!
//! What is counted is counted by each process for itself.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use entrada::VerifiedToken;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};

use crate::rate::user_of;

/// How many each has of what it may have so many of. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Seats<K: Copy + Eq + Hash>(Arc<Mutex<HashMap<K, u32>>>);

impl<K: Copy + Eq + Hash> Default for Seats<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Copy + Eq + Hash> Seats<K> {
    /// One more for `whose`, if it has fewer than `most`.
    pub(crate) fn take(&self, whose: K, most: u32) -> Option<Seat<K>> {
        let mut taken = self.lock();
        let held = taken.get(&whose).copied().unwrap_or(0);
        if held >= most {
            return None;
        }
        taken.insert(whose, held + 1);
        let seats = self.clone();
        Some(Seat { whose, seats })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat<K: Copy + Eq + Hash> {
    whose: K,
    seats: Seats<K>,
}

impl<K: Copy + Eq + Hash> Drop for Seat<K> {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        if let Entry::Occupied(mut held) = taken.entry(self.whose) {
            match held.get() {
                0 | 1 => drop(held.remove()),
                more => *held.get_mut() = more - 1,
            }
        }
    }
}

/// How many requests of one user may be under way on a route.
#[derive(Debug)]
pub(crate) struct Concurrency {
    most: u32,
    seats: Seats<u64>,
    hashing: RandomState,
}

impl Concurrency {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most,
            seats: Seats::default(),
            hashing: RandomState::new(),
        }
    }

    /// The same in the place of `before`, with those that are under way.
    pub(crate) fn counting_on(self, before: &Self) -> Self {
        Self {
            most: self.most,
            seats: before.seats.clone(),
            hashing: before.hashing.clone(),
        }
    }

    /// One more of `caller`, if there may be.
    pub(crate) fn begin(&self, caller: &VerifiedToken) -> Option<Seat<u64>> {
        // Names are as long as strangers make them; what is kept of one is as long as a number.
        let whose = self.hashing.hash_one(user_of(caller));
        self.seats.take(whose, self.most)
    }
}

impl Seat<u64> {
    /// Keeps this until `response` has ended, or nobody wants it any more.
    pub(crate) fn until_end_of(self, response: Response<Body>) -> Response<Body> {
        response.map(|body| {
            if body.is_end_stream() {
                return body;
            }
            let seat = Some(self);
            Body::new(Seated { body, seat })
        })
    }
}

/// The body of an answer, which is under way until it ends.
#[derive(Debug)]
struct Seated {
    body: Body,
    seat: Option<Seat<u64>>,
}

impl http_body::Body for Seated {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        // Before the client has the end: it may ask again at once.
        if self.body.is_end_stream() || !matches!(frame, Some(Ok(_))) {
            self.seat = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use entrada::access_token::TokenFacts;
    use entrada::oauth::client::ClientId;
    use entrada::platform::Timestamp;
    use futures_util::{StreamExt as _, stream};
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    /// An answer of one frame, with an end or without.
    fn answer(ends: bool) -> Response<Body> {
        let frame = Frame::data(Bytes::from_static(b"all there is"));
        let frames = stream::iter([Ok::<_, Infallible>(frame)]);
        Response::new(if ends {
            Body::new(StreamBody::new(frames))
        } else {
            Body::new(StreamBody::new(frames.chain(stream::pending())))
        })
    }

    #[test]
    fn each_has_as_many_as_may_be_and_nothing_is_kept_of_who_has_none() {
        let seats = Seats::default();
        let [one, other, of_another] = ["a", "a", "b"].map(|whose| seats.take(whose, 2));
        assert!(one.is_some() && other.is_some() && of_another.is_some());
        assert!(seats.take("a", 2).is_none());
        // Fewer may be had than are.
        assert!(seats.take("a", 1).is_none());
        assert!(seats.take("c", 0).is_none());
        drop(one);
        assert!(seats.take("a", 2).is_some());
        drop((other, of_another));
        assert!(seats.lock().is_empty());
    }

    #[test]
    fn what_is_under_way_counts_on_under_another_limit() {
        let facts = TokenFacts::new(
            "i".to_owned(),
            "alice".to_owned(),
            ClientId::parse("c").unwrap(),
            Timestamp::from_unix(u64::MAX),
        );
        let alice = VerifiedToken::assertion(facts);
        let before = Concurrency::new(2);
        let held = [before.begin(&alice), before.begin(&alice)];
        assert!(held.iter().all(Option::is_some) && before.begin(&alice).is_none());
        let after = Concurrency::new(3).counting_on(&before);
        let one_more = after.begin(&alice);
        assert!(one_more.is_some() && after.begin(&alice).is_none());
        drop(held);
        assert!(after.begin(&alice).is_some());
    }

    #[tokio::test]
    async fn a_seat_is_free_once_the_answer_ended_or_nobody_wants_it() {
        let seats = Seats::default();
        let is_taken = || !seats.lock().is_empty();
        let begun = |response| seats.take(1, 1).unwrap().until_end_of(response);
        drop(begun(Response::new(Body::empty())));
        let nothing = begun(Response::new(Body::empty()));
        assert!(!is_taken());
        drop(nothing);
        let known = begun(Response::new(Body::from("known before")));
        let mut body = known.into_body();
        assert!(is_taken());
        body.frame().await.unwrap().unwrap();
        assert!(!is_taken());
        let mut body = begun(answer(true)).into_body();
        body.frame().await.unwrap().unwrap();
        assert!(is_taken());
        assert!(body.frame().await.is_none());
        assert!(!is_taken());
        let mut body = begun(answer(false)).into_body();
        body.frame().await.unwrap().unwrap();
        assert!(is_taken());
        drop(body);
        assert!(!is_taken());
    }
}
