//! What the gateway answers itself, when the MCP server does not.

use axum::body::Body;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use hyper_util::client::legacy;

use crate::telemetry::WithCauses;
use crate::upstream::target::{Target, Unmapped};

/// Why a request was not passed on, or not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The request did not pass the guard.
    #[error("the request did not pass the guard")]
    Unverified,
    /// The path does not lead to the MCP server.
    #[error(transparent)]
    Unmapped(#[from] Unmapped),
    /// The request is over the size limit.
    #[error("the request is too large")]
    TooLarge,
    /// The request's body did not come in time.
    #[error("the request took too long to come")]
    TooSlow,
    /// No connection could be made.
    #[error("the upstream cannot be reached")]
    Unreachable(#[source] legacy::Error),
    /// The connection broke before the answer began.
    #[error("the upstream hung up without an answer")]
    Lost(#[source] legacy::Error),
    /// Nothing came in the time there was.
    #[error("the upstream did not answer in time")]
    TimedOut,
}

impl ForwardError {
    /// The status it is answered with.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Unverified => StatusCode::INTERNAL_SERVER_ERROR,
            // Not 400 or 404, which MCP clients give a meaning of their own.
            Self::Unmapped(_) => StatusCode::FORBIDDEN,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Unreachable(_) | Self::Lost(_) => StatusCode::BAD_GATEWAY,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Logs the error and makes it an answer: a line of plain text, never JSON-RPC.
    pub(crate) fn into_response(self, target: &Target) -> Response<Body> {
        let (error, upstream) = (WithCauses::of(&self), target.origin());
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
        response
    }
}
