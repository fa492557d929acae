//! The verified token as an argument of axum handlers.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::access_token::{Shortfall, VerifiedToken};
use crate::oauth::error::{ErrorCode, ErrorResponse};

impl<S: Send + Sync> FromRequestParts<S> for VerifiedToken {
    type Rejection = Unguarded;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Unguarded> {
        parts.extensions.get::<Self>().cloned().ok_or(Unguarded)
    }
}

/// A handler asks who calls, and no guard stands before it: 500 `server_error`.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no RequireBearerLayer stands before this handler")]
#[non_exhaustive]
pub struct Unguarded;

impl IntoResponse for Unguarded {
    fn into_response(self) -> Response {
        tracing::error!("{self}");
        let error = ErrorResponse::new(ErrorCode::ServerError, "internal error");
        (error.error.status(), Json(error)).into_response()
    }
}

/// A handler's way to say what the caller lacks: the guard before it turns this into the challenge
/// with which a client gets it (403, RFC 6750 §3).
///
/// ```
/// use entrada::VerifiedToken;
/// use entrada::access_token::Shortfall;
/// use entrada::policy::Requirement;
///
/// async fn delete(caller: VerifiedToken) -> Result<&'static str, Shortfall> {
///     Requirement::scopes(["files.write"]).decide(&caller)?;
///     Ok("deleted")
/// }
/// ```
impl IntoResponse for Shortfall {
    fn into_response(self) -> Response {
        let mut response = StatusCode::FORBIDDEN.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn whoami(token: VerifiedToken) -> String {
        token.subject.clone()
    }

    #[tokio::test]
    async fn a_handler_without_a_guard_is_a_fault_of_ours() {
        let app = Router::new().route("/", get(whoami));
        let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
