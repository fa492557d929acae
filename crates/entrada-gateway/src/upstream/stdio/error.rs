//! What the bridge answers itself, when the child does not.

use std::fmt;
use std::io;
use std::time::Duration;

use axum::body::Body;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use crate::telemetry::WithCauses;
use crate::upstream::stdio::channel::Unsaid;
use crate::upstream::stdio::mirrored::Mismatch;

/// Why a child does not answer a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StdioError {
    /// The request did not pass the guard.
    #[error("the request did not pass the guard")]
    Unverified,
    /// The path is below the MCP endpoint, where there is nothing.
    #[error("the path does not lead to the upstream")]
    Unmapped,
    /// An MCP endpoint knows no such method.
    #[error("the method is not one of this endpoint's")]
    Method {
        /// Those it knows.
        allowed: &'static str,
    },
    /// The request is over the size limit.
    #[error("the request is too large")]
    TooLarge,
    /// The request's body did not come in time.
    #[error("the request took too long to come")]
    TooSlow,
    /// The body is not JSON.
    #[error("the request is not application/json")]
    ContentType,
    /// The child cannot be started.
    #[error("the upstream cannot be started")]
    Start(#[source] io::Error),
    /// It stopped too often to be started again at once.
    #[error("the upstream keeps stopping: it is started again in {0:?}")]
    BackingOff(Duration),
    /// There are as many children as there may be.
    #[error("all {0} processes of the upstream are in use: try again later")]
    Full(usize),
    /// The caller has as many sessions as one may, and uses them all.
    #[error("all {0} sessions that one user may have are in use: end one, or try again later")]
    TooManySessions(usize),
    /// The child has too many requests to answer.
    #[error("the upstream has too many requests under way: try again later")]
    Busy,
    /// The gateway is about to stop.
    #[error("the gateway is stopping")]
    Stopping,
    /// The child ended before it answered, or answered more than may be.
    #[error("the upstream stopped without an answer, or the answer is too large")]
    Gone,
    /// The child, started again, does not take up the session.
    #[error("the upstream was started again and refused to go on")]
    NotOpened(String),
    /// The child knows sessions alone: what it answered to `server/discover`, if it did.
    #[error("the upstream does not speak this revision of the protocol")]
    NoSuchEra(Option<String>),
    /// Nothing came in the time there was.
    #[error("the upstream did not answer in time")]
    TimedOut,
    /// The client is mistaken, and is told so in JSON-RPC.
    #[error(transparent)]
    Client(#[from] Mistake),
}

/// What a client did wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what}")]
#[non_exhaustive]
pub struct Mistake {
    status: StatusCode,
    code: i64,
    what: String,
    /// The `id` of its request, as it was written.
    id: Option<String>,
}

impl Mistake {
    /// The message cannot be read.
    pub fn unreadable(error: &dyn fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, -32700, error)
    }

    /// The message is not one that can be sent here.
    pub fn invalid(what: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, -32600, &what)
    }

    /// There is no such session, or no longer (MCP transports, *Session Management*).
    pub fn no_session() -> Self {
        Self::new(StatusCode::NOT_FOUND, -32600, &"there is no such session")
    }

    /// Headers and body differ.
    pub fn mismatch(mismatch: Mismatch) -> Self {
        Self::new(StatusCode::BAD_REQUEST, mismatch.code(), &mismatch)
    }

    /// The method cannot be had in the conversation the client wants.
    pub fn no_such_era() -> Self {
        let what = "the server has sessions alone";
        Self::new(StatusCode::BAD_REQUEST, -32601, &what)
    }

    /// Of the request with this `id`.
    #[must_use]
    pub fn of(self, id: Option<&str>) -> Self {
        Self {
            id: id.map(str::to_owned),
            ..self
        }
    }

    fn new(status: StatusCode, code: i64, what: &dyn fmt::Display) -> Self {
        Self {
            status,
            code,
            what: what.to_string(),
            id: None,
        }
    }

    fn into_response(self) -> Response<Body> {
        let (id, what) = (self.id.as_deref().unwrap_or("null"), self.what.as_str());
        let what = serde_json::Value::from(what);
        let code = self.code;
        let body = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{code},\"message\":{what}}}}}"
        );
        json(self.status, body)
    }
}

impl From<Unsaid> for StdioError {
    fn from(unsaid: Unsaid) -> Self {
        match unsaid {
            Unsaid::Gone => Self::Gone,
            Unsaid::Busy => Self::Busy,
        }
    }
}

impl StdioError {
    /// The status it is answered with. None of our own troubles is 400, 404 or 405, which MCP clients
    /// give a meaning of their own.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Unverified => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unmapped => StatusCode::FORBIDDEN,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Start(_) | Self::Gone | Self::NotOpened(_) => StatusCode::BAD_GATEWAY,
            Self::BackingOff(_)
            | Self::Full(_)
            | Self::TooManySessions(_)
            | Self::Busy
            | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::NoSuchEra(_) => StatusCode::BAD_REQUEST,
            Self::Client(mistake) => mistake.status,
        }
    }

    /// How long to wait before asking again.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not answered 503 has nothing to wait for"
    )]
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::BackingOff(wait) => Some(wait.as_secs() + 1),
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => Some(10),
            _ => None,
        }
    }

    /// Logs the error and makes it an answer.
    pub(super) fn into_response(self, program: &str) -> Response<Body> {
        let error = WithCauses::of(&self);
        if self.status().is_server_error() {
            tracing::error!(%error, program, "not passed on");
        } else {
            tracing::info!(%error, program, "not passed on");
        }
        let (status, retry_after) = (self.status(), self.retry_after());
        let mut allow = None;
        if let Self::Method { allowed } = self {
            allow = Some(HeaderValue::from_static(allowed));
        }
        if let Self::Client(mistake) = self {
            return mistake.into_response();
        }
        let mut response = Response::new(Body::from(format!("{self}\n")));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, text);
        if let Some(allow) = allow {
            headers.insert(ALLOW, allow);
        }
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A JSON-RPC message as an answer.
pub(super) fn json(status: StatusCode, message: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(message.into());
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
