//! Where a request was sent.

use std::fmt;

use url::Url;

/// How long `htu` may be.
const LONGEST: usize = 2048;

/// The URL of a request without query and fragment, in its one spelling (RFC 9449 §4.3 with
/// RFC 3986 §6.2.2 and §6.2.3): what `htu` is compared with.
#[derive(Clone, Eq, PartialEq)]
pub struct ProofTarget(String);

impl ProofTarget {
    /// The target of requests to `url`.
    pub fn of(url: &Url) -> Self {
        let origin = url.origin().ascii_serialization();
        Self(format!("{origin}{}", spelled(url.path())))
    }

    /// The target of a request for `path` on the host of `url`; `None` if that is no path.
    pub(crate) fn on_host_of(url: &Url, path: &str) -> Option<Self> {
        let origin = url.origin().ascii_serialization();
        Self::parse(&format!("{origin}{path}"))
    }

    /// Reads `htu`; `None` if it is no URL of a request.
    pub(crate) fn parse(htu: &str) -> Option<Self> {
        // The URL parser drops white space, and takes a backslash for a slash.
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
        if htu.len() > LONGEST || !htu.bytes().all(plain) {
            return None;
        }
        let url = Url::parse(htu).ok()?;
        let bare = url.username().is_empty() && url.password().is_none();
        let fits = matches!(url.scheme(), "https" | "http") && bare;
        fits.then(|| Self::of(&url))
    }
}

/// A path whose letters are themselves, and whose other escapes have capitals.
///
/// The URL parser did the rest: scheme and host in small letters, no default port, no dot segments.
fn spelled(path: &str) -> String {
    let mut spelled = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        spelled.push_str(before);
        let escape = after.get(..2);
        let byte = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, escape) {
            (Some(byte), _) if is_unreserved(byte) => spelled.push(char::from(byte)),
            (Some(_), Some(digits)) => {
                spelled.push('%');
                spelled.push_str(&digits.to_ascii_uppercase());
            }
            (None, _) | (_, None) => {
                spelled.push('%');
                rest = after;
                continue;
            }
        }
        rest = after.get(2..).unwrap_or_default();
    }
    spelled.push_str(rest);
    spelled
}

/// Unreserved characters (RFC 3986 §2.3).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

impl fmt::Debug for ProofTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProofTarget({:?})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(htu: &str) -> Option<String> {
        ProofTarget::parse(htu).map(|ProofTarget(text)| text)
    }

    #[test]
    fn spellings_of_one_url_are_one_target() {
        for same in [
            "https://mcp.example.com/a%2Fb/~c",
            "HTTPS://MCP.example.com/a%2fb/%7Ec",
            "https://mcp.example.com:443/a%2Fb/%7ec",
            "https://mcp.example.com/x/../a%2Fb/./~c",
            "https://mcp.example.com/%61%2Fb/~%63",
            "https://mcp.example.com/a%2Fb/~c?query=1",
            "https://mcp.example.com/a%2Fb/~c#fragment",
        ] {
            let target = "https://mcp.example.com/a%2Fb/~c";
            assert_eq!(read(same).as_deref(), Some(target), "{same}");
        }
        assert_eq!(read("http://h").as_deref(), Some("http://h/"));
        assert_eq!(read("http://h:80/%").as_deref(), Some("http://h/%"));
        assert_eq!(read("http://h/%zz%4").as_deref(), Some("http://h/%zz%4"));
        assert_eq!(read("http://h/%%41").as_deref(), Some("http://h/%A"));
    }

    #[test]
    fn other_urls_are_other_targets() {
        let target = read("https://mcp.example.com/mcp");
        for other in [
            "http://mcp.example.com/mcp",
            "https://mcp.example.com:8443/mcp",
            "https://example.com/mcp",
            "https://mcp.example.com./mcp",
            "https://mcp.example.com/mcp/",
            "https://mcp.example.com/MCP",
            "https://mcp.example.com/mcp%2F",
            "https://mcp.example.com//mcp",
            "https://mcp.example.com/",
        ] {
            let read = read(other);
            assert!(read.is_some(), "{other}");
            assert_ne!(read, target, "{other}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_request_is_no_target() {
        let long = format!("https://h/{}", "x".repeat(LONGEST));
        for htu in [
            "",
            "/mcp",
            "h/mcp",
            "https:///",
            "https://u@h/mcp",
            "https://u:p@h/mcp",
            "https:\\\\h\\mcp",
            "https://h\\mcp",
            " https://h/mcp",
            "https://h/m cp",
            "https://h/m\tcp",
            "https://h/\u{e9}",
            "ftp://h/mcp",
            "data:,x",
            &long,
        ] {
            assert_eq!(read(htu), None, "{htu}");
        }
    }

    proptest! {
        #[test]
        fn a_spelling_stays_as_it_is(path in "[ -~]{0,40}") {
            if let Some(once) = read(&format!("https://h/{path}")) {
                let again = read(&once);
                // `?` and `#` are gone after the first time.
                prop_assert_eq!(again, Some(once));
            }
        }
    }
}
