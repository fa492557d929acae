//! Servers on hosts of their own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use http::Request;
use http::header::HOST;
use http::uri::Authority;
use tower::Service;
use url::Url;

/// What answers at each host; where a host is not known, the authorization server does.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    own: Router,
    others: Arc<HashMap<Host, Router>>,
}

/// A host, and the port where it is not the scheme's own.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Host {
    name: String,
    port: Option<u16>,
}

impl Host {
    pub(super) fn of(url: &Url) -> Self {
        let name = url.host_str().unwrap_or_default().to_ascii_lowercase();
        Self {
            name,
            port: url.port(),
        }
    }

    /// The host that a request names (RFC 9110 §7.2, RFC 9113 §8.3.1). Whether `443` was left out or
    /// written says nothing; `80` is taken for left out, too.
    fn asked<B>(request: &Request<B>) -> Option<Self> {
        let written = request.uri().authority().cloned();
        let authority = written.or_else(|| {
            let mut hosts = request.headers().get_all(HOST).iter();
            let only = hosts.next().filter(|_| hosts.next().is_none())?;
            Authority::try_from(only.as_bytes()).ok()
        })?;
        Some(Self {
            name: authority.host().to_ascii_lowercase(),
            port: authority
                .port_u16()
                .filter(|port| ![443, 80].contains(port)),
        })
    }
}

impl Hosts {
    /// `own`, and each of `others` at its host.
    pub(super) fn router(own: Router, others: HashMap<Host, Router>) -> Router {
        if others.is_empty() {
            return own;
        }
        let others = Arc::new(others);
        Router::new().fallback_service(Self { own, others })
    }
}

impl Service<Request<Body>> for Hosts {
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let asked = Host::asked(&request);
        match asked.and_then(|asked| self.others.get(&asked)) {
            Some(router) => router.clone().call(request),
            None => self.own.call(request),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;

    #[test]
    fn a_request_names_its_host() {
        let of = |uri: &str, hosts: &[&str]| {
            let mut request = Request::get(uri.parse::<Uri>().unwrap());
            for host in hosts {
                request = request.header(HOST, *host);
            }
            Host::asked(&request.body(()).unwrap())
        };
        let host = |url: &str| Some(Host::of(&url.parse().unwrap()));
        for (uri, hosts, expected) in [
            ("/mcp", &["a.example"][..], host("https://a.example")),
            ("/mcp", &["A.Example:443"], host("https://a.example/x")),
            ("/mcp", &["a.example:80"], host("http://a.example")),
            ("/mcp", &["a.example:8443"], host("https://a.example:8443")),
            ("/mcp", &["[::1]:8080"], host("http://[::1]:8080")),
            // An absolute form wins (RFC 9112 §3.2.2).
            (
                "https://a.example/mcp",
                &["b.example"],
                host("https://a.example"),
            ),
            ("/mcp", &[], None),
            ("/mcp", &["a.example", "b.example"], None),
            ("/mcp", &["a.example", "a.example"], None),
            ("/mcp", &["a example"], None),
            ("/mcp", &[""], None),
        ] {
            assert_eq!(of(uri, hosts), expected, "{uri} {hosts:?}");
        }
        assert_ne!(host("https://a.example:8443"), host("https://a.example"));
    }
}
