//! Resource indicators.

use serde::{Deserialize, Serialize};
use url::Url;

/// The URL of a protected resource (RFC 8707 §2): what an access token is for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceIndicator(String);

/// The text is not an absolute URL without a fragment: `invalid_target` (RFC 8707 §2).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an absolute URL without a fragment")]
#[non_exhaustive]
pub struct ResourceIndicatorError;

impl ResourceIndicator {
    /// Parses a resource indicator, keeping its spelling.
    ///
    /// # Errors
    ///
    /// [`ResourceIndicatorError`] if it is relative or has a fragment (`invalid_target`).
    pub fn parse(text: &str) -> Result<Self, ResourceIndicatorError> {
        let url = Url::parse(text).map_err(|_| ResourceIndicatorError)?;
        match (url.has_host(), url.fragment()) {
            (true, None) => Ok(Self(text.to_owned())),
            _ => Err(ResourceIndicatorError),
        }
    }

    /// The resource as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both name one resource.
    ///
    /// Scheme and host fold case, a default port is the same as none, a trailing slash does not
    /// matter, and a query is left out: clients write one server in all these ways (MCP
    /// authorization, *Canonical Server URI*).
    pub fn names_same(&self, other: &Self) -> bool {
        let canonical = |text: &str| {
            Url::parse(text).ok().map(|url| {
                let path = url.path().trim_end_matches('/').to_owned();
                (
                    url.scheme().to_owned(),
                    url.host_str().map(str::to_owned),
                    url.port(),
                    path,
                )
            })
        };
        canonical(&self.0) == canonical(&other.0)
    }
}

/// Which resource a token request is for: it may name one of those there are, or leave it open
/// (RFC 8707 §2.2).
#[derive(Clone, Debug)]
pub(crate) struct AskedResources {
    named: Vec<ResourceIndicator>,
    served: Vec<ResourceIndicator>,
}

impl AskedResources {
    /// A request that names `named`, of the resources `served` here: a grant may be of a server that
    /// shares the store.
    pub(crate) fn new(named: Vec<ResourceIndicator>, served: Vec<ResourceIndicator>) -> Self {
        Self { named, served }
    }

    /// Whether it can be for `resource`: one of ours, and no other is named.
    pub(crate) fn admit(&self, resource: &ResourceIndicator) -> bool {
        let same = |other: &ResourceIndicator| other.names_same(resource);
        self.served.iter().any(same) && self.named.iter().all(same)
    }
}

impl TryFrom<String> for ResourceIndicator {
    type Error = ResourceIndicatorError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ResourceIndicator> for String {
    fn from(resource: ResourceIndicator) -> Self {
        resource.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_has_many_spellings() {
        let same = |a: &str, b: &str| {
            let parse = |text| ResourceIndicator::parse(text).unwrap();
            parse(a).names_same(&parse(b))
        };
        for (a, b, expected) in [
            ("https://h/mcp", "https://h/mcp", true),
            ("https://h/mcp", "HTTPS://H:443/mcp", true),
            ("https://h/mcp", "https://h/mcp/", true),
            ("https://h/mcp", "https://h/mcp?session=1", true),
            ("https://h", "https://h/", true),
            ("https://h/mcp", "https://h/MCP", false),
            ("https://h/mcp", "https://h/mcp/x", false),
            ("https://h/mcp", "https://h", false),
            ("https://h/mcp", "http://h/mcp", false),
            ("https://h/mcp", "https://h:8443/mcp", false),
            ("https://h/mcp", "https://h.evil.com/mcp", false),
        ] {
            assert_eq!(same(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn a_request_is_for_what_is_served_and_named_by_all_of_it() {
        let parse = |text: &&str| ResourceIndicator::parse(text).unwrap();
        let served = ["https://h/a", "https://h/b", "https://g/a"];
        let served: Vec<_> = served.iter().map(parse).collect();
        for (named, resource, admitted) in [
            (&[][..], "https://h/a", true),
            (&[], "https://h/b", true),
            (&[], "https://h/c", false),
            (&[], "https://h", false),
            (&["https://h/a"], "https://h/a", true),
            (&["https://h/a/", "https://H/a"], "https://h/a", true),
            (&["https://h/a"], "https://h/b", false),
            (&["https://h/a"], "https://g/a", false),
            (&["https://h/a", "https://h/b"], "https://h/a", false),
            (&["https://h/c"], "https://h/c", false),
        ] {
            let named = named.iter().map(parse).collect();
            let asked = AskedResources::new(named, served.clone());
            let found = asked.admit(&parse(&resource));
            assert_eq!(found, admitted, "{asked:?} {resource}");
        }
    }

    #[test]
    fn fragments_and_relative_references_are_refused() {
        for text in ["https://h/mcp#x", "/mcp", "mcp", "", "urn:x"] {
            assert!(ResourceIndicator::parse(text).is_err(), "{text}");
            let json = serde_json::Value::from(text);
            assert!(
                serde_json::from_value::<ResourceIndicator>(json).is_err(),
                "{text}"
            );
        }
    }
}
