//! What the guard demands.

use url::Url;

use super::origin::AllowedOrigin;
use crate::keys::Keys;
use crate::oauth::scope::Scope;

/// What the guard of one resource demands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Protection {
    /// Where clients learn who issues tokens for the resource (RFC 9728 §3.1). Web pages of its
    /// own origin are always let in.
    pub resource_metadata_url: Url,
    /// What every token must allow.
    pub required_scope: Scope,
    /// Whose web pages may call the resource. Clients that are no web page send no `Origin` and
    /// need not be listed.
    pub allowed_origins: Vec<AllowedOrigin>,
    /// What ties MCP sessions to the user and client that opened them; without keys, session ids
    /// pass as they are.
    ///
    /// # Security
    ///
    /// Whoever learns a session id may use the session unless the server behind the guard ties
    /// sessions to their user itself.
    pub session_keys: Option<Keys>,
}

impl Protection {
    /// Demands a valid token and nothing more.
    pub fn new(resource_metadata_url: Url) -> Self {
        Self {
            resource_metadata_url,
            required_scope: Scope::default(),
            allowed_origins: Vec::new(),
            session_keys: None,
        }
    }
}
