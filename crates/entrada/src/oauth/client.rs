//! Clients: their names, and what is known of them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::redirect_uri::{RedirectUri, TrustedRedirect};
use crate::platform::Timestamp;
use crate::secret::{Hashed, McpClientSecret};

mod registration;

pub use registration::{ClientMetadataError, UnverifiedClientMetadata};

use registration::presentable;

/// How often it is noted that a client is in use.
const USE_NOTED_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

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

    /// When it was last noted to be in use, if it ever was.
    pub(crate) fn used_at(&self) -> Option<Timestamp> {
        (self.used_at != self.issued_at).then_some(self.used_at)
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
    use crate::oauth::redirect_uri::AllowedRedirects;

    #[test]
    fn a_redirect_is_trusted_only_if_registered() {
        let client = |json| {
            let metadata: UnverifiedClientMetadata = serde_json::from_str(json).unwrap();
            Client::register(
                ClientId::parse("c").unwrap(),
                metadata.check(&AllowedRedirects::Registered).unwrap(),
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
