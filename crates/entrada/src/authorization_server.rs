//! The authorization server that MCP clients talk to: one endpoint a file.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::Semaphore;
use url::Url;

use crate::access_token::Backs;
use crate::audit::AuditSink;
use crate::client_documents::ClientDocuments;
use crate::dpop::Proofs;
use crate::entra::EntraClient;
use crate::grant::{Lifetimes, Remember};
use crate::jwt::dpop::ProofTarget;
use crate::keys::Keys;
use crate::oauth::client::ClientId;
use crate::oauth::client_document::DocumentHosts;
use crate::oauth::issuer::Issuer;
use crate::oauth::redirect_uri::AllowedRedirects;
use crate::oauth::scope::Scope;
use crate::platform::{Platform, Timestamp};
use crate::store::{SealedStore, StoreError, StoreHealth};

mod answer;
mod approvals;
mod approved_apps;
mod authorize;
mod awaited_keys;
mod callback;
mod client_address;
mod client_auth;
mod clients;
mod consent;
mod cookie;
mod correlation;
mod held_registration;
mod issuer;
mod limits;
mod media_type;
mod metadata;
mod observed;
pub(crate) mod pages;
mod preregistered;
mod register;
mod renewal;
mod resources;
mod revoke;
mod router;
mod scope_policy;
mod sign_in_again;
mod token;
mod trusted_issuers;

pub use approved_apps::ApprovedAppsError;
pub use authorize::{AnswerTo, AuthorizeError};
pub use callback::{CallbackError, UpstreamError, UpstreamRefusal};
pub use client_address::{TrustedProxies, TrustedProxyError, network_of_one};
pub use client_auth::ClientAuthError;
pub use clients::ClientError;
pub use consent::ConsentError;
pub use correlation::{CorrelationId, CorrelationIdError};
pub use held_registration::ClientRegistrations;
pub(crate) use held_registration::{holder, is_held};
pub use issuer::{GRANT_CACHE_TTL, STORE_OUTAGE_GRACE};
pub use limits::{LimitError, RateLimits};
pub(crate) use preregistered::PreregisteredClients;
pub use preregistered::{PreregisteredClient, PreregisteredClientError};
pub use register::RegisterError;
pub use renewal::RenewalError;
pub(crate) use resources::{Resource, Resources};
pub use revoke::RevokeError;
pub(crate) use scope_policy::ScopePolicy;
pub use scope_policy::ScopePolicyError;
pub use sign_in_again::SignInAgainError;
pub use token::TokenError;
pub(crate) use trusted_issuers::TrustedIssuer;

use cookie::Cookies;
use issuer::IssuedVerifier;
use limits::Limits;
use renewal::Renewer;
use trusted_issuers::TrustedIssuers;

/// How often expired records are swept.
const SWEEP_EVERY: Duration = Duration::from_secs(10 * 60);

/// How often a lost race is run again. Each loss means that somebody else made progress.
const MOST_ROUNDS: usize = 8;

/// Whether the user is asked before Entra is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ConsentMode {
    /// At every login.
    #[default]
    Always,
    /// Once, and again when the client wants more, another user signs in, or time has passed; and
    /// whenever another web site opened the page.
    Remember(Remember),
    /// By somebody else, before they come here: a portal that starts clients, or a proxy with a page of
    /// its own. The user is not asked here.
    ///
    /// # Security
    ///
    /// Nobody who can reach `/authorize` may get past whoever asks: what is said of
    /// [`InsecureSkip`](Self::InsecureSkip) is true here, too.
    External,
    /// Never.
    ///
    /// # Security
    ///
    /// Any client that registers gets the tokens of any user it lures onto a link, for Entra
    /// remembers its own consent for all of our clients at once (MCP security best practices,
    /// *Confused Deputy*). For development alone.
    InsecureSkip,
}

/// What the authorization server is told.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizationServerConfig {
    /// Its name.
    pub(crate) issuer: Issuer,
    /// Whether the keys are those that replicas share in the store.
    pub(crate) keys_are_shared: bool,
    /// Where its endpoints hang.
    pub(crate) base_url: Url,
    /// The path of the callback that Entra knows, below the base URL.
    pub(crate) redirect_path: String,
    /// What it issues tokens for.
    pub(crate) resources: Resources,
    /// How long things live.
    pub(crate) lifetimes: Lifetimes,
    /// Whether users are asked.
    pub(crate) consent: ConsentMode,
    /// Clients whose users need not be asked.
    pub(crate) pre_approved: HashSet<ClientId>,
    /// Which redirect URIs clients may use at all.
    pub(crate) allowed_redirects: AllowedRedirects,
    /// Whose documents describe clients.
    pub(crate) document_hosts: DocumentHosts,
    /// Where what clients register is kept.
    pub(crate) client_registrations: ClientRegistrations,
    /// Clients that need not register.
    pub(crate) clients: PreregisteredClients,
    /// Issuers whose word on who a user is is taken.
    pub(crate) trusted_issuers: Vec<TrustedIssuer>,
    /// How often one address may come.
    pub(crate) rate_limits: RateLimits,
    /// Whose word is taken on what that address is.
    pub(crate) trusted_proxies: TrustedProxies,
    /// What judges proofs of possession, where they are wanted.
    pub(crate) proofs: Option<Proofs>,
    /// Who keeps an audit log.
    pub(crate) audit: Option<Arc<dyn AuditSink>>,
}

/// The authorization server that MCP clients talk to; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizationServer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: AuthorizationServerConfig,
    endpoints: Endpoints,
    entra: Arc<EntraClient>,
    store: SealedStore,
    keys: Keys,
    renewer: Renewer,
    documents: ClientDocuments,
    issuers: TrustedIssuers,
    limits: Limits,
    swept_at: AtomicU64,
    sweeping: Semaphore,
    platform: Platform,
}

impl Inner {
    fn new(
        config: AuthorizationServerConfig,
        entra: Arc<EntraClient>,
        (store, health): (SealedStore, StoreHealth),
        keys: Keys,
        platform: Platform,
    ) -> Self {
        Self {
            endpoints: Endpoints::new(&config.base_url),
            renewer: Renewer::new(
                Arc::clone(&entra),
                (store.clone(), health),
                keys.clone(),
                config.lifetimes,
                &platform,
            ),
            documents: ClientDocuments::new(
                config.document_hosts.clone(),
                config.allowed_redirects.clone(),
                &platform,
            ),
            issuers: TrustedIssuers::new(&config.trusted_issuers, &platform),
            limits: Limits::new(config.rate_limits, config.trusted_proxies.clone()),
            config,
            entra,
            store,
            keys,
            swept_at: AtomicU64::new(platform.clock.now().as_unix()),
            sweeping: Semaphore::new(1),
            platform,
        }
    }
}

/// Where the endpoints are.
#[derive(Clone, Debug)]
struct Endpoints {
    base: String,
    prefix: String,
    secure: bool,
    /// Where proofs say that token requests go.
    token: ProofTarget,
}

impl Endpoints {
    fn new(base_url: &Url) -> Self {
        let prefix = base_url.path().trim_end_matches('/').to_owned();
        let mut token = base_url.clone();
        token.set_path(&format!("{prefix}/token"));
        Self {
            base: base_url.as_str().trim_end_matches('/').to_owned(),
            prefix,
            secure: base_url.scheme() == "https",
            token: ProofTarget::of(&token),
        }
    }

    /// The absolute URL of an endpoint.
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The path of an endpoint on its host.
    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

/// Other replicas share keys that this one has not.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "the store holds the keys that replicas share, and this one has others: give it their \
     key-encryption key, or nothing that one of them issued is good at the other"
)]
struct KeysApart;

impl AuthorizationServer {
    /// Puts the server together.
    pub(crate) fn new(
        config: AuthorizationServerConfig,
        entra: Arc<EntraClient>,
        store: (SealedStore, StoreHealth),
        keys: Keys,
        platform: Platform,
    ) -> Self {
        let made = Inner::new(config, entra, store, keys, platform);
        Self(Arc::new(made))
    }

    /// One by another configuration in the place of this one, which answers what it has begun: what was
    /// counted, fetched and is under way stays; what was decided does not.
    pub(crate) fn renewed(
        &self,
        config: AuthorizationServerConfig,
        entra: Arc<EntraClient>,
    ) -> Self {
        let before = &*self.0;
        let store = (before.store.clone(), before.renewer.health());
        let (keys, platform) = (before.keys.clone(), before.platform.clone());
        let made = Inner::new(config, entra, store, keys, platform);
        Self(Arc::new(Inner {
            renewer: made.renewer.in_place_of(&before.renewer),
            documents: made.documents.keeping(&before.documents),
            issuers: made.issuers.keeping(&before.issuers),
            limits: made.limits.counting_on(&before.limits),
            swept_at: AtomicU64::new(before.swept_at.load(Relaxed)),
            ..made
        }))
    }

    /// What the guard of `resource` verifies our access tokens with; `backs` lets them be exchanged.
    pub(crate) fn verifier(&self, resource: &Resource, backs: Arc<dyn Backs>) -> IssuedVerifier {
        let audience = resource.indicator.clone();
        IssuedVerifier::new(
            (self.0.config.issuer.clone(), audience),
            self.0.config.clients.clone(),
            self.0.store.clone(),
            self.0.keys.clone(),
            backs,
        )
    }

    /// Forgets what has expired. To be called now and then, by one replica or by all.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails; the rest is swept next time.
    pub(crate) async fn sweep(&self) -> Result<u64, StoreError> {
        self.0.store.sweep(self.now()).await
    }

    /// Whether there are keys, and the store answers.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if not.
    pub(crate) async fn ready(&self) -> Result<(), StoreError> {
        self.0.keys.ready().await?;
        let config = &self.0.config;
        // It reads from the store whatever the answer is.
        let others_share = self.0.store.holds_key_ring(&config.issuer).await?;
        if others_share && !config.keys_are_shared {
            return Err(StoreError::new(KeysApart));
        }
        Ok(())
    }

    /// Sweeps now and then, in the wake of what makes records.
    async fn sweep_if_due(&self, now: Timestamp) {
        let due = now.since(Timestamp::from_unix(self.0.swept_at.load(Relaxed))) >= SWEEP_EVERY;
        let Some(_turn) = due.then(|| self.0.sweeping.try_acquire().ok()).flatten() else {
            return;
        };
        // Noted only once it is done: who hangs up half-way leaves the rest to the next.
        match self.0.store.sweep(now).await {
            Ok(_) => self.0.swept_at.store(now.as_unix(), Relaxed),
            Err(error) => tracing::warn!(%error, "expired records could not be swept"),
        }
    }

    pub(crate) fn entra(&self) -> &EntraClient {
        &self.0.entra
    }

    /// Who issues tokens.
    pub(crate) fn issuer(&self) -> &Issuer {
        &self.0.config.issuer
    }

    /// Who is told what is decided.
    pub(crate) fn audit(&self) -> Option<Arc<dyn AuditSink>> {
        self.0.config.audit.clone()
    }

    /// What people call the first server.
    pub(crate) fn resource_name(&self) -> &str {
        &self.0.config.resources.first().name
    }

    /// The scopes a login asks for that is about no server.
    pub(crate) fn required_scope(&self) -> &Scope {
        self.0.config.resources.first().scopes.required()
    }

    pub(crate) fn store(&self) -> &SealedStore {
        &self.0.store
    }

    /// The clients that stand in the configuration.
    pub(crate) fn configured_clients(&self) -> &PreregisteredClients {
        &self.0.config.clients
    }

    pub(crate) fn trusted_proxies(&self) -> &TrustedProxies {
        &self.0.config.trusted_proxies
    }

    pub(crate) fn renewer(&self) -> &Renewer {
        &self.0.renewer
    }

    fn now(&self) -> Timestamp {
        self.0.platform.clock.now()
    }

    fn cookies(&self) -> Cookies {
        Cookies::new(self.0.endpoints.secure)
    }
}
