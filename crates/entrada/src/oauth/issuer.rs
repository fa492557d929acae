//! The name of an authorization server.

use std::fmt;

use serde::Serialize;
use url::Url;

use super::redirect_uri::is_loopback;

/// An issuer identifier, compared as the exact string it was configured as (RFC 8414 §3.3,
/// RFC 9207 §2.4).
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Issuer(String);

/// Why a string is no issuer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerError {
    /// It is not an absolute URL.
    #[error("not an absolute URL, such as https://mcp.example.com")]
    NotAUrl,
    /// It is not `https`, nor `http` on a loopback host (RFC 8414 §2).
    #[error("must be https, or http on a loopback host")]
    Insecure,
    /// It has a query, a fragment or credentials (RFC 8414 §2).
    #[error("must have no query, fragment or credentials")]
    NotBare,
}

impl Issuer {
    /// Parses an issuer, keeping its spelling.
    ///
    /// # Errors
    ///
    /// [`IssuerError`] says which rule of RFC 8414 §2 is broken.
    pub fn parse(text: &str) -> Result<Self, IssuerError> {
        bare_url(text).map(|_| Self(text.to_owned()))
    }

    /// The issuer as it was configured.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of the issuer without a trailing slash; empty for an issuer at the origin.
    pub fn path(&self) -> String {
        Url::parse(&self.0).map_or_else(
            |_| String::new(),
            |url| url.path().trim_end_matches('/').to_owned(),
        )
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Parses a URL that others may build upon: `https` or loopback, nothing after the path.
pub(crate) fn bare_url(text: &str) -> Result<Url, IssuerError> {
    let url = Url::parse(text).map_err(|_| IssuerError::NotAUrl)?;
    let host = url.host().ok_or(IssuerError::NotAUrl)?;
    let secure = match url.scheme() {
        "https" => true,
        "http" => is_loopback(&host),
        _ => false,
    };
    if !secure {
        return Err(IssuerError::Insecure);
    }
    let bare = url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if bare {
        Ok(url)
    } else {
        Err(IssuerError::NotBare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_is_kept_and_rules_hold() {
        for (text, expected) in [
            ("https://mcp.example.com", Ok(())),
            ("https://mcp.example.com/", Ok(())),
            ("https://MCP.example.com/Team", Ok(())),
            ("http://localhost:8000", Ok(())),
            ("http://127.0.0.1:8000", Ok(())),
            ("http://[::1]:8000", Ok(())),
            ("http://mcp.example.com", Err(IssuerError::Insecure)),
            ("http://localhost.evil.com", Err(IssuerError::Insecure)),
            ("ftp://localhost", Err(IssuerError::Insecure)),
            ("https://mcp.example.com?x", Err(IssuerError::NotBare)),
            ("https://mcp.example.com#x", Err(IssuerError::NotBare)),
            ("https://user@mcp.example.com", Err(IssuerError::NotBare)),
            ("mcp.example.com", Err(IssuerError::NotAUrl)),
            ("", Err(IssuerError::NotAUrl)),
        ] {
            let parsed = Issuer::parse(text);
            assert_eq!(parsed.clone().map(|_| ()), expected, "{text}");
            if let Ok(issuer) = parsed {
                assert_eq!(issuer.as_str(), text);
            }
        }
        assert_eq!(Issuer::parse("https://h/a/b/").unwrap().path(), "/a/b");
        assert_eq!(Issuer::parse("https://h/").unwrap().path(), "");
    }
}
