//! What the guard demands.

use url::Url;

use super::origin::AllowedOrigin;
use crate::dpop::Proofs;
use crate::entra::scope::ScopeNames;
use crate::keys::Keys;
use crate::oauth::scope::Scope;
use crate::policy::Requirement;

/// What the guard of one resource demands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Protection {
    /// Where clients learn who issues tokens for the resource (RFC 9728 §3.1). Web pages of its
    /// own origin are always let in.
    pub resource_metadata_url: Url,
    /// What every user's token must allow, and what a client without one is told to ask for.
    /// Applications have no scopes: what they must have, `requirement` or their verifier says.
    pub required_scope: Scope,
    /// What every caller must have besides.
    pub requirement: Requirement,
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
    /// What judges proofs of possession, where tokens can be bound to a key. Elsewhere one that is gets
    /// nobody in.
    pub(crate) proofs: Option<Proofs>,
    /// How clients must spell scopes, where they ask Entra itself.
    pub(crate) scope_names: Option<ScopeNames>,
}

impl Protection {
    /// Demands a valid token and nothing more.
    pub fn new(resource_metadata_url: Url) -> Self {
        Self {
            resource_metadata_url,
            required_scope: Scope::default(),
            allowed_origins: Vec::new(),
            requirement: Requirement::default(),
            session_keys: None,
            proofs: None,
            scope_names: None,
        }
    }

    /// Everything that is demanded, in one.
    pub(super) fn whole_requirement(&self) -> Requirement {
        if self.required_scope.is_empty() {
            return self.requirement.clone();
        }
        let scopes = Requirement::scopes([self.required_scope.to_string()]);
        Requirement::any([scopes, Requirement::application()]).and(self.requirement.clone())
    }
}
