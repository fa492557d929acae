//! Whether the process lives, and whether it can serve.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::telemetry::WithCauses;

/// The path that answers as long as the process lives.
const HEALTHZ: &str = "/healthz";
/// The path that answers 200 when requests can be served, else 503.
const READYZ: &str = "/readyz";

/// How long an answer is given again: whoever asks more often, and anybody may, has the store asked no
/// more often for it.
const HOLDS: Duration = Duration::from_secs(1);

/// The two probes. `ready` says whether requests can be served, and why not.
pub fn router<F, R, E>(ready: F) -> Router
where
    F: Fn() -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<(), E>> + Send,
    E: std::error::Error + Send + 'static,
{
    let readiness = Arc::new(Readiness::default());
    let readyz = move || {
        let (readiness, ready) = (Arc::clone(&readiness), ready.clone());
        async move {
            if readiness.ask(ready).await {
                (StatusCode::OK, "ready\n")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
            }
        }
    };
    Router::new()
        .route(HEALTHZ, get(|| async { "alive\n" }))
        .route(READYZ, get(readyz))
}

/// Whether `path` is a probe's.
pub(crate) fn is_probe(path: &str) -> bool {
    path == HEALTHZ || path == READYZ
}

/// Whether requests can be served, looked up by one at a time and now and then.
#[derive(Debug)]
struct Readiness {
    last: Mutex<Option<Found>>,
    turn: Semaphore,
}

/// What a look found.
#[derive(Clone, Copy, Debug)]
struct Found {
    is_ready: bool,
    at: Instant,
}

impl Found {
    /// Whether it is still the answer at `now`.
    fn holds(self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < HOLDS
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            last: Mutex::default(),
            turn: Semaphore::new(1),
        }
    }
}

impl Readiness {
    /// What was found a moment ago, or else what `ready` says now.
    async fn ask<R, E>(&self, ready: impl FnOnce() -> R) -> bool
    where
        R: Future<Output = Result<(), E>>,
        E: std::error::Error + 'static,
    {
        // Never closed. Whoever hangs up meanwhile leaves the turn to the next.
        let _turn = self.turn.acquire().await;
        if let Some(found) = self.last()
            && found.holds(Instant::now())
        {
            return found.is_ready;
        }
        let looked = ready().await;
        if let Err(error) = &looked {
            tracing::warn!(error = %WithCauses::of(error), "not ready");
        }
        let is_ready = looked.is_ok();
        let at = Instant::now();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Found { is_ready, at });
        is_ready
    }

    fn last(&self) -> Option<Found> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::Body;
    use http::Request;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn what_was_found_holds_for_a_second() {
        let at = Instant::now();
        let found = Found { is_ready: true, at };
        for (later, holds) in [(0, true), (999, true), (1000, false), (60_000, false)] {
            let now = at + Duration::from_millis(later);
            assert_eq!(found.holds(now), holds, "{later}");
        }
        // A clock that another thread read before.
        let found = Found {
            at: at + Duration::from_millis(1),
            ..found
        };
        assert!(found.holds(at));
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_ask_one_looks_and_not_before_a_second_has_passed() {
        static LOOKS: AtomicUsize = AtomicUsize::new(0);
        let router = router(|| async {
            let looks = LOOKS.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(2)).await;
            match looks {
                1 => Err(io::Error::from(io::ErrorKind::TimedOut)),
                _ => Ok(()),
            }
        });
        let ask = || async {
            let request = Request::get(READYZ).body(Body::empty()).unwrap();
            router.clone().oneshot(request).await.unwrap().status()
        };
        for (status, looks) in [
            (StatusCode::OK, 1),
            (StatusCode::SERVICE_UNAVAILABLE, 2),
            (StatusCode::OK, 3),
        ] {
            let asked = tokio::join!(ask(), ask(), ask());
            assert_eq!(asked, (status, status, status));
            assert_eq!(ask().await, status);
            assert_eq!(LOOKS.load(Ordering::SeqCst), looks);
            tokio::time::sleep(HOLDS).await;
        }
        // Whoever hangs up half-way holds nobody up.
        let given_up = tokio::time::timeout(Duration::from_millis(1), ask()).await;
        assert!(given_up.is_err());
        assert_eq!(ask().await, StatusCode::OK);
        assert_eq!(LOOKS.load(Ordering::SeqCst), 5);
    }
}
