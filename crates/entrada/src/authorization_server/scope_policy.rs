//! Which scopes a client gets for which it asks. Pure.

use crate::entra::scope::{ScopeNames, is_openid_connect};
use crate::oauth::scope::Scope;

/// The scopes of the protected server.
#[derive(Clone, Debug)]
pub(crate) struct ScopePolicy {
    required: Scope,
    /// Those required and those a client may ask for besides.
    grantable: Scope,
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
    #[error(".default stands in no token: name the scopes themselves")]
    Default,
    /// A scope of another resource never stands in a token for ours.
    #[error(
        "a scope of another API stands in no token for yours: write your own, such as mcp.access"
    )]
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
        let required = own(required, &names)?;
        if required.is_empty() {
            return Err(ScopePolicyError::NothingRequired);
        }
        Ok(Self {
            grantable: required.clone(),
            required,
            advertised,
            names,
        })
    }

    /// Requires nothing and gives nothing: where no tokens are issued.
    pub(crate) fn nothing(names: ScopeNames) -> Self {
        Self {
            required: Scope::default(),
            grantable: Scope::default(),
            advertised: Scope::default(),
            names,
        }
    }

    /// Grants the scopes `optional`, too, to clients that ask for them by name.
    ///
    /// # Errors
    ///
    /// [`ScopePolicyError`] if a token could never hold them.
    pub(crate) fn with_optional(self, optional: &Scope) -> Result<Self, ScopePolicyError> {
        let optional = own(optional, &self.names)?;
        Ok(Self {
            grantable: self.grantable.union(&optional),
            advertised: self.advertised.union(&optional),
            ..self
        })
    }

    /// What every access token must hold.
    pub(crate) fn required(&self) -> &Scope {
        &self.required
    }

    /// What a client can get.
    pub(crate) fn grantable(&self) -> &Scope {
        &self.grantable
    }

    /// What metadata lists.
    pub(super) fn advertised(&self) -> &Scope {
        &self.advertised
    }

    /// `scope` in our spelling, scopes of OpenID Connect left out.
    pub(super) fn in_short(&self, scope: &Scope) -> Scope {
        in_short(scope, &self.names)
    }

    /// What a client gets that asks for `asked`: never more, unknown scopes left out (RFC 6749
    /// §3.3), all that is required where it asks for nothing of ours.
    pub(super) fn effective(&self, asked: Option<&str>) -> Result<Scope, UnknownScope> {
        let asked = Scope::parse(asked.unwrap_or_default()).map_err(|_| UnknownScope)?;
        let asked = self.in_short(&asked);
        if asked.is_empty() {
            return Ok(self.required.clone());
        }
        let known = asked.intersection(&self.grantable);
        if known.is_empty() {
            Err(UnknownScope)
        } else {
            Ok(known)
        }
    }
}

/// `scope` in our spelling, scopes of OpenID Connect left out.
fn in_short(scope: &Scope, names: &ScopeNames) -> Scope {
    let short = names.to_short(scope);
    short
        .iter()
        .filter(|token| !is_openid_connect(token))
        .cloned()
        .collect()
}

/// The same, if all of them can stand in a token for our own API.
fn own(scope: &Scope, names: &ScopeNames) -> Result<Scope, ScopePolicyError> {
    let short = in_short(scope, names);
    for token in short.iter() {
        if token.as_str().rsplit('/').next() == Some(".default") {
            return Err(ScopePolicyError::Default);
        }
        if token.as_str().contains('/') {
            return Err(ScopePolicyError::Foreign);
        }
    }
    Ok(short)
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
    fn optional_scopes_are_for_those_who_ask_for_them() {
        use ScopePolicyError as E;
        let with = |optional: &str| {
            let optional = Scope::parse(optional).unwrap();
            policy("read openid").unwrap().with_optional(&optional)
        };
        let optional = with("api://app/write delete offline_access").unwrap();
        assert_eq!(optional.required().to_string(), "read");
        assert_eq!(
            optional.advertised().to_string(),
            "read openid write delete"
        );
        for (asked, expected) in [
            (None, Ok("read")),
            (Some("openid"), Ok("read")),
            (Some("write read"), Ok("write read")),
            (Some("api://app/delete"), Ok("delete")),
            (Some("write admin"), Ok("write")),
            (Some("admin"), Err(UnknownScope)),
        ] {
            let got = optional.effective(asked).map(|scope| scope.to_string());
            assert_eq!(got, expected.map(str::to_owned), "{asked:?}");
        }
        for (optional, expected) in [
            ("", None),
            ("write", None),
            ("api://app/.default", Some(E::Default)),
            ("https://graph.microsoft.com/User.Read", Some(E::Foreign)),
        ] {
            assert_eq!(with(optional).err(), expected, "{optional}");
        }
    }

    #[test]
    fn clients_get_what_they_ask_for_and_no_more() {
        let policy = policy("read write openid").unwrap();
        assert_eq!(policy.advertised().to_string(), "read write openid");
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
