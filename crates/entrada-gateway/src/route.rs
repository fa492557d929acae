//! Which MCP server a request is for: the one of the longest path it lies at or below.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use http::{Request, Response, Uri};
use tower::Service;

use crate::audit::Audit;
use crate::config::UpstreamSettings;
use crate::gate::Gate;
use crate::upstream::UpstreamError;
use crate::upstream::error::ForwardError;
use crate::upstream::http::{Answering, ReverseProxy, asked, with_caller};
use crate::upstream::target::Unmapped;

/// The MCP servers behind one guard, each at a path of its own. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Routes(Arc<[Route]>);

#[derive(Debug)]
struct Route {
    /// Without a slash at its end.
    path: String,
    gate: Arc<Gate>,
    proxy: ReverseProxy,
}

impl Routes {
    /// Prepares the way to each MCP server; no connection is opened yet.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] if one of them cannot be reached that way.
    pub fn new(servers: &[UpstreamSettings]) -> Result<Self, UpstreamError> {
        Self::audited(servers, None)
    }

    /// The same, where `audit` is told who calls what.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] if one of them cannot be reached that way.
    pub fn audited(
        servers: &[UpstreamSettings],
        audit: Option<&Audit>,
    ) -> Result<Self, UpstreamError> {
        let mut routes = servers
            .iter()
            .map(|server| Route::new(server, audit.cloned()))
            .collect::<Result<Vec<_>, _>>()?;
        routes.sort_by_key(|route| std::cmp::Reverse(route.path.len()));
        Ok(Self(routes.into()))
    }

    /// The name of the route for what was asked at `uri`.
    pub(crate) fn named(&self, uri: &Uri) -> Option<Arc<str>> {
        let route = self.find(uri.path())?;
        Some(Arc::clone(route.gate.route()))
    }

    /// The route for what was asked at `path`.
    fn find(&self, path: &str) -> Option<&Route> {
        let at_or_below = |route: &&Route| {
            let below = path.strip_prefix(&route.path);
            below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        };
        self.0.iter().find(at_or_below)
    }
}

impl Route {
    fn new(server: &UpstreamSettings, audit: Option<Audit>) -> Result<Self, UpstreamError> {
        let name = Arc::from(server.resource_path.as_str());
        Ok(Self {
            path: server.resource_path.trim_end_matches('/').to_owned(),
            gate: Arc::new(Gate::new(name, server.rates, audit)),
            proxy: ReverseProxy::new(server)?,
        })
    }
}

impl Service<Request<Body>> for Routes {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.find(asked(request.uri(), request.extensions()).path()) {
            Some(route) if route.gate.is_open() => route.proxy.clone().call(request),
            Some(route) => {
                let mut proxy = route.proxy.clone();
                let passed = route.gate.pass(&request);
                Box::pin(async move {
                    match passed.await {
                        Ok(()) => proxy.call(request).await,
                        Err(answer) => {
                            let caller = request.extensions().get().cloned();
                            Ok(with_caller(answer, caller))
                        }
                    }
                })
            }
            None => Box::pin(async move { Ok(nowhere(&request)) }),
        }
    }
}

fn nowhere(request: &Request<Body>) -> Response<Body> {
    let caller = request.extensions().get().cloned();
    with_caller(ForwardError::from(Unmapped).into_response(None), caller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_leads() {
        let servers = ["/mcp", "/mcp/a/", "/mcp/a/b", "/other"].map(|path| {
            let mut server = UpstreamSettings::new("http://127.0.0.1:1/x".parse().unwrap());
            path.clone_into(&mut server.resource_path);
            server
        });
        let routes = Routes::new(&servers).unwrap();
        for (asked, expected) in [
            ("/mcp", Some("/mcp")),
            ("/mcp/", Some("/mcp")),
            ("/mcp/x/a", Some("/mcp")),
            ("/mcp/ab", Some("/mcp")),
            ("/mcp/a", Some("/mcp/a")),
            ("/mcp/a/", Some("/mcp/a")),
            ("/mcp/a/bc", Some("/mcp/a")),
            ("/mcp/a/b/c", Some("/mcp/a/b")),
            ("/mcp//a", Some("/mcp")),
            ("/mcp/%61", Some("/mcp")),
            ("/mcp/A", Some("/mcp")),
            ("/other/mcp", Some("/other")),
            ("/", None),
            ("/mcpa", None),
        ] {
            let found = routes.find(asked).map(|route| &*route.path);
            assert_eq!(found, expected, "{asked}");
        }
        let root = UpstreamSettings::new("http://127.0.0.1:1/".parse().unwrap());
        let routes = Routes::new(&[root]).unwrap();
        assert!(routes.find("/any/thing").is_some());
    }
}
