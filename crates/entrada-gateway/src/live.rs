//! What answers on a listener, which other settings may replace while it listens.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::server::ConnectionLimits;

/// What answers on a listener. Clones are one: what one replaces, all have.
#[derive(Clone, Debug)]
pub(crate) struct Live(Arc<RwLock<Current>>);

#[derive(Debug)]
struct Current {
    router: Router,
    drain_timeout: Duration,
    connections: Arc<ConnectionLimits>,
    /// Those that are on their way through the router.
    asked: TaskTracker,
    /// Those that are so still through one before: two reloads may be closer than a slow request.
    before: Before,
}

impl Current {
    fn new(router: Router, drain_timeout: Duration) -> Self {
        Self {
            router,
            drain_timeout,
            connections: Arc::default(),
            asked: TaskTracker::new(),
            before: Before::default(),
        }
    }
}

impl Live {
    /// Answers with `router`. After a stop, requests under way have `drain_timeout` to end.
    pub(crate) fn new(router: Router, drain_timeout: Duration) -> Self {
        Self(Arc::new(RwLock::new(Current::new(router, drain_timeout))))
    }

    /// What answers a request that comes now; it is on its way until what comes with it is dropped.
    pub(crate) fn now(&self) -> (Router, TaskTrackerToken) {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (current.router.clone(), current.asked.token())
    }

    /// How many connections there may be.
    pub(crate) fn connection_limits(&self) -> Arc<ConnectionLimits> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.connections)
    }

    /// Holds connections that come from now on against these limits.
    pub(crate) fn limit_connections(&self, limits: ConnectionLimits) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        current.connections = Arc::new(limits);
    }

    pub(crate) fn drain_timeout(&self) -> Duration {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        current.drain_timeout
    }

    /// Answers with `router` from the next request on; those that are on their way go on as they began.
    pub(crate) fn replace(&self, router: Router, drain_timeout: Duration) -> Before {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        current.asked.close();
        let mut all = std::mem::take(&mut current.before).0;
        all.retain(|asked| !asked.is_empty());
        all.push(current.asked.clone());
        *current = Current {
            before: Before(all.clone()),
            connections: Arc::clone(&current.connections),
            ..Current::new(router, drain_timeout)
        };
        Before(all)
    }
}

/// The requests that came before something was replaced.
#[derive(Clone, Debug, Default)]
pub(crate) struct Before(Vec<TaskTracker>);

impl Before {
    /// Waits until all of them have got to where they went, `within` a time, and unless nobody can wait any
    /// more; then for `rest`.
    pub(crate) async fn and_then(
        &self,
        rest: impl Future<Output = ()>,
        within: Duration,
        hurry: &CancellationToken,
    ) -> Drained {
        let ended = async {
            for asked in &self.0 {
                asked.wait().await;
            }
            rest.await;
        };
        tokio::select! {
            () = ended => Drained::Whole,
            () = tokio::time::sleep(within) => Drained::CutOff,
            () = hurry.cancelled() => Drained::CutOff,
        }
    }
}

/// Whether requests ended by themselves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Drained {
    /// All did.
    Whole,
    /// Their time was over.
    CutOff,
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn said(router: Router) -> String {
        let request = Request::get("/").body(Body::empty()).unwrap();
        let body = router.oneshot(request).await.unwrap().into_body();
        String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn who_came_before_goes_on_and_is_waited_for_within_bounds() {
        let saying = |what: &'static str| Router::new().route("/", get(async move || what));
        let second = Duration::from_secs(1);
        let live = Live::new(saying("old"), second);
        let (old, on_its_way) = live.now();
        let before = live.replace(saying("new"), 2 * second);
        let (new, later_one) = live.now();
        assert_eq!(said(new).await, "new");
        assert_eq!(said(old).await, "old");
        assert_eq!(live.drain_timeout(), 2 * second);

        let hurry = CancellationToken::new();
        let ended = async |before: &Before| before.and_then(async {}, second, &hurry).await;
        assert_eq!(ended(&before).await, Drained::CutOff);
        let later = live.replace(saying("newest"), second);
        drop(later_one);
        assert_eq!(
            ended(&later).await,
            Drained::CutOff,
            "the first is there still"
        );
        drop(on_its_way);
        assert_eq!(ended(&before).await, Drained::Whole);
        assert_eq!(ended(&later).await, Drained::Whole);
        let never = std::future::pending();
        assert_eq!(
            before.and_then(never, second, &hurry).await,
            Drained::CutOff
        );
    }
}
