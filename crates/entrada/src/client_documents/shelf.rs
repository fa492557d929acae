//! What strangers published and we fetched, kept while it may be used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use quick_cache::sync::Cache;
use tokio::runtime::Handle;

use super::ClientFetchError;
use super::freshness::{self, freshness};
use super::ration::Rations;
use crate::platform::{Platform, Timestamp};
use crate::single_flight::Turns;

/// How soon something is asked for again that could not be had, or was refused.
const RETRY: Duration = Duration::from_secs(10);

/// How soon it is asked for again because it lacks something.
const COOL_DOWN: Duration = Duration::from_secs(5 * 60);

/// How many failures are remembered.
const MOST_FAILURES: usize = 1000;

/// How long an `ETag` or a `Last-Modified` may be.
const LONGEST_VALIDATOR: usize = 256;

/// How long something may be used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// How many are kept.
    pub(super) most: usize,
    /// How long it may say that it is fresh.
    pub(super) longest_fresh: Duration,
    /// How long it is used while its host gives no new one.
    pub(super) longest_outage: Duration,
}

/// Things that are read of what is published, by URL. Cheap to clone.
#[derive(Debug)]
pub(super) struct Shelf<T>(Arc<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    terms: Terms,
    rations: Arc<Rations>,
    platform: Platform,
    /// What was good when it was last seen, and nothing else: made-up URLs push none of it out.
    known: Cache<String, Arc<Fetched<T>>>,
    failures: Cache<String, Failure>,
    turns: Turns<String>,
}

/// Something that was good.
#[derive(Debug)]
pub(super) struct Fetched<T> {
    pub(super) value: T,
    pub(super) at: Timestamp,
    fresh_for: Duration,
    validators: HeaderMap,
    used: AtomicBool,
}

/// How the last fetch failed, and when.
#[derive(Clone, Debug)]
struct Failure {
    error: Arc<ClientFetchError>,
    at: Timestamp,
}

/// What came of a request.
type Outcome<T> = Result<Arc<Fetched<T>>, Arc<ClientFetchError>>;

impl<T> Fetched<T> {
    /// Something that was good at `at`, by another's account: whoever needs it asks again.
    pub(super) fn before(value: T, at: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            value,
            at,
            fresh_for: Duration::ZERO,
            validators: HeaderMap::new(),
            used: AtomicBool::new(false),
        })
    }

    /// Whether this is its first use.
    pub(super) fn is_first_use(&self) -> bool {
        !self.used.swap(true, Ordering::Relaxed)
    }
}

impl<T: Clone + Send + Sync + 'static> Shelf<T> {
    pub(super) fn new(terms: Terms, rations: Arc<Rations>, platform: Platform) -> Self {
        Self(Arc::new(Inner {
            terms,
            rations,
            platform,
            known: Cache::new(terms.most),
            failures: Cache::new(MOST_FAILURES),
            turns: Turns::default(),
        }))
    }

    /// What is at `url`, if that is known without asking, or is known to be of no use.
    pub(super) fn at_hand(&self, url: &str) -> Option<Outcome<T>> {
        let known = self.0.known.get(url);
        let ended = self.0.plan(url, known.as_ref(), |_| true)?;
        // Against trouble that may pass others may know something.
        let known_to_nobody = |error: &Arc<ClientFetchError>| !error.may_pass();
        ended
            .as_ref()
            .err()
            .is_none_or(known_to_nobody)
            .then_some(ended)
    }

    /// What was last seen at `url` by us.
    pub(super) fn last_seen(&self, url: &str) -> Option<Arc<Fetched<T>>> {
        self.0.known.get(url)
    }

    /// What is at `url` on `host`; `before` is what others saw there.
    pub(super) async fn get(
        &self,
        (url, host): (&str, &str),
        before: Option<Arc<Fetched<T>>>,
        will_do: impl Fn(&T) -> bool + Send + Sync,
        read: impl FnOnce(&[u8]) -> Result<T, ClientFetchError> + Send + 'static,
    ) -> Outcome<T> {
        let known = newer(self.0.known.get(url), before.clone());
        if let Some(ended) = self.0.plan(url, known.as_ref(), &will_do) {
            return ended;
        }
        let turn = self.0.turns.wait(&url.to_owned()).await;
        // Whoever had the turn before may have fetched it.
        let known = newer(self.0.known.get(url), before);
        if let Some(ended) = self.0.plan(url, known.as_ref(), will_do) {
            return ended;
        }
        // To its end, even if whoever waits hangs up: else strangers who do so could have us ask
        // again and again.
        let inner = Arc::clone(&self.0);
        let (url, host) = (url.to_owned(), host.to_owned());
        let fetch = async move {
            let _turn = turn;
            inner.fetch((&url, &host), known, read).await
        };
        match Handle::try_current() {
            Ok(runtime) => runtime
                .spawn(fetch)
                .await
                .unwrap_or_else(|_| Err(Arc::new(ClientFetchError::Busy))),
            Err(_) => fetch.await,
        }
    }
}

impl<T: Clone + Send + Sync> Inner<T> {
    fn now(&self) -> Timestamp {
        self.platform.clock.now()
    }

    /// What to do for somebody who needs what is at `url`; `None`: fetch it.
    fn plan(
        &self,
        url: &str,
        known: Option<&Arc<Fetched<T>>>,
        will_do: impl Fn(&T) -> bool,
    ) -> Option<Outcome<T>> {
        let now = self.now();
        if let Some(known) = known
            && known.at.is_within(known.fresh_for, now)
            && (will_do(&known.value) || known.at.is_within(COOL_DOWN, now))
        {
            return Some(Ok(Arc::clone(known)));
        }
        let failure = self.failures.get(url)?;
        let recent = failure.at.is_within(RETRY, now);
        recent.then(|| self.despite(&failure.error, known, now))
    }

    /// What to do where there is nothing newer: trouble that may pass is not its publisher's.
    fn despite(
        &self,
        error: &Arc<ClientFetchError>,
        known: Option<&Arc<Fetched<T>>>,
        now: Timestamp,
    ) -> Outcome<T> {
        let usable = |known: &&Arc<Fetched<T>>| {
            error.may_pass() && known.at.is_within(self.terms.longest_outage, now)
        };
        let known = known.filter(usable);
        known.cloned().ok_or_else(|| Arc::clone(error))
    }

    /// Fetches what is at `url` and keeps it; whoever calls this has the turn.
    async fn fetch(
        &self,
        (url, host): (&str, &str),
        known: Option<Arc<Fetched<T>>>,
        read: impl FnOnce(&[u8]) -> Result<T, ClientFetchError> + Send,
    ) -> Outcome<T> {
        // That there is no place is no outage, and nothing to remember: strangers can cause it.
        let _place = self.rations.place(host, known.is_some(), self.now())?;
        let response = self.platform.http.send(request(url, known.as_deref()));
        let fetched = match response.await {
            Ok(response) => self.read(&response, known.as_deref(), read),
            Err(error) => Err(error.into()),
        };
        let now = self.now();
        match fetched {
            Ok(fetched) => {
                let fetched = Arc::new(fetched);
                self.failures.remove(url);
                self.known.insert(url.to_owned(), Arc::clone(&fetched));
                Ok(fetched)
            }
            Err(error) => {
                // What was withdrawn must not come back when its host next stumbles.
                if !error.may_pass() {
                    self.known.remove(url);
                }
                let error = Arc::new(error);
                let failure = Failure {
                    error: Arc::clone(&error),
                    at: now,
                };
                self.failures.insert(url.to_owned(), failure);
                self.despite(&error, known.as_ref(), now)
            }
        }
    }

    fn read(
        &self,
        response: &Response<Bytes>,
        known: Option<&Fetched<T>>,
        read: impl FnOnce(&[u8]) -> Result<T, ClientFetchError>,
    ) -> Result<Fetched<T>, ClientFetchError> {
        let fresh_for = freshness(response.headers());
        let longest = self.terms.longest_fresh;
        let fetched = |value, fresh_for: Duration, validators| Fetched {
            value,
            at: self.now(),
            fresh_for: fresh_for.min(longest),
            validators,
            used: AtomicBool::new(false),
        };
        match (response.status(), known) {
            (StatusCode::OK, _) => {
                let value = read(response.body())?;
                let validators = validators(response.headers());
                Ok(fetched(
                    value,
                    fresh_for.unwrap_or(freshness::USUAL),
                    validators,
                ))
            }
            (StatusCode::NOT_MODIFIED, Some(known)) if !known.validators.is_empty() => {
                let fresh_for = fresh_for.unwrap_or(known.fresh_for);
                Ok(fetched(
                    known.value.clone(),
                    fresh_for,
                    known.validators.clone(),
                ))
            }
            (status, _) => Err(ClientFetchError::Status(status)),
        }
    }
}

impl<T> Clone for Shelf<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

fn newer<T>(
    one: Option<Arc<Fetched<T>>>,
    other: Option<Arc<Fetched<T>>>,
) -> Option<Arc<Fetched<T>>> {
    one.into_iter()
        .chain(other)
        .max_by_key(|fetched| fetched.at)
}

/// What makes the next request conditional (RFC 9110 §13.1), copied: a header as it came holds on to
/// all that came with it.
fn validators(headers: &HeaderMap) -> HeaderMap {
    let names = [
        (header::ETAG, header::IF_NONE_MATCH),
        (header::LAST_MODIFIED, header::IF_MODIFIED_SINCE),
    ];
    let validators = names.into_iter().filter_map(|(name, condition)| {
        let value = headers.get(name)?.as_bytes();
        let value = (value.len() <= LONGEST_VALIDATOR).then_some(value)?;
        Some((condition, HeaderValue::from_bytes(value).ok()?))
    });
    validators.collect()
}

fn request<T>(url: &str, known: Option<&Fetched<T>>) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    // What was parsed as a URL is one.
    *request.uri_mut() = url.parse().unwrap_or_default();
    let headers = request.headers_mut();
    if let Some(known) = known {
        headers.clone_from(&known.validators);
    }
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::ACCEPT, json);
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_request_repeats_what_is_short() {
        let long = format!("\"{}\"", "x".repeat(LONGEST_VALIDATOR));
        for (etag, modified, expected) in [
            (None, None, &[][..]),
            (Some("\"v1\""), None, &[("if-none-match", "\"v1\"")]),
            (
                Some("W/\"v1\""),
                Some("Wed, 25 Nov 2026 10:00:00 GMT"),
                &[
                    ("if-none-match", "W/\"v1\""),
                    ("if-modified-since", "Wed, 25 Nov 2026 10:00:00 GMT"),
                ],
            ),
            (Some(&*long), None, &[]),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::ETAG, etag), (header::LAST_MODIFIED, modified)] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            let found = validators(&headers);
            let found: Vec<_> = found
                .iter()
                .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
                .collect();
            assert_eq!(found, expected, "{etag:?}");
        }
    }
}
