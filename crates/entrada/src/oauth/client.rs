//! Clients and how they register.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::{ErrorCode, ErrorResponse};
use super::redirect_uri::{AllowedRedirects, RedirectUri, TrustedRedirect};
use crate::platform::Timestamp;
use crate::secret::{Hashed, McpClientSecret};

/// How many redirect URIs a client may register.
const MOST_REDIRECT_URIS: usize = 16;

/// How long its redirect URIs may be together, in bytes: what a registration costs to keep.
const LONGEST_REDIRECT_URIS: usize = 2048;

/// How often it is noted that a client is in use.
const USE_NOTED_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a client's name may be, in characters.
const LONGEST_NAME: usize = 100;

/// How long an identifier may be: one of ours may hold what its client registered.
pub(crate) const LONGEST_ID: usize = 1024;

/// How long one may be that is the URL of a document.
const LONGEST_DOCUMENT_URL: usize = 256;

/// A client identifier (RFC 6749 §2.2).
#[derive(Clone, Debug, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId(String);

/// The text is no client identifier.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a client identifier")]
#[non_exhaustive]
pub struct ClientIdError;

impl ClientId {
    /// Parses an identifier (RFC 6749 appendix A.1).
    ///
    /// # Errors
    ///
    /// [`ClientIdError`] if it is empty, too long, or holds anything but visible ASCII.
    pub fn parse(text: &str) -> Result<Self, ClientIdError> {
        let longest = if text.starts_with("https://") {
            LONGEST_DOCUMENT_URL
        } else {
            LONGEST_ID
        };
        let fits = !text.is_empty()
            && text.len() <= longest
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(ClientIdError)
        }
    }

    /// The identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the URL of a document that describes the client; ours never are.
    pub fn is_document_url(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ClientId {
    type Error = ClientIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ClientId> for String {
    fn from(id: ClientId) -> Self {
        id.0
    }
}

/// `application_type` (OpenID Connect Dynamic Client Registration §2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ApplicationType {
    /// An app on the user's device: loopback or private-use redirects.
    #[default]
    Native,
    /// A server of its own.
    Web,
}

/// The grant types a client may register.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GrantType {
    /// `authorization_code` (RFC 6749 §4.1)
    AuthorizationCode,
    /// `refresh_token` (RFC 6749 §6)
    RefreshToken,
    /// `client_credentials` (RFC 6749 §4.4). Nobody registers for it: the operator must know the client.
    ClientCredentials,
    /// `urn:ietf:params:oauth:grant-type:jwt-bearer` (RFC 7523 §2.1). The same holds.
    JwtBearer,
}

/// How a client proves itself at the token endpoint (RFC 6749 §2.3).
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub enum ClientAuthentication {
    /// Not at all: it is public, and PKCE and the rotation of refresh tokens bind what it presents.
    #[default]
    None,
    /// By a secret (RFC 6749 §2.3.1).
    Secret(Hashed<McpClientSecret>),
    /// By a JWT it signs (RFC 7523 §2.2).
    PrivateKeyJwt(ClientKeys),
}

/// Where the keys of a client are.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub enum ClientKeys {
    /// In its metadata, as a JWK Set in JSON (`jwks`).
    Inline(String),
    /// At this URL (`jwks_uri`).
    At(String),
}

/// A client. None is given a secret (RFC 6749 §2.1): whoever registers is public, whoever has a
/// document may have keys, and those the operator knows may have either.
///
/// It has no `Deserialize`, nor has its metadata: what they say was checked.
#[derive(Clone, Debug)]
pub struct Client {
    id: ClientId,
    issued_at: Timestamp,
    used_at: Timestamp,
    metadata: ClientMetadata,
}

/// What a client says of itself (RFC 7591 §2), checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientMetadata {
    redirect_uris: Vec<RedirectUri>,
    name: Option<String>,
    application_type: ApplicationType,
    grant_types: Vec<GrantType>,
    authentication: ClientAuthentication,
    bound_tokens: bool,
}

/// How a client is written into a record that is about to be sealed, and read again.
#[derive(Deserialize, Serialize)]
pub(crate) struct ClientRecord(#[serde(with = "SealedClient")] pub(crate) Client);

/// What a client registered that holds it itself, in its id.
#[derive(Deserialize, Serialize)]
pub(crate) struct HeldRegistration {
    #[serde(with = "SealedMetadata")]
    metadata: ClientMetadata,
    at: Timestamp,
}

impl HeldRegistration {
    pub(crate) fn new(metadata: ClientMetadata, now: Timestamp) -> Self {
        Self { metadata, at: now }
    }

    /// The client that holds it under `id`.
    pub(crate) fn client(self, id: ClientId) -> Client {
        Client::register(id, self.metadata, self.at)
    }

    /// What was registered.
    pub(crate) fn into_metadata(self) -> ClientMetadata {
        self.metadata
    }
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "Client")]
struct SealedClient {
    id: ClientId,
    issued_at: Timestamp,
    used_at: Timestamp,
    #[serde(with = "SealedMetadata")]
    metadata: ClientMetadata,
}

#[derive(Deserialize, Serialize)]
#[serde(remote = "ClientMetadata")]
struct SealedMetadata {
    redirect_uris: Vec<RedirectUri>,
    name: Option<String>,
    application_type: ApplicationType,
    grant_types: Vec<GrantType>,
    #[serde(default)]
    authentication: ClientAuthentication,
    #[serde(default)]
    bound_tokens: bool,
}

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
fn presentable(name: &str) -> Option<String> {
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

impl ClientMetadata {
    /// Where codes may go.
    pub fn redirect_uris(&self) -> &[RedirectUri] {
        &self.redirect_uris
    }

    /// What the client calls itself: its own claim, for nobody checked it.
    pub fn unverified_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether it is an app or a server.
    pub fn application_type(&self) -> ApplicationType {
        self.application_type
    }

    /// What it may ask the token endpoint.
    pub fn grant_types(&self) -> &[GrantType] {
        &self.grant_types
    }

    /// How it proves itself there.
    pub fn authentication(&self) -> &ClientAuthentication {
        &self.authentication
    }

    /// Of a program that nobody signs in with.
    pub(crate) fn of_program(name: Option<&str>, bound_tokens: bool) -> Self {
        Self {
            redirect_uris: Vec::new(),
            name: name.and_then(presentable),
            application_type: ApplicationType::Web,
            grant_types: Vec::new(),
            authentication: ClientAuthentication::None,
            bound_tokens,
        }
    }

    /// The same, of a client that may use `grant_type`, too.
    pub(crate) fn and_may_use(mut self, grant_type: GrantType) -> Self {
        self.grant_types.push(grant_type);
        self
    }

    /// Whether it wants no tokens but those bound to a key (RFC 9449 §5.2).
    pub fn wants_bound_tokens(&self) -> bool {
        self.bound_tokens
    }

    /// The same, of a client that proves itself so.
    pub(crate) fn authenticated_by(self, authentication: ClientAuthentication) -> Self {
        Self {
            authentication,
            ..self
        }
    }
}

impl Client {
    /// Registers a client under `id`.
    pub fn register(id: ClientId, metadata: ClientMetadata, now: Timestamp) -> Self {
        Self {
            id,
            issued_at: now,
            used_at: now,
            metadata,
        }
    }

    /// The client's identifier.
    pub fn id(&self) -> &ClientId {
        &self.id
    }

    /// When it registered.
    pub fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// The same client, used now; `None` if that was noted today already.
    pub(crate) fn used(&self, now: Timestamp) -> Option<Self> {
        let due = now.since(self.used_at) >= USE_NOTED_EVERY || self.used_at == self.issued_at;
        due.then(|| Self {
            used_at: now,
            ..self.clone()
        })
    }

    /// The same client, whose document was seen again now.
    pub(crate) fn described_at(&self, now: Timestamp) -> Self {
        Self::register(self.id.clone(), self.metadata.clone(), now)
    }

    /// What it said of itself.
    pub fn metadata(&self) -> &ClientMetadata {
        &self.metadata
    }

    /// Whether the client registered for `grant_type`.
    pub fn may_use(&self, grant_type: GrantType) -> bool {
        self.metadata.grant_types.contains(&grant_type)
    }

    /// Proves that `asked` is one of this client's redirect URIs (RFC 6749 §3.1.2.3). Without
    /// `asked`, the only one registered is meant.
    ///
    /// `None` if it is not, or if it is not clear which one is meant: the answer is then a page,
    /// never a redirect.
    pub fn trusted_redirect(&self, asked: Option<&str>) -> Option<TrustedRedirect> {
        let known = &self.metadata.redirect_uris;
        let uri = match (asked, known.as_slice()) {
            (None, [only]) => only.clone(),
            (None, _) => return None,
            (Some(asked), _) => {
                let asked = RedirectUri::parse(asked).ok()?;
                known
                    .iter()
                    .any(|known| known.admits(&asked))
                    .then_some(asked)?
            }
        };
        Some(TrustedRedirect::assertion(uri))
    }
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

    #[test]
    fn a_redirect_is_trusted_only_if_registered() {
        let client = |json| {
            Client::register(
                ClientId::parse("c").unwrap(),
                metadata(json).unwrap(),
                Timestamp::from_unix(0),
            )
        };
        let one = client(r#"{"redirect_uris":["https://h/cb"]}"#);
        let two = client(r#"{"redirect_uris":["https://h/cb","http://localhost/cb"]}"#);
        let found = |client: &Client, asked| {
            client
                .trusted_redirect(asked)
                .map(|to| to.uri().as_str().to_owned())
        };
        assert_eq!(found(&one, None).as_deref(), Some("https://h/cb"));
        assert_eq!(found(&two, None), None);
        assert_eq!(
            found(&two, Some("http://localhost:7/cb")).as_deref(),
            Some("http://localhost:7/cb")
        );
        assert_eq!(found(&two, Some("https://h/cb2")), None);
        assert_eq!(found(&two, Some("not a uri")), None);
    }
}
