//! Whether the process lives, and whether it can serve.

use std::future::Future;

use axum::Router;
use axum::routing::get;
use http::StatusCode;

use crate::telemetry::WithCauses;

/// The path that answers as long as the process lives.
const HEALTHZ: &str = "/healthz";
/// The path that answers 200 when requests can be served, else 503.
const READYZ: &str = "/readyz";

/// The two probes. `ready` says whether requests can be served, and why not.
pub fn router<F, R, E>(ready: F) -> Router
where
    F: Fn() -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<(), E>> + Send,
    E: std::error::Error + 'static,
{
    let readyz = move || {
        let ready = ready.clone();
        async move {
            match ready().await {
                Ok(()) => (StatusCode::OK, "ready\n"),
                Err(error) => {
                    tracing::warn!(error = %WithCauses::of(&error), "not ready");
                    (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
                }
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
