//! What is noted of a request, and what its line says.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use entrada::VerifiedToken;
use entrada::authorization_server::{CorrelationId, TrustedProxies};
use http::{HeaderMap, Method, StatusCode};
use http_body::Body as _;
use tokio::time::Instant;
use tracing::Span;

use crate::audit::Asked;
use crate::called::Called;
use crate::health;
use crate::metrics::{Answered, Open};
use crate::server::UnderWay;
use crate::websocket::Ending;

/// What the line will say. It is written when this is dropped: then the answer has ended, or
/// whoever asked has gone.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) correlation_id: CorrelationId,
    pub(super) method: Method,
    /// The path alone: queries hold codes.
    pub(super) path: String,
    /// The path of the MCP server it is for.
    pub(super) route: Arc<str>,
    pub(super) peer: Option<SocketAddr>,
    /// The client, where the peer is a proxy.
    pub(super) client: Option<IpAddr>,
    pub(super) began: Instant,
    pub(super) status: Option<StatusCode>,
    /// Whether the MCP server says so, and not we.
    pub(super) is_of_server: bool,
    pub(super) user: Option<VerifiedToken>,
    pub(super) under_way: Option<UnderWay>,
    pub(super) kind: Kind,
    pub(super) open: Option<Open>,
    pub(super) stream: Option<Open>,
    pub(super) span: Span,
    pub(super) bytes: u64,
    /// How many bytes there are, where that is known before they come.
    pub(super) expected: Option<u64>,
    pub(super) ended: Option<Ended>,
}

/// What the answer is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Answer,
    /// A stream of events, which clients leave when they have what they want.
    Events,
    /// A WebSocket, which goes on after the answer.
    WebSocket,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ended {
    Whole,
    CutOff,
    /// We ended it, for the caller would be let in no more.
    Refused,
}

impl Ended {
    /// How a WebSocket ended, unless the whole server did.
    pub(super) const fn of(ending: &Ending) -> Option<Self> {
        match ending {
            Ending::Closed => Some(Self::Whole),
            Ending::BrokenOff => Some(Self::CutOff),
            Ending::Refused(_) => Some(Self::Refused),
            Ending::Stopped => None,
        }
    }
}

impl Line {
    pub(super) fn new(request: &Request, correlation_id: CorrelationId) -> Self {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        Self {
            correlation_id,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            route: Arc::from(""),
            peer: peer.map(|ConnectInfo(peer)| *peer),
            client: None,
            began: Instant::now(),
            status: None,
            is_of_server: false,
            user: None,
            under_way: None,
            kind: Kind::Answer,
            open: None,
            stream: None,
            span: Span::none(),
            bytes: 0,
            expected: None,
            ended: None,
        }
    }

    /// Takes note of the client, where the peer is a trusted proxy.
    pub(super) fn comes_through(&mut self, proxies: &TrustedProxies, headers: &HeaderMap) {
        let peer = self.peer.map(|peer| peer.ip().to_canonical());
        self.client = peer
            .map(|peer| proxies.client(peer, headers))
            .filter(|client| Some(*client) != peer);
    }

    /// Where it comes from.
    pub(super) fn address(&self) -> Option<IpAddr> {
        let peer = self.peer.map(|peer| peer.ip().to_canonical());
        self.client.or(peer)
    }

    /// What the audit log is told of it.
    pub(super) fn asked<'a>(&'a self, called: Option<&'a Called>) -> Asked<'a> {
        Asked {
            caller: self.user.as_ref(),
            called,
            route: Some(&self.route),
            correlation_id: Some(self.correlation_id.as_str()),
            address: self.address(),
        }
    }

    /// Takes note of how long the answer will be: a body is not asked for its end once all of it
    /// has been sent, nor for anything when there is nothing to send.
    pub(super) fn expects(&mut self, body: &Body) {
        self.expected = match self.method {
            Method::HEAD => Some(0),
            _ => body.size_hint().exact(),
        };
        self.sent(0);
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if self.expected == Some(self.bytes) {
            self.ended = Some(Ended::Whole);
        }
    }

    /// Whether it was we who ended the connection.
    pub(super) fn is_cut_off(&self) -> bool {
        self.under_way.as_ref().is_some_and(UnderWay::is_cut_off)
    }

    pub(super) fn outcome(&self) -> &'static str {
        if self.ended.is_none() && self.is_cut_off() {
            return "cut off while stopping";
        }
        let Some(status) = self.status else {
            return "client left before the answer";
        };
        match (self.ended, self.kind) {
            (None, Kind::Events) => "client closed the stream",
            (None, Kind::Answer | Kind::WebSocket) => "client left during the answer",
            (Some(Ended::Refused), _) => "token ended",
            (Some(Ended::CutOff), Kind::WebSocket) => "websocket broke off",
            (Some(Ended::Whole), Kind::WebSocket) => "websocket closed",
            (Some(Ended::CutOff), Kind::Answer | Kind::Events) => "upstream broke off",
            (Some(Ended::Whole), _) if status.is_server_error() => {
                if self.is_of_server {
                    "upstream failed"
                } else {
                    "failed"
                }
            }
            (Some(Ended::Whole), _) if status.is_client_error() => {
                if self.is_of_server {
                    "upstream refused"
                } else {
                    "refused"
                }
            }
            (Some(Ended::Whole), Kind::Answer | Kind::Events) => "answered",
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if health::is_probe(&self.path) {
            return;
        }
        let (took, outcome) = (self.began.elapsed(), self.outcome());
        let answered = Answered {
            route: &self.route,
            method: &self.method,
            status: self.status,
            outcome,
            bytes: self.bytes,
            took: (self.kind == Kind::Answer).then_some(took),
        };
        answered.count();
        self.span.record("entrada.outcome", outcome);
        if let Some(status) = self.status {
            let code = u64::from(status.as_u16());
            self.span.record("http.response.status_code", code);
        }
        if self.status.is_some_and(|status| status.is_server_error()) {
            self.span.record("otel.status_code", "ERROR");
        }
        let principal = self.user.as_ref().map(|user| &user.principal);
        tracing::info!(
            correlation_id = %self.correlation_id,
            method = %self.method,
            path = self.path,
            status = self.status.map(|status| status.as_u16()),
            outcome,
            duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            bytes = self.bytes,
            peer = self.peer.map(tracing::field::display),
            client_address = self.client.map(tracing::field::display),
            tenant_id = principal
                .map(|principal| principal.tenant_id.as_str())
                .filter(|tenant_id| !tenant_id.is_empty()),
            object_id = principal.and_then(|principal| principal.object_id.as_deref()),
            client_id = self.user.as_ref().map(|user| user.client_id.as_str()),
            "request"
        );
    }
}
