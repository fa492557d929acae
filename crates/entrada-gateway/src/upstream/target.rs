//! From a path on our side to a URL of the MCP server.

use std::collections::HashSet;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use url::{Url, form_urlencoded};

use crate::upstream::place::Place;

/// The URL that stands behind the resource path.
#[derive(Clone, Debug)]
pub struct Target {
    scheme: Scheme,
    authority: Authority,
    path: String,
    query: Option<String>,
    resource_path: String,
    /// Where a request for the resource path itself goes: nearly every request.
    whole: Uri,
    /// What of it may stand in a log.
    shown: String,
}

/// The URL is not one that requests can be sent to.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not a URL that requests can be sent to")]
#[non_exhaustive]
pub struct TargetError;

/// What a server told as the URL for messages is no URL of its own, or comes too late to be made ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the upstream told an endpoint on another origin, or a second one")]
#[non_exhaustive]
pub struct ForeignEndpoint;

/// The path does not lead to the MCP server.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the path does not lead to the upstream")]
#[non_exhaustive]
pub struct Unmapped;

impl Target {
    /// Maps `resource_path` and what is below it to the URL of `place` and what is below that.
    ///
    /// # Errors
    ///
    /// [`TargetError`] if that has no host.
    pub fn new(place: &Place, resource_path: &str) -> Result<Self, TargetError> {
        let url = &place.url;
        let whole: Uri = url.as_str().parse().map_err(|_| TargetError)?;
        let parts = whole.clone().into_parts();
        Ok(Self {
            scheme: parts.scheme.ok_or(TargetError)?,
            authority: parts.authority.ok_or(TargetError)?,
            path: url.path().to_owned(),
            query: url.query().map(str::to_owned),
            resource_path: resource_path.trim_end_matches('/').to_owned(),
            whole,
            shown: place.shown(),
        })
    }

    /// Where the MCP server is, without path and query.
    pub fn origin(&self) -> &str {
        &self.shown
    }

    /// The URL that stands behind the resource path itself.
    pub(super) fn whole(&self) -> &Uri {
        &self.whole
    }

    /// The URL of `path` at the origin of the MCP server.
    pub(super) fn at(&self, path: &PathAndQuery) -> Uri {
        let mut parts = self.whole.clone().into_parts();
        parts.path_and_query = Some(path.clone());
        // Both parts were those of a URL.
        Uri::from_parts(parts).unwrap_or_else(|_| self.whole.clone())
    }

    /// The URL that the server `told` in its answer to `asked`, with the parameters that ours has.
    ///
    /// # Errors
    ///
    /// [`ForeignEndpoint`] if it is on another origin, or none at all.
    pub fn endpoint(&self, asked: &Uri, told: &str) -> Result<Uri, ForeignEndpoint> {
        let asked: Url = asked.to_string().parse().map_err(|_| ForeignEndpoint)?;
        let mut url = asked.join(told).map_err(|_| ForeignEndpoint)?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        if url.origin() != asked.origin() || !url.origin().is_tuple() || !is_plain {
            return Err(ForeignEndpoint);
        }
        url.set_fragment(None);
        if let Some(own) = &self.query {
            let told = url.query().and_then(|query| self.admitted(query));
            let all = told.map_or_else(|| own.clone(), |told| format!("{own}&{told}"));
            url.set_query(Some(&all));
        }
        url.as_str().parse().map_err(|_| ForeignEndpoint)
    }

    /// The URL for what was `asked` of us.
    ///
    /// # Errors
    ///
    /// [`Unmapped`] if it is not at or below the resource path, or climbs out of it.
    pub fn uri(&self, asked: &Uri) -> Result<Uri, Unmapped> {
        let below = self.below(asked.path())?;
        if below.is_empty() && asked.query().is_none() {
            return Ok(self.whole.clone());
        }
        let mut target = match below {
            "" => self.path.clone(),
            below => format!("{}{below}", self.path.trim_end_matches('/')),
        };
        let asked_query = asked.query().and_then(|query| self.admitted(query));
        let queries = [self.query.clone(), asked_query];
        for (query, mark) in queries.into_iter().flatten().zip(['?', '&']) {
            target.push(mark);
            target.push_str(&query);
        }
        let path_and_query: PathAndQuery = target.parse().map_err(|_| Unmapped)?;
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path_and_query)
            .build()
            .map_err(|_| Unmapped)
    }

    /// What of the client's `query` is sent: not the parameters that our own URL has, of which some
    /// servers take the last.
    fn admitted(&self, query: &str) -> Option<String> {
        let Some(own) = &self.query else {
            return Some(query.to_owned());
        };
        let own: HashSet<String> = names(own).collect();
        let admitted: Vec<&str> = query
            .split('&')
            .filter(|parameters| !names(parameters).any(|name| own.contains(&name)))
            .collect();
        (!admitted.is_empty()).then(|| admitted.join("&"))
    }

    /// What of `path` is below the resource path: empty, or with a leading slash.
    fn below<'a>(&self, path: &'a str) -> Result<&'a str, Unmapped> {
        let below = path.strip_prefix(&self.resource_path).ok_or(Unmapped)?;
        if self.resource_path.is_empty() && below == "/" {
            return Ok("");
        }
        if !(below.is_empty() || below.starts_with('/')) || climbs(below) {
            return Err(Unmapped);
        }
        Ok(below)
    }
}

/// The names of the parameters in `query`, as the most lenient of servers read them: apart by
/// semicolons too, in any case, with brackets for lists, and not quite fit for a variable.
fn names(query: &str) -> impl Iterator<Item = String> {
    query
        .split(['&', ';'])
        .filter_map(|parameter| form_urlencoded::parse(parameter.as_bytes()).next())
        .map(|(name, _)| {
            let name = name.split('[').next().unwrap_or_default();
            name.trim_start().replace([' ', '.'], "_").to_lowercase()
        })
}

/// Whether a server may read `path` as one that leads upwards: dot segments, encoded or not, apart
/// by slashes, backslashes or their encodings (RFC 3986 §6.2.2). What can be read in more than one
/// way counts as one.
pub(crate) fn climbs(path: &str) -> bool {
    if !path.contains(['.', '%']) {
        return false;
    }
    let Some(plain) = decoded(path) else {
        return true;
    };
    // Encoded twice, for servers that decode twice.
    plain.contains('%')
        || plain.contains(char::is_control)
        || plain.split(['/', '\\']).any(|segment| {
            // Servlet containers drop the parameters of a segment first (RFC 3986 §3.3).
            matches!(segment.split(';').next(), Some("." | ".."))
        })
}

/// Decodes `path`, or nothing where servers differ in what they make of it: halves of an encoding,
/// and bytes that are not UTF-8, among them a dot of two bytes.
pub(crate) fn decoded(path: &str) -> Option<String> {
    let mut pieces = path.split('%');
    let mut plain = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (encoded, rest) = piece.as_bytes().split_at_checked(2)?;
        let digits = str::from_utf8(encoded).ok()?;
        if !encoded.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        plain.push(u8::from_str_radix(digits, 16).ok()?);
        plain.extend_from_slice(rest);
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(upstream: &str, resource_path: &str) -> Target {
        Target::new(&Place::at(upstream.parse().unwrap()), resource_path).unwrap()
    }

    fn mapped(upstream: &str, resource_path: &str, asked: &str) -> Result<String, Unmapped> {
        let target = target(upstream, resource_path);
        let uri = target.uri(&asked.parse().unwrap())?;
        Ok(uri.to_string())
    }

    #[test]
    fn the_origin_holds_no_path_and_no_query() {
        let target = target("https://u:3000/mcp?key=hush-hush", "/mcp");
        assert_eq!(target.origin(), "https://u:3000");
    }

    #[test]
    fn paths_and_queries_are_appended() {
        for (upstream, resource_path, asked, expected) in [
            ("http://u:3000/mcp", "/mcp", "/mcp", "http://u:3000/mcp"),
            ("http://u:3000/", "/mcp", "/mcp", "http://u:3000/"),
            ("http://u/a/b", "/mcp", "/mcp/c/d", "http://u/a/b/c/d"),
            ("http://u/a/", "/mcp", "/mcp/c", "http://u/a/c"),
            ("http://u/a", "/mcp", "/mcp/", "http://u/a/"),
            ("http://u/a", "/mcp", "/mcp?q=%20x", "http://u/a?q=%20x"),
            ("http://u/a?k=1", "/mcp", "/mcp", "http://u/a?k=1"),
            ("http://u/a?k=1", "/mcp", "/mcp/c?q", "http://u/a/c?k=1&q"),
            ("http://u/mcp", "/", "/", "http://u/mcp"),
            ("http://u/mcp", "/", "/c", "http://u/mcp/c"),
            ("https://u/mcp", "/a/b", "/a/b/c", "https://u/mcp/c"),
            ("http://u/mcp", "/mcp", "http://host/mcp", "http://u/mcp"),
            (
                "http://u/mcp",
                "/mcp",
                "/mcp/a.b/..c",
                "http://u/mcp/a.b/..c",
            ),
            (
                "http://u/mcp",
                "/mcp",
                "/mcp/a;v=1.0/.b;c/...;/%C3%A9%2E%3b",
                "http://u/mcp/a;v=1.0/.b;c/...;/%C3%A9%2E%3b",
            ),
        ] {
            assert_eq!(
                mapped(upstream, resource_path, asked).as_deref(),
                Ok(expected)
            );
        }
    }

    #[test]
    fn an_endpoint_is_the_servers_own() {
        for (upstream, told, expected) in [
            (
                "http://u/sse",
                "/messages/?s=1",
                Some("http://u/messages/?s=1"),
            ),
            (
                "http://u/a/sse",
                "messages?s=1",
                Some("http://u/a/messages?s=1"),
            ),
            ("http://u/sse", "?s=1", Some("http://u/sse?s=1")),
            ("http://u/sse", "http://u:80/m#top", Some("http://u/m")),
            ("http://u/sse?k=1", "/m?s=1&k=2", Some("http://u/m?k=1&s=1")),
            ("http://u/sse?k=1", "/m", Some("http://u/m?k=1")),
            ("http://u/sse", "https://u/m", None),
            ("http://u/sse", "http://u:81/m", None),
            ("http://u/sse", "http://evil/m", None),
            ("http://u/sse", "//evil/m", None),
            ("http://u/sse", "\\\\evil\\m", None),
            ("http://u/sse", "http://u@evil/m", None),
            ("http://u/sse", "http://evil@u/m", None),
            ("http://u/sse", "data:x", None),
            ("http://u/sse", "http://[", None),
        ] {
            let asked = upstream.parse().unwrap();
            let found = target(upstream, "/mcp").endpoint(&asked, told);
            let found = found.map(|uri| uri.to_string()).ok();
            assert_eq!(found.as_deref(), expected, "{told}");
        }
    }

    #[test]
    fn a_client_cannot_say_anew_what_the_operator_said() {
        let upstream = "http://u/mcp?tenant=a%20b&read+only=1&flag";
        for (asked, left) in [
            ("x=1&tenant=evil&y=2", "&x=1&y=2"),
            ("tenant", ""),
            ("tenant=1&tenant=2", ""),
            ("%74enant=1&TENANT=2&&x", "&&x"),
            ("tenant[]=1&tenant%5B0%5D=2", ""),
            ("read%20only=0&read+only=0&read_only=0&read.only=0", ""),
            ("+tenant=1", ""),
            ("x;tenant=1", ""),
            ("x=1;y=2", "&x=1;y=2"),
            ("flag=no&flags=1", "&flags=1"),
            ("my_tenant=tenant&%FF=1", "&my_tenant=tenant&%FF=1"),
        ] {
            assert_eq!(
                mapped(upstream, "/mcp", &format!("/mcp?{asked}")),
                Ok(format!("{upstream}{left}")),
                "{asked}"
            );
        }
    }

    #[test]
    fn nothing_climbs_out_of_the_resource() {
        for asked in [
            "/",
            "/other",
            "/mcpx",
            "/mcp/..",
            "/mcp/../admin",
            "/mcp/./x",
            "/mcp/%2e%2e/admin",
            "/mcp/.%2E/admin",
            "/mcp/..%2fadmin",
            "/mcp/..%5Cadmin",
            "/mcp/%252e%252e/admin",
            "/mcp/..\\admin",
            "/mcp/..;/actuator/env",
            "/mcp/..%3b/x",
            "/mcp/..%3B/x",
            "/mcp/%2e%2e;a=b/x",
            "/mcp/%2e%2e%3bx/admin",
            "/mcp/.;/x",
            "/mcp/a/..;b;c",
            "/mcp/..;%2fadmin",
            "/mcp/..;%5cadmin",
            "/mcp/..;a\\admin",
            "/mcp/..%253b/x",
            "/mcp/..%00/x",
            "/mcp/%u002e%u002e/x",
            "/mcp/%+2e/x",
            "/mcp/%2",
            "/mcp/%",
            "/mcp/%c0%ae%c0%ae/x",
        ] {
            assert_eq!(
                mapped("http://u/mcp", "/mcp", asked),
                Err(Unmapped),
                "{asked}"
            );
        }
    }
}
