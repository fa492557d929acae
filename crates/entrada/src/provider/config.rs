//! What [`AzureProvider`](super::AzureProvider) is told.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::access_token::AccessTokenVerifier;
use crate::audit::AuditSink;
use crate::authorization_server::{
    ClientRegistrations, ConsentMode, PreregisteredClient, RateLimits,
};
use crate::dpop::Dpop;
use crate::entra::cloud::Cloud;
use crate::entra::credential::ClientCredential;
use crate::entra::verifier::AzureJwtVerifier;
use crate::grant::Lifetimes;
use crate::jwt::jwks::Algorithm;
use crate::keys::{KeyEncryptionKeys, Keys};
use crate::policy::Requirement;
use crate::store::Store;

mod authority;
mod check;
mod clients;
mod direct;
mod dpop;
mod error;
mod graph;
mod opened;
mod protected_resource;
mod remote;

use authority::{AuthoritySettings, Directory};
pub(super) use check::Checked;
pub(super) use opened::Opened;

pub use direct::AzureJwtConfig;
pub use error::{ConfigError, ConfigErrors};
pub use graph::GraphGroups;
pub use protected_resource::ProtectedResource;
pub(in crate::provider) use protected_resource::{Guarded, Tokens};
pub(super) use remote::CheckedRemote;
pub use remote::RemoteAuthConfig;

/// What [`AzureProvider`](super::AzureProvider) is told. Nothing is checked until it is used, and
/// then all of it.
#[derive(Clone, Debug)]
pub struct AzureConfig {
    authority: AuthoritySettings,
    client_id: String,
    base_url: String,
    credential: Option<ClientCredential>,
    required_scopes: Vec<String>,
    optional_scopes: Vec<String>,
    additional_scopes: Vec<String>,
    incremental_scopes: Vec<String>,
    identifier_uri: Option<String>,
    issuer_url: Option<String>,
    resource_url: Option<String>,
    resource_name: Option<String>,
    resources: Vec<ProtectedResource>,
    redirect_path: String,
    allowed_client_redirect_uris: Option<Vec<String>>,
    client_document_hosts: Option<Vec<String>>,
    client_registrations: ClientRegistrations,
    clients: Vec<PreregisteredClient>,
    trusted_issuers: Vec<(String, String)>,
    rate_limits: RateLimits,
    trusted_proxies: Vec<String>,
    allowed_origins: Vec<String>,
    lifetimes: Lifetimes,
    consent: ConsentMode,
    pre_approved_clients: Vec<String>,
    dpop: Dpop,
    dpop_nonce: bool,
    signing_algorithm: Algorithm,
    data_dir: PathBuf,
    requirement: Requirement,
    groups_from_graph: bool,
    continuous_access_evaluation: bool,
    graph_url: Option<String>,
    also_accepted: Vec<Arc<dyn AccessTokenVerifier>>,
    at_entra: Option<AzureJwtVerifier>,
    store: Option<Arc<dyn Store>>,
    keys: Option<Keys>,
    shared_keys: Option<KeyEncryptionKeys>,
    audit: Option<Arc<dyn AuditSink>>,
}

impl AzureConfig {
    /// What cannot be guessed: the tenant (its id or a verified domain, or `organizations`,
    /// `common`, `consumers`), the Application (client) ID, and the public URL of this server.
    ///
    /// A credential, such as a client secret, and at least one required scope must be added.
    pub fn new(
        tenant: impl Into<String>,
        client_id: impl Into<String>,
        base_url: impl Into<String>,
    ) -> Self {
        Self::of(Directory::EntraId(tenant.into()), client_id, base_url)
    }

    /// The same for customers of an Entra External ID tenant: the name before
    /// `.onmicrosoft.com`, or the tenant's id where it is reached under a domain of its own, which
    /// [`authority_host`](Self::authority_host) then names.
    pub fn external_id(
        tenant: impl Into<String>,
        client_id: impl Into<String>,
        base_url: impl Into<String>,
    ) -> Self {
        Self::of(Directory::ExternalId(tenant.into()), client_id, base_url)
    }

    fn of(directory: Directory, client_id: impl Into<String>, base_url: impl Into<String>) -> Self {
        Self {
            authority: AuthoritySettings::new(directory),
            client_id: client_id.into(),
            base_url: base_url.into(),
            credential: None,
            required_scopes: Vec::new(),
            optional_scopes: Vec::new(),
            additional_scopes: Vec::new(),
            incremental_scopes: Vec::new(),
            identifier_uri: None,
            issuer_url: None,
            resource_url: None,
            resource_name: None,
            resources: Vec::new(),
            redirect_path: "/auth/callback".to_owned(),
            allowed_client_redirect_uris: None,
            client_document_hosts: None,
            client_registrations: ClientRegistrations::default(),
            clients: Vec::new(),
            trusted_issuers: Vec::new(),
            rate_limits: RateLimits::default(),
            trusted_proxies: Vec::new(),
            allowed_origins: Vec::new(),
            lifetimes: Lifetimes::default(),
            consent: ConsentMode::default(),
            pre_approved_clients: Vec::new(),
            dpop: Dpop::default(),
            dpop_nonce: false,
            signing_algorithm: Algorithm::Es256,
            data_dir: PathBuf::from("entrada-data"),
            requirement: Requirement::default(),
            groups_from_graph: false,
            continuous_access_evaluation: false,
            graph_url: None,
            also_accepted: Vec::new(),
            at_entra: None,
            store: None,
            keys: None,
            shared_keys: None,
            audit: None,
        }
    }
}

/// Setters: each takes what the field of its name means and gives the configuration back.
macro_rules! setters {
    ($config:ident: $($(#[$doc:meta])* $name:ident($($field:ident).+: $type:ty) = $value:expr;)+) => {
        impl $config {$(
            $(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $name: $type) -> Self {
                self.$($field).+ = $value;
                self
            }
        )+}
    };
}

pub(in crate::provider) use setters;

setters! { AzureConfig:
    /// How the app registration proves itself: a client secret, a certificate, or what a federated
    /// credential trusts. There is one credential; the last that is set counts.
    credential(credential: impl Into<ClientCredential>) = Some(credential.into());
    /// Scopes of your own API that every token must hold: `mcp.access`, or with the identifier
    /// URI before it.
    required_scopes(required_scopes: impl IntoIterator<Item = impl Into<String>>) =
        required_scopes.into_iter().map(Into::into).collect();
    /// Further scopes of your own API that a client gets if it asks for them: what some routes or
    /// tools require, and [`RequireLayer`](crate::resource_server::RequireLayer) tells clients to
    /// come back with.
    optional_scopes(optional_scopes: impl IntoIterator<Item = impl Into<String>>) =
        optional_scopes.into_iter().map(Into::into).collect();
    /// Scopes of any API that the user is asked for besides, for on-behalf-of:
    /// `https://graph.microsoft.com/User.Read`.
    additional_scopes(additional_scopes: impl IntoIterator<Item = impl Into<String>>) =
        additional_scopes.into_iter().map(Into::into).collect();
    /// Scopes of downstream APIs that the user is not asked for until a tool needs them, by name:
    /// `https://graph.microsoft.com/Mail.Read`. The consent page says that it may come to that.
    incremental_scopes(incremental_scopes: impl IntoIterator<Item = impl Into<String>>) =
        incremental_scopes.into_iter().map(Into::into).collect();
    /// The Application ID URI; `api://{client id}` if it is not given.
    identifier_uri(identifier_uri: impl Into<String>) = Some(identifier_uri.into());
    /// The issuer, kept byte for byte; the base URL if it is not given.
    issuer_url(issuer_url: impl Into<String>) = Some(issuer_url.into());
    /// The URL of the protected server; `{base URL}/mcp` if it is not given. One on another host than the
    /// base URL has that to itself.
    resource_url(resource_url: impl Into<String>) = Some(resource_url.into());
    /// What people call the protected server; its host if it is not given.
    resource_name(resource_name: impl Into<String>) = Some(resource_name.into());
    /// The path of the callback, as registered in Entra below the base URL: `/auth/callback`.
    redirect_path(redirect_path: impl Into<String>) = redirect_path.into();
    /// The only redirect URIs clients may use; without the list, those they register. `*` in one stands
    /// for others: see [`RedirectPattern`](crate::oauth::redirect_pattern::RedirectPattern).
    allowed_client_redirect_uris(
        allowed_client_redirect_uris: impl IntoIterator<Item = impl Into<String>>
    ) = Some(allowed_client_redirect_uris.into_iter().map(Into::into).collect());
    /// The only hosts whose documents describe clients (MCP authorization, *Client ID Metadata
    /// Documents*): `claude.ai`, or `*.example.com` for all below it; none where the list is empty.
    /// Without the list, those of any host are taken, as anybody may register without one.
    client_document_hosts(client_document_hosts: impl IntoIterator<Item = impl Into<String>>) =
        Some(client_document_hosts.into_iter().map(Into::into).collect());
    /// Whether users are asked before a client gets their tokens: at every login, unless told otherwise.
    consent(consent: ConsentMode) = consent;
    /// Where what clients register is kept: in the store, unless told otherwise.
    client_registrations(client_registrations: ClientRegistrations) = client_registrations;
    /// Clients whose users are not asked, by id: of the client, or of its document.
    ///
    /// # Security
    ///
    /// Name clients alone whose redirect URIs lead to you or to somebody you trust: a link is enough to
    /// sign a user in to one of them.
    pre_approved_clients(pre_approved_clients: impl IntoIterator<Item = impl Into<String>>) =
        pre_approved_clients.into_iter().map(Into::into).collect();
    /// How many requests one address may make in a minute. Addresses are known where the router is
    /// served with [`ConnectInfo`](axum::extract::ConnectInfo) of a `SocketAddr`.
    rate_limits(rate_limits: RateLimits) = rate_limits;
    /// The proxies before this server, by address or network (`10.0.0.0/8`): their
    /// `X-Forwarded-For` says where a request comes from. None, unless told otherwise.
    ///
    /// # Security
    ///
    /// See [`TrustedProxies`](crate::authorization_server::TrustedProxies).
    trusted_proxies(trusted_proxies: impl IntoIterator<Item = impl Into<String>>) =
        trusted_proxies.into_iter().map(Into::into).collect();
    /// Who is told what was decided about whom: registrations, consents, logins, tokens, revocations.
    audit(audit: Arc<dyn AuditSink>) = Some(audit);
    /// Origins whose web pages may call the protected server.
    allowed_origins(allowed_origins: impl IntoIterator<Item = impl Into<String>>) =
        allowed_origins.into_iter().map(Into::into).collect();
    /// The cloud the app registration is in.
    cloud(authority.cloud: Cloud) = cloud;
    /// The host people sign in at, `host` or `host:port`, where it is not the cloud's: a domain of
    /// the tenant's own, or an emulator.
    authority_host(authority.host: impl Into<String>) = Some(authority_host.into());
    /// The only tenants whose users may sign in, by id, where the tenant is `organizations` or
    /// `common`.
    allowed_tenants(authority.allowed_tenants: impl IntoIterator<Item = impl Into<String>>) =
        allowed_tenants.into_iter().map(Into::into).collect();
    /// Where Microsoft Graph is, if not where the cloud has it: an emulator.
    graph_url(graph_url: impl Into<String>) = Some(graph_url.into());
    /// What every caller must have besides the required scopes.
    requirement(requirement: Requirement) = requirement;
    /// How long access tokens live: an hour, unless told otherwise.
    access_token_lifetime(lifetimes.access_token: Duration) = access_token_lifetime;
    /// How long a refresh token may lie unused: 90 days, as Entra's own.
    refresh_token_lifetime(lifetimes.refresh_token: Duration) = refresh_token_lifetime;
    /// Whether clients bind their tokens to a key (RFC 9449), so that they are of no use to whoever
    /// steals them: those may that can, unless told otherwise. Entra's own tokens are never bound.
    dpop(dpop: Dpop) = dpop;
    /// What access tokens are signed with: ES256, unless told otherwise. Takes effect with the
    /// next key that is made.
    signing_algorithm(signing_algorithm: Algorithm) = signing_algorithm;
    /// Where keys and grants are kept.
    data_dir(data_dir: impl Into<PathBuf>) = data_dir.into();
    /// Keeps grants elsewhere than in the data directory.
    store(store: Arc<dyn Store>) = Some(store);
    /// Uses these keys, rather than those in the data directory or the store.
    keys(keys: Keys) = Some(keys);
    /// Keeps the keys in the store, sealed, where all replicas find them, rather than in the data
    /// directory. The first replica makes them, or takes over those in the data directory.
    ///
    /// [`AzureProvider::new`](super::AzureProvider::new) asks nothing of the store, so there are no keys
    /// until it was asked for the first time: call [`tend_keys`](super::AzureProvider::tend_keys) at the
    /// start and every few seconds. Until the store answered once, everything that needs keys says that it
    /// is not available.
    ///
    /// # Security
    ///
    /// Whoever has one of these and can read the store can make access tokens and open every record. Keep
    /// them apart from the store and its backups.
    shared_keys(shared_keys: KeyEncryptionKeys) = Some(shared_keys);
}

impl AzureConfig {
    /// The client secret of the app registration: its value, not its id. The same as to give it to
    /// [`credential`](Self::credential).
    #[must_use]
    pub fn client_secret(self, client_secret: impl Into<String>) -> Self {
        self.credential(ClientCredential::secret(client_secret))
    }

    /// Looks up the groups of users who are in more than a token lists, in Microsoft Graph and in
    /// their own name; `User.Read` must be among the additional scopes. Whose groups cannot be had
    /// gets in nowhere meanwhile (503). Memberships are believed for six minutes at most.
    #[must_use]
    pub fn groups_from_graph(mut self) -> Self {
        self.groups_from_graph = true;
        self
    }

    /// Tells Entra that we understand continuous access evaluation (Microsoft, *client
    /// capabilities*): tokens to APIs that do, too, live for up to 28 hours, and such an API can turn
    /// one away before, with [claims](crate::oauth::claims_request::ClaimsRequest::of_challenge)
    /// that a tool must then ask a new one for.
    #[must_use]
    pub fn continuous_access_evaluation(mut self) -> Self {
        self.continuous_access_evaluation = true;
        self
    }

    /// Wants in each proof of a key what this server gave the client within the last five minutes
    /// (`DPoP-Nonce`, RFC 9449 §8 and §9): who has the key for a moment cannot make proofs for later.
    /// A client's first request, and one after a pause, then takes two.
    #[must_use]
    pub fn dpop_nonce(mut self) -> Self {
        self.dpop_nonce = true;
        self
    }

    /// Adds a client that need not register, and may have a secret or keys.
    #[must_use]
    pub fn client(mut self, client: PreregisteredClient) -> Self {
        self.clients.push(client);
        self
    }

    /// Protects another server, too. A client that names none gets tokens for the first:
    /// [`resource_url`](Self::resource_url).
    #[must_use]
    pub fn resource(mut self, resource: ProtectedResource) -> Self {
        self.resources.push(resource);
        self
    }

    /// Takes the word of `issuer`, whose keys are published at `jwks_uri`, on who a user is: an ID-JAG
    /// (draft-ietf-oauth-identity-assertion-authz-grant; MCP, *Enterprise-Managed Authorization*) that it gave to
    /// a client whose [`identity_assertions`](PreregisteredClient::identity_assertions) are taken.
    ///
    /// Such users have no token of Entra's: nothing can be had on behalf of them, and they are known by their
    /// subject at the issuer alone.
    ///
    /// # Security
    ///
    /// The issuer can let in anybody, as anybody it knows.
    #[must_use]
    pub fn trust_identity_assertions(
        mut self,
        issuer: impl Into<String>,
        jwks_uri: impl Into<String>,
    ) -> Self {
        self.trusted_issuers.push((issuer.into(), jwks_uri.into()));
        self
    }

    /// Lets in whoever has a token that `verifier` vouches for, besides those we issue: see
    /// [`MultiAuth`](crate::MultiAuth). Scopes and further requirements hold for them, too.
    ///
    /// # Security
    ///
    /// Entra's app-only tokens have no scopes and are asked for none: `verifier` must demand app
    /// roles or clients of them, as [`AzureJwtConfig`] does.
    #[must_use]
    pub fn also_accept(mut self, verifier: impl AccessTokenVerifier + 'static) -> Self {
        self.also_accepted.push(Arc::new(verifier));
        self
    }

    /// Sends the clients of the first server to Entra itself for tokens, as
    /// [`ProtectedResource::tokens_of_entra`] does those of another. Where all servers do, there is no
    /// authorization server, no credential is needed, and no scope is given here.
    ///
    /// # Security
    ///
    /// See there.
    #[must_use]
    pub fn tokens_of_entra(mut self, verifier: AzureJwtVerifier) -> Self {
        self.at_entra = Some(verifier);
        self
    }

    /// Speaks plain `http` to an authority on this machine: an emulator.
    ///
    /// # Security
    ///
    /// Anybody on the path reads the client secret and poses as Entra; hence loopback only.
    #[must_use]
    pub fn insecure_http_authority(mut self) -> Self {
        self.authority.insecure_http = true;
        self
    }

    /// Leaves the consent page out.
    ///
    /// # Security
    ///
    /// Any client that registers gets the tokens of any user it lures onto a link: see
    /// [`ConsentMode::InsecureSkip`]. For development alone.
    #[must_use]
    pub fn insecure_skip_consent(mut self) -> Self {
        self.consent = ConsentMode::InsecureSkip;
        self
    }
}
