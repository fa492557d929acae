//! Which scopes a client gets for which it asks. Pure.

use crate::entra::scope::{ScopeNames, is_openid_connect};
use crate::oauth::scope::{Scope, ScopeToken};

/// The scopes of the protected server.
#[derive(Clone, Debug)]
pub(crate) struct ScopePolicy {
    required: Scope,
    advertised: Scope,
    names: ScopeNames,
}

/// Why scopes cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopePolicyError {
    /// None of the required scopes is one of our own API: nothing would mark a token as meant
    /// for it.
    #[error("at least one required scope must be a scope of your own API, such as mcp.access")]
    NothingRequired,
    /// `.default` never stands in a token.
    #[error(".default cannot be required: name the scopes themselves")]
    Default,
    /// A scope of another resource never stands in a token for ours.
    #[error("a scope of another API cannot be required: put it among the additional scopes")]
    Foreign,
}

/// None of the scopes asked for exists: `invalid_scope` (RFC 6749 §4.1.2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct UnknownScope;

impl ScopePolicy {
    /// Requires `required`, which may be spelled short or with the identifier URI.
    ///
    /// # Errors
    ///
    /// [`ScopePolicyError`] if a token could never hold them.
    pub(crate) fn new(required: &Scope, names: ScopeNames) -> Result<Self, ScopePolicyError> {
        let advertised = names.to_short(required);
        let required: Scope = advertised
            .iter()
            .filter(|token| !is_openid_connect(token))
            .cloned()
            .collect();
        for token in required.iter() {
            if token.as_str().rsplit('/').next() == Some(".default") {
                return Err(ScopePolicyError::Default);
            }
            if token.as_str().contains('/') {
                return Err(ScopePolicyError::Foreign);
            }
        }
        if required.is_empty() {
            return Err(ScopePolicyError::NothingRequired);
        }
        Ok(Self {
            required,
            advertised,
            names,
        })
    }

    /// What every access token must hold.
    pub(crate) fn required(&self) -> &Scope {
        &self.required
    }

    /// What authorization server metadata lists; `offline_access` besides, for clients that ask
    /// for a refresh token only where they see it.
    pub(super) fn advertised(&self) -> Scope {
        let offline: Scope = ScopeToken::parse("offline_access").into_iter().collect();
        self.advertised.union(&offline)
    }

    /// `scope` in our spelling, scopes of OpenID Connect left out.
    pub(super) fn in_short(&self, scope: &Scope) -> Scope {
        let short = self.names.to_short(scope);
        short
            .iter()
            .filter(|token| !is_openid_connect(token))
            .cloned()
            .collect()
    }

    /// What a client gets that asks for `asked`: never more, unknown scopes left out (RFC 6749
    /// §3.3), all that is required where it asks for nothing of ours.
    pub(super) fn effective(&self, asked: Option<&str>) -> Result<Scope, UnknownScope> {
        let asked = Scope::parse(asked.unwrap_or_default()).map_err(|_| UnknownScope)?;
        let asked = self.in_short(&asked);
        if asked.is_empty() {
            return Ok(self.required.clone());
        }
        let known = asked.intersection(&self.required);
        if known.is_empty() {
            Err(UnknownScope)
        } else {
            Ok(known)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(required: &str) -> Result<ScopePolicy, ScopePolicyError> {
        ScopePolicy::new(
            &Scope::parse(required).unwrap(),
            ScopeNames::new("api://app"),
        )
    }

    #[test]
    fn something_of_our_own_must_be_required() {
        use ScopePolicyError as E;
        for (required, expected) in [
            ("read", Ok("read".to_owned())),
            ("api://app/read openid", Ok("read".to_owned())),
            ("", Err(E::NothingRequired)),
            (
                "openid profile email offline_access",
                Err(E::NothingRequired),
            ),
            ("api://app/.default", Err(E::Default)),
            (".default", Err(E::Default)),
            ("https://graph.microsoft.com/User.Read", Err(E::Foreign)),
        ] {
            let verdict = policy(required).map(|policy| policy.required().to_string());
            assert_eq!(verdict, expected, "{required}");
        }
    }

    #[test]
    fn clients_get_what_they_ask_for_and_no_more() {
        let policy = policy("read write openid").unwrap();
        assert_eq!(
            policy.advertised().to_string(),
            "read write openid offline_access"
        );
        for (asked, expected) in [
            (None, Ok("read write")),
            (Some(""), Ok("read write")),
            (Some("openid offline_access"), Ok("read write")),
            (Some("read"), Ok("read")),
            (Some("  write   openid "), Ok("write")),
            (Some("api://app/read"), Ok("read")),
            (Some("read admin"), Ok("read")),
            (Some("admin"), Err(UnknownScope)),
            (Some("a\"b"), Err(UnknownScope)),
        ] {
            let got = policy.effective(asked).map(|scope| scope.to_string());
            assert_eq!(got, expected.map(str::to_owned), "{asked:?}");
        }
    }
}
