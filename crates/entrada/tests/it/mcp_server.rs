//! The MCP server that scenarios protect.

use std::sync::{Arc, Mutex};

use axum::extract::Request;
use axum::response::Response;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entrada::VerifiedToken;
use entrada::oauth::claims_request::ClaimsRequest;
use entrada::on_behalf_of::{DownstreamRequest, OboError};
use http::request::Parts;
use serde_json::Value;

/// Makes the tool ask for a token with this scope of a downstream API.
pub(crate) const DOWNSTREAM: &str = "x-downstream";

/// Makes it ask for one that meets these claims.
pub(crate) const DOWNSTREAM_CLAIMS: &str = "x-downstream-claims";

/// The claims of a token, unverified.
pub(crate) fn claims_of(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("a JWT");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// A protected MCP server with one tool, `whoami`, that also tells what reached it, and calls an
/// API as the caller.
pub(crate) struct McpServer;

impl McpServer {
    pub(crate) fn service() -> Router {
        let seen: Arc<Mutex<u64>> = Arc::default();
        Router::new().fallback(move |request: Request| {
            let seen = Arc::clone(&seen);
            async move {
                let (request, _) = request.into_parts();
                match Self::downstream(&request).await {
                    Ok(token) => Self::answer(&seen, &request, &token),
                    Err(error) => axum::response::IntoResponse::into_response(error),
                }
            }
        })
    }

    /// The claims of a token to the API whose scope the request names, if it does.
    pub(crate) async fn downstream(request: &Parts) -> Result<Value, OboError> {
        let header = |name| request.headers.get(name).map(|it| it.to_str().unwrap());
        let Some(scope) = header(DOWNSTREAM) else {
            return Ok(Value::Null);
        };
        let caller = request.extensions.get::<VerifiedToken>();
        let mut wanted = DownstreamRequest::new(scope);
        let claims = header(DOWNSTREAM_CLAIMS).map(|it| ClaimsRequest::parse(it).unwrap());
        if let Some(claims) = &claims {
            wanted = wanted.claims(claims);
        }
        let token = caller.ok_or(OboError::NotAuthenticated)?;
        let token = token.downstream_token(wanted).await?;
        Ok(claims_of(token.expose()))
    }

    fn answer(seen: &Mutex<u64>, request: &Parts, downstream: &Value) -> Response {
        let token = request
            .extensions
            .get::<VerifiedToken>()
            .expect("the guard let it through");
        let calls = {
            let mut seen = seen.lock().unwrap();
            *seen += 1;
            *seen
        };
        let headers: Vec<_> = request.headers.keys().map(ToString::to_string).collect();
        let session = request
            .headers
            .get("mcp-session-id")
            .and_then(|id| id.to_str().ok());
        let body = Json(serde_json::json!({
            "tid": token.principal.tenant_id,
            "oid": token.principal.object_id,
            "name": token.principal.name,
            "preferred_username": token.principal.preferred_username,
            "roles": token.principal.roles,
            "scope": token.scope.to_string(),
            "client_id": token.client_id.as_str(),
            "headers": headers,
            "session": session,
            "calls": calls,
            "downstream": downstream,
        }));
        // Every answer opens a session, as `initialize` would.
        let id = session.unwrap_or("s-1").to_owned();
        axum::response::IntoResponse::into_response(([("mcp-session-id", id)], body))
    }
}
