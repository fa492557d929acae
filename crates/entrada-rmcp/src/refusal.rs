//! Why a tool is not called, and what the client is told.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use entrada::access_token::{Interaction, Lack, Shortfall};
use entrada::oauth::error::{ErrorCode, ErrorResponse};
use entrada::resource_server::Unguarded;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use rmcp::ErrorData;
use rmcp::model::ErrorCode as RpcCode;
use serde_json::json;
use tower::BoxError;

use crate::tool_calls::BodyError;

/// A person must open a page first (MCP, *URL elicitation required*).
const URL_ELICITATION_REQUIRED: RpcCode = RpcCode(-32042);

/// Why a request does not reach the server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallRefusal {
    /// Nobody says who calls: 500 `server_error`.
    #[error(transparent)]
    Unguarded(#[from] Unguarded),
    /// The caller lacks something: 403, which the guard writes.
    #[error("the token does not allow this: {0}")]
    Short(Shortfall),
    /// Nobody can tell what it asks for: 400 `invalid_request`.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Its body did not come to its end: 400 `invalid_request`.
    #[error("the body could not be read")]
    Cut(#[source] BoxError),
    /// Its body is too long to look at: 413 `invalid_request`.
    #[error("the body is too long")]
    TooLong,
}

impl From<Shortfall> for CallRefusal {
    fn from(shortfall: Shortfall) -> Self {
        Self::Short(shortfall)
    }
}

impl CallRefusal {
    /// Answers, and logs what the guard does not.
    pub(crate) fn into_response(self) -> http::Response<Bytes> {
        let status = match self {
            // The guard writes the answer; without one there is nothing to say.
            Self::Unguarded(unguarded) => return empty(unguarded.into_response()),
            Self::Short(shortfall) => return empty(shortfall.into_response()),
            Self::Body(_) | Self::Cut(_) => StatusCode::BAD_REQUEST,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
        };
        tracing::info!(status = status.as_u16(), reason = %self, "request refused");
        let error = ErrorResponse::new(ErrorCode::InvalidRequest, self.description());
        let body = serde_json::to_vec(&error).unwrap_or_default();
        let mut response = http::Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }

    fn description(&self) -> &'static str {
        match self {
            Self::Unguarded(_) | Self::Short(_) => "the request is refused",
            Self::Body(BodyError::NotJson(_)) => "send one JSON-RPC message, as JSON in UTF-8",
            Self::Body(BodyError::Repeated) => "say method, params and the name of a tool once",
            Self::Body(BodyError::Nameless) => "say the name of the tool to call",
            Self::Cut(_) => "send the whole body",
            Self::TooLong => "send a shorter body",
        }
    }
}

fn empty(response: Response) -> http::Response<Bytes> {
    response.map(|_| Bytes::new())
}

/// What the client is told where all it can be told is a JSON-RPC error. It has no more in it than
/// the challenge that would be better.
pub(crate) fn to_error_data(shortfall: &Shortfall) -> ErrorData {
    let denied = ErrorCode::AccessDenied.as_str();
    match shortfall {
        Shortfall::Scope(scope) => {
            let message =
                format!("the access token does not allow this: it takes the scopes {scope}");
            let error = ErrorCode::InsufficientScope.as_str();
            let data = json!({ "error": error, "scope": scope });
            ErrorData::invalid_request(message, Some(data))
        }
        Shortfall::Interaction(interaction) => interaction_required(interaction),
        Shortfall::Other(Lack::Administrator(Some(page))) => {
            let message = format!(
                "an administrator of the user's organisation has to allow this first, here: {page}"
            );
            let data = json!({ "error": denied, "error_uri": page });
            ErrorData::invalid_request(message, Some(data))
        }
        Shortfall::Other(_) | _ => {
            let message = "the caller may not do this, whatever scopes it asks for";
            ErrorData::invalid_request(message, Some(json!({ "error": denied })))
        }
    }
}

/// What a person is told whom Entra wants to see: where to go, if there is such a page.
fn interaction_required(interaction: &Interaction) -> ErrorData {
    if let Some(page) = &interaction.link {
        let message = "Microsoft wants to see you before this goes on. Sign in on this page, and \
                       then ask for the same thing again";
        // The end of a sealed link is as good as a random number.
        let at = page.char_indices().rev().nth(21).map_or(0, |(at, _)| at);
        let elicitation = json!({
            "mode": "url",
            "elicitationId": page.get(at..),
            "url": page,
            "message": message,
        });
        let data = json!({ "elicitations": [elicitation] });
        let message = format!("{message}: {page}");
        return ErrorData::new(URL_ELICITATION_REQUIRED, message, Some(data));
    }
    let (error, claims) = match &interaction.claims {
        Some(claims) => (ErrorCode::InsufficientClaims, Some(claims.encode())),
        None => (ErrorCode::InvalidToken, None),
    };
    let message = "Microsoft wants to see the user before this goes on: sign in again, then retry";
    let data = json!({ "error": error.as_str(), "claims": claims });
    ErrorData::invalid_request(message, Some(data))
}

/// What the client is told where nothing is wrong with its token.
pub(crate) fn unavailable(retry_after: Option<Duration>) -> ErrorData {
    match retry_after.map(|after| after.as_secs()) {
        Some(seconds) => {
            let message =
                format!("a service behind this is not available: try again in {seconds} seconds");
            let data = json!({ "error": "temporarily_unavailable", "retry_after": seconds });
            ErrorData::internal_error(message, Some(data))
        }
        None => ErrorData::internal_error("internal error", None),
    }
}

#[cfg(test)]
mod tests {
    use entrada::access_token::TokenFacts;
    use entrada::oauth::client::ClientId;
    use entrada::platform::Timestamp;
    use entrada::policy::Requirement;
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_error_names_scopes_and_nothing_an_operator_alone_may_know() {
        let client_id = ClientId::parse("client").unwrap();
        let subject = "alice".to_owned();
        let facts = TokenFacts::new(
            "https://i".to_owned(),
            subject,
            client_id,
            Timestamp::from_unix(0),
        );
        let denied = (
            "the caller may not do this, whatever scopes it asks for",
            json!({ "error": "access_denied" }),
        );
        for (requirement, (message, data)) in [
            (
                Requirement::scopes(["files.write", "files.read"]),
                (
                    "the access token does not allow this: \
                     it takes the scopes files.write files.read",
                    json!({ "error": "insufficient_scope", "scope": "files.write files.read" }),
                ),
            ),
            (Requirement::roles(["Secret.Role"]), denied.clone()),
            (Requirement::any_group(["secret-group"]), denied.clone()),
            (Requirement::any_tenant(["secret-tenant"]), denied.clone()),
            (Requirement::application(), denied),
        ] {
            let error = to_error_data(&requirement.decide(&facts).unwrap_err());
            assert_eq!(error.code.0, -32600, "{requirement:?}");
            assert_eq!(error.message, message, "{requirement:?}");
            assert_eq!(error.data.unwrap_or(Value::Null), data, "{requirement:?}");
        }
    }
}
