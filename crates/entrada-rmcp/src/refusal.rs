//! What a client is told where a tool is not called.

use entrada::access_token::Shortfall;
use entrada::oauth::error::ErrorCode;
use rmcp::ErrorData;
use serde_json::json;

/// What the client is told where all it can be told is a JSON-RPC error. It has no more in it than
/// the challenge that would be better.
pub(crate) fn to_error_data(shortfall: &Shortfall) -> ErrorData {
    if let Shortfall::Scope(scope) = shortfall {
        let message = format!("the access token does not allow this: it takes the scopes {scope}");
        let error = ErrorCode::InsufficientScope.as_str();
        let data = json!({ "error": error, "scope": scope });
        ErrorData::invalid_request(message, Some(data))
    } else {
        let message = "the caller may not do this, whatever scopes it asks for";
        let data = json!({ "error": ErrorCode::AccessDenied.as_str() });
        ErrorData::invalid_request(message, Some(data))
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
