//! Refusals, in the log and to machines, and the headers no answer to a machine may lack.

use std::error::Error;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};

use super::callback::UpstreamRefusal;
use super::correlation::CorrelationId;
use crate::causes::{Causes, among_causes};
use crate::entra::error::EntraError;
use crate::oauth::error::{ErrorCode, ErrorResponse};

/// When a client may try again after trouble with the store.
pub(super) const STORE_RETRY_AFTER: Duration = Duration::from_secs(2);

/// The one way out for a refused machine: logs, and answers by the code's own status.
pub(super) fn refuse(
    error: &(dyn Error + 'static),
    answer: ErrorResponse,
    retry_after: Option<Duration>,
    correlation: &CorrelationId,
) -> Response {
    log(error, answer.error, correlation);
    let mut response = (answer.error.status(), Json(answer)).into_response();
    if let Some(wait) = retry_after {
        let seconds = HeaderValue::from(wait.as_secs().max(1));
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// Logs a refusal once: our own trouble as an error, a refused client as information.
pub(super) fn log(error: &(dyn Error + 'static), code: ErrorCode, correlation: &CorrelationId) {
    let cause = Causes(error);
    let code_name = code.as_str();
    let (advice, scope) = on_entra(error);
    if code.status().is_server_error() {
        tracing::error!(correlation_id = %correlation, code = code_name, advice, scope, %cause, "request failed");
    } else {
        tracing::info!(correlation_id = %correlation, code = code_name, advice, scope, %cause, "request refused");
    }
}

/// Where Entra is behind `error`: what helps, in a sentence for whoever runs the server, and the scope
/// that was asked for.
pub(super) fn on_entra<'e>(
    error: &'e (dyn Error + 'static),
) -> (Option<&'static str>, Option<&'e str>) {
    if let Some(error) = among_causes::<EntraError>(error) {
        return (Some(error.advice()), error.scope());
    }
    let refusal = among_causes::<UpstreamRefusal>(error);
    refusal.map_or((None, None), |refusal| {
        (refusal.advice(), Some(refusal.scope()))
    })
}

/// RFC 6749 §5.1 and §5.2: nothing of the token endpoint is ever cached.
pub(super) fn uncached(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// RFC 6749 §5.2: who used `Authorization` is answered in kind.
pub(super) fn challenge_basic(response: &mut Response) {
    let challenge = HeaderValue::from_static("Basic realm=\"entrada\"");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
}
