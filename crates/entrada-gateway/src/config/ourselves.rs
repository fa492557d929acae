//! Where this gateway is, so that it is not set before itself.

use std::net::{IpAddr, SocketAddr};

use url::{Host, Url};

use crate::config::source::Sources;
use crate::config::value;

/// Where this gateway is found.
#[derive(Debug)]
pub(super) struct Ourselves {
    listen: Option<SocketAddr>,
    base_url: Option<Url>,
    resource_path: String,
}

impl Ourselves {
    /// By what is set, as far as that can be read.
    pub(super) fn of(sources: &Sources<'_>) -> Self {
        let listen = sources.text("listen");
        let base_url = sources.text("base_url");
        Self {
            listen: listen.and_then(|text| value::address(&text).ok()),
            base_url: base_url.and_then(|text| Url::parse(&text).ok()),
            resource_path: match sources.unread_route_path() {
                Some(path) => path.to_owned(),
                None => sources.text("resource_path").unwrap_or_default(),
            },
        }
    }

    /// `upstream`, unless it is this gateway: requests would go round and round.
    pub(super) fn refuse(&self, upstream: Url) -> Result<Url, String> {
        if self.listens_at(&upstream) {
            return Err(
                "the gateway itself listens there: write where the MCP server does".to_owned(),
            );
        }
        if self.is_public_at(&upstream) {
            return Err(
                "that is the gateway's own public URL: write where the MCP server itself is"
                    .to_owned(),
            );
        }
        Ok(upstream)
    }

    fn listens_at(&self, upstream: &Url) -> bool {
        // Port 0 is a free one, which nobody knows yet.
        let Some(listen) = self.listen.filter(|listen| listen.port() != 0) else {
            return false;
        };
        let every = listen.ip().is_unspecified();
        let at = |ip: IpAddr| ip == listen.ip() || (every && ip.is_loopback());
        let same = match upstream.host() {
            Some(Host::Ipv4(ip)) => at(ip.into()),
            Some(Host::Ipv6(ip)) => at(ip.into()),
            Some(Host::Domain(name)) => name == "localhost" && (every || listen.ip().is_loopback()),
            None => false,
        };
        same && upstream.port_or_known_default() == Some(listen.port())
    }

    /// At the base URL, or at the resource below it: what else is on that origin may be others'.
    fn is_public_at(&self, upstream: &Url) -> bool {
        let Some(base_url) = &self.base_url else {
            return false;
        };
        let base = base_url.path().trim_end_matches('/');
        let resource = format!("{base}{}", self.resource_path);
        let path = upstream.path();
        let below = path.strip_prefix(resource.trim_end_matches('/'));
        let below = below.is_some_and(|below| below.is_empty() || below.starts_with('/'));
        base_url.origin() == upstream.origin() && (below || path.trim_end_matches('/') == base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(listen: &str, base_url: &str, upstream: &str) -> bool {
        let ourselves = Ourselves {
            listen: Some(listen.parse().unwrap()),
            base_url: Some(base_url.parse().unwrap()),
            resource_path: "/mcp".to_owned(),
        };
        ourselves.refuse(upstream.parse().unwrap()).is_err()
    }

    #[test]
    fn a_gateway_is_known_by_where_it_listens() {
        for (listen, upstream, expected) in [
            ("127.0.0.1:8000", "http://127.0.0.1:8000/mcp", true),
            ("127.0.0.1:8000", "http://127.0.0.1:8000/else", true),
            ("127.0.0.1:8000", "http://localhost:8000", true),
            ("127.0.0.1:8000", "http://127.0.0.1:8001/mcp", false),
            ("127.0.0.1:8000", "http://[::1]:8000/mcp", false),
            ("127.0.0.1:8000", "http://10.0.0.1:8000/mcp", false),
            ("127.0.0.1:8000", "http://mcp.internal:8000/mcp", false),
            ("127.0.0.1:80", "http://127.0.0.1/mcp", true),
            ("0.0.0.0:8000", "http://127.0.0.1:8000/mcp", true),
            ("[::]:8000", "http://[::1]:8000/mcp", true),
            ("0.0.0.0:8000", "http://localhost:8000/mcp", true),
            ("0.0.0.0:8000", "http://10.0.0.1:8000/mcp", false),
            ("10.0.0.1:8000", "http://localhost:8000/mcp", false),
            ("127.0.0.1:0", "http://127.0.0.1:8000/mcp", false),
        ] {
            let found = found(listen, "https://mcp.example.com", upstream);
            assert_eq!(found, expected, "{listen} {upstream}");
        }
    }

    #[test]
    fn a_gateway_is_known_by_its_public_url() {
        for (base_url, upstream, expected) in [
            ("https://h.example", "https://h.example/mcp", true),
            ("https://h.example", "https://h.example:443/mcp/a", true),
            ("https://h.example", "https://h.example", true),
            ("https://h.example", "https://h.example/other", false),
            ("https://h.example", "https://h.example/mcps", false),
            ("https://h.example", "https://h.example:8443/mcp", false),
            ("https://h.example", "http://h.example/mcp", false),
            ("https://h.example", "https://mcp.h.example/mcp", false),
            ("https://h.example/a/", "https://h.example/a/mcp", true),
            ("https://h.example/a", "https://h.example/a/", true),
            ("https://h.example/a", "https://h.example/mcp", false),
            ("https://h.example/a", "https://h.example", false),
        ] {
            let found = found("127.0.0.1:8000", base_url, upstream);
            assert_eq!(found, expected, "{base_url} {upstream}");
        }
    }
}
