//! What a tool asks for.

use crate::entra::scope;
use crate::jwt::verify::is_guid;
use crate::oauth::claims_request::ClaimsRequest;
use crate::oauth::scope::{Scope, ScopeToken};

/// Everything that was consented to at one API.
const DEFAULT: &str = ".default";

/// What a tool asks for: a token with these scopes.
///
/// ```
/// use entrada::on_behalf_of::DownstreamRequest;
///
/// let request = DownstreamRequest::new("https://graph.microsoft.com/Mail.Read");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DownstreamRequest<'a> {
    pub(super) scope: &'a str,
    pub(super) claims: Option<&'a ClaimsRequest>,
    pub(super) app_only_fallback: bool,
}

/// A scope that no token can have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DownstreamScopeError {
    /// It names none, or one that is no scope.
    #[error("not a scope, such as https://graph.microsoft.com/Mail.Read")]
    NotAScope,
    /// It does not say of which API it is.
    #[error("write the scope with its api, such as https://graph.microsoft.com/Mail.Read")]
    NoApi,
    /// It names an API, and nothing of it.
    #[error(
        "write the scope's name behind its api, such as https://graph.microsoft.com/Mail.Read or \
         api://orders/.default"
    )]
    NoName,
    /// It names scopes of several APIs.
    #[error("a token is for one api: ask for one token each")]
    SeveralApis,
    /// `.default` stands beside named scopes.
    #[error(".default stands for all that was consented to, and so alone")]
    DefaultAndOthers,
    /// It names scopes of OpenID Connect, which are of no API.
    #[error("openid, profile, email and offline_access are of no downstream api")]
    OpenIdConnect,
}

impl<'a> DownstreamRequest<'a> {
    /// A token for scopes of one API, separated by spaces: `https://graph.microsoft.com/Mail.Read`,
    /// `api://orders/read api://orders/write`, or `{API}/.default` for all that was consented to.
    pub const fn new(scope: &'a str) -> Self {
        Self {
            scope,
            claims: None,
            app_only_fallback: false,
        }
    }

    /// Why no token can be had for it, whoever asks.
    pub fn mistake(&self) -> Option<DownstreamScopeError> {
        DownstreamScope::parse(self.scope).err()
    }

    /// A token that meets the claims challenge of an API that turned the last one away:
    /// [`ClaimsRequest::of_challenge`].
    #[must_use]
    pub const fn claims(self, claims: &'a ClaimsRequest) -> Self {
        Self {
            claims: Some(claims),
            ..self
        }
    }

    /// Where the caller is an application, and so nobody to act on behalf of: a token that speaks
    /// for our own app registration, with all application permissions it has at the API.
    ///
    /// # Security
    ///
    /// Every application that is let in then does what ours may do.
    #[must_use]
    pub const fn allow_app_only_fallback(self) -> Self {
        Self {
            app_only_fallback: true,
            ..self
        }
    }
}

impl<'a> From<&'a str> for DownstreamRequest<'a> {
    fn from(scope: &'a str) -> Self {
        Self::new(scope)
    }
}

/// Scopes of one API, in an order that equal sets share.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct DownstreamScope {
    text: String,
    api: String,
}

impl DownstreamScope {
    pub(super) fn parse(text: &str) -> Result<Self, DownstreamScopeError> {
        let parsed = Scope::parse(text).map_err(|_| DownstreamScopeError::NotAScope)?;
        let mut tokens: Vec<_> = parsed.iter().collect();
        tokens.sort_unstable();
        let Some(api) = tokens.first().map(|token| scope::api(token)) else {
            return Err(DownstreamScopeError::NotAScope);
        };
        if tokens.iter().any(|token| scope::is_openid_connect(token)) {
            return Err(DownstreamScopeError::OpenIdConnect);
        }
        tokens
            .iter()
            .try_for_each(|token| names_both(token.as_str()))?;
        if tokens.iter().any(|token| scope::api(token) != api) {
            return Err(DownstreamScopeError::SeveralApis);
        }
        let default = |token: &&ScopeToken| token.as_str().ends_with(&format!("/{DEFAULT}"));
        if tokens.len() > 1 && tokens.iter().any(default) {
            return Err(DownstreamScopeError::DefaultAndOthers);
        }
        let words: Vec<_> = tokens.iter().map(|token| token.as_str()).collect();
        Ok(Self {
            text: words.join(" "),
            api: api.to_owned(),
        })
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// All that was consented to at the same API.
    pub(super) fn default_of_api(&self) -> Self {
        Self {
            text: format!("{}/{DEFAULT}", self.api),
            api: self.api.clone(),
        }
    }
}

/// Whether a scope names an API and something of it. The API has the form of a URI, or is named by its
/// application id.
fn names_both(token: &str) -> Result<(), DownstreamScopeError> {
    let (scheme, rest) = token.split_once("://").unwrap_or(("", token));
    let (api, name) = match rest.rsplit_once('/') {
        Some(parts) => parts,
        None if scheme.is_empty() => ("", rest),
        None => (rest, ""),
    };
    let is_uri = !scheme.is_empty() || api.contains(':');
    if api.is_empty() || !(is_uri || is_guid(api)) {
        return Err(DownstreamScopeError::NoApi);
    }
    if name.is_empty() {
        return Err(DownstreamScopeError::NoName);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_one_api_are_asked_for_at_a_time() {
        use DownstreamScopeError as E;
        for (text, expected) in [
            ("https://g/Mail.Read", Ok("https://g/Mail.Read")),
            ("  api://o/b api://o/a ", Ok("api://o/a api://o/b")),
            ("User.Read", Err(E::NoApi)),
            ("api://o/.default", Ok("api://o/.default")),
            ("", Err(E::NotAScope)),
            ("a\"b", Err(E::NotAScope)),
            ("https://g/Mail.Read api://o/a", Err(E::SeveralApis)),
            ("https://g/Mail.Read User.Read", Err(E::NoApi)),
            ("orders/read", Err(E::NoApi)),
            ("/read", Err(E::NoApi)),
            ("://read", Err(E::NoApi)),
            ("api:///read", Err(E::NoApi)),
            ("urn:orders/read", Ok("urn:orders/read")),
            (
                "00000003-0000-0000-c000-000000000000/.default",
                Ok("00000003-0000-0000-c000-000000000000/.default"),
            ),
            ("api://orders", Err(E::NoName)),
            ("https://g", Err(E::NoName)),
            ("https://g/", Err(E::NoName)),
            ("https://g/Mail.Read https://g/", Err(E::NoName)),
            ("api://o/.default api://o/a", Err(E::DefaultAndOthers)),
            ("openid", Err(E::OpenIdConnect)),
            ("User.Read offline_access", Err(E::OpenIdConnect)),
        ] {
            let parsed = DownstreamScope::parse(text);
            let parsed = parsed.map(DownstreamScope::into_text);
            assert_eq!(parsed, expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn applications_ask_for_all_they_have() {
        for (text, expected) in [
            ("https://g/Mail.Read", "https://g/.default"),
            ("https://v//.default", "https://v//.default"),
        ] {
            let scope = DownstreamScope::parse(text).unwrap();
            assert_eq!(scope.default_of_api().into_text(), expected);
        }
    }
}
