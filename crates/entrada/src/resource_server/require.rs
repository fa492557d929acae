//! A requirement before single routes.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::body::ResponseBody;
use super::extract::Unguarded;
use crate::access_token::{Shortfall, VerifiedToken};
use crate::policy::Requirement;

/// Puts a requirement before a service that stands behind the guard: see [`Require`].
///
/// ```
/// use axum::Router;
/// use axum::routing::{get, post};
/// use entrada::policy::Requirement;
/// use entrada::resource_server::{RequireBearerLayer, RequireLayer};
///
/// fn app(guard: RequireBearerLayer) -> Router {
///     let write = RequireLayer::new(Requirement::scopes(["files.write"]));
///     Router::new()
///         .route("/files", post(async || "written").layer(write))
///         .route("/files", get(async || "read"))
///         .layer(guard)
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RequireLayer {
    requirement: Arc<Requirement>,
}

impl RequireLayer {
    /// Lets those through who meet `requirement`.
    pub fn new(requirement: Requirement) -> Self {
        Self {
            requirement: Arc::new(requirement),
        }
    }
}

impl<S> Layer<S> for RequireLayer {
    type Service = Require<S>;

    fn layer(&self, inner: S) -> Require<S> {
        Require {
            inner,
            requirement: Arc::clone(&self.requirement),
        }
    }
}

/// Lets requests through to a service if their caller meets a requirement.
///
/// The guard, [`RequireBearer`](super::RequireBearer), must stand somewhere before it: it says who
/// the caller is, and turns what is lacking into a challenge that names all scopes the client
/// needs (403 `insufficient_scope`). Without it nobody gets through: 500 `server_error`.
#[derive(Clone, Debug)]
#[must_use]
pub struct Require<S> {
    inner: S,
    requirement: Arc<Requirement>,
}

impl<S, B, C> Service<Request<B>> for Require<S>
where
    S: Service<Request<B>, Response = Response<C>>,
{
    type Response = Response<ResponseBody<C>>;
    type Error = S::Error;
    type Future = RequireFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let refusal = match request.extensions().get::<VerifiedToken>() {
            None => Some(Unguarded.into_response()),
            Some(caller) => {
                let decided = self.requirement.decide(caller);
                decided.err().map(Shortfall::into_response)
            }
        };
        let state = match refusal {
            None => State::Running {
                response: self.inner.call(request),
            },
            // The guard writes the answer; without one there is nothing to say.
            Some(refusal) => State::Refused {
                response: Some(refusal.map(|_| Bytes::new())),
            },
        };
        RequireFuture { state }
    }
}

pin_project! {
    /// The response of a service behind a requirement, or the refusal.
    #[must_use = "futures do nothing unless polled"]
    pub struct RequireFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Refused { response: Option<Response<Bytes>> },
        Running { #[pin] response: F },
    }
}

impl<F, C, E> Future for RequireFuture<F>
where
    F: Future<Output = Result<Response<C>, E>>,
{
    type Output = Result<Response<ResponseBody<C>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(match self.project().state.project() {
            StateProjection::Refused { response } => response
                .take()
                .expect("a future is not polled after its end")
                .map(ResponseBody::of_guard),
            StateProjection::Running { response } => {
                ready!(response.poll(cx))?.map(ResponseBody::of_service)
            }
        }))
    }
}

impl<F> fmt::Debug for RequireFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireFuture").finish_non_exhaustive()
    }
}
