//! What a request says its body is.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};

/// Why a body may be something else to the server than it is to us.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// It is not said to be JSON, or said twice what it is.
    #[error("the request is not application/json")]
    Type,
    /// JSON is UTF-8 (RFC 8259 §8.1), and a server may believe that this is not.
    #[error("the request is not in UTF-8")]
    Charset,
    /// It is compressed: we would read other bytes than the server.
    #[error("the request has a content coding")]
    Encoding,
}

/// Whether the body is said to be JSON in UTF-8, as it stands.
///
/// # Errors
///
/// [`ContentError`] if a server may read it as anything else.
pub fn plain_json(headers: &HeaderMap) -> Result<(), ContentError> {
    let codings = headers.get_all(CONTENT_ENCODING).iter();
    let mut codings = codings.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    if codings.any(|coding| !coding.trim_ascii().eq_ignore_ascii_case(b"identity")) {
        return Err(ContentError::Encoding);
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (types.next(), types.next()) else {
        return Err(ContentError::Type);
    };
    let text = kind.to_str().map_err(|_| ContentError::Type)?;
    let mut parts = text.split(';');
    let essence = parts.next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(ContentError::Type);
    }
    parts.try_for_each(is_harmless)
}

/// Whether the answer's body is JSON.
pub(crate) fn is_json(kind: &HeaderValue) -> bool {
    let essence = kind.as_bytes().split(|byte| *byte == b';').next();
    essence.is_some_and(|essence| {
        let essence = essence.trim_ascii().to_ascii_lowercase();
        essence == b"application/json" || essence.ends_with(b"+json")
    })
}

/// A parameter of the media type: some have no meaning for JSON, and the charset has for some.
fn is_harmless(parameter: &str) -> Result<(), ContentError> {
    let parameter = parameter.trim();
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    // RFC 8187 writes `charset*=`, and readers trim more than the RFCs do.
    let name = name.trim().trim_end_matches('*').to_ascii_lowercase();
    if !name.contains("charset") && !name.contains("encoding") {
        return Ok(());
    }
    let value = value.trim().trim_matches('"');
    if value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8") {
        Ok(())
    } else {
        Err(ContentError::Charset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn json_in_utf_8_is_what_everybody_reads_alike() {
        use ContentError as E;
        for (lines, expected) in [
            (&[("content-type", "application/json")][..], Ok(())),
            (
                &[("content-type", "Application/JSON; charset=UTF-8")],
                Ok(()),
            ),
            (
                &[("content-type", "application/json;charset=\"utf-8\"")],
                Ok(()),
            ),
            (&[("content-type", "application/json; x=1")], Ok(())),
            (&[], Err(E::Type)),
            (&[("content-type", "text/plain")], Err(E::Type)),
            (&[("content-type", "application/jsonx")], Err(E::Type)),
            (
                &[("content-type", "application/json, text/plain")],
                Err(E::Type),
            ),
            (
                &[
                    ("content-type", "application/json"),
                    ("content-type", "text/plain"),
                ],
                Err(E::Type),
            ),
            (
                &[("content-type", "application/json; charset=utf-16")],
                Err(E::Charset),
            ),
            (
                &[("content-type", "application/json; charset")],
                Err(E::Charset),
            ),
            (
                &[("content-type", "application/json; charset*=utf-7''x")],
                Err(E::Charset),
            ),
            (
                &[(
                    "content-type",
                    "application/json; charset=utf-8; charset=utf-7",
                )],
                Err(E::Charset),
            ),
            (
                &[
                    ("content-type", "application/json"),
                    ("content-encoding", "gzip"),
                ],
                Err(E::Encoding),
            ),
            (
                &[
                    ("content-type", "application/json"),
                    ("content-encoding", "identity, br"),
                ],
                Err(E::Encoding),
            ),
            (
                &[
                    ("content-type", "application/json"),
                    ("content-encoding", ""),
                ],
                Err(E::Encoding),
            ),
            (
                &[
                    ("content-type", "application/json"),
                    ("content-encoding", "Identity"),
                ],
                Ok(()),
            ),
        ] {
            assert_eq!(plain_json(&headers(lines)), expected, "{lines:?}");
        }
    }
}
