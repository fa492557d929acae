//! [`AzureProvider`]: one configuration makes the authorization server, the guard, and
//! on-behalf-of.

use std::collections::HashMap;
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

use crate::admin_site::{self, AdminError, AdminSettings, Lent};
use crate::administration::Administration;
use crate::authorization_server::{AuthorizationServer, TrustedProxies};
use crate::caller_assertion::CallerAssertions;
use crate::entra::error::EntraError;
use crate::entra::examination::Finding;
use crate::entra::groups::GroupResolver;
use crate::entra::{AppRegistration, EntraClient};
use crate::jwt::jwks::Algorithm;
use crate::keys::{Change, KeyRing, KeysError};
use crate::meters;
use crate::oauth::metadata::ProtectedResourceMetadata;
use crate::oauth::scope::Scope;
use crate::on_behalf_of::OnBehalfOf;
use crate::platform::{Platform, Timestamp};
use crate::resource_server::{RequireBearerLayer, Root, protected_resource_metadata_by};
use crate::store::StoreError;

mod assembled;
mod config;
mod hosts;
mod paths;
mod remote;

pub use config::{
    AzureConfig, AzureJwtConfig, ConfigError, ConfigErrors, GraphGroups, ProtectedResource,
    RemoteAuthConfig,
};
pub use remote::RemoteAuthProvider;

use config::Opened;
use hosts::{Host, Hosts};
use remote::AtEntra;

/// An OAuth 2.1 authorization server in front of MCP clients with Microsoft Entra ID behind it,
/// and the guard for what it protects. Cheap to clone.
#[derive(Clone)]
pub struct AzureProvider(Arc<Inner>);

struct Inner {
    server: AuthorizationServer,
    /// Whether it issues tokens for any server.
    issues: bool,
    base_url: Url,
    /// The first is meant where a client names none.
    protected: Vec<Protected>,
    opened: Opened,
    signing_algorithm: Algorithm,
    app: AppRegistration,
    on_behalf_of: OnBehalfOf,
    groups: Option<Arc<GroupResolver>>,
    platform: Platform,
}

/// A server behind its guard.
struct Protected {
    url: Url,
    /// The URL as clients are told.
    resource: String,
    metadata: Metadata,
    guard: RequireBearerLayer,
}

/// What a server says of itself.
#[derive(Clone)]
enum Metadata {
    /// That its tokens are ours.
    Ours(Arc<ProtectedResourceMetadata>),
    /// That they are Entra's, whose issuer may have to be asked for.
    Entras(AtEntra),
}

impl Metadata {
    async fn document(&self) -> ProtectedResourceMetadata {
        match self {
            Self::Ours(document) => ProtectedResourceMetadata::clone(document),
            Self::Entras(at_entra) => at_entra.metadata().await,
        }
    }
}

impl AzureProvider {
    /// Puts everything together. Nothing is asked of the network yet.
    ///
    /// # Errors
    ///
    /// [`ConfigErrors`] names everything that is wrong, at once, and says what to change.
    pub fn new(config: AzureConfig, platform: Platform) -> Result<Self, ConfigErrors> {
        Ok(Self::assembled(config.check(None, &platform)?, platform))
    }

    /// Everything around `service` in one router: the authorization server, the metadata, and
    /// `service` behind the guard at the path of the first resource and below it.
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
        let mut service = Some(service);
        self.protect_each(|resource| service.take_if(|_| resource == self.resource()))
    }

    /// The authorization server and the metadata, to be mounted at the root of the origin.
    pub fn router(&self) -> Router {
        self.protect_each(|_| None::<Router>)
    }

    /// The same with what `service` makes for each resource, whose URL it is given. Where it makes
    /// nothing, there is the metadata alone.
    ///
    /// A resource on a host of its own is found by the host a request names, and is alone there with its
    /// metadata: a proxy before this server must leave the host as it is.
    pub fn protect_each<S, B>(&self, mut service: impl FnMut(&str) -> Option<S>) -> Router
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
        let own = Host::of(&self.0.base_url);
        let server = if self.0.issues {
            self.0.server.router()
        } else {
            self.0.server.keys_router()
        };
        let mut routers = HashMap::from([(own.clone(), server)]);
        for protected in &self.0.protected {
            let host = Host::of(&protected.url);
            let router = routers.remove(&host).unwrap_or_default();
            let router = router.merge(self.metadata_of(protected));
            let router = match service(&protected.resource) {
                Some(service) => mount(router, &protected.url, protected.guard.layer(service)),
                None => router,
            };
            routers.insert(host, router);
        }
        let own = routers.remove(&own).unwrap_or_default();
        Hosts::router(own, routers)
    }

    /// The metadata of a resource; at the root of its host, too, for clients that look nowhere else, where
    /// that is not another's.
    fn metadata_of(&self, protected: &Protected) -> Router {
        let host = Host::of(&protected.url);
        let others = self.0.protected.iter();
        let mut there = others.filter(|other| Host::of(&other.url) == host);
        let at_root = there.clone().find(|other| other.url.path() == "/");
        let foremost = at_root.or_else(|| there.next());
        let root = match foremost {
            Some(foremost) if std::ptr::eq(foremost, protected) => Root::Too,
            _ => Root::Others,
        };
        let metadata = protected.metadata.clone();
        protected_resource_metadata_by(&protected.url, root, move || {
            let metadata = metadata.clone();
            async move { metadata.document().await }
        })
    }

    /// The guard of the first resource alone, for routes of your own.
    pub fn guard(&self) -> RequireBearerLayer {
        self.first().guard.clone()
    }

    /// The guard of `resource` alone, if it is one of them.
    pub fn guard_of(&self, resource: &str) -> Option<RequireBearerLayer> {
        let mut protected = self.0.protected.iter();
        let found = protected.find(|protected| protected.resource == resource);
        found.map(|protected| protected.guard.clone())
    }

    /// What tells the server at `resource`, if it is one of them, who calls: signed with our keys, which
    /// [`router`](Self::router) publishes. For whatever stands between the guard and the server.
    pub fn caller_assertions(&self, resource: &str) -> Option<CallerAssertions> {
        let Inner {
            server,
            opened,
            platform,
            ..
        } = &*self.0;
        let known = self.resources().find(|known| *known == resource)?;
        let parties = (server.issuer().as_str(), known);
        let clock = Arc::clone(&platform.clock);
        Some(CallerAssertions::new(parties, opened.keys.clone(), clock))
    }

    /// The URL of the first resource, as MCP clients are told.
    pub fn resource(&self) -> &str {
        &self.first().resource
    }

    /// The URLs of all resources, as MCP clients are told.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        let protected = self.0.protected.iter();
        protected.map(|protected| &*protected.resource)
    }

    fn first(&self) -> &Protected {
        self.0
            .protected
            .first()
            .expect("the first resource is in every configuration")
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

    /// Whether there are keys: those that replicas share are there once they were read for the first time.
    pub fn has_keys(&self) -> bool {
        self.0.opened.keys.current().is_there()
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

    /// Asks Entra what can be asked about the app registration before anybody signs in: whether it is there and takes
    /// our credential, and whether logins would begin, those of `operators` too, where they are served. Nothing is
    /// changed by it; Entra's log has it as sign-ins of the application.
    pub async fn examine(&self, operators: Option<&AdminSettings>) -> Vec<Finding> {
        let Inner {
            server, platform, ..
        } = &*self.0;
        let entra = server.entra();
        let mut findings = entra.app().examine(platform.clock.now()).await;
        let is_there = findings.iter().any(Finding::is_good);
        if !is_there {
            return findings;
        }
        let operators = operators.and_then(|operators| self.operators_registration(operators).ok());
        let operators = operators.map(|app| EntraClient::new(app, platform.clone()));
        for entra in self.0.issues.then_some(entra).into_iter().chain(&operators) {
            findings.push(entra.examine_login(server.required_scope(), platform).await);
        }
        findings
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
            opened: Opened { keys, .. },
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
        keys.tend(&change, now).await?;
        if let Some(age) = keys.current().age(now) {
            meters::key_age(age);
        }
        Ok(())
    }

    /// What an operator sees of grants, clients and keys, and ends.
    ///
    /// # Security
    ///
    /// It asks nobody who they are: that is for whoever shows it to somebody.
    pub fn administration(&self) -> Administration {
        let Inner {
            server,
            opened,
            signing_algorithm,
            platform,
            ..
        } = &*self.0;
        let keys = (opened.keys.clone(), *signing_algorithm);
        Administration::new(server, keys, platform.clone())
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
        if app.authority.is_for_several_tenants() && !settings.names_a_tenant() {
            return Err(AdminError::Tenant);
        }
        let app = self.operators_registration(&settings)?;
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

    /// The app registration as operators sign in with it.
    fn operators_registration(
        &self,
        settings: &AdminSettings,
    ) -> Result<AppRegistration, AdminError> {
        Ok(AppRegistration {
            redirect_uri: settings.redirect_uri()?,
            additional: Scope::default(),
            incremental: Scope::default(),
            ..self.0.app.clone()
        })
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
            .field("resource", &self.resource())
            .finish_non_exhaustive()
    }
}
