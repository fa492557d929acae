//! [`AzureProvider`]: one configuration makes the authorization server, the guard, and
//! on-behalf-of.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use tower::{Layer as _, Service};
use url::Url;

use crate::access_token::AccessTokenVerifier;
use crate::admin_site::{self, AdminError, AdminSettings, Lent};
use crate::administration::Administration;
use crate::authorization_server::{AuthorizationServer, AuthorizationServerConfig, TrustedProxies};
use crate::dpop;
use crate::entra::error::EntraError;
use crate::entra::groups::{GroupResolver, WithGroups};
use crate::entra::{AppRegistration, EntraClient};
use crate::jwt::jwks::Algorithm;
use crate::keys::{Change, KeyRing, Keys, KeysError};
use crate::multi_auth::MultiAuth;
use crate::oauth::metadata::ProtectedResourceMetadata;
use crate::oauth::scope::Scope;
use crate::on_behalf_of::{GrantAccess, OnBehalfOf};
use crate::platform::{Platform, Timestamp};
use crate::resource_server::{
    Protection, RequireBearerLayer, protected_resource_metadata, resource_metadata_url,
};
use crate::store::{SealedStore, StoreError};

mod config;
mod paths;
mod remote;

pub use config::{
    AzureConfig, AzureJwtConfig, ConfigError, ConfigErrors, GraphGroups, RemoteAuthConfig,
};
pub use remote::RemoteAuthProvider;

use config::Checked;

/// An OAuth 2.1 authorization server in front of MCP clients with Microsoft Entra ID behind it,
/// and the guard for what it protects. Cheap to clone.
#[derive(Clone)]
pub struct AzureProvider(Arc<Inner>);

struct Inner {
    server: AuthorizationServer,
    resource: Url,
    metadata: ProtectedResourceMetadata,
    guard: RequireBearerLayer,
    keys: Keys,
    signing_algorithm: Algorithm,
    app: AppRegistration,
    platform: Platform,
}

impl AzureProvider {
    /// Puts everything together. Nothing is asked of the network yet.
    ///
    /// # Errors
    ///
    /// [`ConfigErrors`] names everything that is wrong, at once, and says what to change.
    pub fn new(config: AzureConfig, platform: Platform) -> Result<Self, ConfigErrors> {
        let Checked {
            app,
            server,
            resource_url,
            allowed_origins,
            requirement,
            graph,
            also_accepted,
            store,
            keys,
            signing_algorithm,
        } = config.check(&platform)?;
        let mut protection = Protection::new(resource_metadata_url(&resource_url));
        protection.required_scope = server.scopes.required().clone();
        protection.requirement = requirement;
        protection.allowed_origins = allowed_origins;
        protection.session_keys = Some(keys.clone());
        protection.proofs.clone_from(&server.proofs);
        let metadata = metadata(&server);
        let entra = Arc::new(EntraClient::new(app.clone(), platform.clone()));
        let health = store.health();
        let store = SealedStore::new(Arc::new(store), keys.clone(), Arc::clone(&platform.random));
        let store = (store, health);
        let server = AuthorizationServer::new(server, entra, store, keys.clone(), platform.clone());
        let on_behalf_of = OnBehalfOf::of_grants(server.clone(), platform.clone());
        let own = own_verifier(&server, graph, (&on_behalf_of, &platform));
        let verifier = MultiAuth::first(own, also_accepted);
        let guard = RequireBearerLayer::new(verifier, Arc::clone(&platform.clock), protection);
        Ok(Self(Arc::new(Inner {
            server,
            resource: resource_url,
            metadata,
            guard,
            keys,
            signing_algorithm,
            app,
            platform,
        })))
    }

    /// Everything around `service` in one router: the authorization server, the metadata, and
    /// `service` behind the guard at the path of the resource and below it.
    ///
    /// The service sees each request's URI as it came.
    pub fn protect<S, B>(&self, service: S) -> Router
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        mount(self.router(), &self.0.resource, self.0.guard.layer(service))
    }

    /// The authorization server and the metadata, to be mounted at the root of the origin.
    pub fn router(&self) -> Router {
        let metadata = protected_resource_metadata(&self.0.resource, &self.0.metadata);
        self.0.server.router().merge(metadata)
    }

    /// The guard alone, for routes of your own.
    pub fn guard(&self) -> RequireBearerLayer {
        self.0.guard.clone()
    }

    /// The URL that MCP clients are told.
    pub fn resource(&self) -> &str {
        &self.0.metadata.resource
    }

    /// The proxies before this server.
    pub fn trusted_proxies(&self) -> &TrustedProxies {
        self.0.server.trusted_proxies()
    }

    /// Whether requests can be served: there are keys, and the store answers.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if not.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.0.server.ready().await
    }

    /// Whether Entra is where the configuration says, and knows the tenant: it is asked once for what it
    /// publishes. Nothing else asks it before the first login.
    ///
    /// # Errors
    ///
    /// [`EntraError`], whose [`advice`](EntraError::advice) says what helps.
    pub async fn entra_ready(&self) -> Result<(), EntraError> {
        self.0.server.entra().app().ready().await
    }

    /// Makes new keys: a signing key that is published at once and signs ten minutes later, and a
    /// sealing key that seals from then on. Old ones stay good for as long as they are needed.
    ///
    /// # Errors
    ///
    /// [`KeysError`] if the key ring cannot be read or written; the old keys then stay in use.
    pub async fn rotate_keys(&self) -> Result<(), KeysError> {
        self.renew_keys(|_, _| true).await
    }

    /// Takes over what others did to the key ring, and puts to use what has come of age: to be called
    /// every few seconds, the first time at the start where replicas [share a
    /// ring](AzureConfig::shared_keys). Makes new keys if the newest signing key has signed for longer
    /// than `rotation`; of all who share the ring, one does.
    ///
    /// # Errors
    ///
    /// [`KeysError`] if the key ring cannot be read or written; the keys in use then stay so.
    pub async fn tend_keys(&self, rotation: Option<Duration>) -> Result<(), KeysError> {
        self.renew_keys(move |ring, now| rotation.is_some_and(|every| ring.is_due(every, now)))
            .await
    }

    async fn renew_keys(
        &self,
        is_due: impl Fn(&KeyRing, Timestamp) -> bool + Send + Sync + 'static,
    ) -> Result<(), KeysError> {
        let Inner {
            keys,
            platform,
            signing_algorithm,
            ..
        } = &*self.0;
        let (now, algorithm) = (platform.clock.now(), *signing_algorithm);
        let random = Arc::clone(&platform.random);
        let change: Change = Arc::new(move |ring| {
            let due = is_due(ring, now).then(|| ring.rotated(algorithm, &*random, now));
            due.transpose()
        });
        keys.tend(&change, now).await
    }

    /// What an operator sees of grants, clients and keys, and ends.
    ///
    /// # Security
    ///
    /// It asks nobody who they are: that is for whoever shows it to somebody.
    pub fn administration(&self) -> Administration {
        let Inner {
            server,
            keys,
            signing_algorithm,
            platform,
            ..
        } = &*self.0;
        let keys = (keys.clone(), *signing_algorithm);
        Administration::new(server.clone(), keys, platform.clone())
    }

    /// Pages and an API on which operators do so, for a listener of its own: users sign in with Entra and
    /// need an app role. Its [redirect URI](AdminSettings::redirect_uri) is to be registered in Entra, too.
    ///
    /// # Errors
    ///
    /// [`AdminError`] if the settings cannot be used.
    pub fn admin_site(&self, settings: AdminSettings) -> Result<Router, AdminError> {
        let Inner {
            server,
            app,
            platform,
            ..
        } = &*self.0;
        let app = AppRegistration {
            redirect_uri: settings.redirect_uri()?,
            additional: Scope::default(),
            incremental: Scope::default(),
            ..app.clone()
        };
        let lent = Lent {
            administration: self.administration(),
            entra: EntraClient::new(app, platform.clone()),
            store: server.store().clone(),
            scope: server.required_scope().clone(),
            name: server.resource_name().to_owned(),
            platform: platform.clone(),
        };
        Ok(admin_site::router(settings, lent))
    }

    /// Forgets what has expired. The server does so by itself while it issues tokens; call it
    /// where none are issued for days.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store fails; the rest is swept next time.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        self.0.server.sweep().await
    }
}

/// What the protected server says of itself.
fn metadata(server: &AuthorizationServerConfig) -> ProtectedResourceMetadata {
    let issuers = vec![server.issuer.clone()];
    let mut metadata = ProtectedResourceMetadata::new(&server.resource, issuers);
    metadata.scopes_supported = server.scopes.required().iter().cloned().collect();
    metadata.resource_name = Some(server.resource_name.clone());
    if let Some(proofs) = &server.proofs {
        metadata.dpop_signing_alg_values_supported = Some(dpop::algorithms());
        metadata.dpop_bound_access_tokens_required = proofs.are_required().then_some(true);
    }
    metadata
}

/// What verifies our own tokens, and looks groups up where that is wanted.
fn own_verifier(
    server: &AuthorizationServer,
    graph: Option<(String, String)>,
    (on_behalf_of, platform): (&OnBehalfOf, &Platform),
) -> Arc<dyn AccessTokenVerifier> {
    let verifier = Arc::new(server.verifier(Arc::new(on_behalf_of.clone())));
    let Some((url, scope)) = graph else {
        return verifier;
    };
    let access = GrantAccess::new(on_behalf_of.clone(), scope);
    let groups = GroupResolver::new(url, Arc::new(access), platform.clone());
    Arc::new(WithGroups::new(verifier, groups))
}

/// Puts `service` into `router` at the path of `resource` and below it.
fn mount<S, B>(router: Router, resource: &Url, service: S) -> Router
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    match resource.path().trim_end_matches('/') {
        "" => router.fallback_service(service),
        // A wildcard does not match nothing, and clients add a slash.
        path => router
            .route_service(path, service.clone())
            .route_service(&format!("{path}/"), service.clone())
            .route_service(&format!("{path}/{{*rest}}"), service),
    }
}

impl fmt::Debug for AzureProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureProvider")
            .field("resource", &self.0.metadata.resource)
            .finish_non_exhaustive()
    }
}
