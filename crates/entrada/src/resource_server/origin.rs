//! Whose web pages may call.

use http::header::{HeaderMap, HeaderValue, ORIGIN};
use url::Url;

use super::refusal::Refusal;

/// An origin whose web pages may call a protected resource (RFC 6454 §6.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AllowedOrigin(String);

/// The text is no origin.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an origin: a scheme, a host and perhaps a port")]
#[non_exhaustive]
pub struct AllowedOriginError;

impl AllowedOrigin {
    /// Parses an origin such as `https://inspector.example.com` or `vscode-webview://editor`.
    ///
    /// # Errors
    ///
    /// [`AllowedOriginError`] if a host is missing, or if there is a path, a query or anything
    /// else beside scheme, host and port.
    pub fn parse(text: &str) -> Result<Self, AllowedOriginError> {
        let url = Url::parse(text).map_err(|_| AllowedOriginError)?;
        let bare = matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !bare {
            return Err(AllowedOriginError);
        }
        Self::of(&url).ok_or(AllowedOriginError)
    }

    /// The origin of `url`, if it has a host.
    pub(super) fn of(url: &Url) -> Option<Self> {
        let host = url.host_str().filter(|host| !host.is_empty())?;
        let port = url.port().map(|port| format!(":{port}"));
        let scheme = url.scheme();
        Some(Self(format!(
            "{scheme}://{host}{}",
            port.unwrap_or_default()
        )))
    }

    /// The origin as browsers write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The origins a guard lets in.
#[derive(Clone, Debug)]
pub(super) struct Origins(Vec<AllowedOrigin>);

impl Origins {
    /// `listed`, and the resource's own.
    pub(super) fn new(listed: Vec<AllowedOrigin>, own: &Url) -> Self {
        let own = AllowedOrigin::of(own);
        Self(listed.into_iter().chain(own).collect())
    }

    /// The origin a request comes from: `None` if it does not come from a web page.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
        let mut presented = headers.get_all(ORIGIN).iter();
        match (presented.next(), presented.next()) {
            (None, _) => Ok(None),
            // MCP transports, *Security Warning*: an Origin that is there and not valid is 403.
            (Some(origin), None) if self.allow(origin) => Ok(Some(origin.clone())),
            (Some(_), _) => Err(Refusal::Origin),
        }
    }

    fn allow(&self, origin: &HeaderValue) -> bool {
        let same =
            |allowed: &AllowedOrigin| origin.as_bytes().eq_ignore_ascii_case(allowed.0.as_bytes());
        self.0.iter().any(same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_scheme_host_and_port() {
        for (text, expected) in [
            ("https://app.example", Some("https://app.example")),
            ("https://APP.example/", Some("https://app.example")),
            ("https://app.example:443", Some("https://app.example")),
            ("http://localhost:6274", Some("http://localhost:6274")),
            ("http://[::1]:6274", Some("http://[::1]:6274")),
            ("vscode-webview://editor", Some("vscode-webview://editor")),
            ("https://app.example/path", None),
            ("https://app.example?x", None),
            ("https://app.example#x", None),
            ("https://user@app.example", None),
            ("app.example", None),
            ("file:///", None),
            ("data:x", None),
            ("*", None),
            ("null", None),
            ("", None),
        ] {
            let parsed = AllowedOrigin::parse(text);
            assert_eq!(
                parsed.as_ref().ok().map(AllowedOrigin::as_str),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn only_listed_origins_and_the_own_one_are_let_in() {
        let listed = vec![AllowedOrigin::parse("https://app.example").unwrap()];
        let origins = Origins::new(listed, &Url::parse("https://mcp.example:8443/x").unwrap());
        for (presented, admitted) in [
            (vec![], true),
            (vec!["https://app.example"], true),
            (vec!["https://APP.example"], true),
            (vec!["https://mcp.example:8443"], true),
            (vec!["https://mcp.example"], false),
            (vec!["http://app.example"], false),
            (vec!["https://app.example.evil.example"], false),
            (vec!["https://app.example:444"], false),
            (vec!["https://app.example/"], false),
            (vec!["null"], false),
            (vec![""], false),
            (vec!["https://app.example", "https://evil.example"], false),
        ] {
            let mut headers = HeaderMap::new();
            for origin in &presented {
                headers.append(ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(origins.admit(&headers).is_ok(), admitted, "{presented:?}");
        }
    }
}
