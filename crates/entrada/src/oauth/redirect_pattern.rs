//! Patterns of redirect URIs, by which an operator says which may be used.

use url::Url;

use super::redirect_uri::{RedirectUri, RedirectUriError, is_loopback};

/// A redirect URI that may be used, or with `*` in it several of them.
///
/// - `https://*.example.com/callback`: any host below `example.com`, not that host itself
/// - `https://client.example/*/callback`: anything in one segment of the path
/// - `https://client.example/apps/**`: any number of segments
/// - `https://client.example:*/callback`: any port; loopback hosts have that anyway (RFC 8252 §7.3)
///
/// What the pattern does not say is not allowed: one without a path means `/`, one without a query
/// none. A pattern without `*` is compared as a string.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RedirectPattern(Kind);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Kind {
    Exactly(RedirectUri),
    Like(Box<Shape>),
}

/// Why there is no such pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectPatternError {
    /// No redirect URI may look like that.
    #[error(transparent)]
    Uri(#[from] RedirectUriError),
    /// The wildcard stands where it would mean everybody, or nobody can tell what.
    #[error("* stands for hosts as in *.example.com, for a port, and in segments of a path")]
    Wildcard,
}

/// The parts of URIs, each with its wildcards.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Shape {
    scheme: String,
    host: Option<HostShape>,
    any_port: bool,
    port: Option<u16>,
    segments: Vec<String>,
    query: Option<String>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum HostShape {
    Is(String),
    /// With the dot before it.
    Below(String),
}

/// What stands for `*` while the rest is parsed as a URL: no parser minds it anywhere.
const STAND_IN: &str = "xx--wildcard--xx";

/// What decodes to a dot, a slash, a backslash or to another of these: a server behind the URI may
/// see other segments than we do.
const DECEPTIVE: [&str; 4] = ["%2e", "%2f", "%5c", "%25"];

impl RedirectPattern {
    /// Parses a redirect URI, with or without wildcards.
    ///
    /// # Errors
    ///
    /// [`RedirectPatternError`] if no redirect URI could match, or far too many.
    pub fn parse(text: &str) -> Result<Self, RedirectPatternError> {
        if !text.contains('*') {
            return Ok(Self(Kind::Exactly(RedirectUri::parse(text)?)));
        }
        let (text, any_port) = without_wild_port(text);
        if text.contains(STAND_IN) {
            return Err(RedirectPatternError::Wildcard);
        }
        let plain = text.replace('*', STAND_IN);
        // All that holds for a redirect URI holds for what a pattern stands for.
        RedirectUri::parse(&plain)?;
        let url = Url::parse(&plain).map_err(|_| RedirectUriError::NotAbsolute)?;
        let host = url.host_str().map(host_shape).transpose()?;
        let with_wildcards = |part: &str| part.replace(STAND_IN, "*");
        let query = url.query().map(with_wildcards);
        let stray =
            query.as_deref().unwrap_or_default().contains('*') || url.scheme().contains(STAND_IN);
        let segments: Vec<_> = segments(url.path()).map(with_wildcards).collect();
        let joined = |segment: &String| segment.contains("**") && segment != "**";
        if stray || !is_canonical(&plain, &url) || segments.iter().any(joined) {
            return Err(RedirectPatternError::Wildcard);
        }
        Ok(Self(Kind::Like(Box::new(Shape {
            scheme: url.scheme().to_owned(),
            any_port: any_port || url.host().is_some_and(|host| is_loopback(&host)),
            host,
            port: url.port(),
            segments,
            query,
        }))))
    }

    /// Whether `uri` may be used.
    pub fn admits(&self, uri: &RedirectUri) -> bool {
        match &self.0 {
            Kind::Exactly(known) => known.admits(uri),
            Kind::Like(shape) => shape.admits(uri),
        }
    }
}

impl Shape {
    fn admits(&self, uri: &RedirectUri) -> bool {
        let Ok(url) = Url::parse(uri.as_str()) else {
            return false;
        };
        // Its path must be what every parser makes of it.
        let path = url.path().to_ascii_lowercase();
        let clear = is_canonical(uri.as_str(), &url)
            && !DECEPTIVE.iter().any(|escape| path.contains(escape));
        let host = match (&self.host, url.host_str()) {
            (Some(shape), Some(host)) => shape.admits(host),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        clear
            && url.scheme() == self.scheme
            && host
            && (self.any_port || url.port() == self.port)
            && path_matches(&self.segments, &segments(url.path()).collect::<Vec<_>>())
            && url.query() == self.query.as_deref()
    }
}

impl HostShape {
    fn admits(&self, host: &str) -> bool {
        match self {
            Self::Is(name) => host == name,
            Self::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
        }
    }
}

/// The pattern without `:*` for its port, and whether that was there.
fn without_wild_port(text: &str) -> (String, bool) {
    let Some(authority) = text.find("://").map(|scheme| scheme + 3) else {
        return (text.to_owned(), false);
    };
    let rest = text.get(authority..).unwrap_or_default();
    let end = authority + rest.find(['/', '?']).unwrap_or(rest.len());
    match text.get(..end).and_then(|before| before.strip_suffix(":*")) {
        Some(before) => {
            let after = text.get(end..).unwrap_or_default();
            (format!("{before}{after}"), true)
        }
        None => (text.to_owned(), false),
    }
}

/// A host, of which the first label may be the wildcard if a domain follows.
fn host_shape(host: &str) -> Result<HostShape, RedirectPatternError> {
    match host.strip_prefix(STAND_IN) {
        Some(suffix) if suffix.starts_with('.') && !suffix.contains(STAND_IN) => {
            let domain = suffix.trim_matches('.').contains('.');
            let local = suffix == ".localhost";
            (domain || local)
                .then(|| HostShape::Below(suffix.to_owned()))
                .ok_or(RedirectPatternError::Wildcard)
        }
        Some(_) => Err(RedirectPatternError::Wildcard),
        None if host.contains(STAND_IN) => Err(RedirectPatternError::Wildcard),
        None => Ok(HostShape::Is(host.to_owned())),
    }
}

/// Whether a URL is written as it is read, but for a `/` that may be missing at the end.
fn is_canonical(text: &str, url: &Url) -> bool {
    let read = url.as_str();
    read == text || (url.path() == "/" && read.strip_suffix('/') == Some(text))
}

/// The segments of a path; none before its first slash.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

/// Whether a path is one of those that `pattern` means.
fn path_matches(pattern: &[String], path: &[&str]) -> bool {
    let in_segment = |glob: &String, segment: &&str| {
        let any = |byte: &u8| *byte == b'*';
        glob_matches(glob.as_bytes(), segment.as_bytes(), any, u8::eq)
    };
    glob_matches(pattern, path, |glob| glob == "**", in_segment)
}

/// Whether `text` is one of those that `pattern` means, in which `any` stands for any number of items
/// and the others for one each. A stranger's text is walked once for each of those at most: the last
/// one is all that ever has to be tried anew.
fn glob_matches<P, T>(
    pattern: &[P],
    text: &[T],
    any: impl Fn(&P) -> bool,
    same: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut retry = None;
    while let Some(item) = text.get(from) {
        match pattern.get(at) {
            Some(glob) if any(glob) => {
                at += 1;
                retry = Some((at, from + 1));
            }
            Some(glob) if same(glob, item) => (at, from) = (at + 1, from + 1),
            Some(_) | None => {
                let Some((after, next)) = retry else {
                    return false;
                };
                retry = Some((after, next + 1));
                (at, from) = (after, next);
            }
        }
    }
    pattern.iter().skip(at).all(any)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_pattern_admits() {
        let client = "https://client.example";
        let below = "https://*.example.com/cb";
        let one = "https://client.example/a/*/cb";
        let part = "https://client.example/cb-*";
        let all = "https://client.example/apps/**";
        let amid = "https://client.example/**/cb";
        let ports = "https://client.example:*/cb";
        for (pattern, uri, expected) in [
            // Hosts.
            (below, "https://a.example.com/cb", true),
            (below, "https://a.b.example.com/cb", true),
            (below, "https://example.com/cb", false),
            (below, "https://.example.com/cb", false),
            (below, "https://evilexample.com/cb", false),
            (below, "https://a.example.com.evil.example/cb", false),
            (below, "https://a.example.com:8443/cb", false),
            (below, "https://evil.example/.example.com/cb", false),
            (below, "https://a.example.com/cb?x=1", false),
            (below, "https://a.example.com/cb/more", false),
            (below, "com.evil://a.example.com/cb", false),
            // One segment.
            (one, "https://client.example/a/b/cb", true),
            (one, "https://client.example/a//cb", true),
            (one, "https://client.example/a/b/c/cb", false),
            (one, "https://client.example/a/cb", false),
            (part, "https://client.example/cb-1", true),
            (part, "https://client.example/cb-", true),
            (part, "https://client.example/cb-1/2", false),
            // Any number of segments.
            (all, "https://client.example/apps/", true),
            (all, "https://client.example/apps/a/b", true),
            (all, "https://client.example/apps", true),
            (all, "https://client.example/app", false),
            (all, "https://client.example/apps2/a", false),
            (amid, "https://client.example/cb", true),
            (amid, "https://client.example/a/cb/b/cb", true),
            (amid, "https://client.example/a/cb/b", false),
            // What another parser would read otherwise.
            (all, "https://client.example/apps/../evil", false),
            (all, "https://client.example/apps/%2e%2e/evil", false),
            (all, "https://client.example/apps/%2E./evil", false),
            (all, "https://client.example/apps/..%2fevil", false),
            (all, "https://client.example/apps/%5c..", false),
            (all, "https://client.example/apps/%252e%252e/evil", false),
            (all, "https://client.example:443/apps/a", false),
            (all, "https://CLIENT.example/apps/a", false),
            (all, "https://client.example/apps/a.b..c", true),
            (all, "https://client.example/apps/%20", true),
            // Ports.
            (ports, "https://client.example:8443/cb", true),
            (ports, "https://client.example/cb", true),
            ("http://localhost/*", "http://localhost:8787/cb", true),
            ("http://localhost:*/cb", "http://localhost:1/cb", true),
            ("http://localhost:*", "http://localhost:1", true),
            ("http://localhost:*", "http://localhost:1/cb", false),
            ("http://[::1]:*/**", "http://[::1]:1/a/b", true),
            ("http://localhost/*", "http://127.0.0.1/cb", false),
            ("http://*.localhost/cb", "http://app.localhost:1/cb", true),
            // Queries and other schemes.
            (
                "https://client.example/*?x=1",
                "https://client.example/a?x=1",
                true,
            ),
            (
                "https://client.example/*?x=1",
                "https://client.example/a?x=2",
                false,
            ),
            (
                "cursor://*.cursor-mcp.example/cb",
                "cursor://a.cursor-mcp.example/cb",
                true,
            ),
            ("com.example.app:/*", "com.example.app:/oauth", true),
            ("com.example.app:/*", "com.example.app:/oauth/more", false),
            ("com.example.app:/*", "com.example.other:/oauth", false),
            // Without a wildcard, as a string.
            (client, client, true),
            (client, "https://client.example/", false),
            ("http://localhost/cb", "http://localhost:1/cb", true),
        ] {
            let parsed = RedirectPattern::parse(pattern).unwrap();
            let uri = RedirectUri::parse(uri).unwrap();
            assert_eq!(parsed.admits(&uri), expected, "{pattern} {uri:?}");
        }
    }

    #[test]
    fn what_would_admit_everybody_is_no_pattern() {
        use RedirectPatternError as E;
        for (text, expected) in [
            ("*", E::Uri(RedirectUriError::NotAbsolute)),
            ("https://*", E::Wildcard),
            ("https://*/cb", E::Wildcard),
            ("https://*.com/cb", E::Wildcard),
            ("https://*:*/**", E::Wildcard),
            ("https://client.*/cb", E::Wildcard),
            ("https://a*.example.com/cb", E::Wildcard),
            ("https://*a.example.com/cb", E::Wildcard),
            ("https://*.*.example.com/cb", E::Wildcard),
            ("https://**.example.com/cb", E::Wildcard),
            ("https://client.example/***", E::Wildcard),
            ("https://client.example/a**", E::Wildcard),
            ("https://client.example/*?x=*", E::Wildcard),
            ("https://client.example/a/../*", E::Wildcard),
            ("https://CLIENT.example/*", E::Wildcard),
            (
                "http://*.example.com/cb",
                E::Uri(RedirectUriError::Insecure),
            ),
            ("*://client.example/cb", E::Uri(RedirectUriError::Scheme)),
            ("javascript:*", E::Uri(RedirectUriError::Scheme)),
            (
                "https://*@client.example/",
                E::Uri(RedirectUriError::Credentials),
            ),
            (
                "https://client.example/*#x",
                E::Uri(RedirectUriError::Fragment),
            ),
        ] {
            assert_eq!(RedirectPattern::parse(text), Err(expected), "{text}");
        }
    }

    proptest! {
        /// Held against the definition, which takes its time.
        #[test]
        fn globs_mean_what_they_say(pattern in "[ab*]{0,8}", text in "[ab]{0,8}") {
            fn naive(pattern: &[u8], text: &[u8]) -> bool {
                match (pattern, text) {
                    ([b'*', rest @ ..], _) => {
                        (0..=text.len()).any(|taken| naive(rest, &text[taken..]))
                    }
                    ([wanted, rest @ ..], [byte, text @ ..]) => wanted == byte && naive(rest, text),
                    ([], []) => true,
                    _ => false,
                }
            }
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            let found = glob_matches(pattern, text, |byte| *byte == b'*', u8::eq);
            prop_assert_eq!(found, naive(pattern, text));
        }

        /// Whatever a client writes behind a wildcard, the host stays what the operator said.
        #[test]
        fn no_path_leaves_its_host(path in "[a-z0-9%./;:@_~-]{0,40}") {
            let pattern = RedirectPattern::parse("https://client.example/**").unwrap();
            let uri = format!("https://client.example{path}");
            if let Ok(uri) = RedirectUri::parse(&uri) && pattern.admits(&uri) {
                let url = Url::parse(uri.as_str()).unwrap();
                prop_assert_eq!(url.host_str(), Some("client.example"));
                prop_assert!(url.path().split('/').all(|segment| segment != ".."));
            }
        }
    }
}
