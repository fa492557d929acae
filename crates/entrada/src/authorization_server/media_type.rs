//! What a request says its body is.

use http::{HeaderMap, header};

/// Whether the body is said to be of type `essence`, parameters aside (RFC 9110 §8.3.1).
pub(super) fn is(headers: &HeaderMap, essence: &str) -> bool {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    content_type
        .and_then(|value| value.split(';').next())
        .is_some_and(|said| said.trim().eq_ignore_ascii_case(essence))
}
