//! The library before the proxy: all that answers on the gateway's port.

use axum::Router;
use axum::middleware::from_fn;
use entrada::AzureProvider;

use crate::access_log::observed;
use crate::health;
use crate::route::Routes;
use crate::unread::take_in_the_rest;

/// Everything that answers: `provider` with the MCP servers behind it, and the probes.
pub fn gateway(provider: &AzureProvider, servers: &Routes) -> Router {
    let checked = provider.clone();
    let ready = move || {
        let provider = checked.clone();
        async move { provider.ready().await }
    };
    let guarded = provider.protect_each(|resource| servers.of(resource).cloned());
    let router = guarded.merge(health::router(ready));
    observed(router, provider.trusted_proxies().clone()).layer(from_fn(take_in_the_rest))
}
