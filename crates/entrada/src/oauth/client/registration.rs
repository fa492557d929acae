//! What a client says of itself before anybody checked it (RFC 7591 §2), and the check.

use serde::Deserialize;

use super::{ApplicationType, ClientAuthentication, ClientMetadata, GrantType};
use crate::oauth::error::{ErrorCode, ErrorResponse};
use crate::oauth::redirect_uri::{AllowedRedirects, RedirectUri};

/// How many redirect URIs a client may register.
const MOST_REDIRECT_URIS: usize = 16;

/// How long its redirect URIs may be together, in bytes: what a registration costs to keep.
const LONGEST_REDIRECT_URIS: usize = 2048;

/// How long a client's name may be, in characters.
const LONGEST_NAME: usize = 100;

/// A registration request as it comes over the wire (RFC 7591 §2): nothing in it is checked.
///
/// Members we have no use for are left out, as RFC 7591 §2 asks.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct UnverifiedClientMetadata {
    /// Where codes may go.
    pub redirect_uris: Option<Vec<String>>,
    /// What the client calls itself.
    pub client_name: Option<String>,
    /// Whether it is an app or a server.
    pub application_type: Option<String>,
    /// What it wants to ask the token endpoint.
    pub grant_types: Option<Vec<String>>,
    /// What it wants to ask the authorization endpoint.
    pub response_types: Option<Vec<String>>,
    /// How it wants to prove itself.
    pub token_endpoint_auth_method: Option<String>,
    /// Whether it wants no tokens but those bound to a key (RFC 9449 §5.2).
    pub dpop_bound_access_tokens: Option<bool>,
}

/// Why metadata was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientMetadataError {
    /// There is no redirect URI.
    #[error("redirect_uris is missing or empty")]
    NoRedirectUri,
    /// There are too many redirect URIs, or they are too long together.
    #[error("redirect_uris is too long")]
    TooManyRedirectUris,
    /// None of the redirect URIs is acceptable.
    #[error("no member of redirect_uris is acceptable")]
    RedirectUris,
    /// `application_type` is neither `native` nor `web`.
    #[error("application_type is unknown")]
    ApplicationType,
    /// `grant_types` lacks `authorization_code`.
    #[error("grant_types lacks authorization_code")]
    GrantTypes,
    /// `response_types` lacks `code`.
    #[error("response_types lacks code")]
    ResponseTypes,
    /// `token_endpoint_auth_method` needs keys, which registration does not take.
    #[error("token_endpoint_auth_method is not supported")]
    AuthMethod,
}

impl From<ClientMetadataError> for ErrorResponse {
    fn from(error: ClientMetadataError) -> Self {
        use ClientMetadataError as E;
        let (code, description) = match error {
            E::NoRedirectUri => (
                ErrorCode::InvalidClientMetadata,
                "redirect_uris must name at least one URI",
            ),
            E::TooManyRedirectUris => (
                ErrorCode::InvalidClientMetadata,
                "redirect_uris may name at most 16 URIs of 2048 bytes together",
            ),
            E::RedirectUris => (
                ErrorCode::InvalidRedirectUri,
                "a redirect URI must be https, http on a loopback host, or a private-use scheme, \
                 without fragment and credentials",
            ),
            E::ApplicationType => (
                ErrorCode::InvalidClientMetadata,
                "application_type must be native or web",
            ),
            E::GrantTypes => (
                ErrorCode::InvalidClientMetadata,
                "grant_types must hold authorization_code",
            ),
            E::ResponseTypes => (
                ErrorCode::InvalidClientMetadata,
                "response_types must hold code",
            ),
            E::AuthMethod => (
                ErrorCode::InvalidClientMetadata,
                "token_endpoint_auth_method must be none: registered clients are public",
            ),
        };
        Self::new(code, description)
    }
}

impl UnverifiedClientMetadata {
    /// Checks what the client said.
    ///
    /// Redirect URIs outside the rules are dropped as long as one remains (RFC 7591 §3.2.1 lets
    /// the server change metadata): clients register one list for several platforms. A method
    /// with a shared secret becomes `none`, which the response says.
    ///
    /// # Errors
    ///
    /// [`ClientMetadataError`] (`invalid_client_metadata` or `invalid_redirect_uri`).
    pub fn check(self, allowed: &AllowedRedirects) -> Result<ClientMetadata, ClientMetadataError> {
        use ClientMetadataError as E;
        let asked = self
            .redirect_uris
            .filter(|uris| !uris.is_empty())
            .ok_or(E::NoRedirectUri)?;
        let length: usize = asked.iter().map(String::len).sum();
        if asked.len() > MOST_REDIRECT_URIS || length > LONGEST_REDIRECT_URIS {
            return Err(E::TooManyRedirectUris);
        }
        let redirect_uris: Vec<_> = asked
            .iter()
            .filter_map(|uri| RedirectUri::parse(uri).ok())
            .filter(|uri| allowed.allow(uri))
            .collect();
        if redirect_uris.is_empty() {
            return Err(E::RedirectUris);
        }
        let application_type = match self.application_type.as_deref() {
            None | Some("native") => ApplicationType::Native,
            Some("web") => ApplicationType::Web,
            Some(_) => return Err(E::ApplicationType),
        };
        if self
            .response_types
            .is_some_and(|types| !types.iter().any(|kind| kind == "code"))
        {
            return Err(E::ResponseTypes);
        }
        match self.token_endpoint_auth_method.as_deref() {
            None | Some("none" | "client_secret_basic" | "client_secret_post") => {}
            Some(_) => return Err(E::AuthMethod),
        }
        Ok(ClientMetadata {
            redirect_uris,
            name: self.client_name.as_deref().and_then(presentable),
            application_type,
            grant_types: grant_types(self.grant_types.as_deref())?,
            authentication: ClientAuthentication::None,
            bound_tokens: self.dpop_bound_access_tokens == Some(true),
        })
    }
}

/// The grant types among `asked` that we know; both if none was asked for.
fn grant_types(asked: Option<&[String]>) -> Result<Vec<GrantType>, ClientMetadataError> {
    let known = [
        ("authorization_code", GrantType::AuthorizationCode),
        ("refresh_token", GrantType::RefreshToken),
    ];
    let wanted = |name: &str| asked.is_none_or(|asked| asked.iter().any(|word| word == name));
    let granted: Vec<_> = known
        .into_iter()
        .filter(|(name, _)| wanted(name))
        .map(|(_, grant)| grant)
        .collect();
    if granted.contains(&GrantType::AuthorizationCode) {
        Ok(granted)
    } else {
        Err(ClientMetadataError::GrantTypes)
    }
}

/// A name fit to be shown: one line, nothing unseen or direction-changing in it, not too long.
pub(super) fn presentable(name: &str) -> Option<String> {
    let cleaned: String = name
        .chars()
        .filter(|c| !c.is_control() && !is_unseen(*c))
        .take(LONGEST_NAME)
        .collect();
    let trimmed = cleaned.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

/// Whether `c` leaves no mark of its own: Unicode's `Default_Ignorable_Code_Point`, the line and
/// paragraph separators, and the letters that look like a space.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(json: &str) -> Result<ClientMetadata, ClientMetadataError> {
        serde_json::from_str::<UnverifiedClientMetadata>(json)
            .unwrap()
            .check(&AllowedRedirects::Registered)
    }

    #[test]
    fn registration_rules() {
        use ClientMetadataError as E;
        for (json, expected) in [
            (r#"{"redirect_uris":["https://h/cb"]}"#, Ok(())),
            (
                r#"{"redirect_uris":["https://h/cb"],"scope":"a b","foo":1,"client_uri":null}"#,
                Ok(()),
            ),
            (
                r#"{"redirect_uris":["https://h/cb"],"token_endpoint_auth_method":"client_secret_post"}"#,
                Ok(()),
            ),
            (
                r#"{"redirect_uris":["http://localhost/cb"],"application_type":"web"}"#,
                Ok(()),
            ),
            ("{}", Err(E::NoRedirectUri)),
            (r#"{"redirect_uris":null}"#, Err(E::NoRedirectUri)),
            (r#"{"redirect_uris":[]}"#, Err(E::NoRedirectUri)),
            (
                r#"{"redirect_uris":["javascript:x"]}"#,
                Err(E::RedirectUris),
            ),
            (
                r#"{"redirect_uris":["http://evil.example/"]}"#,
                Err(E::RedirectUris),
            ),
            (
                r#"{"redirect_uris":["https://h/cb"],"application_type":"toaster"}"#,
                Err(E::ApplicationType),
            ),
            (
                r#"{"redirect_uris":["https://h/cb"],"grant_types":["refresh_token"]}"#,
                Err(E::GrantTypes),
            ),
            (
                r#"{"redirect_uris":["https://h/cb"],"response_types":["token"]}"#,
                Err(E::ResponseTypes),
            ),
            (
                r#"{"redirect_uris":["https://h/cb"],"token_endpoint_auth_method":"private_key_jwt"}"#,
                Err(E::AuthMethod),
            ),
        ] {
            assert_eq!(metadata(json).map(|_| ()), expected, "{json}");
        }
        let many = vec!["\"https://h/cb\""; 17].join(",");
        let error = metadata(&format!(r#"{{"redirect_uris":[{many}]}}"#)).unwrap_err();
        assert_eq!(error, E::TooManyRedirectUris);
    }

    #[test]
    fn one_bad_redirect_uri_does_not_spoil_the_rest() {
        let checked = metadata(
            r#"{"redirect_uris":["cursor://anysphere.cursor-mcp/oauth/callback","http://10.0.0.1/","http://localhost:8787/callback"]}"#,
        )
        .unwrap();
        let kept: Vec<_> = checked
            .redirect_uris()
            .iter()
            .map(RedirectUri::as_str)
            .collect();
        assert_eq!(
            kept,
            [
                "cursor://anysphere.cursor-mcp/oauth/callback",
                "http://localhost:8787/callback"
            ]
        );
    }

    #[test]
    fn names_are_one_honest_line() {
        let name = |text: &str| presentable(text);
        assert_eq!(
            name(" Claude\u{202e}\n Code "),
            Some("Claude Code".to_owned())
        );
        assert_eq!(name("\u{200b} \t"), None);
        assert_eq!(name("\u{3164}\u{2800}\u{ad}\u{e0041}"), None);
        assert_eq!(name("Cla\u{ad}ude").as_deref(), Some("Claude"));
        assert_eq!(name(&"x".repeat(500)).unwrap().len(), 100);
    }
}
