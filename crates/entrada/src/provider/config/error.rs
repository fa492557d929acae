//! Everything that can be wrong with a configuration.

use std::fmt;

use crate::authorization_server::{PreregisteredClientError, ScopePolicyError, TrustedProxyError};
use crate::causes::Causes;
use crate::entra::authority::{AuthorityHostError, TenantError};
use crate::entra::credential::CredentialError;
use crate::keys::KeyFileError;
use crate::oauth::client_document::DocumentHostError;
use crate::oauth::issuer::IssuerError;
use crate::oauth::redirect_pattern::RedirectPatternError;
use crate::resource_server::AllowedOriginError;

/// One thing that is wrong with a configuration, and what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The tenant is none.
    #[error("tenant_id: {0}")]
    Tenant(#[source] TenantError),
    /// An allowed tenant is no id.
    #[error("allowed_tenants: {0:?} is no tenant id, a GUID")]
    AllowedTenant(String),
    /// There is nothing to allow.
    #[error("allowed_tenants: only organizations and common stand for several tenants")]
    AllowedTenants,
    /// The tenant of External ID or B2C is none.
    #[error("tenant: write the name before .onmicrosoft.com, such as contoso")]
    Subdomain,
    /// The user flow is none.
    #[error("policy: write the name of the user flow or custom policy, such as B2C_1_signin")]
    Policy,
    /// The client id is no GUID.
    #[error("client_id: take the Application (client) ID of the app registration, a GUID")]
    ClientId,
    /// There is no credential.
    #[error(
        "client_secret: add one under Certificates & secrets, and pass its value, not its id; or \
         give another credential"
    )]
    NoCredential,
    /// The secret looks like the id of a secret.
    #[error("client_secret: this is the id of a secret; pass its value")]
    SecretId,
    /// Nothing can be done with the credential there.
    #[error(
        "client_secret: Entra External ID and Azure AD B2C exchange no tokens, so there is no use \
         for a credential"
    )]
    NoExchange,
    /// The credential cannot be used.
    #[error("credential: {}", Causes(.0))]
    Credential(CredentialError),
    /// Scopes are given for a server whose tokens Entra issues.
    #[error(
        "required_scopes: what the verifier of Entra's tokens requires is required, so name none here"
    )]
    ScopesAtEntra,
    /// The base URL cannot be built upon.
    #[error("base_url: {0}")]
    BaseUrl(#[source] IssuerError),
    /// The issuer is none.
    #[error("issuer_url: {0}")]
    IssuerUrl(#[source] IssuerError),
    /// The resource is no URL one could protect.
    #[error("resource_url: {0}")]
    ResourceUrl(#[source] IssuerError),
    /// The resource lies where the authorization server has an endpoint.
    #[error("resource_url: its path is one of the authorization server's own, choose another")]
    ResourcePath,
    /// Another server has the same URL.
    #[error("resource_url: another protected server has that URL")]
    ResourceTwice,
    /// Something is wrong with a server besides the first.
    #[error("{url}: {source}")]
    Resource {
        /// The server.
        url: String,
        /// What.
        source: Box<Self>,
    },
    /// The redirect path is none.
    #[error(
        "redirect_path: must begin with a slash, hold no query, and be none of the authorization \
         server's own, such as /auth/callback"
    )]
    RedirectPath,
    /// A scope is none.
    #[error("scopes: {0:?} is no scope")]
    Scope(String),
    /// The required scopes cannot be required.
    #[error("required_scopes: {0}")]
    RequiredScopes(#[source] ScopePolicyError),
    /// The optional scopes are none a token could hold.
    #[error("optional_scopes: {0}")]
    OptionalScopes(#[source] ScopePolicyError),
    /// Applications are let in, and nothing says which.
    #[error(
        "app_only: any application of the tenant gets a token: name the app roles it must have \
         (required_app_roles), or the applications (allowed_clients)"
    )]
    AppOnly,
    /// Applications are let in of whatever tenant.
    #[error(
        "app_only: every tenant's administrators give their applications your app roles: name the \
         tenants (allowed_tenants), or the applications (allowed_clients)"
    )]
    AppOnlyOfAnyTenant,
    /// A client that is let in is none.
    #[error("allowed_clients: {0:?} is no Application (client) ID, a GUID")]
    AllowedClient(String),
    /// Applications are refused, and told what they need.
    #[error(
        "required_app_roles: applications are refused (app_only), and users need none of these; \
         if users do, use requirement"
    )]
    RolesOfNobody,
    /// In another tenant the name can be somebody else's.
    #[error(
        "identifier_uris: {0:?} can be anybody's in another tenant, who then gives out tokens for \
         it: where there are several tenants, an api:// URI must hold the client id"
    )]
    SharedIdentifierUri(String),
    /// A requirement that nobody can meet.
    #[error("requirement: nobody can meet it: {0}")]
    Requirement(String),
    /// Microsoft Graph is nowhere.
    #[error("graph_url: {0}")]
    GraphUrl(#[source] IssuerError),
    /// No keys could be made.
    #[error("session_keys: none could be made")]
    SessionKeys,
    /// The leeway is out of range.
    #[error("leeway: clocks may differ by five minutes at most")]
    Leeway,
    /// An additional scope would be taken for one of Microsoft Graph.
    #[error("additional_scopes: write {0:?} with its API, https://graph.microsoft.com/{0}")]
    AdditionalScope(String),
    /// An incremental scope is not one a user can be asked for by name.
    #[error(
        "incremental_scopes: write {0:?} with its API and a name of its own, such as \
         https://graph.microsoft.com/Mail.Read"
    )]
    IncrementalScope(String),
    /// The identifier URI is none.
    #[error(
        "identifier_uri: must be absolute and not end with a slash, such as api://{{client id}}"
    )]
    IdentifierUri,
    /// The authority is no host.
    #[error("authority_host: {0}")]
    AuthorityHost(#[source] AuthorityHostError),
    /// A redirect URI may not be allowed.
    #[error("allowed_client_redirect_uris: {uri:?}: {source}")]
    AllowedRedirect {
        /// Which one.
        uri: String,
        /// Why.
        source: RedirectPatternError,
    },
    /// A host of documents is none.
    #[error("client_document_hosts: {host:?}: {source}")]
    ClientDocumentHost {
        /// Which one.
        host: String,
        /// Why.
        source: DocumentHostError,
    },
    /// A client that the operator names cannot be one.
    #[error("client {client_id:?}: {source}")]
    Client {
        /// Which one.
        client_id: String,
        /// Why.
        source: PreregisteredClientError,
    },
    /// An issuer of identity assertions cannot be one.
    #[error("identity assertions of {issuer:?}: {source}")]
    TrustedIssuer {
        /// Which one.
        issuer: String,
        /// Why.
        source: IssuerError,
    },
    /// Identity assertions are taken from clients, and no issuer is trusted.
    #[error("identity_assertions: a client may bring some, and no issuer is trusted to give them")]
    NoTrustedIssuer,
    /// An issuer is trusted, and no client brings what it vouches for.
    #[error("trusted_issuer: no client has identity_assertions: nothing is taken from it")]
    NoIdentityAssertions,
    /// An issuer of identity assertions is named twice.
    #[error("identity assertions of {0:?}: it is named twice: name it once")]
    TrustedIssuerTwice(String),
    /// A pre-approved client cannot be one.
    #[error(
        "pre_approved_clients: {0:?} is no client id: write that of the client, or the URL of its document"
    )]
    PreApprovedClient(String),
    /// Consent is remembered for too long, or not at all.
    #[error("consent_lifetime: consent is remembered one hour to 400 days, such as 90d")]
    ConsentLifetime,
    /// A trusted proxy is none.
    #[error("trusted_proxies: {proxy:?}: {source}")]
    TrustedProxy {
        /// Which one.
        proxy: String,
        /// Why.
        source: TrustedProxyError,
    },
    /// An origin is none.
    #[error("allowed_origins: {origin:?}: {source}")]
    AllowedOrigin {
        /// Which one.
        origin: String,
        /// Why.
        source: AllowedOriginError,
    },
    /// Something is asked of proofs, and there are none.
    #[error("dpop_nonce: proofs are to hold a nonce, and dpop is off")]
    DpopNonce,
    /// Tokens that cannot be bound are let in, and none but bound ones are.
    #[error(
        "dpop: no token but a bound one would get in, and those of Entra and other issuers are never \
         bound: write optional, or let no other tokens in"
    )]
    DpopRequired,
    /// A lifetime is out of range.
    #[error("lifetimes: access tokens live one second to one day, refresh tokens no less")]
    Lifetimes,
    /// It is another than that of the server that is renewed, whose grants, keys and sign-ins are bound to it.
    #[error("{0}: it cannot change while the server runs: start it anew")]
    NotWhileRunning(&'static str),
    /// The keys cannot be had.
    #[error("data_dir: {0}")]
    Keys(#[source] KeyFileError),
    /// The store cannot be opened.
    #[error("data_dir: {0}")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no store: neither was one given, nor is the embedded one built in.
    #[error("store: give one, or build with the feature embedded")]
    NoStore,
}

/// Everything that is wrong with a configuration.
#[non_exhaustive]
pub struct ConfigErrors(pub(super) Vec<ConfigError>);

impl ConfigErrors {
    /// One alone.
    pub(in crate::provider) fn of(error: ConfigError) -> Self {
        Self(vec![error])
    }

    /// All of these.
    pub(in crate::provider) fn of_all(errors: Vec<ConfigError>) -> Self {
        Self(errors)
    }

    /// The errors, by reference.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

// What `main` prints when it returns an error: the same sentences.
impl fmt::Debug for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigErrors {}

impl IntoIterator for ConfigErrors {
    type Item = ConfigError;
    type IntoIter = std::vec::IntoIter<ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
