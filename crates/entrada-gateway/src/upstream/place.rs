//! Where an MCP server is.

use std::path::PathBuf;

use url::Url;

/// Where an MCP server, or one replica of it, is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Place {
    /// Its URL; on a socket, that of a host which is not asked for.
    pub url: Url,
    /// The Unix socket it listens on, where it does.
    pub socket: Option<PathBuf>,
}

impl Place {
    /// At this URL.
    pub const fn at(url: Url) -> Self {
        Self { url, socket: None }
    }

    /// On a Unix socket, at the path of `url`, whose host it is told is its own.
    pub fn on(socket: impl Into<PathBuf>, url: Url) -> Self {
        let socket = Some(socket.into());
        Self { url, socket }
    }

    /// What of it may stand in a log: no path and no query.
    pub fn shown(&self) -> String {
        match &self.socket {
            Some(socket) => format!("unix:{}", socket.display()),
            None => self.url.origin().ascii_serialization(),
        }
    }

    /// The same with its path; of a query, in which there may be a key, that there is one, and of a part of the
    /// path that is as long as keys are.
    pub fn whole(&self) -> String {
        let parts = self.url.path().split('/');
        let parts = parts.map(|part| {
            if part.len() > LONGEST_NAME {
                "…"
            } else {
                part
            }
        });
        let path = parts.collect::<Vec<_>>().join("/");
        let query = self.url.query().map_or("", |_| "?…");
        let mark = if self.socket.is_some() { ":" } else { "" };
        format!("{}{mark}{path}{query}", self.shown())
    }

    /// A short name that every gateway gives it, however many others there are: FNV-1a of where it is.
    pub(super) fn mark(&self) -> String {
        let bytes = self.shown().into_bytes();
        let hash = bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

/// How long a part of a path is that may be no key.
const LONGEST_NAME: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_of_the_host_and_the_same_everywhere() {
        let mark = |url: &str| Place::at(url.parse().unwrap()).mark();
        assert_eq!(mark("http://a:3000/mcp"), mark("http://a:3000/other?key=1"));
        assert_ne!(mark("http://a:3000/mcp"), mark("http://a:3001/mcp"));
        assert_ne!(mark("http://a:3000/mcp"), mark("https://a:3000/mcp"));
        // Sessions outlive releases.
        assert_eq!(mark("http://a:3000/mcp"), "42d0a02c38ea2a5f");
        let url: Url = "http://localhost/mcp".parse().unwrap();
        let socket = Place::on("/run/mcp.sock", url.clone());
        assert_eq!(socket.shown(), "unix:/run/mcp.sock");
        assert_ne!(socket.mark(), Place::at(url).mark());
    }

    #[test]
    fn what_may_be_a_key_is_shown_to_nobody() {
        let place = Place::at("http://a:3000/mcp?key=hunter2".parse().unwrap());
        assert_eq!(place.shown(), "http://a:3000");
        assert_eq!(place.whole(), "http://a:3000/mcp?…");
        let keyed = Place::at("http://a/s/0123456789abcdef01234567/mcp".parse().unwrap());
        assert_eq!(keyed.whole(), "http://a/s/…/mcp");
        let url = "http://localhost/mcp".parse().unwrap();
        let socket = Place::on("/run/mcp.sock", url);
        assert_eq!(socket.whole(), "unix:/run/mcp.sock:/mcp");
    }
}
