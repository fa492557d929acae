//! Which MCP server is behind which protected resource, and what stands before it.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use entrada::AzureProvider;
use http::header::HOST;
use http::{Request, Response};
use tower::Service;
use url::Url;

use crate::audit::Audit;
use crate::called::{Called, Calls};
use crate::config::{Print, UpstreamSettings};
use crate::gate::{Admitted, Gate};
use crate::policy::gate::Gate as PolicyGate;
use crate::upstream::error::ForwardError;
use crate::upstream::http::{Answering, with_caller};
use crate::upstream::{McpServer, UpstreamError};
use crate::websocket::{Opening, Tunnel, is_asked_for};

/// The MCP servers, each behind the guard of a resource of its own.
#[derive(Clone, Debug)]
pub struct Routes(Arc<[Route]>);

/// An MCP server, and what stands before it behind the guard. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Route {
    resource: Url,
    /// What reads messages, where somebody must know what is called.
    policy: Option<PolicyGate>,
    server: Admitted<McpServer>,
    /// Whether WebSockets are passed through.
    websocket: bool,
    /// What tells the way to the server from another.
    print: Option<Print>,
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
        Self::audited(provider, servers, None)
    }

    /// The same, where `audit` is told who calls what.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] if one of them cannot be reached that way.
    pub fn audited(
        provider: &AzureProvider,
        servers: &[UpstreamSettings],
        audit: Option<&Audit>,
    ) -> Result<Self, UpstreamError> {
        Self(Arc::default()).renewed(provider, servers, audit)
    }

    /// The same by other settings, in the place of these: a server that is reached as it was keeps its
    /// connections, its sessions and its children, and nobody's calls are counted anew where the limits are
    /// what they were.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] if one of them cannot be reached that way.
    pub(crate) fn renewed(
        &self,
        provider: &AzureProvider,
        servers: &[UpstreamSettings],
        audit: Option<&Audit>,
    ) -> Result<Self, UpstreamError> {
        let routes = provider.resources().zip(servers);
        let routes = routes.map(|(resource, server)| {
            let mut server = server.clone();
            server.assertions = provider.caller_assertions(resource);
            Route::in_place_of(self.of(resource), resource, server, audit)
        });
        routes.collect::<Result<_, _>>().map(Self)
    }

    /// The servers that `after` reaches no more, or in another way.
    pub(crate) fn not_in(&self, after: &Self) -> impl Iterator<Item = &McpServer> {
        let before = self.0.iter().map(|route| route.server.inner());
        before.filter(|server| {
            let mut after = after.0.iter().map(|route| route.server.inner());
            !after.any(|other| other.is(server))
        })
    }

    /// These.
    pub fn of_all(routes: impl IntoIterator<Item = Route>) -> Self {
        Self(routes.into_iter().collect())
    }

    /// What is behind `resource`, if anything is.
    pub(crate) fn of(&self, resource: &str) -> Option<&Route> {
        let resource = Url::parse(resource).ok()?;
        self.0.iter().find(|route| route.resource == resource)
    }

    /// The name of the route that `request` is for, as far as its host and path say.
    pub(crate) fn named<B>(&self, request: &Request<B>) -> Option<Arc<str>> {
        let path = request.uri().path();
        let authority = request.uri().authority().map(http::uri::Authority::as_str);
        let header = || request.headers().get(HOST)?.to_str().ok();
        let host = authority.or_else(header).unwrap_or_default();
        let (name, _) = host.rsplit_once(':').unwrap_or((host, ""));
        let there = self.0.iter().filter(|route| route.has_path(path));
        let best = there.max_by_key(|route| {
            let is_host = |known: &str| known == host || known == name;
            let on_host = route.resource.host_str().is_some_and(is_host);
            (on_host, route.resource.path().len())
        });
        best.map(|route| Arc::clone(route.server.route()))
    }

    /// Ends what was started for the servers, all at once.
    pub async fn close(&self) {
        let closing = self.0.iter().map(|route| route.server.inner().close());
        futures_util::future::join_all(closing).await;
    }
}

impl Route {
    /// Prepares the way to `server`, which stands behind `resource`; `audit` is told who calls what.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] if it cannot be reached that way.
    pub fn new(
        resource: &str,
        server: &UpstreamSettings,
        audit: Option<&Audit>,
    ) -> Result<Self, UpstreamError> {
        Self::in_place_of(None, resource, server.clone(), audit)
    }

    /// The same in the place of the one `before`, of which stays what stays the same.
    fn in_place_of(
        before: Option<&Self>,
        resource: &str,
        mut server: UpstreamSettings,
        audit: Option<&Audit>,
    ) -> Result<Self, UpstreamError> {
        let resource = Url::parse(resource).map_err(|_| UpstreamError::Resource)?;
        // Below the base URL, which may have a path itself.
        resource.path().clone_into(&mut server.resource_path);
        let name = match &*server.policy.route {
            "" => resource.path(),
            name => name,
        };
        let gate = Gate::new(Arc::from(name), server.rates, audit.cloned());
        let gate = gate.concurrent(server.max_concurrent_requests);
        let gate = match before {
            Some(before) => gate.counting_on(before.server.gate()),
            None => gate,
        };
        let same = before.filter(|before| before.print.is_some() && before.print == server.print);
        let reached = match same {
            Some(before) => before.server.inner().clone(),
            None => McpServer::new(&server)?,
        };
        Ok(Self {
            policy: PolicyGate::new(&server.policy, server.body_limit, gate.needed()),
            server: Admitted::new(gate, reached),
            websocket: server.websocket,
            resource,
            print: server.print,
        })
    }

    /// Whether `path` is its path, or below.
    fn has_path(&self, path: &str) -> bool {
        let below = path.strip_prefix(self.resource.path().trim_end_matches('/'));
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }
}

impl Service<Request<Body>> for Route {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if self.websocket
            && is_asked_for(request.headers())
            && let Some(answer) = open(&mut request)
        {
            let caller = request.extensions().get().cloned();
            return Box::pin(ready(Ok(with_caller(answer, caller))));
        }
        let seat = match self.server.gate().seat(&request) {
            Ok(seat) => seat,
            Err(refused) => return Box::pin(ready(Ok(*refused))),
        };
        let answering = match self.policy.clone() {
            Some(policy) => policy.pass(request, self.server.clone()),
            None => self.server.call(request),
        };
        let Some(seat) = seat else { return answering };
        Box::pin(async move {
            let answer = answering.await?;
            if let Some(tunnel) = answer.extensions().get::<Tunnel>() {
                tunnel.keep(seat);
                return Ok(answer);
            }
            Ok(seat.until_end_of(answer))
        })
    }
}

/// Takes note of the WebSocket that `request` asks for; the answer, if it cannot be opened.
fn open(request: &mut Request<Body>) -> Option<Response<Body>> {
    let opening = match Opening::read(request) {
        Ok(Some(opening)) => opening,
        Ok(None) => return Some(ForwardError::Unverified.into_response(None)),
        Err(error) => return Some(error.into_response()),
    };
    let extensions = request.extensions_mut();
    extensions.insert(opening);
    extensions.insert(Calls::new([Called::opening()]));
    None
}
