//! What becomes of a request at the guard.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower::Service;

use super::bearer::Guard;
use super::body::ResponseBody;
use super::cors;
use super::credentials::{Presentation, Scheme};
use super::refusal::Refusal;
use crate::access_token::{Caller, Shortfall, VerifiedToken, VerifyError};

/// A verification that takes time.
pub(super) type Verdict = Pin<Box<dyn Future<Output = Result<VerifiedToken, VerifyError>> + Send>>;

/// What waits for a verdict.
type Waiting<S, B> = (S, Request<B>, Presentation);

pin_project! {
    /// The response of a guarded service, or of its guard.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        guard: Arc<Guard>,
        origin: Option<HeaderValue>,
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B>
    where
        S: Service<Request<B>>,
    {
        Answered { response: Option<Response<Bytes>> },
        Verifying { verdict: Verdict, waiting: Option<Waiting<S, B>> },
        Running { token: VerifiedToken, #[pin] response: S::Future },
    }
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn refused(
        guard: Arc<Guard>,
        origin: Option<HeaderValue>,
        refusal: (Refusal, Scheme),
    ) -> Self {
        let response = guard.refuse(refusal);
        Self::answered(guard, origin, response)
    }

    pub(super) fn answered(
        guard: Arc<Guard>,
        origin: Option<HeaderValue>,
        response: Response<Bytes>,
    ) -> Self {
        let response = Some(response);
        Self {
            guard,
            origin,
            state: State::Answered { response },
        }
    }

    pub(super) fn verifying(
        guard: Arc<Guard>,
        origin: Option<HeaderValue>,
        verdict: Verdict,
        waiting: Waiting<S, B>,
    ) -> Self {
        let waiting = Some(waiting);
        Self {
            guard,
            origin,
            state: State::Verifying { verdict, waiting },
        }
    }

    pub(super) fn running(
        guard: Arc<Guard>,
        origin: Option<HeaderValue>,
        token: VerifiedToken,
        response: S::Future,
    ) -> Self {
        Self {
            guard,
            origin,
            state: State::Running { token, response },
        }
    }
}

impl<S, B, C> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<C>>,
{
    type Output = Result<Response<ResponseBody<C>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut response = loop {
            let next = match this.state.as_mut().project() {
                StateProjection::Answered { response } => {
                    let response = response
                        .take()
                        .expect("a future is not polled after its end");
                    break response.map(ResponseBody::of_guard);
                }
                StateProjection::Running { token, response } => {
                    let mut response = ready!(response.poll(cx))?;
                    // What stands behind the guard says what is lacking, the guard how one asks.
                    if let Some(shortfall) = response.extensions_mut().remove::<Shortfall>() {
                        let refusal = Refusal::Forbidden(Caller::of(token), shortfall);
                        let mut refused = this.guard.refuse((refusal, Scheme::of(token)));
                        // What else was noted of the request is for whoever looks at the answer.
                        let noted = std::mem::take(response.extensions_mut());
                        refused.extensions_mut().extend(noted);
                        break refused.map(ResponseBody::of_guard);
                    }
                    this.guard.release(response.headers_mut(), token);
                    break response.map(ResponseBody::of_service);
                }
                StateProjection::Verifying { verdict, waiting } => {
                    let verdict = ready!(verdict.as_mut().poll(cx));
                    let waiting = waiting.take().expect("a verdict is reached once");
                    resume(this.guard, verdict, waiting)
                }
            };
            this.state.set(next);
        };
        if let Some(origin) = this.origin.take() {
            cors::share(response.headers_mut(), origin);
        }
        Poll::Ready(Ok(response))
    }
}

/// Goes on with a request that waited for its verdict.
fn resume<S, B>(
    guard: &Arc<Guard>,
    verdict: Result<VerifiedToken, VerifyError>,
    (mut service, mut request, presentation): Waiting<S, B>,
) -> State<S, B>
where
    S: Service<Request<B>>,
{
    let admitted = verdict.map_err(Refusal::of).and_then(|token| {
        guard
            .admit(&token, presentation, &mut request)
            .map(|()| token)
    });
    match admitted {
        Ok(token) => {
            guard.meters.verified.increment(1);
            State::Running {
                token,
                response: service.call(request),
            }
        }
        Err(refusal) => State::Answered {
            response: Some(guard.refuse((refusal, presentation.scheme))),
        },
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
