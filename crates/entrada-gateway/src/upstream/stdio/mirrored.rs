//! What the headers of a request without a session say of its body (MCP 2026-07-28, *Server
//! Validation*): whoever reads the body must see that they agree.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};

use crate::upstream::stdio::envelope::{Params, string};

/// The revision of the protocol.
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// How headers and body differ.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The revision is not in the body.
    #[error("params._meta has no io.modelcontextprotocol/protocolVersion")]
    NoVersion,
    /// The revision is another.
    #[error("Header mismatch: MCP-Protocol-Version is not what the body says")]
    Version,
    /// The method is another, or not in the headers.
    #[error("Header mismatch: Mcp-Method is not what the body says")]
    Method,
    /// What is called, read or got is another, or not in the headers.
    #[error("Header mismatch: Mcp-Name is not what the body says")]
    Name,
}

impl Mismatch {
    /// The code of the JSON-RPC error.
    pub const fn code(self) -> i64 {
        match self {
            Self::NoVersion => -32602,
            Self::Version | Self::Method | Self::Name => -32020,
        }
    }
}

/// Compares `headers` with a body of `method` and `params`.
///
/// # Errors
///
/// How they differ.
pub fn agree(headers: &HeaderMap, method: &str, params: &Params<'_>) -> Result<(), Mismatch> {
    let version = params.protocol_version.and_then(string);
    let told = one(headers, &PROTOCOL_VERSION);
    if told.is_none() || (version.is_some() && told != version) {
        return Err(Mismatch::Version);
    }
    if one(headers, &METHOD).as_deref() != Some(method) {
        return Err(Mismatch::Method);
    }
    let (named, required) = match method {
        "tools/call" | "prompts/get" => (params.name, true),
        "resources/read" => (params.uri, true),
        "tasks/get" | "tasks/update" | "tasks/cancel" | "tasks/result" => (params.task_id, false),
        _ => (None, false),
    };
    let told = one(headers, &NAME).filter(|_| required || named.is_some());
    if (required && told.is_none()) || (told.is_some() && told != named.and_then(string)) {
        return Err(Mismatch::Name);
    }
    version.map(drop).ok_or(Mismatch::NoVersion)
}

/// The value of a header that is there once, decoded where it is base64.
pub fn one(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let value = value.to_str().ok()?;
    let encoded = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    match encoded {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::upstream::stdio::envelope::{Envelope, Kind};

    fn found(headers: &[(&'static str, &str)], method: &str, params: &str) -> Option<Mismatch> {
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let envelope = Envelope::read(&body).unwrap();
        let Kind::Request { method, .. } = envelope.kind() else {
            panic!("{envelope:?}");
        };
        agree(&map, method, envelope.params()).err()
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table")]
    fn headers_say_what_the_body_does() {
        const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
        let version = ("mcp-protocol-version", "2026-07-28");
        let method = |method| ("mcp-method", method);
        let name = |name| ("mcp-name", name);
        let with = |more: &str| format!("{META},{more}");
        for (headers, asked, params, expected) in [
            (
                vec![version, method("tools/list")],
                "tools/list",
                META.to_owned(),
                None,
            ),
            (
                vec![version, method("tools/call"), name("a")],
                "tools/call",
                with(r#""name":"a""#),
                None,
            ),
            (
                vec![version, method("prompts/get"), name("a")],
                "prompts/get",
                with(r#""name":"\u0061""#),
                None,
            ),
            (
                vec![version, method("resources/read"), name("=?base64?w6k=?=")],
                "resources/read",
                with(r#""uri":"é""#),
                None,
            ),
            (
                vec![version, method("tasks/get")],
                "tasks/get",
                with(r#""taskId":"t""#),
                None,
            ),
            (
                vec![version, method("tasks/get"), name("u")],
                "tasks/get",
                with(r#""taskId":"t""#),
                Some(Mismatch::Name),
            ),
            (
                vec![version, method("tools/call")],
                "tools/call",
                with(r#""name":"a""#),
                Some(Mismatch::Name),
            ),
            (
                vec![version, method("tools/call"), name("A")],
                "tools/call",
                with(r#""name":"a""#),
                Some(Mismatch::Name),
            ),
            (
                vec![version, method("tools/call"), name("a"), name("a")],
                "tools/call",
                with(r#""name":"a""#),
                Some(Mismatch::Name),
            ),
            (
                vec![version, method("tools/call"), name("1")],
                "tools/call",
                with(r#""name":1"#),
                Some(Mismatch::Name),
            ),
            (
                vec![version, method("tools/call"), name("=?base64?!?=")],
                "tools/call",
                with(r#""name":"!""#),
                Some(Mismatch::Name),
            ),
            (
                vec![version, method("tools/List")],
                "tools/list",
                META.to_owned(),
                Some(Mismatch::Method),
            ),
            (
                vec![version],
                "tools/list",
                META.to_owned(),
                Some(Mismatch::Method),
            ),
            (
                vec![("mcp-protocol-version", "2026-07-29"), method("tools/list")],
                "tools/list",
                META.to_owned(),
                Some(Mismatch::Version),
            ),
            (
                vec![method("tools/list")],
                "tools/list",
                META.to_owned(),
                Some(Mismatch::Version),
            ),
            (
                vec![version, method("tools/list")],
                "tools/list",
                String::new(),
                Some(Mismatch::NoVersion),
            ),
        ] {
            assert_eq!(
                found(&headers, asked, &params),
                expected,
                "{headers:?} {asked} {params}"
            );
        }
    }
}
