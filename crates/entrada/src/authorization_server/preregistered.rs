//! Clients that the operator knows, and that need not register (RFC 6749 §2).

use std::collections::HashMap;

use crate::jwt::jwks::Jwks;
use crate::oauth::client::{
    Client, ClientAuthentication, ClientId, ClientKeys, ClientMetadataError,
    UnverifiedClientMetadata,
};
use crate::oauth::redirect_uri::AllowedRedirects;
use crate::platform::Timestamp;
use crate::secret::McpClientSecret;

/// How long a secret is at least: it must stand against guesses (RFC 6749 §10.10).
const SHORTEST_SECRET: usize = 32;

/// A client that the operator knows: under an id that stays, and with a secret or keys if it can keep
/// them.
///
/// ```
/// use entrada::authorization_server::PreregisteredClient;
/// let agents = PreregisteredClient::new("agents", ["https://agents.example/callback"])
///     .name("Agents of Contoso")
///     .secret("t8sG2zO0xS1nVn3l9yW7r4Qk6cJ5bH0d");
/// ```
#[derive(Clone, Debug)]
pub struct PreregisteredClient {
    client_id: String,
    metadata: UnverifiedClientMetadata,
    credential: Credential,
}

#[derive(Clone, Debug)]
enum Credential {
    None,
    Secret(McpClientSecret),
    Keys(String),
}

/// What is wrong with a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PreregisteredClientError {
    /// The id is none.
    #[error("its id must be visible ASCII, 256 characters at most, and not begin with https://")]
    Id,
    /// Another has the same id.
    #[error("another client has its id")]
    Twice,
    /// Its secret can be guessed.
    #[error("its secret must have 32 characters at least")]
    Secret,
    /// Its keys are none.
    #[error("its keys must be a JWK Set with a key for ES256, RS256 or EdDSA")]
    Keys,
    /// It wants no tokens but those bound to a key, and none are given.
    #[error("its tokens must be bound to a key, and dpop is off")]
    Dpop,
    /// What it may do breaks a rule.
    #[error(transparent)]
    Metadata(#[from] ClientMetadataError),
}

impl PreregisteredClient {
    /// A public client.
    pub fn new(
        client_id: impl Into<String>,
        redirect_uris: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let redirect_uris = redirect_uris.into_iter().map(Into::into).collect();
        Self {
            client_id: client_id.into(),
            metadata: UnverifiedClientMetadata {
                redirect_uris: Some(redirect_uris),
                ..UnverifiedClientMetadata::default()
            },
            credential: Credential::None,
        }
    }

    /// What people are told it is called.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.metadata.client_name = Some(name.into());
        self
    }

    /// It proves itself by a secret (`client_secret_basic`, `client_secret_post`).
    #[must_use]
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.credential = Credential::Secret(McpClientSecret::new(secret));
        self
    }

    /// It proves itself by JWTs that it signs (`private_key_jwt`, RFC 7523 §2.2) with a key of this JWK
    /// Set.
    #[must_use]
    pub fn private_key_jwt(mut self, jwks: impl Into<String>) -> Self {
        self.credential = Credential::Keys(jwks.into());
        self
    }

    /// It is given no access tokens but those bound to a key of its own (`dpop_bound_access_tokens`,
    /// RFC 9449 §5.2), which are of no use to whoever steals them.
    #[must_use]
    pub fn dpop_bound_access_tokens(mut self) -> Self {
        self.metadata.dpop_bound_access_tokens = Some(true);
        self
    }

    /// Whether it wants tokens bound to a key.
    pub(crate) fn wants_bound_tokens(&self) -> bool {
        self.metadata.dpop_bound_access_tokens == Some(true)
    }

    /// Its id, as it was given.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    fn check(self, allowed: &AllowedRedirects) -> Result<Client, PreregisteredClientError> {
        use PreregisteredClientError as E;
        let id = ClientId::parse(&self.client_id).map_err(|_| E::Id)?;
        if id.is_document_url() {
            return Err(E::Id);
        }
        let authentication = match self.credential {
            Credential::None => ClientAuthentication::None,
            Credential::Secret(secret) if secret.expose().len() < SHORTEST_SECRET => {
                return Err(E::Secret);
            }
            Credential::Secret(secret) => ClientAuthentication::Secret(secret.hashed()),
            Credential::Keys(jwks) => {
                let keys = Jwks::parse(jwks.as_bytes()).map_err(|_| E::Keys)?;
                if keys.iter().next().is_none() {
                    return Err(E::Keys);
                }
                ClientAuthentication::PrivateKeyJwt(ClientKeys::Inline(jwks))
            }
        };
        let metadata = self.metadata.check(allowed)?;
        let metadata = metadata.authenticated_by(authentication);
        Ok(Client::register(id, metadata, Timestamp::default()))
    }
}

/// The clients the operator knows, by their ids.
#[derive(Clone, Debug, Default)]
pub(crate) struct PreregisteredClients(HashMap<ClientId, Client>);

impl PreregisteredClients {
    /// Adds a client whose redirect URIs are among those `allowed`.
    pub(crate) fn add(
        &mut self,
        client: PreregisteredClient,
        allowed: &AllowedRedirects,
    ) -> Result<(), PreregisteredClientError> {
        let client = client.check(allowed)?;
        match self.0.insert(client.id().clone(), client) {
            None => Ok(()),
            Some(_) => Err(PreregisteredClientError::Twice),
        }
    }

    /// The client called `id`, if it is one of them.
    pub(crate) fn get(&self, id: &ClientId) -> Option<&Client> {
        self.0.get(id)
    }

    /// How they prove themselves.
    pub(crate) fn authentications(&self) -> impl Iterator<Item = &ClientAuthentication> {
        self.0
            .values()
            .map(|client| client.metadata().authentication())
    }
}
