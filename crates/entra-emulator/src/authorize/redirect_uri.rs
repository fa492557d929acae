//! Redirect URIs, and which of them are the same (RFC 6749 §3.1.2).

use url::Url;

use crate::directory::app::{App, Platform};
use crate::error::Aadsts;

/// Where the browser goes back to.
#[derive(Debug, Clone)]
pub(crate) struct Redirect {
    pub(crate) uri: String,
    /// Whether the request named it; then the token request must repeat it.
    pub(crate) named: bool,
    pub(crate) platform: Platform,
}

impl Redirect {
    pub(crate) fn parse(asked: Option<&str>, app: &App) -> Result<Self, Aadsts> {
        let mut registered = app.redirect_uris.iter();
        let Some(asked) = asked else {
            let (uri, platform) = registered.next().ok_or(Aadsts::NoRedirectUri)?;
            return Ok(Self {
                uri: uri.to_owned(),
                named: false,
                platform,
            });
        };
        if Url::parse(asked).is_err() {
            return Err(Aadsts::MalformedRedirectUri);
        }
        let matching =
            registered.find(|(uri, _)| is_registered(uri, asked, app.allow_any_loopback_port));
        match matching {
            Some((_, platform)) => Ok(Self {
                uri: asked.to_owned(),
                named: true,
                platform,
            }),
            None => Err(Aadsts::RedirectMismatch {
                uri: asked.to_owned(),
                client_id: app.client_id.clone(),
            }),
        }
    }
}

/// Whether `asked` is what was registered: exactly, but for the port of `http://localhost`.
pub(crate) fn is_registered(registered: &str, asked: &str, any_loopback_port: bool) -> bool {
    let without_port = |uri: &str, host: &str| -> Option<String> {
        let rest = uri.strip_prefix(host)?;
        let rest = match rest.strip_prefix(':') {
            Some(port) => port.trim_start_matches(|c: char| c.is_ascii_digit()),
            None => rest,
        };
        let ends = rest.is_empty() || rest.starts_with(['/', '?']);
        ends.then(|| rest.to_owned())
    };
    let same = |host: &str| {
        let registered = without_port(registered, host);
        registered.is_some() && registered == without_port(asked, host)
    };
    registered == asked
        || same("http://localhost")
        || (any_loopback_port && same("http://127.0.0.1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirect_uris_match_exactly_but_for_the_port_of_localhost() {
        for (registered, asked, any_port, wanted) in [
            ("https://a.example/cb", "https://a.example/cb", false, true),
            (
                "https://a.example/cb",
                "https://a.example/cb/",
                false,
                false,
            ),
            ("https://a.example/cb", "https://a.example/CB", false, false),
            (
                "https://a.example/cb",
                "https://a.example/cb?x=1",
                false,
                false,
            ),
            (
                "https://a.example/cb",
                "https://a.example:443/cb",
                false,
                false,
            ),
            (
                "http://localhost/cb",
                "http://localhost:51234/cb",
                false,
                true,
            ),
            (
                "http://localhost:8000/cb",
                "http://localhost:9/cb",
                false,
                true,
            ),
            (
                "http://localhost/cb",
                "http://localhost:51234/cb/",
                false,
                false,
            ),
            (
                "http://localhost/cb",
                "http://localhost.evil.example/cb",
                false,
                false,
            ),
            ("http://localhost", "http://localhost:51234", false, true),
            (
                "http://localhost/cb",
                "http://localhost:1@evil.example/cb",
                false,
                false,
            ),
            (
                "http://127.0.0.1/cb",
                "http://127.0.0.1:51234/cb",
                false,
                false,
            ),
            (
                "http://127.0.0.1/cb",
                "http://127.0.0.1:51234/cb",
                true,
                true,
            ),
            ("contoso-cli://auth", "contoso-cli://auth", false, true),
        ] {
            assert_eq!(
                is_registered(registered, asked, any_port),
                wanted,
                "{registered} {asked}"
            );
        }
    }
}
