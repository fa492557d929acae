//! The opening handshake (RFC 6455 §4).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use entrada::resource_server::Standing;
use http::header::{
    CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::upgrade::OnUpgrade;

/// A handshake that a client began as it must, on a connection that can become a WebSocket.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    /// What the server must answer to show that it was understood.
    accept: String,
    /// The client's connection, once it is no more of HTTP.
    pub(crate) client: OnUpgrade,
    /// Whether the client would be let in still.
    pub(crate) standing: Standing,
}

/// Why no WebSocket is opened, though one was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NotOpened {
    #[error("a WebSocket is opened by GET over HTTP/1.1, without content")]
    Request,
    #[error("Connection does not say upgrade: has a proxy on the way taken it out?")]
    Connection,
    #[error("Sec-WebSocket-Key is not one key of 16 bytes")]
    Key,
    #[error("of WebSocket, version 13 is spoken here")]
    Version,
}

/// Whether a WebSocket is asked for; what else a client would like to speak need not be listened to
/// (RFC 9110 §7.8).
pub(crate) fn is_asked_for(headers: &HeaderMap) -> bool {
    has_word(headers, &UPGRADE, "websocket")
}

impl Opening {
    /// Reads a request that asks for a WebSocket (RFC 6455 §4.2.1); `None` if nobody can tell for how long
    /// its caller is let in.
    ///
    /// # Errors
    ///
    /// [`NotOpened`] if it does not ask as it must.
    pub(crate) fn read(request: &mut Request<Body>) -> Result<Option<Self>, NotOpened> {
        let accept = accept_of(request)?;
        let extensions = request.extensions_mut();
        let client = extensions.remove().ok_or(NotOpened::Request)?;
        let standing: Option<Standing> = extensions.remove();
        Ok(standing.map(|standing| Self {
            accept,
            client,
            standing,
        }))
    }

    /// Asks the server for what the client asked us for: of its fields, those that are for one connection
    /// alone.
    pub(crate) fn ask(headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }

    /// Whether the server's answer opens the WebSocket that was asked for (RFC 6455 §4.1).
    pub(crate) fn is_confirmed_by(&self, answer: &HeaderMap) -> bool {
        let accept = only(answer, &SEC_WEBSOCKET_ACCEPT);
        has_word(answer, &UPGRADE, "websocket")
            && has_word(answer, &CONNECTION, "upgrade")
            && accept.is_some_and(|accept| *accept == *self.accept)
    }
}

/// What the answer to `request` must hold. Pure.
fn accept_of(request: &Request<Body>) -> Result<String, NotOpened> {
    let headers = request.headers();
    let is_plain = request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && request.body().is_end_stream();
    if !is_plain {
        return Err(NotOpened::Request);
    }
    if !has_word(headers, &CONNECTION, "upgrade") {
        return Err(NotOpened::Connection);
    }
    // RFC 6455 §4.4: whoever speaks another version is told ours.
    only(headers, &SEC_WEBSOCKET_VERSION)
        .filter(|version| *version == VERSION)
        .ok_or(NotOpened::Version)?;
    let key = only(headers, &SEC_WEBSOCKET_KEY).ok_or(NotOpened::Key)?;
    match STANDARD.decode(key) {
        Ok(bytes) if bytes.len() == KEY_LENGTH => Ok(accept(key.as_bytes())),
        Ok(_) | Err(_) => Err(NotOpened::Key),
    }
}

/// What shows that `key` was read (RFC 6455 §4.2.2).
fn accept(key: &[u8]) -> String {
    let read = [key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &read))
}

/// The value of a field that must not be there twice (RFC 6455 §11.3).
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether a list holds a word, in any case.
fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter();
    let mut words = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    words.any(|found| found.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

impl NotOpened {
    /// The answer that says so.
    pub(crate) fn into_response(self) -> Response<Body> {
        tracing::info!(reason = %self, "no websocket is opened");
        let mut response = Response::new(Body::from(format!("{self}\n")));
        let headers = response.headers_mut();
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, text);
        if self == Self::Version {
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
            // RFC 9110 §15.5.22.
            Opening::ask(headers);
            *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        } else {
            *response.status_mut() = StatusCode::BAD_REQUEST;
        }
        response
    }
}

/// The version of the protocol.
const VERSION: &str = "13";

/// How many bytes a key stands for.
const KEY_LENGTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6455 §1.3.
    const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    const ACCEPT: (&str, &str) = ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    const TO: (&str, &str) = ("upgrade", "websocket");
    const BY: (&str, &str) = ("connection", "Upgrade");
    const OF: (&str, &str) = ("sec-websocket-version", "13");

    fn request(lines: &[(&str, &str)]) -> Request<Body> {
        let request = lines.iter().fold(Request::get("/mcp"), |request, line| {
            request.header(line.0, line.1)
        });
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn a_handshake_is_read_as_the_standard_has_it() {
        use NotOpened::{Connection, Key, Version};
        let short = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ");
        let long = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZSE=");
        let eight = ("sec-websocket-version", "8");
        let several = ("sec-websocket-version", "13, 8");
        for (lines, expected) in [
            (&[TO, BY, KEY, OF][..], Ok(ACCEPT.1)),
            (
                &[TO, ("connection", "keep-alive, upgrade"), KEY, OF],
                Ok(ACCEPT.1),
            ),
            (&[TO, KEY, OF], Err(Connection)),
            (
                &[TO, ("connection", "keep-alive"), KEY, OF],
                Err(Connection),
            ),
            (&[TO, BY, OF], Err(Key)),
            (&[TO, BY, short, OF], Err(Key)),
            (&[TO, BY, long, OF], Err(Key)),
            (&[TO, BY, KEY, KEY, OF], Err(Key)),
            (&[TO, BY, KEY], Err(Version)),
            (&[TO, BY, KEY, eight], Err(Version)),
            (&[TO, BY, KEY, several], Err(Version)),
            (&[TO, BY, KEY, OF, OF], Err(Version)),
        ] {
            let read = accept_of(&request(lines));
            assert_eq!(read.as_deref(), expected.as_ref().copied(), "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_plain_get_opens_nothing() {
        let whole = || request(&[TO, BY, KEY, OF]);
        let mut posted = whole();
        *posted.method_mut() = Method::POST;
        let mut old = whole();
        *old.version_mut() = Version::HTTP_10;
        let mut new = whole();
        *new.version_mut() = Version::HTTP_2;
        let full = whole().map(|_| Body::from("GET / HTTP/1.1\r\n\r\n"));
        for request in [posted, old, new, full] {
            assert_eq!(accept_of(&request), Err(NotOpened::Request));
        }
    }

    #[test]
    fn a_websocket_is_asked_for_by_its_name() {
        for (upgrade, expected) in [
            ("websocket", true),
            ("WebSocket", true),
            ("h2c, websocket", true),
            ("h2c", false),
            ("websocket/13", false),
            ("websockets", false),
        ] {
            let asks = is_asked_for(request(&[("upgrade", upgrade)]).headers());
            assert_eq!(asks, expected, "{upgrade}");
        }
    }

    #[test]
    fn whoever_speaks_another_version_is_told_ours() {
        let told = NotOpened::Version.into_response();
        assert_eq!(told.status(), StatusCode::UPGRADE_REQUIRED);
        assert_eq!(told.headers()["sec-websocket-version"], "13");
        assert_eq!(told.headers()["upgrade"], "websocket");
        assert_eq!(told.headers()["connection"], "Upgrade");
        assert_eq!(
            NotOpened::Key.into_response().status(),
            StatusCode::BAD_REQUEST
        );
    }
}
