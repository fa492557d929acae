//! What issuers publish about themselves, fetched when needed and kept as long as it helps.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, Uri};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::causes::Causes;
use crate::meters::Timed;
use crate::platform::{Platform, Timestamp, TransportError};
use crate::single_flight::{Turn, Turns};

mod keys;

pub(crate) use keys::PublishedKeys;

/// How old a document may become before a new one is fetched behind the back of whoever uses it
/// (Microsoft, *signing key rollover*: about hourly).
const REFRESH_AFTER: Duration = Duration::from_secs(60 * 60);

/// How long a document is used while none can be fetched. An outage over a weekend logs nobody
/// out; longer than that, a key that Entra withdrew meanwhile must not go on signing.
pub(crate) const LONGEST_OUTAGE: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// How often a fetch may be caused by something the document lacks, or by its age (Microsoft: at
/// most once in five minutes).
const COOL_DOWN: Duration = Duration::from_secs(5 * 60);

/// How soon a fetch that failed may be tried again for something we lack: a passing fault at the
/// first login must not keep everybody out for as long as a [`COOL_DOWN`].
const RETRY: Duration = Duration::from_secs(5);

/// Why a document cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishedError {
    /// No response came.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The response is no success.
    #[error("http status {0}")]
    Status(StatusCode),
    /// It is not the document it should be.
    #[error("the document is not understood")]
    Malformed,
    /// It was asked for a moment ago, in vain.
    #[error("there was no answer a moment ago")]
    FailedBefore,
}

/// Makes a value of a document, given the one before.
type Read<T> = Box<dyn Fn(&[u8], Option<&T>, Timestamp) -> Option<T> + Send + Sync>;

/// One document, and what is made of it.
///
/// One fetch is under way at a time. Whoever can be served by what is known is served at once.
#[derive(Debug)]
pub(crate) struct Published<T> {
    shared: Arc<Shared<T>>,
    /// The fetch nobody waits for; it ends with us.
    background: Mutex<Option<AbortOnDropHandle<()>>>,
}

struct Shared<T> {
    uri: Uri,
    platform: Platform,
    read: Read<T>,
    known: RwLock<Known<T>>,
    turns: Turns<()>,
}

#[derive(Debug)]
struct Known<T> {
    value: Option<Arc<T>>,
    fetches: Fetches,
}

/// When the document was asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Fetches {
    /// When it last came.
    fetched: Option<Timestamp>,
    /// When the last fetch ended, whatever came.
    tried: Option<Timestamp>,
    /// When the last fetch began, which may be under way.
    began: Option<Timestamp>,
}

/// What to do for somebody who needs the document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Plan {
    /// What is known will do.
    Use,
    /// It will do, and it is time for a new one.
    UseAndRefresh,
    /// It may do after a fetch.
    Fetch,
    /// A fetch was tried a moment ago.
    GiveUp,
}

impl Fetches {
    /// Plans for somebody for whom what is known would do, or would not.
    fn plan(self, would_do: bool, now: Timestamp) -> Plan {
        let within =
            |at: Option<Timestamp>, pause| at.is_some_and(|at: Timestamp| at.is_within(pause, now));
        let usable = would_do && within(self.fetched, LONGEST_OUTAGE);
        if usable {
            let fresh = within(self.fetched, REFRESH_AFTER) || within(self.began, COOL_DOWN);
            return if fresh {
                Plan::Use
            } else {
                Plan::UseAndRefresh
            };
        }
        let failed = self.tried != self.fetched;
        if within(self.tried, if failed { RETRY } else { COOL_DOWN }) {
            Plan::GiveUp
        } else {
            Plan::Fetch
        }
    }
}

impl<T: Send + Sync + 'static> Published<T> {
    /// The document at `uri`. Nothing is fetched yet.
    pub(crate) fn new(
        uri: Uri,
        platform: Platform,
        read: impl Fn(&[u8], Option<&T>, Timestamp) -> Option<T> + Send + Sync + 'static,
    ) -> Self {
        let known = Known {
            value: None,
            fetches: Fetches::default(),
        };
        let shared = Shared {
            uri,
            platform,
            read: Box::new(read),
            known: RwLock::new(known),
            turns: Turns::default(),
        };
        Self {
            shared: Arc::new(shared),
            background: Mutex::new(None),
        }
    }

    /// What is known now, without asking.
    pub(crate) fn known(&self) -> Option<Arc<T>> {
        self.shared.known().0
    }

    /// What is known, if it will do.
    pub(crate) fn at_hand(&self, would_do: impl Fn(&T) -> bool, now: Timestamp) -> Option<Arc<T>> {
        match self.shared.plan(&would_do, now) {
            (value, Plan::Use) => value,
            (value, Plan::UseAndRefresh) => {
                self.refresh(now);
                value
            }
            (_, Plan::Fetch | Plan::GiveUp) => None,
        }
    }

    /// What is known once it will do, or once asking more would not help.
    ///
    /// # Errors
    ///
    /// [`PublishedError`] if nothing fit for use is known and none could be fetched.
    pub(crate) async fn get(
        &self,
        would_do: impl Fn(&T) -> bool + Send,
        now: Timestamp,
    ) -> Result<Arc<T>, PublishedError> {
        if let Some(value) = self.at_hand(&would_do, now) {
            return Ok(value);
        }
        if let (value, Plan::GiveUp) = self.shared.plan(&would_do, now) {
            return self.shared.give_up(value, now);
        }
        let turn = self.shared.turns.wait(&()).await;
        // Whoever had the turn before may have fetched it, or tried for as long as we waited.
        let now = self.shared.platform.clock.now();
        match self.shared.plan(&would_do, now) {
            (Some(value), Plan::Use | Plan::UseAndRefresh) => Ok(value),
            (value, Plan::GiveUp) => self.shared.give_up(value, now),
            (_, Plan::Fetch | Plan::Use | Plan::UseAndRefresh) => self.fetch(turn).await,
        }
    }

    /// Fetches to the end, even if whoever waits hangs up: else strangers who do so could have us
    /// ask again and again, and keep everybody from an answer.
    async fn fetch(&self, turn: Turn<()>) -> Result<Arc<T>, PublishedError> {
        let shared = Arc::clone(&self.shared);
        let fetch = async move {
            let _turn = turn;
            shared.fetch().await
        };
        match Handle::try_current() {
            Ok(runtime) => runtime
                .spawn(fetch)
                .await
                .unwrap_or(Err(PublishedError::FailedBefore)),
            Err(_) => fetch.await,
        }
    }

    /// Fetches while everybody goes on with what they have.
    fn refresh(&self, now: Timestamp) {
        self.shared.begin(now);
        let shared = Arc::clone(&self.shared);
        let refresh = async move {
            let _turn = shared.turns.wait(&()).await;
            if let Err(error) = shared.fetch().await {
                let cause = Causes(&error);
                tracing::warn!(uri = %shared.uri, %cause, "what is known stays in use");
            }
        };
        // Outside a runtime nobody fetches behind anybody's back; what is too old is waited for.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let task = runtime.spawn(refresh);
        let mut background = self
            .background
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *background = Some(AbortOnDropHandle::new(task));
    }
}

impl<T: Send + Sync> Shared<T> {
    fn known(&self) -> (Option<Arc<T>>, Fetches) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        (known.value.clone(), known.fetches)
    }

    fn plan(&self, would_do: impl Fn(&T) -> bool, now: Timestamp) -> (Option<Arc<T>>, Plan) {
        let (value, fetches) = self.known();
        let plan = fetches.plan(value.as_deref().is_some_and(would_do), now);
        (value, plan)
    }

    /// Asking was tried a moment ago: if it failed, nobody can tell what it would have brought.
    fn give_up(&self, value: Option<Arc<T>>, now: Timestamp) -> Result<Arc<T>, PublishedError> {
        let (_, fetches) = self.known();
        let answered = fetches.fetched == fetches.tried;
        let fit = |at: Timestamp| at.is_within(LONGEST_OUTAGE, now);
        value
            .filter(|_| answered && fetches.fetched.is_some_and(fit))
            .ok_or(PublishedError::FailedBefore)
    }

    fn begin(&self, now: Timestamp) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.fetches.began = Some(now);
    }

    /// Whoever calls this has the turn, so nobody changes the value meanwhile.
    async fn fetch(&self) -> Result<Arc<T>, PublishedError> {
        let clock = &self.platform.clock;
        self.begin(clock.now());
        let fetched = document(&self.platform, &self.uri).await;
        let now = clock.now();
        // Read before the lock is taken, for everybody who verifies waits at it.
        let read = fetched.and_then(|document| {
            let (before, _) = self.known();
            let read = (self.read)(&document, before.as_deref(), now);
            read.map(Arc::new).ok_or(PublishedError::Malformed)
        });
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.fetches.tried = Some(now);
        let value = read?;
        known.value = Some(Arc::clone(&value));
        known.fetches.fetched = Some(now);
        Ok(value)
    }
}

async fn document(platform: &Platform, uri: &Uri) -> Result<Bytes, PublishedError> {
    let mut request = http::Request::new(Bytes::new());
    request.uri_mut().clone_from(uri);
    let timed = Timed::begin("published");
    let span = tracing::debug_span!("entra", otel.kind = "client", entra.request = "published");
    let response = platform.http.send(request).instrument(span).await;
    timed.entra(match &response {
        Ok(response) if response.status().is_success() => "ok",
        Ok(_) => "refused",
        Err(_) => "no_answer",
    });
    let response = response?;
    if response.status().is_success() {
        Ok(response.into_body())
    } else {
        Err(PublishedError::Status(response.status()))
    }
}

impl<T> std::fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_is_planned_by_need_age_and_luck() {
        const HOUR: u64 = 60 * 60;
        let outage = LONGEST_OUTAGE.as_secs();
        let at = |seconds: Option<u64>| seconds.map(Timestamp::from_unix);
        for (would_do, fetched, tried, began, now, expected) in [
            // Nothing is known.
            (false, None, None, None, 0, Plan::Fetch),
            (false, None, Some(100), Some(100), 104, Plan::GiveUp),
            (false, None, Some(100), Some(100), 105, Plan::Fetch),
            // What is known lacks something.
            (false, Some(100), Some(100), Some(100), 399, Plan::GiveUp),
            (false, Some(100), Some(100), Some(100), 400, Plan::Fetch),
            (false, Some(100), Some(400), Some(400), 404, Plan::GiveUp),
            (false, Some(100), Some(400), Some(400), 405, Plan::Fetch),
            // What is known will do.
            (true, Some(100), Some(100), Some(100), 99 + HOUR, Plan::Use),
            (
                true,
                Some(100),
                Some(100),
                Some(100),
                100 + HOUR,
                Plan::UseAndRefresh,
            ),
            // A refresh is under way, or failed a moment ago.
            (
                true,
                Some(100),
                Some(100),
                Some(100 + HOUR),
                399 + HOUR,
                Plan::Use,
            ),
            (
                true,
                Some(100),
                Some(100),
                Some(100 + HOUR),
                400 + HOUR,
                Plan::UseAndRefresh,
            ),
            // None came for days.
            (
                true,
                Some(100),
                Some(100),
                Some(100),
                99 + outage,
                Plan::UseAndRefresh,
            ),
            (
                true,
                Some(100),
                Some(100),
                Some(100),
                100 + outage,
                Plan::Fetch,
            ),
            (
                true,
                Some(100),
                Some(90 + outage),
                Some(90 + outage),
                101 + outage,
                Plan::Fetch,
            ),
            (
                true,
                Some(100),
                Some(99 + outage),
                Some(99 + outage),
                101 + outage,
                Plan::GiveUp,
            ),
        ] {
            let fetches = Fetches {
                fetched: at(fetched),
                tried: at(tried),
                began: at(began),
            };
            let found = fetches.plan(would_do, Timestamp::from_unix(now));
            assert_eq!(found, expected, "{would_do} {fetches:?} at {now}");
        }
    }
}
