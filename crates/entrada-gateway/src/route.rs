//! Which MCP server is behind which protected resource, and what stands before it.

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::body::Body;
use entrada::AzureProvider;
use http::{Request, Response};
use tower::Service;
use url::Url;

use crate::config::UpstreamSettings;
use crate::policy::gate::Gate;
use crate::upstream::http::Answering;
use crate::upstream::{McpServer, UpstreamError};

/// The MCP servers, each behind the guard of a resource of its own.
#[derive(Clone, Debug)]
pub struct Routes(Vec<Route>);

/// An MCP server, and what stands before it behind the guard. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Route {
    resource: String,
    /// Where it has a policy.
    gate: Option<Gate>,
    server: McpServer,
}

impl Routes {
    /// Prepares the way to each of `servers`, which stand behind the resources of `provider` in the same
    /// order; no connection is opened yet.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] if one of them cannot be reached that way.
    pub fn new(
        provider: &AzureProvider,
        servers: &[UpstreamSettings],
    ) -> Result<Self, UpstreamError> {
        let routes = provider.resources().zip(servers);
        let routes = routes.map(|(resource, server)| Route::new(resource, server));
        routes.collect::<Result<_, _>>().map(Self)
    }

    /// What is behind `resource`, if anything is.
    pub(crate) fn of(&self, resource: &str) -> Option<&Route> {
        self.0.iter().find(|route| route.resource == resource)
    }

    /// Ends what was started for the servers, all at once.
    pub async fn close(&self) {
        let closing = self.0.iter().map(|route| route.server.close());
        futures_util::future::join_all(closing).await;
    }
}

impl Route {
    /// Prepares the way to `server`, which stands behind `resource`.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] if it cannot be reached that way.
    pub fn new(resource: &str, server: &UpstreamSettings) -> Result<Self, UpstreamError> {
        let mut server = server.clone();
        // Below the base URL, which may have a path itself.
        server.resource_path = path_of(resource);
        Ok(Self {
            resource: resource.to_owned(),
            gate: Gate::new(&server.policy, server.body_limit),
            server: McpServer::new(&server)?,
        })
    }
}

impl Service<Request<Body>> for Route {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.gate.clone() {
            Some(gate) => gate.pass(request, self.server.clone()),
            None => self.server.call(request),
        }
    }
}

/// The path of `resource`, which is a URL.
fn path_of(resource: &str) -> String {
    let url = Url::parse(resource);
    url.map_or_else(|_| String::new(), |url| url.path().to_owned())
}
