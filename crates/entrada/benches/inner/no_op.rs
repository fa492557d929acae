//! A service that does nothing.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use entrada::VerifiedToken;
use http::{Request, Response};
use tower::Service;

/// The inner service: it costs nothing, so that what is measured is the guard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoOp;

impl Service<Request<()>> for NoOp {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        assert!(request.extensions().get::<VerifiedToken>().is_some());
        ready(Ok(Response::new(())))
    }
}
