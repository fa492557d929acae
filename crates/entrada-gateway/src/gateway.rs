//! The library before the proxy: all that answers on the gateway's port.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use entrada::AzureProvider;
use entrada::store::StoreError;

use crate::access_log::Observer;
use crate::audit::Audit;
use crate::gate::not_audited;
use crate::health;
use crate::route::Routes;
use crate::traces::Tracer;
use crate::unread::take_in_the_rest;

/// Everything that answers: `provider` with the MCP servers behind it, and the probes.
pub fn gateway(provider: &AzureProvider, servers: &Routes) -> Router {
    observed_gateway(provider, servers, None, None)
}

/// The same, which answers nothing that must be written to `audit` and cannot be, and begins traces with
/// `tracer`.
pub fn observed_gateway(
    provider: &AzureProvider,
    servers: &Routes,
    audit: Option<Audit>,
    tracer: Option<Tracer>,
) -> Router {
    let checked = (provider.clone(), audit.clone());
    let ready = move || {
        let (provider, audit) = checked.clone();
        async move { is_ready(&provider, audit.as_ref()).await }
    };
    let observer = Observer::new(provider.trusted_proxies().clone());
    let observer = observer.of_routes(servers.clone()).telling(audit.clone());
    let observer = observer.tracing(tracer);
    let mut router = provider.protect_each(|resource| servers.of(resource).cloned());
    if let Some(audit) = audit {
        router = router.layer(from_fn_with_state(audit, written));
    }
    let router = router.merge(health::router(ready));
    observer.observe(router).layer(from_fn(take_in_the_rest))
}

/// Whether requests can be answered, and written down where they must be.
pub(crate) async fn is_ready(
    provider: &AzureProvider,
    audit: Option<&Audit>,
) -> Result<(), StoreError> {
    let audited = audit.map_or(Ok(()), Audit::ready);
    audited.map_err(StoreError::new)?;
    provider.ready().await
}

/// Lets a request through if what comes of it can be written.
async fn written(State(audit): State<Audit>, request: Request, next: Next) -> Response {
    match audit.ready() {
        Ok(()) => next.run(request).await,
        Err(error) => not_audited(error),
    }
}
