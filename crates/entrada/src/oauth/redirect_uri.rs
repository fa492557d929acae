//! Redirect URIs: what may be registered, what matches, and the proof that one did.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use url::{Host, Url, form_urlencoded};

use super::redirect_pattern::RedirectPattern;

/// Private-use schemes of MCP clients we know (RFC 8252 §7.1). Others must be written in
/// reverse-domain form.
const KNOWN_SCHEMES: &[&str] = &[
    "claude",
    "code-oss",
    "cursor",
    "jetbrains",
    "vscode",
    "vscode-insiders",
    "windsurf",
    "zed",
];

/// The parameters of an answer (RFC 6749 §4.1.2, RFC 9207 §2).
const ANSWER: &[&str] = &[
    "code",
    "error",
    "error_description",
    "error_uri",
    "iss",
    "state",
];

/// The longest redirect URI taken: twice what Entra allows.
const LONGEST: usize = 512;

/// An absolute redirect URI that may receive codes, compared as the exact string it was written
/// as (RFC 6749 §3.1.2, RFC 9700 §4.1.3).
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedirectUri(String);

/// Where a code goes that is sent to a redirect URI.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// To a website.
    Website,
    /// To a program on the machine the browser runs on.
    ThisComputer,
    /// To the app on the device that opens the scheme.
    App,
}

/// Why a redirect URI is refused: `invalid_redirect_uri` (RFC 7591 §3.2.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectUriError {
    /// It is not an absolute URI, is too long, or holds characters no URI holds.
    #[error("not an absolute URI")]
    NotAbsolute,
    /// It has a fragment (RFC 6749 §3.1.2).
    #[error("has a fragment")]
    Fragment,
    /// It carries credentials, which make `https://good@evil` look good.
    #[error("carries credentials")]
    Credentials,
    /// It is `http` and not on a loopback host (RFC 8252 §7.3).
    #[error("plain http is for loopback hosts")]
    Insecure,
    /// Its scheme is neither known nor in reverse-domain form (RFC 8252 §7.1).
    #[error("its scheme is not allowed")]
    Scheme,
}

impl RedirectUri {
    /// Parses a redirect URI, keeping its spelling.
    ///
    /// # Errors
    ///
    /// [`RedirectUriError`] says which rule it breaks (`invalid_redirect_uri`).
    pub fn parse(text: &str) -> Result<Self, RedirectUriError> {
        // The URL parser forgives what a browser would repair; what is stored must need no repair.
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&byte));
        if !plain || text.len() > LONGEST {
            return Err(RedirectUriError::NotAbsolute);
        }
        let url = Url::parse(text).map_err(|_| RedirectUriError::NotAbsolute)?;
        if url.fragment().is_some() {
            return Err(RedirectUriError::Fragment);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(RedirectUriError::Credentials);
        }
        // Browsers take `https:host` for a path of the page it stands on; the parser does not.
        let special = matches!(url.scheme(), "http" | "https");
        if special
            && !text
                .get(url.scheme().len()..)
                .is_some_and(|rest| rest.starts_with("://"))
        {
            return Err(RedirectUriError::NotAbsolute);
        }
        // The URL parser lets `;` and `,` stand in a host; they end a directive of a policy.
        if url
            .host_str()
            .is_some_and(|host| host.contains([';', ',', '\'', '(', ')']))
        {
            return Err(RedirectUriError::NotAbsolute);
        }
        match (url.scheme(), url.host()) {
            ("https", Some(_)) => {}
            ("http", Some(host)) if is_loopback(&host) => {}
            ("http", _) => return Err(RedirectUriError::Insecure),
            (scheme, _) if is_private_use(scheme) => {}
            _ => return Err(RedirectUriError::Scheme),
        }
        Ok(Self(text.to_owned()))
    }

    /// The URI as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host a person should recognise; the scheme, where an app on the device opens it.
    pub fn destination(&self) -> String {
        let Ok(url) = Url::parse(&self.0) else {
            return self.0.clone();
        };
        match (url.scheme(), url.host_str()) {
            ("https" | "http", Some(host)) => match url.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            },
            (scheme, _) => format!("{scheme}:"),
        }
    }

    /// The source expression that lets a form's redirects end here (CSP 3 §6.1.10).
    pub(crate) fn form_action(&self) -> Option<String> {
        let url = Url::parse(&self.0).ok()?;
        match (url.scheme(), url.host()) {
            // CSP 3 §2.3.1 knows no address but this one.
            ("http", Some(Host::Ipv6(_))) => Some("http:".to_owned()),
            ("http", Some(Host::Ipv4(address))) if address != Ipv4Addr::LOCALHOST => {
                Some("http:".to_owned())
            }
            ("http" | "https", _) => Some(url.origin().ascii_serialization()),
            (scheme, _) => Some(format!("{scheme}:")),
        }
    }

    /// Whether the code goes to the machine the browser runs on.
    pub fn is_loopback(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| url.host().is_some_and(|host| is_loopback(&host)))
    }

    /// Where the code goes.
    pub(crate) fn place(&self) -> Place {
        // Schemes are compared as parsed: they may be written in capitals.
        let url = Url::parse(&self.0);
        match url.as_ref().map(Url::scheme) {
            Ok("http" | "https") if self.is_loopback() => Place::ThisComputer,
            Ok("http" | "https") => Place::Website,
            Ok(_) | Err(_) => Place::App,
        }
    }

    /// Whether `asked` may stand in for this registered URI: the same string, or the same but for
    /// the port of a loopback host (RFC 8252 §7.3).
    pub(crate) fn admits(&self, asked: &Self) -> bool {
        self == asked
            || match (self.without_loopback_port(), asked.without_loopback_port()) {
                (Some(known), Some(asked)) => known == asked,
                _ => false,
            }
    }

    /// Host and rest of an `http` loopback URI as they are written, the port between them left out.
    fn without_loopback_port(&self) -> Option<(&str, &str)> {
        let after_scheme = self.0.strip_prefix("http://")?;
        if !self.is_loopback() {
            return None;
        }
        let end = after_scheme.find(['/', '?']).unwrap_or(after_scheme.len());
        let (authority, rest) = after_scheme.split_at(end);
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            // No port: the last colon, if there is one, stands inside an IPv6 address.
            _ => authority,
        };
        Some((host, if rest.is_empty() { "/" } else { rest }))
    }
}

/// Which redirect URIs clients may use at all.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AllowedRedirects {
    /// Those they register.
    Registered,
    /// Of those, the ones that a pattern of this list admits.
    Only(Vec<RedirectPattern>),
}

impl AllowedRedirects {
    /// Whether `uri` may be used.
    pub fn allow(&self, uri: &RedirectUri) -> bool {
        match self {
            Self::Registered => true,
            Self::Only(list) => list.iter().any(|known| known.admits(uri)),
        }
    }
}

/// Whether `host` is the machine itself: `localhost` and its subdomains, 127.0.0.0/8, `::1`.
pub(crate) fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            name == "localhost" || name.ends_with(".localhost")
        }
        Host::Ipv4(address) => Ipv4Addr::is_loopback(address),
        Host::Ipv6(address) => Ipv6Addr::is_loopback(address),
    }
}

fn is_private_use(scheme: &str) -> bool {
    scheme.contains('.') || KNOWN_SCHEMES.contains(&scheme)
}

impl TryFrom<String> for RedirectUri {
    type Error = RedirectUriError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<RedirectUri> for String {
    fn from(uri: RedirectUri) -> Self {
        uri.0
    }
}

/// A redirect URI proven to belong to the client: answers and errors may go there.
///
/// Only [`Client::trusted_redirect`](super::client::Client::trusted_redirect) makes one; a record
/// we sealed gives back the one it was given.
///
/// ```compile_fail
/// use entrada::oauth::redirect_uri::{RedirectUri, TrustedRedirect};
/// let uri = RedirectUri::parse("https://attacker.example/").unwrap();
/// let trusted = TrustedRedirect(uri);
/// ```
///
/// ```compile_fail
/// use entrada::oauth::redirect_uri::TrustedRedirect;
/// let trusted: TrustedRedirect = serde_json::from_str(r#""https://attacker.example/""#).unwrap();
/// ```
///
/// ```
/// use entrada::oauth::redirect_uri::{RedirectUri, TrustedRedirect};
/// let uri: RedirectUri = serde_json::from_str(r#""https://client.example/""#).unwrap();
/// let where_to = |trusted: &TrustedRedirect| trusted.uri().clone();
/// ```
#[derive(Clone, Debug)]
pub struct TrustedRedirect(RedirectUri);

impl TrustedRedirect {
    /// Claims the proof. Called where a client's registered URIs were searched, and nowhere else.
    pub(super) fn assertion(uri: RedirectUri) -> Self {
        Self(uri)
    }

    /// The second maker: gives the proof back, from a record we sealed.
    fn unsealed(uri: RedirectUri) -> Self {
        Self(uri)
    }

    /// The URI.
    pub fn uri(&self) -> &RedirectUri {
        &self.0
    }

    /// The location that carries `params` to the client.
    ///
    /// The bytes of the registered query stay as they are, except that parameters of an answer are
    /// taken out, whether this answer has them or not: a client must see exactly one `iss`
    /// (RFC 9207 §2), and no `code` beside an `error`.
    pub(crate) fn location(&self, params: &[(&str, &str)]) -> String {
        let (base, query) = match self.0.as_str().split_once('?') {
            Some((base, query)) => (base, query),
            None => (self.0.as_str(), ""),
        };
        let ours = |piece: &&str| {
            form_urlencoded::parse(piece.as_bytes())
                .next()
                .is_some_and(|(name, _)| ANSWER.contains(&&*name))
        };
        let mut kept: Vec<&str> = query
            .split('&')
            .filter(|piece| !piece.is_empty() && !ours(piece))
            .collect();
        let added = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(params)
            .finish();
        kept.push(&added);
        format!("{base}?{}", kept.join("&"))
    }
}

/// Writes the proof into a record that is about to be sealed, as its URI, and reads it again:
/// `#[serde(with = "sealed")]`.
///
/// The proof has no `Deserialize` of its own, so each record that holds one names this module.
pub(crate) mod sealed {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{RedirectUri, TrustedRedirect};

    pub(crate) fn serialize<S: Serializer>(
        redirect: &TrustedRedirect,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        redirect.0.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<TrustedRedirect, D::Error> {
        RedirectUri::deserialize(deserializer).map(TrustedRedirect::unsealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RedirectUriError as E;

    #[test]
    fn what_may_be_registered() {
        for (text, expected) in [
            ("https://client.example/cb", Ok(())),
            ("https://client.example:8443/cb?x=1", Ok(())),
            ("http://localhost/cb", Ok(())),
            ("http://localhost:1234", Ok(())),
            ("http://127.0.0.1:33418/", Ok(())),
            ("http://127.9.9.9/", Ok(())),
            ("http://[::1]:8080/cb", Ok(())),
            ("http://app.localhost/cb", Ok(())),
            ("cursor://anysphere.cursor-mcp/oauth/callback", Ok(())),
            ("com.example.app:/oauth", Ok(())),
            ("http://evil.example/cb", Err(E::Insecure)),
            ("http://localhost.evil.example/cb", Err(E::Insecure)),
            ("http://10.0.0.1/cb", Err(E::Insecure)),
            ("https://client.example/cb#x", Err(E::Fragment)),
            ("https://good@evil.example/cb", Err(E::Credentials)),
            ("https://:p@evil.example/cb", Err(E::Credentials)),
            ("javascript:alert(1)", Err(E::Scheme)),
            ("JavaScript:alert(1)", Err(E::Scheme)),
            ("data:text/html,x", Err(E::Scheme)),
            ("file:///etc/passwd", Err(E::Scheme)),
            ("vbscript:x", Err(E::Scheme)),
            ("blob:https://x/1", Err(E::Scheme)),
            ("urn:ietf:wg:oauth:2.0:oob", Err(E::Scheme)),
            ("/cb", Err(E::NotAbsolute)),
            (
                "https://client.example\\@evil.example/",
                Err(E::NotAbsolute),
            ),
            ("https://x;sandbox.example/cb", Err(E::NotAbsolute)),
            ("https:client.example/cb", Err(E::NotAbsolute)),
            ("https:/client.example/cb", Err(E::NotAbsolute)),
            ("http:127.0.0.1/a//b", Err(E::NotAbsolute)),
            ("HTTPS://client.example/cb", Ok(())),
            ("https://client.example/ cb", Err(E::NotAbsolute)),
            ("https://client.example/\ncb", Err(E::NotAbsolute)),
            ("", Err(E::NotAbsolute)),
        ] {
            assert_eq!(RedirectUri::parse(text).map(|_| ()), expected, "{text}");
        }
        assert!(RedirectUri::parse(&format!("https://h/{}", "a".repeat(600))).is_err());
    }

    #[test]
    fn only_the_port_of_a_loopback_host_may_differ() {
        let uri = |text| RedirectUri::parse(text).unwrap();
        for (known, asked, expected) in [
            ("https://h/cb", "https://h/cb", true),
            ("https://h/cb", "https://h/cb?x", false),
            ("https://h/cb", "https://h/cb/", false),
            ("https://h/cb", "https://H/cb", false),
            ("https://h/cb", "https://h/CB", false),
            ("https://h/cb", "https://h:8443/cb", false),
            (
                "http://127.0.0.1/callback",
                "http://127.0.0.1:53124/callback",
                true,
            ),
            (
                "http://127.0.0.1:1/callback",
                "http://127.0.0.1:2/callback",
                true,
            ),
            (
                "http://localhost/callback",
                "http://localhost:53124/callback",
                true,
            ),
            ("http://localhost", "http://localhost:1/", true),
            ("http://[::1]/cb", "http://[::1]:9/cb", true),
            (
                "http://127.0.0.1/callback",
                "http://127.0.0.1:53124/other",
                false,
            ),
            (
                "http://127.0.0.1/callback",
                "http://127.0.0.1:53124/callback?x=1",
                false,
            ),
            ("http://localhost/cb", "http://127.0.0.1/cb", false),
            // Other spellings of the same host.
            ("http://127.0.0.1/cb", "http://127.00.1.:1/cb", false),
            ("http://127.0.0.1/cb", "http://2130706433:1/cb", false),
            ("http://127.0.0.2/cb", "http://127.0.0.1:1/cb", false),
            ("https://localhost/cb", "https://localhost:1/cb", false),
        ] {
            assert_eq!(uri(known).admits(&uri(asked)), expected, "{known} {asked}");
        }
    }

    #[test]
    fn locations_keep_the_registered_query_and_carry_one_iss() {
        let to = |text| TrustedRedirect::assertion(RedirectUri::parse(text).unwrap());
        let params = [("code", "a b"), ("iss", "https://as")];
        for (text, expected) in [
            ("https://h/cb", "https://h/cb?code=a+b&iss=https%3A%2F%2Fas"),
            (
                "https://h/cb?flag&b=%ff",
                "https://h/cb?flag&b=%ff&code=a+b&iss=https%3A%2F%2Fas",
            ),
            (
                "https://h/cb?iss=evil&x=1",
                "https://h/cb?x=1&code=a+b&iss=https%3A%2F%2Fas",
            ),
            (
                "https://h/cb?error=evil&st%61te=evil",
                "https://h/cb?code=a+b&iss=https%3A%2F%2Fas",
            ),
            (
                "com.example:/cb",
                "com.example:/cb?code=a+b&iss=https%3A%2F%2Fas",
            ),
        ] {
            assert_eq!(to(text).location(&params), expected);
        }
    }

    #[test]
    fn codes_go_to_a_website_or_stay_on_the_device() {
        for (text, expected) in [
            ("https://client.example/cb", Place::Website),
            ("HTTPS://client.example/cb", Place::Website),
            ("https://localhost.client.example/cb", Place::Website),
            ("https://localhost/cb", Place::ThisComputer),
            ("HTTP://127.0.0.1:1/cb", Place::ThisComputer),
            ("http://[::1]/cb", Place::ThisComputer),
            ("cursor://x/cb", Place::App),
            ("com.example.app://localhost/cb", Place::App),
        ] {
            assert_eq!(
                RedirectUri::parse(text).unwrap().place(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn destinations_are_for_people() {
        let shown = |text| RedirectUri::parse(text).unwrap().destination();
        assert_eq!(shown("https://client.example/cb"), "client.example");
        assert_eq!(shown("http://localhost:1234/cb"), "localhost:1234");
        assert_eq!(shown("cursor://x/cb"), "cursor:");
        // Punycode stays ASCII, so that look-alike letters show.
        assert_eq!(shown("https://xn--pple-43d.com/cb"), "xn--pple-43d.com");
    }
}
