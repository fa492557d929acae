//! The streaming reverse proxy.
//!
//! It reads no body: bytes go through as they come, both ways, and a stream stays open as long as
//! both ends want it. What it answers itself is never 400 or 405 for the server's troubles: an MCP client
//! takes those for an older protocol (MCP transports, *Backward Compatibility*). Nor is it 404, unless a
//! session is lost. Only of a stream without a session is the first event read, by which servers of before
//! 2025-03-26 say where messages go.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::OriginalUri;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH};
use http::request::Parts;
use http::{
    Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
};

use entrada::VerifiedToken;
use entrada::authorization_server::CorrelationId;
use entrada::caller_assertion::CallerAssertions;

use crate::access_log::CORRELATION_ID;
use crate::config::UpstreamSettings;
use crate::traces::TraceContext;
use crate::upstream::checks::{Asking, HealthChecks};
use crate::upstream::content::RequestContent;
use crate::upstream::endpoints::{EndpointStream, Endpoints, Found};
use crate::upstream::error::ForwardError;
use crate::upstream::exchange::Exchange;
use crate::upstream::headers::{HostHeader, clean_request, clean_response, is_event_stream};
use crate::upstream::identity::{ASSERTION, IdentityHeader, tell};
use crate::upstream::place::Place;
use crate::upstream::replicas::{Becomes, Counted, MCP_SESSION_ID, Replicas, Way};
use crate::upstream::target::Unmapped;
use crate::upstream::tls::UpstreamError;
use crate::websocket::{Ends, Opening, Tunnel};

/// Sends every request on to the MCP server. Clones share the connections.
#[derive(Clone, Debug)]
pub struct ReverseProxy(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    replicas: Arc<Replicas>,
    checks: Option<HealthChecks>,
    /// Since the first request.
    asking: OnceLock<Asking>,
    endpoints: Endpoints,
    host_header: HostHeader,
    identity: Vec<IdentityHeader>,
    assertions: Option<CallerAssertions>,
    exchange: Option<Exchange>,
    websocket: bool,
    body_limit: u64,
    response_timeout: Option<Duration>,
}

impl ReverseProxy {
    /// Prepares the way to the MCP server whose replicas are at `places`; no connection is opened yet.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] if a URL, the certificate authorities or our certificate cannot be used.
    pub fn new(places: &[Place], settings: &UpstreamSettings) -> Result<Self, UpstreamError> {
        let signed = settings.forward_identity.signed;
        Ok(Self(Arc::new(Shared {
            replicas: Arc::new(Replicas::new(places, settings)?),
            checks: settings.health_checks.clone(),
            asking: OnceLock::new(),
            endpoints: Endpoints::new(&settings.resource_path),
            host_header: settings.host_header,
            identity: settings.forward_identity.plain.clone(),
            assertions: signed.then(|| settings.assertions.clone()).flatten(),
            exchange: settings.exchange.clone(),
            websocket: settings.websocket,
            body_limit: settings.body_limit,
            response_timeout: settings.response_timeout,
        })))
    }
}

impl ReverseProxy {
    /// Whether it is the very one that `other` is a clone of.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// An answer that will come.
pub(crate) type Answering =
    Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl tower::Service<Request<Body>> for ReverseProxy {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let caller = request.extensions().get().cloned();
            let response = match shared.forward(request).await {
                Ok(mut response) => {
                    response.extensions_mut().insert(OfServer);
                    response
                }
                Err(error) => error.into_response(Some(&shared.replicas.shown())),
            };
            Ok(with_caller(response, caller))
        })
    }
}

/// Marks a response as the MCP server's own, for the access log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfServer;

/// Lets the access log name the caller.
pub(crate) fn with_caller(
    mut response: Response<Body>,
    caller: Option<VerifiedToken>,
) -> Response<Body> {
    if let Some(caller) = caller {
        response.extensions_mut().insert(caller);
    }
    response
}

/// What a client asked for, whatever routers made of it.
pub(crate) fn asked<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri {
    let original = extensions.get::<OriginalUri>();
    original.map_or(uri, |OriginalUri(uri)| uri)
}

impl Shared {
    async fn forward(&self, request: Request<Body>) -> Result<Response<Body>, ForwardError> {
        self.begin_checks();
        let (mut parts, body) = self.admissible(request)?;
        // Whoever comes without having been let in is not to be passed on, whatever the wiring.
        let caller = parts.extensions.get::<VerifiedToken>();
        let caller = caller.cloned().ok_or(ForwardError::Unverified)?;
        let asked = asked(&parts.uri, &parts.extensions).clone();
        let way = self.way(&mut parts, &asked, &caller)?;
        // Whoever let it through has put it there.
        let opening = self.websocket.then(|| parts.extensions.remove::<Opening>());
        let opening = opening.flatten();
        let opens_stream = opening.is_none() && is_stream_without_session(&parts);
        let content = RequestContent::new(body, self.body_limit);
        let mut request = self.outgoing(parts, (&asked, &caller), content)?;
        if opens_stream {
            // Its first event is read.
            let plain = HeaderValue::from_static("identity");
            request.headers_mut().insert(ACCEPT_ENCODING, plain);
        }
        if let Some(exchange) = &self.exchange {
            let token = exchange.token(&caller).await?;
            exchange.put(token, request.headers_mut());
        }
        let answered = self.answered(request, &asked, way, opening.as_ref());
        let (replica, mut response) = answered.await?;
        let opening = opening.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS);
        if let Some(opening) = opening {
            return self.opened(response, opening, replica);
        }
        if let Some(exchange) = &self.exchange {
            let answer = (response.status(), response.headers_mut());
            exchange.judge(&caller, answer).await?;
        }
        clean_response(response.headers_mut());
        self.replicas.mark(replica, response.headers_mut());
        if !opens_stream || !is_event_stream(response.headers()) {
            return Ok(response.map(Body::new));
        }
        if !is_plain(response.headers()) {
            return Err(ForwardError::Encoded);
        }
        self.told(response, &asked, (replica, &caller))
    }

    /// Has replicas asked whether they are well from the first request on, for it is sure to have a runtime.
    fn begin_checks(&self) {
        if let Some(checks) = &self.checks {
            let begin = || Asking::begin(Arc::clone(&self.replicas), checks.clone());
            self.asking.get_or_init(begin);
        }
    }

    /// The request in parts, where it is one that may be passed on, whoever sent it.
    fn admissible(&self, request: Request<Body>) -> Result<(Parts, Body), ForwardError> {
        let (mut parts, mut body) = request.into_parts();
        if is_refused(&parts.method) {
            return Err(ForwardError::Method);
        }
        if [Method::GET, Method::HEAD, Method::DELETE].contains(&parts.method) {
            // It means nothing there (RFC 9110 §9.3.1), and a server that leaves it unread takes it for
            // the next request on the connection, which may be another caller's.
            body = Body::empty();
            parts.headers.remove(CONTENT_LENGTH);
        }
        if declared_length(&parts.headers).is_some_and(|length| length > self.body_limit) {
            return Err(ForwardError::TooLarge);
        }
        Ok((parts, body))
    }

    /// What the server answers in time, and which of its replicas.
    async fn answered(
        &self,
        mut request: Request<RequestContent>,
        asked: &Uri,
        way: Way,
        opening: Option<&Opening>,
    ) -> Result<(usize, Response<Counted>), ForwardError> {
        let becomes = match opening {
            Some(_) => {
                Opening::ask(request.headers_mut());
                Becomes::WebSocket
            }
            None => Becomes::Answer,
        };
        let answer = self.replicas.send(request, asked, (way, becomes));
        let answered = match self.response_timeout {
            Some(limit) => tokio::time::timeout(limit, answer)
                .await
                .map_err(|_| ForwardError::TimedOut)?,
            None => answer.await,
        };
        let (replica, response) = answered?;
        if opening.is_none() && response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(ForwardError::Switched);
        }
        Ok((replica, response))
    }

    /// The answer of `replica` that opens a WebSocket, which begins once the answer is with the client.
    fn opened(
        &self,
        mut response: Response<Counted>,
        opening: Opening,
        replica: usize,
    ) -> Result<Response<Body>, ForwardError> {
        if !opening.is_confirmed_by(response.headers()) {
            return Err(ForwardError::Handshake);
        }
        let server = hyper::upgrade::on(&mut response);
        let (mut head, under_way) = response.into_parts();
        clean_response(&mut head.headers);
        self.replicas.mark(replica, &mut head.headers);
        Opening::ask(&mut head.headers);
        head.extensions.insert(Tunnel::new(Ends {
            client: opening.client,
            server,
            standing: opening.standing,
            under_way: Box::new(under_way),
        }));
        Ok(Response::from_parts(head, Body::empty()))
    }

    /// Where a request goes.
    fn way(
        &self,
        parts: &mut Parts,
        asked: &Uri,
        caller: &VerifiedToken,
    ) -> Result<Way, ForwardError> {
        match self.endpoints.find(asked.path(), caller) {
            Found::NotOurs => self.replicas.way(&mut parts.headers),
            Found::Gone => Err(ForwardError::SessionLost),
            Found::At(..) if parts.method != Method::POST => Err(ForwardError::Method),
            Found::At(replica, uri) => Ok(Way::Endpoint(replica, uri)),
        }
    }

    /// The answer of `replica`, with our URL in the place of what it tells.
    fn told(
        &self,
        response: Response<Counted>,
        asked: &Uri,
        (replica, caller): (usize, &VerifiedToken),
    ) -> Result<Response<Body>, ForwardError> {
        let target = self.replicas.target(replica).ok_or(Unmapped)?;
        let place = (target.clone(), target.uri(asked)?);
        let endpoints = self.endpoints.clone();
        let (mut head, body) = response.into_parts();
        // Ours may be longer.
        head.headers.remove(CONTENT_LENGTH);
        let stream = EndpointStream::new(body, endpoints, place, (replica, caller));
        Ok(Response::from_parts(head, Body::new(stream)))
    }

    /// What is sent, but for its target.
    fn outgoing(
        &self,
        parts: Parts,
        (asked, caller): (&Uri, &VerifiedToken),
        content: RequestContent,
    ) -> Result<Request<RequestContent>, ForwardError> {
        let mut headers = parts.headers;
        clean_request(&mut headers, self.host_header, asked.authority());
        tell(&mut headers, &self.identity, caller);
        if let Some(assertions) = &self.assertions {
            headers.insert(ASSERTION, assertions.of(caller)?);
        }
        let id = parts.extensions.get::<CorrelationId>();
        if let Some(Ok(id)) = id.map(|id| HeaderValue::from_str(id.as_str())) {
            headers.insert(CORRELATION_ID, id);
        }
        if let Some(trace) = parts.extensions.get::<TraceContext>() {
            trace.tell(&mut headers);
        }
        let mut request = Request::new(content);
        *request.method_mut() = parts.method;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// Whether a stream of events is asked for that no session has.
fn is_stream_without_session(parts: &Parts) -> bool {
    let accepts = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains(EVENTS));
    parts.method == Method::GET
        && !parts.headers.contains_key(MCP_SESSION_ID)
        && parts.headers.get_all(ACCEPT).iter().any(accepts)
}

/// Whether the body is as it was written.
fn is_plain(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    codings.all(|coding| coding == "identity")
}

/// Whether a method has an upstream repeat what it is sent, however its name is written, or is for proxies
/// of another kind.
fn is_refused(method: &Method) -> bool {
    let refused = ["CONNECT", "TRACE", "TRACK"];
    let mut refused = refused.iter();
    refused.any(|refused| method.as_str().eq_ignore_ascii_case(refused))
}

const EVENTS: &str = "text/event-stream";

/// The length a request says its body has.
fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use tower::Service as _;
    use url::Url;

    use super::*;

    /// Every request makes room for it, and it is moved about.
    #[test]
    fn what_waits_for_an_answer_is_small() {
        let url = Url::parse("http://127.0.0.1:9/mcp").unwrap();
        let settings = UpstreamSettings::new(url.clone());
        let mut proxy = ReverseProxy::new(&[Place::at(url)], &settings).unwrap();
        let answering = proxy.call(Request::new(Body::empty()));
        let bytes = size_of_val(&*answering);
        assert!(bytes < 8 * 1024, "{bytes} bytes");
    }
}
