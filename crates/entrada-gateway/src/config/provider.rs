//! What the library is told.

use std::mem::discriminant;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use entrada::admin_site::LiveNumbers;
use entrada::audit::AuditSink;
use entrada::authorization_server::{
    ClientRegistrations, ConsentMode, PreregisteredClient, RateLimits,
};
use entrada::dpop::Dpop;
use entrada::entra::cloud::Cloud;
use entrada::entra::credential::ClientCredential;
use entrada::entra::verifier::AppOnlyTokens;
use entrada::jwt::jwks::Algorithm;
use entrada::keys::KeyEncryptionKeys;
use entrada::platform::{HttpTransport, Platform, PublicWeb, PublicWebSettings, SystemHttpError};
use entrada::provider::{
    AzureConfig, AzureProvider, ConfigError as Finding, ConfigErrors, GraphGroups,
};
use entrada::store::Store;
use entrada::{AzureJwtConfig, AzureJwtVerifier};
use url::Url;

use crate::config::admin::{AdminListener, stands_for_several};
use crate::config::findings::problems;
use crate::config::problem::{ConfigError, Problem};
use crate::config::resource::{ResourceSettings, TokensOf};
use crate::config::source::Origins;
use crate::config::store::{OpenStore, StoreSettings};
use crate::config::table::Setting;
use crate::telemetry::WithCauses;

mod rehearsal;

/// What the library is told. It checks most of the values itself, so they are as they were
/// written.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own in the settings"
)]
#[non_exhaustive]
pub struct ProviderSettings {
    /// The tenant: its id or a domain of it.
    pub tenant_id: String,
    /// The only tenants whose users may sign in.
    pub allowed_tenants: Vec<String>,
    /// The application (client) id of the app registration.
    pub client_id: String,
    /// How the app registration proves itself.
    pub credential: Option<ClientCredential>,
    /// The public URL of this gateway.
    pub base_url: String,
    /// The protected servers. The first is meant where a client names none.
    pub resources: Vec<ResourceSettings>,
    /// Scopes of other APIs to ask Entra for.
    pub additional_scopes: Vec<String>,
    /// Scopes of other APIs to ask Entra for once they are needed.
    pub incremental_scopes: Vec<String>,
    /// Whether Entra is told that we understand continuous access evaluation.
    pub continuous_access_evaluation: bool,
    /// The Application ID URI of the app registration.
    pub identifier_uri: Option<String>,
    /// The issuer, where it is not the base URL.
    pub issuer_url: Option<String>,
    /// The path Entra sends people back to, below the base URL.
    pub redirect_path: String,
    /// The only redirect URIs clients may use.
    pub allowed_client_redirect_uris: Vec<String>,
    /// The only hosts whose documents describe clients.
    pub client_document_hosts: Option<Vec<String>>,
    /// The proxy that they are fetched through.
    pub egress_proxy: Option<Url>,
    /// Addresses that they may be fetched from though they are not public.
    pub insecure_document_addresses: Vec<IpAddr>,
    /// Clients that need not register.
    pub clients: Vec<PreregisteredClient>,
    /// Issuers whose assertions are taken, each with where its keys are.
    pub trusted_issuers: Vec<(String, String)>,
    /// Where what clients register is kept.
    pub client_registrations: ClientRegistrations,
    /// When users are asked.
    pub consent: ConsentMode,
    /// Clients whose users are not asked.
    pub pre_approved_clients: Vec<String>,
    /// How often one address may come.
    pub rate_limits: RateLimits,
    /// The proxies before this gateway.
    pub trusted_proxies: Vec<String>,
    /// Whether groups are looked up that a token has no room for.
    pub groups_from_graph: bool,
    /// The cloud the app registration is in.
    pub cloud: Option<Cloud>,
    /// Entra's host, and its port where that is not 443.
    pub authority_host: Option<String>,
    /// Whether Entra is spoken to without TLS.
    pub insecure_http_authority: bool,
    /// Certificate authorities (PEM) to trust besides the system's.
    pub certificate_authorities: Option<Vec<u8>>,
    /// Where grants and keys are kept.
    pub data_dir: PathBuf,
    /// Where grants are kept, and where they are to move.
    pub store: StoreSettings,
    /// What the keys are sealed with where they are kept in the store.
    pub key_encryption_keys: Option<KeyEncryptionKeys>,
    /// How long an access token lives.
    pub access_token_lifetime: Option<Duration>,
    /// How long a refresh token may lie unused.
    pub refresh_token_lifetime: Option<Duration>,
    /// What access tokens are signed with.
    pub signing_algorithm: Option<Algorithm>,
    /// Whether clients bind their tokens to a key.
    pub dpop: Dpop,
    /// Whether their proofs must hold a nonce.
    pub dpop_nonce: bool,
    /// Who is told what is decided; no setting says so by itself.
    pub audit: Option<Arc<dyn AuditSink>>,
    /// What operators are shown besides; no setting says so by itself.
    pub numbers: Option<Arc<dyn LiveNumbers>>,
    /// Where all that was found.
    pub(super) origins: Origins,
}

impl ProviderSettings {
    /// Where grants are kept, and where keys: for the log, without whatever logs in there.
    pub(crate) fn places(&self) -> (String, String) {
        let store = self.store.places(&self.data_dir);
        let keys = match &self.key_encryption_keys {
            Some(_) => "in the store, shared".to_owned(),
            None => format!("file:{}", self.data_dir.join("keys.json").display()),
        };
        (store, keys)
    }

    /// The issuer that tokens of ours name.
    pub(crate) fn issuer(&self) -> String {
        let base = || self.base_url.trim_end_matches('/').to_owned();
        self.issuer_url.clone().unwrap_or_else(base)
    }

    /// Where Entra sends people back to.
    pub(crate) fn callback(&self) -> String {
        let base = self.base_url.trim_end_matches('/');
        format!("{base}{}", self.redirect_path)
    }

    /// Whether tokens of ours are issued for any server.
    pub(crate) fn issues(&self) -> bool {
        let mut resources = self.resources.iter();
        resources.any(|resource| resource.tokens != TokensOf::Entra)
    }

    /// Sets the library up.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything the library finds wrong.
    pub fn provider(&self) -> Result<AzureProvider, ConfigError> {
        self.provider_on(self.open_store()?.store)
    }

    /// Sets the library up on `store`, or on the one in the data directory.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything the library finds wrong.
    pub fn provider_on(&self, store: Option<Arc<dyn Store>>) -> Result<AzureProvider, ConfigError> {
        let platform = self.usable_platform()?;
        let config = match store {
            Some(store) => self.azure_config().store(store),
            None => self.azure_config(),
        };
        self.assemble(config, platform, None)
            .map_err(|found| ConfigError::new(problems(&found, &[], self)))
    }

    /// Sets the library up in the place of `before`, with whose store and keys it goes on.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything the library finds wrong.
    pub(crate) fn renewed(&self, before: &AzureProvider) -> Result<AzureProvider, ConfigError> {
        let platform = self.usable_platform()?;
        self.assemble(self.azure_config(), platform, Some(before))
            .map_err(|found| ConfigError::new(problems(&found, &[], self)))
    }

    /// What sends requests, with the certificate authorities that are trusted.
    ///
    /// # Errors
    ///
    /// [`SystemHttpError`] if it cannot be set up.
    pub(crate) fn http(&self) -> Result<Arc<dyn HttpTransport>, SystemHttpError> {
        Ok(self.platform()?.http)
    }

    /// Opens the store, where one is named.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if it cannot be opened.
    pub fn open_store(&self) -> Result<OpenStore, ConfigError> {
        let opened = self.store.open(&self.data_dir);
        opened.map_err(|unopened| {
            let problem = self.problem_with(unopened.setting, &unopened.what);
            ConfigError::new(vec![if unopened.is_outside {
                problem.outside()
            } else {
                problem
            }])
        })
    }

    /// The provider by `config`, with all servers, and with applications let in that may be.
    ///
    /// # Errors
    ///
    /// Everything the library finds wrong, but once.
    fn assemble(
        &self,
        mut config: AzureConfig,
        platform: Platform,
        before: Option<&AzureProvider>,
    ) -> Result<AzureProvider, Vec<Finding>> {
        let mut found: Vec<Finding> = Vec::new();
        for (at, resource) in self.resources.iter().enumerate() {
            let entras = self.entras_tokens(resource, &platform).transpose();
            let entras = entras.unwrap_or_else(|errors| {
                found.extend(errors);
                None
            });
            config = match (at, entras, resource.tokens) {
                (0, None, _) => config,
                (0, Some(verifier), TokensOf::Entra) => config.tokens_of_entra(verifier),
                (0, Some(verifier), _) => config.also_accept(verifier),
                (_, None, _) => config.resource(resource.protected(&self.base_url)),
                (_, Some(verifier), tokens) => {
                    let resource = resource.protected(&self.base_url);
                    config.resource(match tokens {
                        TokensOf::Entra => resource.tokens_of_entra(verifier),
                        TokensOf::Us | TokensOf::Both => resource.also_accept(verifier),
                    })
                }
            };
        }
        let made = match before {
            Some(before) => before.renewed(config),
            None => AzureProvider::new(config, platform),
        };
        match made {
            Ok(provider) if found.is_empty() => Ok(provider),
            Ok(_) => Err(once(Vec::new(), found)),
            Err(errors) => Err(once(errors.into_iter().collect(), found)),
        }
    }

    /// What verifies Entra's own tokens for `resource`, where some are taken.
    fn entras_tokens(
        &self,
        resource: &ResourceSettings,
        platform: &Platform,
    ) -> Option<Result<AzureJwtVerifier, ConfigErrors>> {
        if !resource.takes_entras_tokens() {
            return None;
        }
        let config = self
            .verifier_config(resource.registration.as_ref())
            .required_app_roles(&resource.required_app_roles);
        let config = match resource.tokens {
            TokensOf::Us => config.allowed_clients(&resource.allowed_applications),
            TokensOf::Entra | TokensOf::Both => {
                let applications = if resource.lets_applications_in() {
                    AppOnlyTokens::Allow
                } else {
                    AppOnlyTokens::Refuse
                };
                let config = config
                    .app_only(applications)
                    .required_scopes(&resource.required_scopes);
                // The credential is of our own app registration.
                match resource.registration {
                    Some(_) => config,
                    None => self.looking_groups_up(config),
                }
            }
        };
        Some(AzureJwtVerifier::new(config, platform.clone()))
    }

    /// The same with users' groups looked up where their tokens have no room, if that is wanted.
    fn looking_groups_up(&self, config: AzureJwtConfig) -> AzureJwtConfig {
        match &self.credential {
            Some(credential) if self.groups_from_graph => {
                config.groups_from_graph(GraphGroups::on_behalf_of(credential.clone()))
            }
            _ => config,
        }
    }

    /// The pages and the API of operators.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if they cannot be.
    pub fn admin_site(
        &self,
        provider: &AzureProvider,
        admin: &AdminListener,
    ) -> Result<Router, ConfigError> {
        let wrong = |what: String| ConfigError::new(vec![self.problem_with("admin_role", &what)]);
        let platform = self.platform();
        let platform = platform.map_err(|error| wrong(WithCauses::of(&error).to_string()))?;
        let mut config = self.verifier_config(None).required_app_roles([&admin.role]);
        // Of a tenant by itself it is known already, and must not be said.
        if let Some(tenant) = admin
            .tenant
            .as_ref()
            .filter(|_| self.is_for_several_tenants())
        {
            config = config.allowed_tenants([tenant]);
        }
        let programs = AzureJwtVerifier::new(config, platform);
        let programs = programs.map_err(|errors| wrong(errors.to_string()))?;
        let mut site = admin.settings().programs(programs);
        if let Some(numbers) = &self.numbers {
            site = site.live_numbers(Arc::clone(numbers));
        }
        let site = provider.admin_site(site);
        site.map_err(|error| wrong(error.to_string()))
    }

    fn is_for_several_tenants(&self) -> bool {
        stands_for_several(&self.tenant_id)
    }

    /// What verifies Entra's tokens for our app registration or `another`, as far as it is the same for
    /// all: of applications alone.
    fn verifier_config(&self, another: Option<&(String, Option<String>)>) -> AzureJwtConfig {
        let (client_id, identifier_uri) = match another {
            Some((client_id, identifier_uri)) => (client_id, identifier_uri),
            None => (&self.client_id, &self.identifier_uri),
        };
        let mut config = AzureJwtConfig::new(&self.tenant_id, client_id)
            .app_only(AppOnlyTokens::Require)
            .allowed_tenants(&self.allowed_tenants)
            .identifier_uris(identifier_uri);
        if let (None, Some(credential)) = (another, &self.credential) {
            config = config.credential(credential.clone());
        }
        if let Some(cloud) = self.cloud {
            config = config.cloud(cloud);
        }
        if let Some(authority_host) = &self.authority_host {
            config = config.authority_host(authority_host);
        }
        if self.insecure_http_authority {
            config = config.insecure_http_authority();
        }
        config
    }

    /// A problem with the setting `name`, with where it was set.
    pub(super) fn problem_with(&self, name: &str, what: &str) -> Problem {
        match Setting::named(name).zip(self.origins.of(name)) {
            Some((setting, origin)) => Problem::wrong(setting, origin, what),
            None => Problem::new(format!("{name}: {what}")),
        }
    }

    fn usable_platform(&self) -> Result<Platform, ConfigError> {
        self.platform().map_err(|error| {
            let what = WithCauses::of(&error).to_string();
            ConfigError::new(vec![self.problem_with("ca_file", &what)])
        })
    }

    fn platform(&self) -> Result<Platform, SystemHttpError> {
        let added = self.certificate_authorities.as_deref();
        let platform = Platform::system_trusting(added.unwrap_or_default())?;
        let mut web = PublicWebSettings::default();
        web.certificate_authorities = added.unwrap_or_default().to_vec();
        web.egress_proxy = self.egress_proxy.as_ref().map(Url::to_string);
        web.insecure_addresses
            .clone_from(&self.insecure_document_addresses);
        let web = PublicWeb::new(web)?;
        Ok(platform.with_public_web(Arc::new(web)))
    }

    fn azure_config(&self) -> AzureConfig {
        let base_url = self.base_url.as_str();
        let mut config = AzureConfig::new(&self.tenant_id, &self.client_id, base_url)
            .additional_scopes(&self.additional_scopes)
            .incremental_scopes(&self.incremental_scopes)
            .redirect_path(&self.redirect_path)
            .allowed_tenants(&self.allowed_tenants)
            .client_registrations(self.client_registrations)
            .consent(self.consent)
            .pre_approved_clients(&self.pre_approved_clients)
            .rate_limits(self.rate_limits)
            .trusted_proxies(&self.trusted_proxies)
            .dpop(self.dpop)
            .data_dir(&self.data_dir);
        if let Some(credential) = &self.credential {
            config = config.credential(credential.clone());
        }
        if !self.allowed_client_redirect_uris.is_empty() {
            config = config.allowed_client_redirect_uris(&self.allowed_client_redirect_uris);
        }
        if let Some(hosts) = &self.client_document_hosts {
            config = config.client_document_hosts(hosts);
        }
        for client in &self.clients {
            config = config.client(client.clone());
        }
        for (issuer, jwks_uri) in &self.trusted_issuers {
            config = config.trust_identity_assertions(issuer, jwks_uri);
        }
        if self.groups_from_graph {
            config = config.groups_from_graph();
        }
        if self.continuous_access_evaluation {
            config = config.continuous_access_evaluation();
        }
        if self.insecure_http_authority {
            config = config.insecure_http_authority();
        }
        if self.dpop_nonce {
            config = config.dpop_nonce();
        }
        self.optional(config)
    }

    /// Adds what has a default in the library.
    fn optional(&self, mut config: AzureConfig) -> AzureConfig {
        if let Some(audit) = &self.audit {
            config = config.audit(Arc::clone(audit));
        }
        if let Some(first) = self.resources.first() {
            config = config
                .resource_url(first.url(&self.base_url))
                .allowed_origins(&first.allowed_origins);
            if first.tokens != TokensOf::Entra {
                config = config
                    .required_scopes(&first.required_scopes)
                    .optional_scopes(&first.optional_scopes);
            }
            if let Some(name) = &first.name {
                config = config.resource_name(name);
            }
        }
        if let Some(identifier_uri) = &self.identifier_uri {
            config = config.identifier_uri(identifier_uri);
        }
        if let Some(issuer_url) = &self.issuer_url {
            config = config.issuer_url(issuer_url);
        }
        if let Some(cloud) = self.cloud {
            config = config.cloud(cloud);
        }
        if let Some(authority_host) = &self.authority_host {
            config = config.authority_host(authority_host);
        }
        if let Some(lifetime) = self.access_token_lifetime {
            config = config.access_token_lifetime(lifetime);
        }
        if let Some(lifetime) = self.refresh_token_lifetime {
            config = config.refresh_token_lifetime(lifetime);
        }
        if let Some(algorithm) = self.signing_algorithm {
            config = config.signing_algorithm(algorithm);
        }
        if let Some(keys) = &self.key_encryption_keys {
            config = config.shared_keys(keys.clone());
        }
        config
    }
}

/// `first`, and of `others` what is of another kind: what is wrong with both is told once.
fn once(mut first: Vec<Finding>, others: Vec<Finding>) -> Vec<Finding> {
    for other in others {
        let kind = discriminant(&other);
        if !first.iter().any(|known| discriminant(known) == kind) {
            first.push(other);
        }
    }
    first
}
