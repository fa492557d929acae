//! Which MCP server a request is for: the one of the longest path it lies at or below.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use http::{Request, Response};
use tower::Service;

use crate::config::UpstreamSettings;
use crate::policy::gate::Gate;
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
    /// What stands before it, where it has a policy.
    gate: Option<Gate>,
    proxy: ReverseProxy,
}

impl Routes {
    /// Prepares the way to each MCP server; no connection is opened yet.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] if one of them cannot be reached that way.
    pub fn new(servers: &[UpstreamSettings]) -> Result<Self, UpstreamError> {
        let mut routes = servers
            .iter()
            .map(Route::new)
            .collect::<Result<Vec<_>, _>>()?;
        routes.sort_by_key(|route| std::cmp::Reverse(route.path.len()));
        Ok(Self(routes.into()))
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
    fn new(server: &UpstreamSettings) -> Result<Self, UpstreamError> {
        let path = server.resource_path.trim_end_matches('/').to_owned();
        Ok(Self {
            gate: Gate::new(&server.policy, server.body_limit),
            proxy: ReverseProxy::new(server)?,
            path,
        })
    }

    fn answer(&self, request: Request<Body>) -> Answering {
        let mut proxy = self.proxy.clone();
        match self.gate.clone() {
            Some(gate) => gate.pass(request, proxy),
            None => proxy.call(request),
        }
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
            Some(route) => route.answer(request),
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
