//! Which headers go through, and which stop here.

use std::str::FromStr;

use http::header::{
    ACCEPT, ALT_SVC, AUTHORIZATION, CONNECTION, CONTENT_TYPE, COOKIE, EXPECT, Entry, FORWARDED,
    HOST, ORIGIN, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, STRICT_TRANSPORT_SECURITY,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue};

/// What the MCP server sees as `Host`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the configuration names every variant"
)]
pub enum HostHeader {
    /// What the client sent, with its `Origin`.
    Preserve,
    /// The server's own name, and no `Origin`: ours was checked already, and a server that checks
    /// it again knows only itself.
    Rewrite,
}

impl FromStr for HostHeader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "preserve" => Ok(Self::Preserve),
            "rewrite" => Ok(Self::Rewrite),
            _ => Err("write preserve or rewrite".to_owned()),
        }
    }
}

/// Makes a client's headers fit to be sent on. `authority` is the one in the request's target.
pub fn clean_request(headers: &mut HeaderMap, host: HostHeader, authority: Option<&Authority>) {
    strip_connection(headers);
    // It would announce fields that do not follow.
    headers.remove(TRAILER);
    let ours: Vec<HeaderName> = headers
        .keys()
        .filter(|name| stops_here(name))
        .cloned()
        .collect();
    for name in ours {
        headers.remove(name);
    }
    match host {
        HostHeader::Rewrite => {
            headers.remove(HOST);
            headers.remove(ORIGIN);
        }
        HostHeader::Preserve => keep_host(headers, authority),
    }
}

/// Makes a server's headers fit to be sent back.
pub fn clean_response(headers: &mut HeaderMap) {
    strip_connection(headers);
    keep_challenges(headers);
    for name in OURS_TO_SAY {
        headers.remove(name);
    }
    if is_event_stream(headers) && !headers.contains_key(X_ACCEL_BUFFERING) {
        headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    }
}

/// Keeps those challenges that do not say where to sign in: that is ours to tell (RFC 9728 §5.1), and
/// whoever goes by another is asked for their password by a stranger.
fn keep_challenges(headers: &mut HeaderMap) {
    let leads_away = |value: &HeaderValue| {
        let value = value.as_bytes().to_ascii_lowercase();
        let mut parts = value.windows(RESOURCE_METADATA.len());
        parts.any(|part| part == RESOURCE_METADATA)
    };
    if !headers.get_all(WWW_AUTHENTICATE).iter().any(leads_away) {
        return;
    }
    let all: Vec<_> = match headers.entry(WWW_AUTHENTICATE) {
        Entry::Occupied(challenges) => challenges.remove_entry_mult().1.collect(),
        Entry::Vacant(_) => Vec::new(),
    };
    for challenge in all.into_iter().filter(|value| !leads_away(value)) {
        headers.append(WWW_AUTHENTICATE, challenge);
    }
}

/// Whether the body is a stream of events.
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let essence = content_type.and_then(|value| value.split(|byte| *byte == b';').next());
    essence.is_some_and(|essence| {
        essence
            .trim_ascii()
            .eq_ignore_ascii_case(b"text/event-stream")
    })
}

/// Removes what concerns one connection only (RFC 9110 §7.6.1).
fn strip_connection(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !is_for_the_end(name))
        .collect();
    for name in nominated {
        headers.remove(name);
    }
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
}

/// Whether a field is for whoever reads the content, so that `Connection` must not name it. What the guard
/// looked at would else be sent without what it was let through for: `Last-Event-ID` without its session.
fn is_for_the_end(name: &HeaderName) -> bool {
    let prefixes = ["accept", "content-", "mcp-"];
    let known = prefixes
        .iter()
        .any(|prefix| name.as_str().starts_with(prefix));
    known || [HOST, LAST_EVENT_ID, ORIGIN].contains(name)
}

/// Before the name a tool gave a parameter, which may hold `_` and must arrive (MCP transports,
/// *Custom Headers from Tool Parameters*). What it folds to is nobody else's.
const MCP_PARAM: &str = "mcp-param-";

/// Whether a request header is not for the MCP server, or not for a client to say.
fn stops_here(name: &HeaderName) -> bool {
    if CREDENTIALS.contains(name) || INTERMEDIARY.contains(name) || *name == EXPECT {
        return true;
    }
    let name = name.as_str();
    // CGI and its heirs hand `mcp_session_id`, and some `mcp.session.id`, to programs as
    // `mcp-session-id` (RFC 3875 §4.1.18), past whoever looked at the latter only.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let folds = !name.bytes().all(plain) && !name.starts_with(MCP_PARAM);
    folds
        || INTERMEDIARY_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// Whether a name already means something to MCP, to HTTP or to us.
pub(crate) fn is_ours(name: &HeaderName) -> bool {
    let hop = [
        ACCEPT,
        CONNECTION,
        HOST,
        ORIGIN,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        LAST_EVENT_ID,
    ];
    let prefixes = ["accept-", "content-", "mcp-"];
    let known = prefixes
        .iter()
        .any(|prefix| name.as_str().starts_with(prefix));
    known || hop.contains(name) || stops_here(name)
}

/// The host in the target is the one that was asked (RFC 9112 §3.2.2, RFC 9113 §8.3.1), whatever a header
/// says; a server that went by the header would answer for another.
fn keep_host(headers: &mut HeaderMap, authority: Option<&Authority>) {
    let host = authority.map(|authority| HeaderValue::from_str(authority.as_str()));
    if let Some(Ok(host)) = host {
        headers.insert(HOST, host);
    }
}

/// What proves to us who the client is, and would let the MCP server pose as it.
const CREDENTIALS: [HeaderName; 4] = [
    AUTHORIZATION,
    COOKIE,
    HeaderName::from_static("dpop"),
    PROXY_AUTHORIZATION,
];

/// What no server says to a client behind us.
const OURS_TO_SAY: [HeaderName; 15] = [
    // No proof reaches the server, so none is to hold what it says; the client would take it for ours.
    HeaderName::from_static("dpop-nonce"),
    PROXY_AUTHENTICATE,
    // Browsers would keep it for all of our origin, sign-ins among it: cookies beside those that bind them,
    // and where each URL is reported to, with the codes in it.
    ALT_SVC,
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("nel"),
    HeaderName::from_static("report-to"),
    HeaderName::from_static("reporting-endpoints"),
    HeaderName::from_static("service-worker-allowed"),
    SET_COOKIE,
    STRICT_TRANSPORT_SECURITY,
    // Proxies before us would obey, and send what is theirs.
    HeaderName::from_static("x-accel-expires"),
    HeaderName::from_static("x-accel-redirect"),
    HeaderName::from_static("x-lighttpd-send-file"),
    HeaderName::from_static("x-reproxy-url"),
    HeaderName::from_static("x-sendfile"),
];

/// What servers believe of an intermediary, and we do not say.
const INTERMEDIARY: [HeaderName; 9] = [
    FORWARDED,
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-rewrite-url"),
];

/// How the names of others begin that servers believe of one. App Service says so who signed in
/// (Microsoft, *Easy Auth*), and a server that was behind it may still read it; so say Cloudflare Access,
/// Authelia, Tailscale, AWS load balancers, oauth2-proxy, Google's IAP, Pomerium, and others.
const INTERMEDIARY_PREFIXES: [&str; 18] = [
    "cf-access-",
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "tailscale-user-",
    "x-amzn-oidc-",
    "x-auth-request-",
    "x-authenticated-",
    "x-goog-authenticated-",
    "x-goog-iap-",
    "x-pomerium-",
    "x-remote-",
    "x-webauth-",
    "x-entrada-",
    "x-forwarded-",
    "x-ms-client-principal",
    "x-ms-token-",
];

const RESOURCE_METADATA: &[u8] = b"resource_metadata";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    fn cleaned(lines: &[(&str, &str)], host: HostHeader) -> Vec<(String, String)> {
        let mut headers = headers(lines);
        clean_request(&mut headers, host, None);
        let lines = headers.iter();
        lines
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect()
    }

    #[test]
    fn a_request_loses_these_headers() {
        for name in [
            "authorization",
            "cookie",
            "dpop",
            "proxy-authorization",
            "connection",
            "keep-alive",
            "te",
            "upgrade",
            "transfer-encoding",
            "expect",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x_forwarded_for",
            "x-real-ip",
            "x-client-ip",
            "true-client-ip",
            "x-http-method-override",
            "x-original-host",
            "x-ms-client-principal",
            "x-ms-client-principal-id",
            "remote-user",
            "x-remote-group",
            "x-auth-request-email",
            "x-amzn-oidc-data",
            "x-goog-authenticated-user-email",
            "cf-access-authenticated-user-email",
            "tailscale-user-login",
            "x-ms-token-aad-access-token",
            "x-entrada.subject",
            "x.entrada-subject",
            "mcp~session~id",
            "x-entrada-subject",
            "x-entrada-anything",
            "x_entrada_subject",
            "x-entrada_subject",
            "mcp_session_id",
            "mcp-session_id",
            "_",
            "x-original-url",
            "x-rewrite-url",
            "trailer",
            "host",
            "origin",
        ] {
            let left = cleaned(&[(name, "value")], HostHeader::Rewrite);
            assert_eq!(left, [], "{name}");
        }
    }

    #[test]
    fn a_request_keeps_these_headers() {
        for name in [
            "accept",
            "content-type",
            "content-length",
            "last-event-id",
            "mcp-session-id",
            "mcp-protocol-version",
            "mcp-method",
            "mcp-name",
            "mcp-param-anything",
            "mcp-param-user_id",
            "traceparent",
            "tracestate",
            "baggage",
            "user-agent",
            "x-entradas",
            "x-forwarded",
            "x-goog-api-key",
            "x-api-key",
        ] {
            let left = cleaned(&[(name, "=?base64?w6Q=?=")], HostHeader::Rewrite);
            assert_eq!(left, [(name.to_owned(), "=?base64?w6Q=?=".to_owned())]);
        }
    }

    #[test]
    fn what_connection_nominates_is_for_one_hop() {
        let lines = [
            ("connection", "keep-alive, X-Hop"),
            ("connection", "x-other"),
            ("x-hop", "1"),
            ("x-other", "2"),
            ("x-end", "3"),
        ];
        let left = cleaned(&lines, HostHeader::Rewrite);
        assert_eq!(left, [("x-end".to_owned(), "3".to_owned())]);
    }

    #[test]
    fn preserving_keeps_host_and_origin() {
        let lines = [("host", "mcp.example.com"), ("origin", "https://a.example")];
        assert_eq!(cleaned(&lines, HostHeader::Preserve).len(), 2);
    }

    #[test]
    fn preserving_takes_the_host_from_the_target() {
        let mut headers = HeaderMap::new();
        let authority = Authority::from_static("mcp.example.com");
        clean_request(&mut headers, HostHeader::Preserve, Some(&authority));
        assert_eq!(headers[HOST], "mcp.example.com");
    }

    #[test]
    fn the_host_that_was_asked_is_the_one_in_the_target() {
        let mut headers = headers(&[("host", "other.example"), ("connection", "host")]);
        let authority = Authority::from_static("mcp.example.com");
        clean_request(&mut headers, HostHeader::Preserve, Some(&authority));
        let hosts: Vec<_> = headers.get_all(HOST).iter().collect();
        assert_eq!(hosts, ["mcp.example.com"]);
    }

    #[test]
    fn what_is_for_the_end_is_for_no_hop() {
        for name in [
            "mcp-session-id",
            "last-event-id",
            "content-type",
            "accept",
            "mcp-name",
        ] {
            let lines = [("connection", name), (name, "x")];
            let left = cleaned(&lines, HostHeader::Rewrite);
            assert_eq!(left, [(name.to_owned(), "x".to_owned())]);
        }
    }

    #[test]
    fn event_streams_ask_not_to_be_buffered() {
        for (content_type, asked) in [
            ("text/event-stream", Some("no")),
            ("Text/Event-Stream ; charset=utf-8", Some("no")),
            ("application/json", None),
            ("text/event-streams", None),
        ] {
            let mut headers = headers(&[("content-type", content_type)]);
            clean_response(&mut headers);
            let found = headers.get(X_ACCEL_BUFFERING);
            assert_eq!(found.map(|value| value.to_str().unwrap()), asked);
        }
    }

    #[test]
    fn what_is_for_us_alone_to_give_is_not_taken_from_a_server() {
        for name in ["dpop-nonce", "proxy-authenticate", "set-cookie"] {
            let mut headers = headers(&[(name, "x"), ("x-kept", "x")]);
            clean_response(&mut headers);
            let kept: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
            assert_eq!(kept, ["x-kept"], "{name}");
        }
    }

    #[test]
    fn a_servers_own_wish_for_buffering_stands() {
        let lines = [
            ("content-type", "text/event-stream"),
            ("x-accel-buffering", "yes"),
        ];
        let mut headers = headers(&lines);
        clean_response(&mut headers);
        assert_eq!(headers[X_ACCEL_BUFFERING], "yes");
    }
}
