//! One line for each request, when its answer has ended.

use std::future::pending;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body as _, Frame, SizeHint};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use entrada::VerifiedToken;
use entrada::authorization_server::{CorrelationId, TrustedProxies};
use entrada::platform::SystemRandom;
use entrada::resource_server::Refusal;

mod line;

use crate::access_log::line::{Ended, Kind, Line};
use crate::audit::Audit;
use crate::called::Called;
use crate::health;
use crate::metrics::{self, Open};
use crate::route::Routes;
use crate::server::{Afterwards, UnderWay};
use crate::traces::{TraceContext, Tracer};
use crate::upstream::headers::is_event_stream;
use crate::upstream::http::OfServer;
use crate::websocket::{Ending, Tunnel};

/// The header a [`CorrelationId`] travels in.
pub(crate) const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// Gives every request of `router` a [`CorrelationId`] and a line in the log, where it comes from as
/// `proxies` say.
pub fn observed(router: Router, proxies: TrustedProxies) -> Router {
    Observer::new(proxies).observe(router)
}

/// What is to be noted of requests.
#[derive(Clone, Debug)]
pub struct Observer {
    proxies: Arc<TrustedProxies>,
    /// What tells routes apart, in metrics.
    routes: Option<Routes>,
    /// What is told of those that are turned away.
    audit: Option<Audit>,
    /// What begins their traces.
    tracer: Option<Tracer>,
    /// The route of what is no route of an MCP server.
    elsewhere: Arc<str>,
}

impl Observer {
    /// Notes them in the log alone, with where they come from as `proxies` say.
    pub fn new(proxies: TrustedProxies) -> Self {
        Self {
            proxies: Arc::new(proxies),
            routes: None,
            audit: None,
            tracer: None,
            elsewhere: Arc::from("sign-in"),
        }
    }

    /// Tells `routes` apart, too.
    #[must_use]
    pub fn of_routes(self, routes: Routes) -> Self {
        let routes = Some(routes);
        Self { routes, ..self }
    }

    /// Tells `audit` of those that are turned away, too, if there is one.
    #[must_use]
    pub fn telling(self, audit: Option<Audit>) -> Self {
        Self { audit, ..self }
    }

    /// Begins a trace of each with `tracer`, too, if there is one.
    #[must_use]
    pub fn tracing(self, tracer: Option<Tracer>) -> Self {
        Self { tracer, ..self }
    }

    /// The span of a request; if it has a trace, that is in its extensions from then on.
    fn span(&self, request: &mut Request, line: &Line) -> Span {
        let id = &line.correlation_id;
        let Some(tracer) = &self.tracer else {
            return tracing::info_span!("request", correlation_id = %id);
        };
        let context = tracer.begin(request.headers());
        request.extensions_mut().insert(context);
        let TraceContext { trace_id, .. } = context;
        if !context.is_sampled {
            return tracing::info_span!("request", correlation_id = %id);
        }
        tracing::info_span!(
            "request",
            correlation_id = %id,
            %trace_id,
            span_id = %context.span_id,
            parent_span_id = context.parent.map(tracing::field::display),
            otel.name = format!("{} {}", metrics::method(&line.method), line.route),
            otel.kind = "server",
            http.request.method = metrics::method(&line.method),
            http.route = &*line.route,
            url.path = line.path,
            client.address = line.address().map(tracing::field::display),
            http.response.status_code = Empty,
            entrada.outcome = Empty,
            otel.status_code = Empty,
        )
    }

    /// Gives every request of `router` a [`CorrelationId`], and notes it.
    pub fn observe(self, router: Router) -> Router {
        router.layer(from_fn_with_state(self, observe))
    }

    fn route(&self, request: &Request) -> Arc<str> {
        let route = self.routes.as_ref();
        let route = route.and_then(|routes| routes.named(request));
        route.unwrap_or_else(|| Arc::clone(&self.elsewhere))
    }

    /// Tells the audit log of a request that was turned away.
    fn audit(&self, line: &Line, response: &Response) {
        let Some(audit) = &self.audit else { return };
        if let Some(denied) = response.extensions().get::<Denied>() {
            let called = denied.called.as_ref();
            audit.deny(line.asked(called), denied.code, &denied.reason);
        } else if let Some(refusal) = response.extensions().get() {
            audit.refused(line.asked(None), refusal);
        }
    }

    /// Tells the audit log that a WebSocket was ended.
    fn audit_end(&self, line: &Line, refusal: &Refusal) {
        if let Some(audit) = &self.audit {
            audit.refused(line.asked(Some(&Called::opening())), refusal);
        }
    }
}

/// Marks a response by which a call was turned away, for the audit log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Denied {
    /// What was called, where that is known.
    pub called: Option<Called>,
    /// A word for the reason.
    pub code: &'static str,
    /// The reason.
    pub reason: String,
}

impl Denied {
    /// It was turned away for `reason`.
    pub fn new(called: Option<Called>, code: &'static str, reason: impl Into<String>) -> Self {
        Self {
            called,
            code,
            reason: reason.into(),
        }
    }
}

/// The address a request is from, behind the proxies that are trusted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

async fn observe(State(observer): State<Observer>, mut request: Request, next: Next) -> Response {
    let correlation_id = correlation_id(request.headers());
    let mut line = Line::new(&request, correlation_id.clone());
    line.route = observer.route(&request);
    line.comes_through(&observer.proxies, request.headers());
    if let Some(address) = line.address() {
        request.extensions_mut().insert(ClientAddress(address));
    }
    line.under_way = request.extensions_mut().remove();
    line.open = (!health::is_probe(&line.path)).then(Open::request);
    let span = observer.span(&mut request, &line);
    line.span = span.clone();
    request.extensions_mut().insert(correlation_id.clone());
    let mut response = next.run(request).instrument(span).await;
    if let Ok(id) = HeaderValue::from_str(correlation_id.as_str()) {
        response.headers_mut().insert(CORRELATION_ID, id);
    }
    line.status = Some(response.status());
    line.user = response.extensions_mut().remove::<VerifiedToken>();
    line.is_of_server = response.extensions_mut().remove::<OfServer>().is_some();
    observer.audit(&line, &response);
    if !health::is_probe(&line.path) {
        metrics::began(&line.route, line.began.elapsed());
    }
    if let Some(tunnel) = response.extensions_mut().remove() {
        let rest = Afterwards::new(last(tunnel, line, observer));
        response.extensions_mut().insert(rest);
        return response;
    }
    if is_event_stream(response.headers()) {
        line.kind = Kind::Events;
        line.stream = Some(Open::stream());
    }
    line.expects(response.body());
    response.map(|body| Body::new(Observed { body, line }))
}

/// Notes a WebSocket from its opening to its end.
fn last(
    tunnel: Tunnel,
    mut line: Line,
    observer: Observer,
) -> impl Future<Output = ()> + Send + 'static {
    line.kind = Kind::WebSocket;
    line.stream = Some(Open::stream());
    let span = line.span.clone();
    let cut_off = line.under_way.as_ref().map(UnderWay::cut_off);
    async move {
        let stopping = async {
            match cut_off {
                Some(cut_off) => cut_off.await,
                None => pending().await,
            }
        };
        let ending = tunnel.run(stopping, |bytes| line.sent(bytes)).await;
        line.ended = Ended::of(&ending);
        if let Ending::Refused(refusal) = ending {
            tracing::info!(reason = %refusal, "a websocket is ended");
            observer.audit_end(&line, &refusal);
        }
    }
    .instrument(span)
}

/// The id a caller gave, if it can stand in a log, or a new one.
fn correlation_id(headers: &HeaderMap) -> CorrelationId {
    let given = headers.get(CORRELATION_ID).and_then(|id| id.to_str().ok());
    given
        .and_then(|id| CorrelationId::parse(id).ok())
        .unwrap_or_else(|| CorrelationId::generate(&SystemRandom::default()))
}

/// A body that tells its [`Line`] how it fared.
#[derive(Debug)]
struct Observed {
    body: Body,
    line: Line,
}

impl Observed {
    /// Looks whether the end was there already when the client, which had everything, left.
    fn settle(&mut self) {
        if self.line.ended.is_some() || self.line.is_cut_off() {
            return;
        }
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(None) = Pin::new(&mut self.body).poll_frame(&mut context) {
            self.line.ended = Some(Ended::Whole);
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.settle();
    }
}

impl http_body::Body for Observed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.line.sent(length);
            }
            Some(Err(_)) => self.line.ended = Some(Ended::CutOff),
            None => self.line.ended = Some(Ended::Whole),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::SocketAddr;

    use axum::extract::ConnectInfo;
    use futures_util::{StreamExt as _, stream};
    use http::StatusCode;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    /// An answer of `frames`, with an end or without.
    fn observed(frames: &[&'static str], ends: bool) -> Observed {
        let request = Request::get("/mcp").body(Body::empty()).unwrap();
        let mut line = Line::new(&request, correlation_id(request.headers()));
        line.status = Some(StatusCode::OK);
        let frames: Vec<_> = frames
            .iter()
            .map(|text| Bytes::from_static(text.as_bytes()))
            .collect();
        let frames = stream::iter(frames).map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
        let body = if ends {
            Body::new(StreamBody::new(frames))
        } else {
            Body::new(StreamBody::new(frames.chain(stream::pending())))
        };
        Observed { body, line }
    }

    #[test]
    fn the_client_behind_a_trusted_proxy_is_named() {
        let mut trusted = TrustedProxies::default();
        trusted.add("10.0.0.0/8").unwrap();
        for (peer, expected) in [
            (Some("10.0.0.1"), Some("192.0.2.7")),
            (Some("::ffff:10.0.0.1"), Some("192.0.2.7")),
            (Some("198.51.100.1"), None),
            (None, None),
        ] {
            let request = Request::get("/mcp").header("x-forwarded-for", "192.0.2.7");
            let mut request = request.body(Body::empty()).unwrap();
            if let Some(peer) = peer {
                let peer = SocketAddr::new(peer.parse().unwrap(), 50_000);
                request.extensions_mut().insert(ConnectInfo(peer));
            }
            let mut line = Line::new(&request, correlation_id(request.headers()));
            line.comes_through(&trusted, request.headers());
            let client = line.client.map(|client| client.to_string());
            assert_eq!(client.as_deref(), expected, "{peer:?}");
        }
    }

    #[tokio::test]
    async fn who_leaves_after_the_last_byte_was_answered() {
        for (ends, events, expected) in [
            (true, false, "answered"),
            (true, true, "answered"),
            (false, false, "client left during the answer"),
            (false, true, "client closed the stream"),
        ] {
            let mut answer = observed(&["all there is"], ends);
            if events {
                answer.line.kind = Kind::Events;
            }
            answer.frame().await.unwrap().unwrap();
            answer.settle();
            assert_eq!(answer.line.outcome(), expected);
        }
    }

    #[tokio::test]
    async fn who_leaves_before_the_last_byte_was_not_answered() {
        let mut answer = observed(&["half", "half"], true);
        answer.frame().await.unwrap().unwrap();
        answer.settle();
        assert_eq!(answer.line.outcome(), "client left during the answer");
    }
}
