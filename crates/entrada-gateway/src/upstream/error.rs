//! What the gateway answers itself, when the MCP server does not.

use std::error::Error;

use axum::body::Body;
use axum::response::IntoResponse as _;
use entrada::caller_assertion::NotSigned;
use entrada::on_behalf_of::OboError;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::LengthLimitError;
use hyper_util::client::legacy;
use tower_http::timeout::TimeoutError;

use crate::metrics;
use crate::telemetry::WithCauses;
use crate::upstream::dial::NotInTime;
use crate::upstream::target::Unmapped;

/// Why a request was not passed on, or not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The request did not pass the guard.
    #[error("the request did not pass the guard")]
    Unverified,
    /// The method has an upstream repeat what it is sent, our token among it (RFC 9110 §9.3.8), or is
    /// for proxies of another kind.
    #[error("the method is not passed on")]
    Method,
    /// The path does not lead to the MCP server.
    #[error(transparent)]
    Unmapped(#[from] Unmapped),
    /// The request is over the size limit.
    #[error("the request is too large")]
    TooLarge,
    /// The request's body did not come in time.
    #[error("the request took too long to come")]
    TooSlow,
    /// The session is over: its replica is gone, or the stream that it was.
    #[error("the session is over: begin another")]
    SessionLost,
    /// No connection could be made.
    #[error("the upstream cannot be reached")]
    Unreachable(#[source] legacy::Error),
    /// No connection was open in time: the upstream is slow to take one, or says nothing where TLS is to begin.
    #[error("no connection to the upstream was open in time")]
    NotOpened(#[source] legacy::Error),
    /// The connection broke before the answer began.
    #[error("the upstream hung up without an answer")]
    Lost(#[source] legacy::Error),
    /// The upstream is to be told who calls, and nothing can sign that now.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// There is no token for the upstream in the caller's name: the answer is the library's.
    #[error("there is no token for the upstream")]
    Exchange(#[from] OboError),
    /// The upstream does not take the token that was exchanged for it.
    #[error("the upstream does not take the token it is sent")]
    TokenRefused,
    /// The upstream wanted another token, and there is one now.
    #[error("the upstream wanted a newer token: try again")]
    TokenReplaced,
    /// The upstream encoded a stream that was to be read, and was told so.
    #[error("the upstream encoded what it was asked for as it is")]
    Encoded,
    /// The upstream changed to another protocol, which nobody asked for: what follows is no HTTP.
    #[error("the upstream speaks another protocol than HTTP")]
    Switched,
    /// The upstream changed to another protocol, and not to the WebSocket that was asked for
    /// (RFC 6455 §4.1).
    #[error("the upstream opened another WebSocket than it was asked for")]
    Handshake,
    /// Nothing came in the time there was.
    #[error("the upstream did not answer in time")]
    TimedOut,
}

impl ForwardError {
    /// What a body of a request failed by, as it was read.
    pub(crate) fn of_request(error: &(dyn Error + 'static)) -> Self {
        if causes(error).any(<dyn Error>::is::<LengthLimitError>) {
            Self::TooLarge
        } else {
            Self::TooSlow
        }
    }

    /// What a request to the MCP server failed by.
    pub(super) fn of_client(error: legacy::Error) -> Self {
        let mut has_no_time = false;
        for cause in causes(&error) {
            if cause.is::<LengthLimitError>() {
                return Self::TooLarge;
            }
            if cause.is::<TimeoutError>() {
                return Self::TooSlow;
            }
            let io = cause.downcast_ref::<std::io::Error>();
            let is_late = io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut);
            if is_late && !error.is_connect() {
                return Self::TimedOut;
            }
            has_no_time |= is_late || cause.is::<NotInTime>();
        }
        if !error.is_connect() {
            Self::Lost(error)
        } else if has_no_time {
            Self::NotOpened(error)
        } else {
            Self::Unreachable(error)
        }
    }

    /// The status it is answered with.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Unverified | Self::Exchange(_) => StatusCode::INTERNAL_SERVER_ERROR,
            // Clients begin another session (MCP transports, *Session Management*).
            Self::SessionLost => StatusCode::NOT_FOUND,
            // Not 400 or 404, which MCP clients give a meaning of their own.
            Self::Unmapped(_) | Self::Method => StatusCode::FORBIDDEN,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Unreachable(_)
            | Self::Lost(_)
            | Self::TokenRefused
            | Self::Encoded
            | Self::Switched
            | Self::Handshake => StatusCode::BAD_GATEWAY,
            Self::TokenReplaced | Self::NotSigned(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut | Self::NotOpened(_) => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// A word for it.
    const fn label(&self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Method => "method",
            Self::Unmapped(_) => "path",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::SessionLost => "session_lost",
            Self::Unreachable(_) => "unreachable",
            Self::NotOpened(_) => "not_opened",
            Self::Lost(_) => "lost",
            Self::NotSigned(_) => "not_signed",
            Self::Exchange(_) => "exchange",
            Self::TokenRefused => "token_refused",
            Self::TokenReplaced => "token_replaced",
            Self::Encoded => "encoded",
            Self::Switched => "switched",
            Self::Handshake => "handshake",
            Self::TimedOut => "timed_out",
        }
    }

    /// Logs the error and makes it an answer: a line of plain text, never JSON-RPC.
    pub(crate) fn into_response(self, upstream: Option<&str>) -> Response<Body> {
        metrics::upstream_failed(self.label());
        if let Self::Exchange(error) = self {
            return error.into_response();
        }
        let error = WithCauses::of(&self);
        if self.status().is_server_error() {
            tracing::error!(%error, upstream, "not passed on");
        } else {
            tracing::info!(%error, upstream, "not passed on");
        }
        let mut response = Response::new(Body::from(format!("{self}\n")));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        if matches!(self, Self::TokenReplaced | Self::NotSigned(_)) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// `error` and what is behind it.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        error.source()
    })
}
