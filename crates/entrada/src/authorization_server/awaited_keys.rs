//! Requests that come before the first keys do.

use axum::extract::{Extension, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderValue, header};

use super::correlation::CorrelationId;
use super::{AuthorizationServer, answer, authorize, pages};
use crate::oauth::error::{ErrorCode, ErrorResponse};

/// Lets requests through once there are keys: without them nothing can be signed, sealed or opened, and
/// no token or form told from a forgery. Until then a client is told to come back, and nothing against
/// what it brought.
pub(super) async fn wait(
    State(server): State<AuthorizationServer>,
    Extension(correlation): Extension<CorrelationId>,
    request: Request,
    next: Next,
) -> Response {
    let Err(error) = server.0.keys.ready().await else {
        return next.run(request).await;
    };
    let answer = ErrorResponse::new(ErrorCode::TemporarilyUnavailable, "try again later");
    let retry_after = answer::STORE_RETRY_AFTER;
    if !authorize::wants_html(request.headers()) {
        let refusal = answer::refuse(&error, answer, Some(retry_after), &correlation);
        return answer::uncached(refusal);
    }
    answer::log(&error, answer.error, &correlation);
    let mut page = pages::error(answer.error, pages::UNAVAILABLE, &correlation);
    let seconds = HeaderValue::from(retry_after.as_secs());
    page.headers_mut().insert(header::RETRY_AFTER, seconds);
    page
}
