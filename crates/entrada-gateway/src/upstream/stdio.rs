//! An MCP server that is a child process, spoken to over its standard input and output, offered as
//! Streamable HTTP.
//!
//! Messages go through as the bytes they are: the envelope is read, ids are replaced by ours and back,
//! and all else is the client's and the child's own affair. Both kinds of conversation are had,
//! with sessions (`sessions.rs`) and without (`stateless.rs`), whichever the child speaks.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use entrada::VerifiedToken;

mod answer;
pub mod backoff;
mod channel;
pub mod child;
pub mod envelope;
pub mod error;
pub mod events;
pub mod ids;
pub mod lines;
pub mod mirrored;
mod outbox;
mod pool;
pub mod revision;
mod sessions;
mod slot;
pub mod spoken;
mod stateless;
mod usage;

use crate::config::UpstreamSettings;
use crate::upstream::http::{Answering, asked, with_caller};
use crate::upstream::stdio::child::ChildCommand;
use crate::upstream::stdio::envelope::{Envelope, Kind, messages};
use crate::upstream::stdio::error::{Mistake, StdioError};
use crate::upstream::stdio::mirrored::{PROTOCOL_VERSION, one};
use crate::upstream::stdio::pool::Pool;
use crate::upstream::stdio::revision::is_stateless;
use crate::upstream::stdio::sessions::is_initialize;

/// An MCP server that is a child process, and how many of it there may be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StdioSettings {
    /// What is run.
    pub command: ChildCommand,
    /// Who shares a child.
    pub mode: ChildMode,
    /// How long a session, or a child, may be unused.
    pub idle_timeout: Duration,
    /// How many children there may be at once.
    pub max_children: usize,
    /// How many sessions one user may have.
    pub max_sessions: usize,
    /// How long a message of a child's may be, in bytes.
    pub message_limit: usize,
}

impl StdioSettings {
    /// Runs `command`, with the defaults.
    pub const fn new(command: ChildCommand) -> Self {
        Self {
            command,
            mode: ChildMode::PerSession,
            idle_timeout: Duration::from_secs(900),
            max_children: 32,
            max_sessions: 8,
            message_limit: 8 << 20,
        }
    }
}

/// Who shares a child.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ChildMode {
    /// Each session has a child of its own; so has each caller without one.
    #[default]
    PerSession,
    /// All sessions of a revision have one child together; so have all requests without one.
    ///
    /// # Security
    ///
    /// The child cannot tell its callers apart: what one has it keep, another may have it tell.
    Shared,
}

/// An MCP server that is a child process. Clones share the children.
#[derive(Clone, Debug)]
pub struct StdioServer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Without a slash at its end.
    path: String,
    body_limit: u64,
    pool: Arc<Pool>,
    /// What was sent and is not answered to its end.
    asked: TaskTracker,
}

impl StdioServer {
    /// Prepares `stdio` for being offered; no child is started yet.
    pub fn new(stdio: StdioSettings, settings: &UpstreamSettings) -> Self {
        let told = settings.forward_identity.plain.clone();
        Self(Arc::new(Shared {
            path: settings.resource_path.trim_end_matches('/').to_owned(),
            body_limit: settings.body_limit,
            pool: Pool::new(stdio, told, settings.response_timeout),
            asked: TaskTracker::new(),
        }))
    }

    /// Whether it is the very one that `other` is a clone of.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Waits until what was sent is answered, where nothing more is.
    pub(super) async fn answered(&self) {
        self.0.asked.close();
        self.0.asked.wait().await;
    }

    /// Ends all children, in good order, and starts none any more.
    pub async fn close(&self) {
        self.0.pool.close().await;
    }
}

impl tower::Service<Request<Body>> for StdioServer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        // Who listens does so until there is nothing to hear.
        let asked = (*request.method() != Method::GET).then(|| shared.asked.token());
        Box::pin(async move {
            let caller = request.extensions().get().cloned();
            let response = match shared.answer(request, caller.as_ref()).await {
                Ok(response) => response,
                Err(error) => error.into_response(shared.pool.program()),
            };
            let response = with_caller(response, caller);
            // An answer that is there as a whole has ended.
            let is_whole = response.body().size_hint().exact().is_some();
            Ok(match asked.filter(|_| !is_whole) {
                Some(asked) => response.map(|body| until_its_end(body, asked)),
                None => response,
            })
        })
    }
}

/// `body`, which keeps `asked` for as long as it is read.
fn until_its_end(body: Body, asked: TaskTrackerToken) -> Body {
    Body::new(body.map_frame(move |frame| {
        let _until_its_end = &asked;
        frame
    }))
}

impl Shared {
    async fn answer(
        &self,
        request: Request<Body>,
        caller: Option<&VerifiedToken>,
    ) -> Result<Response<Body>, StdioError> {
        // Whoever comes without having been let in is not to be passed on, whatever the wiring.
        let caller = caller.ok_or(StdioError::Unverified)?;
        let path = asked(request.uri(), request.extensions()).path();
        if path.trim_end_matches('/') != self.path {
            return Err(StdioError::Unmapped);
        }
        let (parts, body) = request.into_parts();
        let headers = &parts.headers;
        let owner = self.pool.owner(caller);
        let version = one(headers, &PROTOCOL_VERSION);
        let stateless = version.is_some_and(|version| is_stateless(&version));
        match parts.method {
            Method::POST => {}
            Method::GET if !stateless => return sessions::listen(&self.pool, &owner, headers),
            Method::DELETE if !stateless => return sessions::delete(&self.pool, &owner, headers),
            _ if stateless => return Err(StdioError::Method { allowed: "POST" }),
            _ => {
                let allowed = "POST, GET, DELETE";
                return Err(StdioError::Method { allowed });
            }
        }
        if !is_json(headers) {
            return Err(StdioError::ContentType);
        }
        let body = self.body(body).await?;
        let text = std::str::from_utf8(&body).map_err(|error| Mistake::unreadable(&error))?;
        let read = messages(text).map_err(|error| Mistake::unreadable(&error))?;
        if read.is_empty() || read.len() > MOST_IN_BATCH {
            return Err(Mistake::invalid("a batch of none, or of too many").into());
        }
        let read = read.into_iter().map(Envelope::read);
        let read: Result<Vec<_>, _> = read.collect();
        let read = read.map_err(|error| Mistake::unreadable(&error))?;
        if read.iter().any(is_long_winded) {
            return Err(Mistake::invalid("an id or a progress token is too long").into());
        }
        match &*read {
            [message] if stateless && !is_initialize(message) => {
                stateless::post(&self.pool, &owner, headers, message).await
            }
            _ if stateless && read.len() > 1 => {
                Err(Mistake::invalid("this revision knows no batches").into())
            }
            _ => sessions::post(&self.pool, owner, headers, &read).await,
        }
    }

    async fn body(&self, body: Body) -> Result<bytes::Bytes, StdioError> {
        let limit = usize::try_from(self.body_limit).unwrap_or(usize::MAX);
        match Limited::new(body, limit).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if is_too_large(&*error) => Err(StdioError::TooLarge),
            Err(_) => Err(StdioError::TooSlow),
        }
    }
}

fn is_too_large(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether what must be remembered of a request, and of some for as long as their child lives, is more than
/// a name.
fn is_long_winded(message: &Envelope<'_>) -> bool {
    let id = match message.kind() {
        Kind::Request { id, .. } => id.len(),
        Kind::Notification { .. } | Kind::Response { .. } => 0,
    };
    let token = message.params().asked_progress_token;
    id.max(token.map_or(0, str::len)) > LONGEST_ID
}

/// Whether the body is said to be JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    let essence = value.to_str().unwrap_or_default();
    let essence = essence.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// How long the id of a request may be, and its progress token.
const LONGEST_ID: usize = 1024;
/// How many messages one request may have (MCP 2025-03-26, *Sending Messages*).
const MOST_IN_BATCH: usize = 64;
