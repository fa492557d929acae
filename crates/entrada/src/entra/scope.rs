//! Short scopes and the ones Entra knows.

use crate::oauth::scope::{Scope, ScopeToken};

/// Scopes of OpenID Connect: never prefixed, never in an access token.
const OPENID_CONNECT: [&str; 4] = ["openid", "profile", "email", "offline_access"];

/// What every login asks for: an ID token with a name in it, and a refresh token.
const ASKED: [&str; 3] = ["openid", "profile", "offline_access"];

/// How the scopes of our API are spelled: `read` among ourselves, `api://…/read` towards Entra.
#[derive(Clone, Debug)]
pub(crate) struct ScopeNames {
    identifier_uri: String,
}

impl ScopeNames {
    /// The scopes of the API with this Application ID URI.
    pub(crate) fn new(identifier_uri: impl Into<String>) -> Self {
        Self {
            identifier_uri: identifier_uri.into(),
        }
    }

    /// In Entra's spelling, scopes of OpenID Connect left out.
    pub(crate) fn to_entra(&self, scope: &Scope) -> Scope {
        scope
            .iter()
            .filter(|token| !is_openid_connect(token))
            .filter_map(|token| self.token_to_entra(token))
            .collect()
    }

    fn token_to_entra(&self, token: &ScopeToken) -> Option<ScopeToken> {
        if token.as_str().contains('/') {
            return Some(token.clone());
        }
        ScopeToken::parse(&format!("{}/{token}", self.identifier_uri)).ok()
    }

    /// In our spelling: our own prefix taken off, all else as it is.
    pub(crate) fn to_short(&self, scope: &Scope) -> Scope {
        scope
            .iter()
            .map(|token| self.token_to_short(token))
            .collect()
    }

    fn token_to_short(&self, token: &ScopeToken) -> ScopeToken {
        let short = token
            .as_str()
            .strip_prefix(&self.identifier_uri)
            .and_then(|rest| rest.strip_prefix('/'))
            .filter(|short| !short.is_empty() && !short.contains('/'));
        short
            .and_then(|short| ScopeToken::parse(short).ok())
            .unwrap_or_else(|| token.clone())
    }
}

/// The API a scope is of: everything before the last slash, and nothing for a scope with a bare
/// name.
pub(crate) fn api(token: &ScopeToken) -> &str {
    token.as_str().rsplit_once('/').map_or("", |(api, _)| api)
}

/// Whether `token` is a scope of OpenID Connect.
pub(crate) fn is_openid_connect(token: &ScopeToken) -> bool {
    OPENID_CONNECT.contains(&token.as_str())
}

/// The scopes of OpenID Connect that every login asks for.
pub(crate) fn openid_connect() -> Scope {
    ASKED
        .iter()
        .filter_map(|name| ScopeToken::parse(name).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_are_inverse() {
        let names = ScopeNames::new("api://app");
        let scope = |text: &str| Scope::parse(text).unwrap();
        let graph = "https://graph.microsoft.com/User.Read";
        for (short, long) in [
            (
                "read my.scope",
                "api://app/read api://app/my.scope".to_owned(),
            ),
            ("api://other/x", "api://other/x".to_owned()),
            (graph, graph.to_owned()),
        ] {
            assert_eq!(names.to_entra(&scope(short)).to_string(), long);
            assert_eq!(names.to_short(&scope(&long)).to_string(), short);
        }
        assert_eq!(
            names.to_entra(&scope("openid read email")).to_string(),
            "api://app/read"
        );
        assert_eq!(
            names.to_short(&scope("openid api://app/read")).to_string(),
            "openid read"
        );
        // A look-alike prefix is not ours.
        assert_eq!(
            names.to_short(&scope("api://apple/read")).to_string(),
            "api://apple/read"
        );
        assert_eq!(
            names.to_short(&scope("api://app/")).to_string(),
            "api://app/"
        );
    }
}
