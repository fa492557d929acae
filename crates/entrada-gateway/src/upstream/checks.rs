//! Asking replicas whether they are well, before a request finds out.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::uri::PathAndQuery;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::upstream::replicas::Replicas;

/// Where replicas say whether they are well, and how often they are asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HealthChecks {
    /// The path, at the origin of each; 2xx says that it is well.
    pub path: PathAndQuery,
    /// How long until they are asked again.
    pub every: Duration,
}

impl HealthChecks {
    /// At `path`, every ten seconds.
    ///
    /// # Errors
    ///
    /// What to write instead.
    pub fn parse(path: &str) -> Result<Self, String> {
        let form = || "write a path such as /health".to_owned();
        let path: PathAndQuery = path.parse().map_err(|_| form())?;
        let is_path = path.as_str().starts_with('/');
        is_path
            .then_some(Self { path, every: EVERY })
            .ok_or_else(form)
    }
}

/// Asks until it is dropped.
#[derive(Debug)]
pub(super) struct Asking {
    _tasks: JoinSet<()>,
}

impl Asking {
    pub(super) fn begin(replicas: Arc<Replicas>, checks: HealthChecks) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut turns = tokio::time::interval(checks.every);
            turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                turns.tick().await;
                join_all(replicas.checked(&checks.path)).await;
            }
        });
        Self { _tasks: tasks }
    }
}

/// How often replicas are asked.
const EVERY: Duration = Duration::from_secs(10);

/// How long one may take to say that it is well.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one() {
        for (text, expected) in [
            ("/health", Some("/health")),
            ("/", Some("/")),
            ("/ready?all=1", Some("/ready?all=1")),
            ("health", None),
            ("*", None),
            ("", None),
            ("/a b", None),
            ("http://h/health", None),
        ] {
            let read = HealthChecks::parse(text);
            let read = read.as_ref().map(|checks| checks.path.as_str()).ok();
            assert_eq!(read, expected, "{text}");
        }
    }
}
