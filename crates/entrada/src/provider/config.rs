//! What [`AzureProvider`](super::AzureProvider) is told, and everything that can be wrong with it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::paths;
use crate::authorization_server::{ConsentMode, ScopePolicy, ScopePolicyError};
use crate::entra::AppRegistration;
use crate::entra::authority::{
    Authority, AuthorityHost, AuthorityHostError, PUBLIC_CLOUD, Tenant, TenantError,
};
use crate::entra::credential::ClientCredential;
use crate::entra::scope::ScopeNames;
use crate::grant::Lifetimes;
use crate::jwt::jwks::Algorithm;
use crate::jwt::verify::is_guid;
use crate::keys::{KeyFile, KeyFileError, Keys};
use crate::oauth::issuer::{Issuer, IssuerError, bare_url};
use crate::oauth::redirect_uri::{AllowedRedirects, RedirectUri, RedirectUriError};
use crate::oauth::resource::ResourceIndicator;
use crate::oauth::scope::{Scope, ScopeToken};
use crate::platform::Platform;
use crate::resource_server::{AllowedOrigin, AllowedOriginError};
use crate::secret::ClientSecret;
use crate::store::Store;

/// The longest an access token of ours may live: until then a token that leaked is good.
const LONGEST_ACCESS_TOKEN: Duration = Duration::from_secs(24 * 60 * 60);

/// What [`AzureProvider`](super::AzureProvider) is told. Nothing is checked until it is used, and
/// then all of it.
#[derive(Clone, Debug)]
pub struct AzureConfig {
    tenant: String,
    client_id: String,
    base_url: String,
    client_secret: Option<ClientSecret>,
    required_scopes: Vec<String>,
    additional_scopes: Vec<String>,
    identifier_uri: Option<String>,
    issuer_url: Option<String>,
    resource_url: Option<String>,
    resource_name: Option<String>,
    redirect_path: String,
    allowed_client_redirect_uris: Option<Vec<String>>,
    allowed_origins: Vec<String>,
    authority_host: String,
    http_authority: bool,
    lifetimes: Lifetimes,
    consent: ConsentMode,
    signing_algorithm: Algorithm,
    data_dir: PathBuf,
    store: Option<Arc<dyn Store>>,
    keys: Option<Keys>,
}

impl AzureConfig {
    /// What cannot be guessed: the tenant (its id or a verified domain, or `organizations`,
    /// `common`, `consumers`), the Application (client) ID, and the public URL of this server.
    ///
    /// A client secret and at least one required scope must be added.
    pub fn new(
        tenant: impl Into<String>,
        client_id: impl Into<String>,
        base_url: impl Into<String>,
    ) -> Self {
        Self {
            tenant: tenant.into(),
            client_id: client_id.into(),
            base_url: base_url.into(),
            client_secret: None,
            required_scopes: Vec::new(),
            additional_scopes: Vec::new(),
            identifier_uri: None,
            issuer_url: None,
            resource_url: None,
            resource_name: None,
            redirect_path: "/auth/callback".to_owned(),
            allowed_client_redirect_uris: None,
            allowed_origins: Vec::new(),
            authority_host: PUBLIC_CLOUD.to_owned(),
            http_authority: false,
            lifetimes: Lifetimes::default(),
            consent: ConsentMode::default(),
            signing_algorithm: Algorithm::Es256,
            data_dir: PathBuf::from("entrada-data"),
            store: None,
            keys: None,
        }
    }
}

/// Setters: each takes what the field of its name means and gives the configuration back.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident($($field:ident).+: $type:ty) = $value:expr;)+) => {
        impl AzureConfig {$(
            $(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $name: $type) -> Self {
                self.$($field).+ = $value;
                self
            }
        )+}
    };
}

setters! {
    /// The client secret of the app registration.
    client_secret(client_secret: impl Into<String>) = Some(ClientSecret::new(client_secret));
    /// Scopes of your own API that every token must hold: `mcp.access`, or with the identifier
    /// URI before it.
    required_scopes(required_scopes: impl IntoIterator<Item = impl Into<String>>) =
        required_scopes.into_iter().map(Into::into).collect();
    /// Scopes of any API that the user is asked for besides, for on-behalf-of:
    /// `https://graph.microsoft.com/User.Read`.
    additional_scopes(additional_scopes: impl IntoIterator<Item = impl Into<String>>) =
        additional_scopes.into_iter().map(Into::into).collect();
    /// The Application ID URI; `api://{client id}` if it is not given.
    identifier_uri(identifier_uri: impl Into<String>) = Some(identifier_uri.into());
    /// The issuer, kept byte for byte; the base URL if it is not given.
    issuer_url(issuer_url: impl Into<String>) = Some(issuer_url.into());
    /// The URL of the protected server, on the same origin; `{base URL}/mcp` if it is not given.
    resource_url(resource_url: impl Into<String>) = Some(resource_url.into());
    /// What people call the protected server; its host if it is not given.
    resource_name(resource_name: impl Into<String>) = Some(resource_name.into());
    /// The path of the callback, as registered in Entra below the base URL: `/auth/callback`.
    redirect_path(redirect_path: impl Into<String>) = redirect_path.into();
    /// The only redirect URIs clients may use; without the list, those they register.
    allowed_client_redirect_uris(
        allowed_client_redirect_uris: impl IntoIterator<Item = impl Into<String>>
    ) = Some(allowed_client_redirect_uris.into_iter().map(Into::into).collect());
    /// Origins whose web pages may call the protected server.
    allowed_origins(allowed_origins: impl IntoIterator<Item = impl Into<String>>) =
        allowed_origins.into_iter().map(Into::into).collect();
    /// The host of the cloud, `host` or `host:port`.
    authority_host(authority_host: impl Into<String>) = authority_host.into();
    /// How long access tokens live: an hour, unless told otherwise.
    access_token_lifetime(lifetimes.access_token: Duration) = access_token_lifetime;
    /// How long a refresh token may lie unused: 90 days, as Entra's own.
    refresh_token_lifetime(lifetimes.refresh_token: Duration) = refresh_token_lifetime;
    /// What access tokens are signed with: ES256, unless told otherwise. Takes effect with the
    /// next key that is made.
    signing_algorithm(signing_algorithm: Algorithm) = signing_algorithm;
    /// Where keys and grants are kept.
    data_dir(data_dir: impl Into<PathBuf>) = data_dir.into();
    /// Keeps grants elsewhere than in the data directory.
    store(store: Arc<dyn Store>) = Some(store);
    /// Uses these keys, rather than those in the data directory.
    keys(keys: Keys) = Some(keys);
}

impl AzureConfig {
    /// Speaks plain `http` to an authority on this machine: an emulator.
    ///
    /// # Security
    ///
    /// Anybody on the path reads the client secret and poses as Entra; hence loopback only.
    #[must_use]
    pub fn insecure_http_authority(mut self) -> Self {
        self.http_authority = true;
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

/// One thing that is wrong with a configuration, and what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The tenant is none.
    #[error("tenant: {0}")]
    Tenant(#[source] TenantError),
    /// The client id is no GUID.
    #[error("client id: take the Application (client) ID of the app registration, a GUID")]
    ClientId,
    /// There is no credential.
    #[error("client secret: add one under Certificates & secrets, and pass its value, not its id")]
    NoCredential,
    /// The secret looks like the id of a secret.
    #[error("client secret: this is the id of a secret; pass its value")]
    SecretId,
    /// The base URL cannot be built upon.
    #[error("base url: {0}")]
    BaseUrl(#[source] IssuerError),
    /// The issuer is none.
    #[error("issuer url: {0}")]
    IssuerUrl(#[source] IssuerError),
    /// The resource is no URL one could protect.
    #[error("resource url: {0}")]
    ResourceUrl(#[source] IssuerError),
    /// The resource lies on another origin than the base URL.
    #[error("resource url: must lie on the same origin as the base url")]
    ResourceOrigin,
    /// The resource lies where the authorization server has an endpoint.
    #[error("resource url: its path is one of the authorization server's own, choose another")]
    ResourcePath,
    /// The redirect path is none.
    #[error(
        "redirect path: must begin with a slash, hold no query, and be none of the authorization \
         server's own, such as /auth/callback"
    )]
    RedirectPath,
    /// A scope is none.
    #[error("scopes: {0:?} is no scope")]
    Scope(String),
    /// The required scopes cannot be required.
    #[error("required scopes: {0}")]
    RequiredScopes(#[source] ScopePolicyError),
    /// An additional scope would be taken for one of Microsoft Graph.
    #[error("additional scopes: write {0:?} with its API, https://graph.microsoft.com/{0}")]
    AdditionalScope(String),
    /// The identifier URI is none.
    #[error(
        "identifier uri: must be absolute and not end with a slash, such as api://{{client id}}"
    )]
    IdentifierUri,
    /// The authority is no host.
    #[error("authority host: {0}")]
    AuthorityHost(#[source] AuthorityHostError),
    /// A redirect URI may not be allowed.
    #[error("allowed client redirect uris: {uri:?}: {source}")]
    AllowedRedirect {
        /// Which one.
        uri: String,
        /// Why.
        source: RedirectUriError,
    },
    /// An origin is none.
    #[error("allowed origins: {origin:?}: {source}")]
    AllowedOrigin {
        /// Which one.
        origin: String,
        /// Why.
        source: AllowedOriginError,
    },
    /// A lifetime is out of range.
    #[error("lifetimes: access tokens live one second to one day, refresh tokens no less")]
    Lifetimes,
    /// The keys cannot be had.
    #[error("data directory: {0}")]
    Keys(#[source] KeyFileError),
    /// The store cannot be opened.
    #[error("data directory: {0}")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no store: neither was one given, nor is the embedded one built in.
    #[error("store: give one, or build with the feature embedded")]
    NoStore,
}

/// Everything that is wrong with a configuration.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The errors.
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

impl std::error::Error for ConfigErrors {}

/// A configuration in which everything holds.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) app: AppRegistration,
    pub(super) issuer: Issuer,
    pub(super) base_url: Url,
    pub(super) redirect_path: String,
    pub(super) resource: ResourceIndicator,
    pub(super) resource_url: Url,
    pub(super) resource_name: String,
    pub(super) scopes: ScopePolicy,
    pub(super) lifetimes: Lifetimes,
    pub(super) consent: ConsentMode,
    pub(super) allowed_redirects: AllowedRedirects,
    pub(super) allowed_origins: Vec<AllowedOrigin>,
    pub(super) store: Arc<dyn Store>,
    pub(super) keys: Keys,
    /// Where the keys came from.
    pub(super) key_file: Option<KeyFile>,
    pub(super) signing_algorithm: Algorithm,
}

/// What has gone wrong so far.
#[derive(Debug, Default)]
struct Findings(Vec<ConfigError>);

impl Findings {
    /// The value, or a note of why there is none.
    fn note<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }
}

impl AzureConfig {
    /// Checks all of it, and opens keys and store only if the rest holds.
    pub(super) fn check(self, platform: &Platform) -> Result<Checked, ConfigErrors> {
        let mut found = Findings::default();
        let app = self.app(&mut found);
        let places = self.places(&mut found);
        let scopes = self.scopes(&mut found);
        let allowed_redirects = self.allowed_redirects(&mut found);
        let allowed_origins = self.origins(&mut found);
        if !self.lifetimes_hold() {
            found.0.push(ConfigError::Lifetimes);
        }
        let (Some((app, redirect_path)), Some(places), Some(scopes), true) =
            (app, places, scopes, found.0.is_empty())
        else {
            return Err(ConfigErrors(found.0));
        };
        let keys = found.note(self.open_keys(platform));
        let store = found.note(self.open_store());
        let (Some((keys, key_file)), Some(store)) = (keys, store) else {
            return Err(ConfigErrors(found.0));
        };
        let host = places
            .resource_url
            .host_str()
            .unwrap_or_default()
            .to_owned();
        Ok(Checked {
            app,
            issuer: places.issuer,
            base_url: places.base_url,
            redirect_path,
            resource: places.resource,
            resource_url: places.resource_url,
            resource_name: self.resource_name.unwrap_or(host),
            scopes,
            lifetimes: self.lifetimes,
            consent: self.consent,
            allowed_redirects,
            allowed_origins,
            store,
            keys,
            key_file,
            signing_algorithm: self.signing_algorithm,
        })
    }

    fn identifier(&self) -> String {
        self.identifier_uri
            .clone()
            .unwrap_or_else(|| format!("api://{}", self.client_id))
    }

    /// The app registration, and the path of its callback.
    fn app(&self, found: &mut Findings) -> Option<(AppRegistration, String)> {
        let host = if self.http_authority {
            AuthorityHost::insecure_http(&self.authority_host)
        } else {
            AuthorityHost::parse(&self.authority_host)
        };
        let host = found.note(host.map_err(ConfigError::AuthorityHost));
        let tenant = found.note(Tenant::parse(&self.tenant).map_err(ConfigError::Tenant));
        if !is_guid(&self.client_id) {
            found.0.push(ConfigError::ClientId);
        }
        let credential = found.note(match &self.client_secret {
            None => Err(ConfigError::NoCredential),
            Some(secret) if secret.expose().is_empty() => Err(ConfigError::NoCredential),
            Some(secret) if is_guid(secret.expose()) => Err(ConfigError::SecretId),
            Some(secret) => Ok(ClientCredential::Secret(secret.clone())),
        });
        let identifier = self.identifier();
        if identifier.ends_with('/') || Url::parse(&identifier).is_err() {
            found.0.push(ConfigError::IdentifierUri);
        }
        let path = &self.redirect_path;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        if !path.starts_with('/') || path == "/" || !path.bytes().all(plain) || paths::is_own(path)
        {
            found.0.push(ConfigError::RedirectPath);
        }
        let additional = self.additional(found);
        let authority = Authority::new(&host?, tenant?).map_err(ConfigError::AuthorityHost);
        let app = AppRegistration {
            authority: found.note(authority)?,
            client_id: self.client_id.clone(),
            redirect_uri: format!("{}{path}", self.base_url.trim_end_matches('/')),
            credential: credential?,
            names: ScopeNames::new(identifier),
            additional: additional?,
        };
        Some((app, path.clone()))
    }

    fn additional(&self, found: &mut Findings) -> Option<Scope> {
        let scope = parse_scopes(&self.additional_scopes, found)?;
        let bare = |token: &&ScopeToken| {
            !token.as_str().contains('/') && !crate::entra::scope::is_openid_connect(token)
        };
        let unclear: Vec<_> = scope.iter().filter(bare).map(ToString::to_string).collect();
        let clear = unclear.is_empty();
        found
            .0
            .extend(unclear.into_iter().map(ConfigError::AdditionalScope));
        clear.then_some(scope)
    }

    fn places(&self, found: &mut Findings) -> Option<Places> {
        let base_url = found.note(bare_url(&self.base_url).map_err(ConfigError::BaseUrl));
        let base = self.base_url.trim_end_matches('/');
        let issuer = self.issuer_url.as_deref().unwrap_or(&self.base_url);
        let issuer = found.note(Issuer::parse(issuer).map_err(ConfigError::IssuerUrl));
        let resource = self
            .resource_url
            .clone()
            .unwrap_or_else(|| format!("{base}/mcp"));
        let resource_url = found.note(bare_url(&resource).map_err(ConfigError::ResourceUrl));
        let (base_url, issuer, resource_url) = (base_url?, issuer?, resource_url?);
        if resource_url.origin() != base_url.origin() {
            found.0.push(ConfigError::ResourceOrigin);
        }
        if !paths::is_free(&resource_url, &base_url, &self.redirect_path) {
            found.0.push(ConfigError::ResourcePath);
        }
        let resource = ResourceIndicator::parse(&resource).ok()?;
        Some(Places {
            base_url,
            issuer,
            resource,
            resource_url,
        })
    }

    fn scopes(&self, found: &mut Findings) -> Option<ScopePolicy> {
        let required = parse_scopes(&self.required_scopes, found)?;
        let policy = ScopePolicy::new(&required, ScopeNames::new(self.identifier()));
        found.note(policy.map_err(ConfigError::RequiredScopes))
    }

    fn allowed_redirects(&self, found: &mut Findings) -> AllowedRedirects {
        let Some(uris) = &self.allowed_client_redirect_uris else {
            return AllowedRedirects::Registered;
        };
        let parse = |uri: &String| {
            RedirectUri::parse(uri).map_err(|source| ConfigError::AllowedRedirect {
                uri: uri.clone(),
                source,
            })
        };
        let parsed = uris.iter().filter_map(|uri| found.note(parse(uri)));
        AllowedRedirects::Only(parsed.collect())
    }

    fn origins(&self, found: &mut Findings) -> Vec<AllowedOrigin> {
        let parse = |origin: &String| {
            AllowedOrigin::parse(origin).map_err(|source| ConfigError::AllowedOrigin {
                origin: origin.clone(),
                source,
            })
        };
        self.allowed_origins
            .iter()
            .filter_map(|origin| found.note(parse(origin)))
            .collect()
    }

    fn lifetimes_hold(&self) -> bool {
        let Lifetimes {
            access_token,
            refresh_token,
        } = self.lifetimes;
        let range = Duration::from_secs(1)..=LONGEST_ACCESS_TOKEN;
        range.contains(&access_token) && refresh_token >= access_token
    }

    fn open_keys(&self, platform: &Platform) -> Result<(Keys, Option<KeyFile>), ConfigError> {
        if let Some(keys) = &self.keys {
            return Ok((keys.clone(), None));
        }
        let file = KeyFile::new(self.data_dir.join("keys.json"));
        let now = platform.clock.now();
        let ring = file.load_or_create(self.signing_algorithm, &*platform.random, now);
        ring.map(|ring| (Keys::new(ring), Some(file)))
            .map_err(ConfigError::Keys)
    }

    fn open_store(&self) -> Result<Arc<dyn Store>, ConfigError> {
        match &self.store {
            Some(store) => Ok(Arc::clone(store)),
            #[cfg(feature = "embedded")]
            None => crate::store::EmbeddedStore::open(self.data_dir.join("grants.redb"))
                .map(|store| Arc::new(store) as Arc<dyn Store>)
                .map_err(|error| ConfigError::Store(error.into())),
            #[cfg(not(feature = "embedded"))]
            None => Err(ConfigError::NoStore),
        }
    }
}

/// URLs of the server, in the relations they must have.
struct Places {
    base_url: Url,
    issuer: Issuer,
    resource: ResourceIndicator,
    resource_url: Url,
}

/// Parses scopes given one by one, or several in one string.
fn parse_scopes(texts: &[String], found: &mut Findings) -> Option<Scope> {
    let words = texts.iter().flat_map(|text| text.split([' ', ',']));
    let parsed: Vec<_> = words
        .filter(|word| !word.is_empty())
        .map(|word| {
            found.note(ScopeToken::parse(word).map_err(|_| ConfigError::Scope(word.to_owned())))
        })
        .collect();
    parsed.into_iter().collect()
}
