//! What a request still has to say once it is answered.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, Version, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, Limited};

/// How much is taken in that nobody reads.
const MOST_UNREAD: usize = 64 * 1024;

/// How long it is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers, and takes in what is left of the request before the answer goes out.
///
/// A request that is refused by its headers alone leaves its content on the connection, which
/// would then be closed under a client that already sends its next request there. What is too long
/// or too slow is left, and the answer says that the connection ends (RFC 9112 §9.6).
pub async fn take_in_the_rest(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let one_at_a_time = request.version() <= Version::HTTP_11;
    let (parts, body) = request.into_parts();
    let shared = Arc::new(Mutex::new(body));
    let lent = Body::new(Lent(Arc::clone(&shared)));
    let mut response = next.run(Request::from_parts(parts, lent)).await;
    // Whoever answered may read on, as the way to the MCP server does.
    let Some(rest) = Arc::into_inner(shared) else {
        return response;
    };
    let rest = rest.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !taken_in(rest).await && one_at_a_time {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// Whether all that was left could be taken in.
async fn taken_in(rest: Body) -> bool {
    let mut rest = Limited::new(rest, MOST_UNREAD);
    let read = async {
        while let Some(frame) = rest.frame().await {
            frame?;
        }
        Ok::<_, axum::BoxError>(())
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .is_ok_and(|read| read.is_ok())
}

/// A body that comes back when it is dropped.
struct Lent(Arc<Mutex<Body>>);

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::post;
    use http::StatusCode;
    use http_body_util::StreamBody;
    use tower::ServiceExt as _;

    use super::*;

    /// A body of `frames` times 1 KiB, and how many of them were read.
    fn counted(frames: usize) -> (Body, Arc<AtomicUsize>) {
        let read: Arc<AtomicUsize> = Arc::default();
        let counter = Arc::clone(&read);
        let frames = futures_util::stream::iter((0..frames).map(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 1024])))
        }));
        (Body::new(StreamBody::new(frames)), read)
    }

    async fn answer(router: Router, body: Body) -> Response {
        let request = Request::post("/").body(body).unwrap();
        router
            .layer(from_fn(take_in_the_rest))
            .oneshot(request)
            .await
            .unwrap()
    }

    fn refusing() -> Router {
        Router::new().route("/", post(async || StatusCode::UNAUTHORIZED))
    }

    #[tokio::test]
    async fn what_nobody_reads_is_taken_in() {
        let (body, read) = counted(3);
        let response = answer(refusing(), body).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(read.load(Ordering::SeqCst), 3);
        assert!(!response.headers().contains_key("connection"));
    }

    #[tokio::test]
    async fn what_is_too_long_ends_the_connection() {
        let (body, read) = counted(1000);
        let response = answer(refusing(), body).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()["connection"], "close");
        assert!(read.load(Ordering::SeqCst) <= 65);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_is_not_waited_for_long() {
        let never = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
        let response = answer(refusing(), Body::new(StreamBody::new(never))).await;
        assert_eq!(response.headers()["connection"], "close");
    }

    #[tokio::test]
    async fn who_reads_on_is_let_read() {
        let echo = Router::new().route("/", post(async |body: Body| body));
        let (body, read) = counted(100);
        let response = answer(echo, body).await;
        assert_eq!(read.load(Ordering::SeqCst), 0);
        let echoed = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(echoed.len(), 100 * 1024);
    }
}
