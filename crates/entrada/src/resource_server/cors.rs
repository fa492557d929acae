//! What lets web pages of allowed origins call and read the answers (WHATWG Fetch, *CORS
//! protocol*).

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

/// Whether a request only asks what it might send; it has no token then, and needs none.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers a preflight.
pub(super) fn preflight(headers: &HeaderMap) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let answer = response.headers_mut();
    answer.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    if let Some(allowed) = allowed_headers(headers) {
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    }
    answer.append(
        VARY,
        HeaderValue::from_static("access-control-request-headers"),
    );
    response
}

/// Lets web pages of `origin` read a response.
pub(super) fn share(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.append(VARY, HeaderValue::from_static("origin"));
}

/// Those of the headers asked for that may be sent: `Mcp-Param-*` cannot be listed in advance.
fn allowed_headers(headers: &HeaderMap) -> Option<HeaderValue> {
    let allowed: Vec<&str> = headers
        .get_all(ACCESS_CONTROL_REQUEST_HEADERS)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| may_send(name))
        .collect();
    HeaderValue::try_from(allowed.join(", "))
        .ok()
        .filter(|value| !value.is_empty())
}

fn may_send(name: &str) -> bool {
    let starts = name.get(..PARAMETER.len());
    starts.is_some_and(|start| start.eq_ignore_ascii_case(PARAMETER))
        || ALLOWED
            .iter()
            .any(|allowed| name.eq_ignore_ascii_case(allowed))
}

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");

/// Ten minutes: a list that was just made shorter holds soon.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

const EXPOSED: HeaderValue =
    HeaderValue::from_static("www-authenticate, mcp-session-id, mcp-protocol-version, dpop-nonce");

const PARAMETER: &str = "mcp-param-";

/// What MCP clients send, in any revision.
const ALLOWED: &[&str] = &[
    "accept",
    "authorization",
    "content-type",
    "dpop",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_mcp_are_allowed_and_no_others() {
        for (asked, expected) in [
            (vec![], None),
            (
                vec!["authorization,content-type"],
                Some("authorization, content-type"),
            ),
            (
                vec!["Mcp-Session-Id, MCP-Protocol-Version", "Last-Event-ID"],
                Some("Mcp-Session-Id, MCP-Protocol-Version, Last-Event-ID"),
            ),
            (
                vec!["mcp-method,mcp-name,dpop,accept"],
                Some("mcp-method, mcp-name, dpop, accept"),
            ),
            (vec!["Mcp-Param-Region"], Some("Mcp-Param-Region")),
            (vec!["x-entrada-subject, accept"], Some("accept")),
            (vec!["cookie", "mcp-param", "*"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in &asked {
                headers.append(
                    ACCESS_CONTROL_REQUEST_HEADERS,
                    HeaderValue::from_static(value),
                );
            }
            let allowed = allowed_headers(&headers);
            let allowed = allowed.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(allowed, expected, "{asked:?}");
        }
    }
}
