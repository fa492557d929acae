//! Clients that the operator knows, and that need not register (RFC 6749 §2).

use std::collections::HashMap;

use super::{Resources, held_registration};
use crate::access_token::PrincipalKind;
use crate::grant::Grant;
use crate::jwt::jwks::Jwks;
use crate::oauth::client::{
    Client, ClientAuthentication, ClientId, ClientKeys, ClientMetadata, ClientMetadataError,
    GrantType, UnverifiedClientMetadata,
};
use crate::oauth::redirect_uri::AllowedRedirects;
use crate::oauth::scope::Scope;
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
    client_credentials: Option<String>,
    app_roles: Vec<String>,
    identity_assertions: bool,
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
    #[error(
        "its id must be visible ASCII, 1,024 characters at most, and not begin with https:// or held."
    )]
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
    /// It is to act for itself, or by assertions, and cannot prove who it is.
    #[error("give it a secret or keys: it acts without anybody signing in")]
    NoProof,
    /// It has app roles, and never acts for itself.
    #[error("app roles are of clients that act for themselves (client_credentials)")]
    Roles,
    /// Its scopes are not those tokens here can have, or lack one that is required.
    #[error(
        "its scopes must be among the required and optional ones, and hold all that are required"
    )]
    Scopes,
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
            client_credentials: None,
            app_roles: Vec::new(),
            identity_assertions: false,
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

    /// A client that nobody signs in with: it acts for itself ([`client_credentials`](Self::client_credentials)) or
    /// by what another issuer vouches for ([`identity_assertions`](Self::identity_assertions)).
    pub fn program(client_id: impl Into<String>) -> Self {
        let mut client = Self::new(client_id, Vec::<String>::new());
        client.metadata.redirect_uris = None;
        client
    }

    /// It may act for itself (RFC 6749 §4.4), with these scopes. It needs a secret or keys.
    ///
    /// Its tokens are those of an application: see [`PrincipalKind`].
    #[must_use]
    pub fn client_credentials(mut self, scopes: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let scopes: Vec<_> = scopes
            .into_iter()
            .map(|it| it.as_ref().to_owned())
            .collect();
        self.client_credentials = Some(scopes.join(" "));
        self
    }

    /// The app roles it has where it acts for itself.
    #[must_use]
    pub fn app_roles(mut self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.app_roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// It may act for users that a trusted issuer vouches for
    /// ([`AzureConfig::trust_identity_assertions`](crate::AzureConfig::trust_identity_assertions)). It needs a
    /// secret or keys.
    #[must_use]
    pub fn identity_assertions(mut self) -> Self {
        self.identity_assertions = true;
        self
    }

    /// It is given no access tokens but those bound to a key of its own (`dpop_bound_access_tokens`,
    /// RFC 9449 §5.2), which are of no use to whoever steals them.
    #[must_use]
    pub fn dpop_bound_access_tokens(mut self) -> Self {
        self.metadata.dpop_bound_access_tokens = Some(true);
        self
    }

    /// Whether it acts by what another issuer vouches for.
    pub(crate) fn takes_identity_assertions(&self) -> bool {
        self.identity_assertions
    }

    /// Whether it wants tokens bound to a key.
    pub(crate) fn wants_bound_tokens(&self) -> bool {
        self.metadata.dpop_bound_access_tokens == Some(true)
    }

    /// Its id, as it was given.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// What it is called, as it was given.
    pub(crate) fn called(&self) -> Option<&str> {
        self.metadata.client_name.as_deref()
    }

    /// Its redirect URIs, as they were given.
    pub(crate) fn redirect_uris(&self) -> &[String] {
        self.metadata.redirect_uris.as_deref().unwrap_or_default()
    }

    /// Whether it proves itself.
    pub(crate) const fn is_confidential(&self) -> bool {
        !matches!(self.credential, Credential::None)
    }

    fn check(
        self,
        allowed: &AllowedRedirects,
        resources: Option<&Resources>,
    ) -> Result<Known, PreregisteredClientError> {
        use PreregisteredClientError as E;
        let id = ClientId::parse(&self.client_id).map_err(|_| E::Id)?;
        if id.is_document_url() || held_registration::is_held(&id) {
            return Err(E::Id);
        }
        let bound = self.wants_bound_tokens();
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
        let acts_alone = self.client_credentials.is_some() || self.identity_assertions;
        if acts_alone && authentication == ClientAuthentication::None {
            return Err(E::NoProof);
        }
        if self.client_credentials.is_none() && !self.app_roles.is_empty() {
            return Err(E::Roles);
        }
        let mut metadata = if acts_alone && self.metadata.redirect_uris.is_none() {
            ClientMetadata::of_program(self.metadata.client_name.as_deref(), bound)
        } else {
            self.metadata.check(allowed)?
        };
        if self.client_credentials.is_some() {
            metadata = metadata.and_may_use(GrantType::ClientCredentials);
        }
        if self.identity_assertions {
            metadata = metadata.and_may_use(GrantType::JwtBearer);
        }
        let access = self
            .client_credentials
            .map(|scope| Access::of(&scope, self.app_roles, resources));
        let metadata = metadata.authenticated_by(authentication);
        Ok(Known {
            client: Client::register(id, metadata, Timestamp::default()),
            access: access.transpose()?,
        })
    }
}

/// What a client may do as itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Access {
    pub(super) scope: Scope,
    pub(super) roles: Vec<String>,
}

impl Access {
    /// `resources` are none where they are wrong themselves.
    fn of(
        scope: &str,
        roles: Vec<String>,
        resources: Option<&Resources>,
    ) -> Result<Self, PreregisteredClientError> {
        let Some(resources) = resources else {
            return Ok(Self::default());
        };
        let scope = Scope::parse(scope).map_err(|_| PreregisteredClientError::Scopes)?;
        let scope = resources.in_short(&scope);
        let policies = || resources.iter().map(|resource| &resource.scopes);
        let all = policies().fold(Scope::default(), |all, policy| {
            all.union(policy.grantable())
        });
        let gets_in = policies().any(|policy| scope.covers(policy.required()));
        let fits = all.covers(&scope) && gets_in;
        fits.then_some(Self { scope, roles })
            .ok_or(PreregisteredClientError::Scopes)
    }
}

#[derive(Clone, Debug)]
struct Known {
    client: Client,
    access: Option<Access>,
}

/// The clients the operator knows, by their ids.
#[derive(Clone, Debug, Default)]
pub(crate) struct PreregisteredClients(HashMap<ClientId, Known>);

impl PreregisteredClients {
    /// Adds a client whose redirect URIs are among those `allowed`, and whose scopes are among ours.
    pub(crate) fn add(
        &mut self,
        client: PreregisteredClient,
        allowed: &AllowedRedirects,
        resources: Option<&Resources>,
    ) -> Result<(), PreregisteredClientError> {
        let known = client.check(allowed, resources)?;
        match self.0.insert(known.client.id().clone(), known) {
            None => Ok(()),
            Some(_) => Err(PreregisteredClientError::Twice),
        }
    }

    /// All of them, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.0.values().map(|known| &known.client)
    }

    /// The client called `id`, if it is one of them.
    pub(crate) fn get(&self, id: &ClientId) -> Option<&Client> {
        self.0.get(id).map(|known| &known.client)
    }

    /// What the client called `id` may do as itself.
    pub(super) fn access(&self, id: &ClientId) -> Option<&Access> {
        self.0.get(id)?.access.as_ref()
    }

    /// A grant as it is today: one that no login stands behind gives no more than its client has now, and
    /// nothing if the client may not act so any more.
    pub(super) fn today(&self, grant: Grant) -> Option<Grant> {
        if grant.subject().is_none() {
            return Some(grant);
        }
        match grant.principal().kind {
            PrincipalKind::Application => {
                let access = self.access(grant.client_id())?;
                Some(grant.limited_to(&access.scope, &access.roles))
            }
            PrincipalKind::User => {
                let client = self.get(grant.client_id())?;
                client.may_use(GrantType::JwtBearer).then_some(grant)
            }
        }
    }

    /// Whether one of them may use `grant_type`.
    pub(super) fn may_use(&self, grant_type: GrantType) -> bool {
        let mut clients = self.0.values();
        clients.any(|known| known.client.may_use(grant_type))
    }

    /// How they prove themselves.
    pub(crate) fn authentications(&self) -> impl Iterator<Item = &ClientAuthentication> {
        self.0
            .values()
            .map(|known| known.client.metadata().authentication())
    }
}
