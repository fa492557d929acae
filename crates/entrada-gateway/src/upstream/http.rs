//! The streaming reverse proxy.
//!
//! It reads no body: bytes go through as they come, both ways, and a stream stays open as long as
//! both ends want it. What it answers itself is never 400, 404 or 405 for the server's troubles: an
//! MCP client takes those for an older protocol or a lost session (MCP transports, *Backward
//! Compatibility*).

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::OriginalUri;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use http_body_util::LengthLimitError;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_http::timeout::TimeoutError;
use tracing::Instrument as _;
use url::Url;

use entrada::VerifiedToken;
use entrada::authorization_server::CorrelationId;

use crate::access_log::CORRELATION_ID;
use crate::config::UpstreamSettings;
use crate::traces::TraceContext;
use crate::upstream::content::RequestContent;
use crate::upstream::error::ForwardError;
use crate::upstream::exchange::Exchange;
use crate::upstream::headers::{HostHeader, clean_request, clean_response};
use crate::upstream::identity::{IdentityHeader, tell};
use crate::upstream::target::Target;
use crate::upstream::tls::{UpstreamError, connector};

/// Sends every request on to the MCP server. Clones share the connections.
#[derive(Clone, Debug)]
pub struct ReverseProxy(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    target: Target,
    host_header: HostHeader,
    identity: Vec<IdentityHeader>,
    exchange: Option<Exchange>,
    body_limit: u64,
    response_timeout: Option<Duration>,
    client: Client<HttpsConnector<HttpConnector>, RequestContent>,
}

impl ReverseProxy {
    /// Prepares the way to the MCP server at `url`; no connection is opened yet.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] if the URL or the certificate authorities cannot be used.
    pub fn new(url: &Url, settings: &UpstreamSettings) -> Result<Self, UpstreamError> {
        let target = Target::new(url, &settings.resource_path)?;
        let connector = connector(url, settings.ca_file.as_deref())?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION)
            .http1_max_headers(MAX_HEADERS)
            .build(connector);
        Ok(Self(Arc::new(Shared {
            target,
            host_header: settings.host_header,
            identity: settings.forward_identity.clone(),
            exchange: settings.exchange.clone(),
            body_limit: settings.body_limit,
            response_timeout: settings.response_timeout,
            client,
        })))
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
                Ok(response) => response.map(Body::new),
                Err(error) => error.into_response(Some(&shared.target)),
            };
            Ok(with_caller(response, caller))
        })
    }
}

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
    async fn forward(&self, request: Request<Body>) -> Result<Response<Incoming>, ForwardError> {
        let (parts, body) = request.into_parts();
        if matches!(parts.method, Method::TRACE | Method::CONNECT) {
            return Err(ForwardError::Method);
        }
        if declared_length(&parts.headers).is_some_and(|length| length > self.body_limit) {
            return Err(ForwardError::TooLarge);
        }
        // Whoever comes without having been let in is not to be passed on, whatever the wiring.
        let caller = parts.extensions.get::<VerifiedToken>();
        let caller = caller.cloned().ok_or(ForwardError::Unverified)?;
        let mut request =
            self.outgoing(parts, &caller, RequestContent::new(body, self.body_limit))?;
        if let Some(exchange) = &self.exchange {
            let token = exchange.token(&caller).await?;
            exchange.put(token, request.headers_mut());
        }
        let span = tracing::debug_span!(
            "upstream",
            otel.kind = "client",
            server.address = self.target.origin(),
        );
        let answer = self.client.request(request).instrument(span);
        let answered = match self.response_timeout {
            Some(limit) => tokio::time::timeout(limit, answer)
                .await
                .map_err(|_| ForwardError::TimedOut)?,
            None => answer.await,
        };
        let mut response = answered.map_err(failed)?;
        if let Some(exchange) = &self.exchange {
            let answer = (response.status(), response.headers_mut());
            exchange.judge(&caller, answer).await?;
        }
        clean_response(response.headers_mut());
        Ok(response)
    }

    fn outgoing(
        &self,
        parts: Parts,
        caller: &VerifiedToken,
        content: RequestContent,
    ) -> Result<Request<RequestContent>, ForwardError> {
        let asked = asked(&parts.uri, &parts.extensions);
        let uri = self.target.uri(asked)?;
        let mut headers = parts.headers;
        clean_request(&mut headers, self.host_header, asked.authority());
        tell(&mut headers, &self.identity, caller);
        let id = parts.extensions.get::<CorrelationId>();
        if let Some(Ok(id)) = id.map(|id| HeaderValue::from_str(id.as_str())) {
            headers.insert(CORRELATION_ID, id);
        }
        if let Some(trace) = parts.extensions.get::<TraceContext>() {
            trace.tell(&mut headers);
        }
        let mut request = Request::new(content);
        *request.method_mut() = parts.method;
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// The length a request says its body has.
fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn failed(error: hyper_util::client::legacy::Error) -> ForwardError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return ForwardError::TooLarge;
        }
        if error.is::<TimeoutError>() {
            return ForwardError::TooSlow;
        }
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut) {
            return ForwardError::TimedOut;
        }
        cause = error.source();
    }
    if error.is_connect() {
        ForwardError::Unreachable(error)
    } else {
        ForwardError::Lost(error)
    }
}

/// How long an idle connection is kept. Common MCP servers close theirs after five seconds, and a
/// request that meets the closing would be lost: it must not be sent twice.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);

/// How many headers an answer may have.
const MAX_HEADERS: usize = 256;
