//! [`RemoteAuthProvider`]: clients get tokens from Entra itself, and we only verify.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use tower::{Layer as _, Service};
use url::Url;

use super::config::{CheckedRemote, ConfigError, ConfigErrors, RemoteAuthConfig};
use super::mount;
use crate::access_token::AccessTokenVerifier;
use crate::entra::verifier::AzureJwtVerifier;
use crate::jwt::jwks::Algorithm;
use crate::keys::{KeyRing, Keys};
use crate::multi_auth::MultiAuth;
use crate::oauth::issuer::Issuer;
use crate::oauth::metadata::ProtectedResourceMetadata;
use crate::oauth::resource::ResourceIndicator;
use crate::platform::Platform;
use crate::resource_server::{
    Protection, RequireBearerLayer, Root, protected_resource_metadata_by, resource_metadata_url,
};

/// The guard of a server whose clients get their tokens from Entra itself, and the metadata that
/// sends them there (RFC 9728). Cheap to clone.
///
/// No client that Entra does not know gets in this way: Entra registers none, and its metadata
/// does not say that it does PKCE, which MCP clients insist on. It is for machines, for clients
/// that are registered by hand, and for those that know Entra, such as VS Code; for everybody
/// else there is [`AzureProvider`](crate::AzureProvider).
///
/// ```no_run
/// use axum::{Router, routing::post};
/// use entrada::provider::RemoteAuthConfig;
/// use entrada::{AzureJwtConfig, AzureJwtVerifier, Platform, RemoteAuthProvider, VerifiedToken};
///
/// async fn mcp(caller: VerifiedToken) -> String {
///     format!("hello {}", caller.subject)
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (tenant, client_id) = ("contoso.com", "11111111-2222-3333-4444-555555555555");
/// let config = AzureJwtConfig::new(tenant, client_id).required_scopes(["mcp.access"]);
/// let verifier = AzureJwtVerifier::new(config, Platform::system()?)?;
/// let config = RemoteAuthConfig::new("https://mcp.example.com/mcp");
/// let provider = RemoteAuthProvider::new(config, verifier)?;
/// let app: Router = provider.protect(Router::new().route("/mcp", post(mcp)));
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RemoteAuthProvider(Arc<Inner>);

struct Inner {
    at_entra: AtEntra,
    resource_url: Url,
    guard: RequireBearerLayer,
}

/// A server whose clients get their tokens from Entra.
#[derive(Clone, Debug)]
pub(super) struct AtEntra {
    pub(super) verifier: AzureJwtVerifier,
    pub(super) resource: ResourceIndicator,
    pub(super) name: Option<String>,
}

impl AtEntra {
    /// What its guard demands: what the verifier does, in Entra's spelling.
    pub(super) fn protection(&self, resource_url: &Url) -> Protection {
        let mut protection = Protection::new(resource_metadata_url(resource_url));
        protection.required_scope = self.verifier.required_scope().clone();
        protection.scope_names = Some(self.verifier.scope_names().clone());
        protection
    }

    /// What clients are told: where tokens come from, and the scopes to ask for there.
    pub(super) async fn metadata(&self) -> ProtectedResourceMetadata {
        let issuers = self.verifier.issuers().await;
        let issuers = issuers
            .iter()
            .filter_map(|issuer| Issuer::parse(issuer).ok());
        let mut metadata = ProtectedResourceMetadata::new(&self.resource, issuers.collect());
        metadata.scopes_supported = self.verifier.scopes_supported();
        metadata.resource_name.clone_from(&self.name);
        metadata
    }
}

impl RemoteAuthProvider {
    /// Puts everything together. Nothing is asked of the network yet.
    ///
    /// # Errors
    ///
    /// [`ConfigErrors`] names everything that is wrong, at once, and says what to change.
    pub fn new(config: RemoteAuthConfig, verifier: AzureJwtVerifier) -> Result<Self, ConfigErrors> {
        let CheckedRemote {
            resource,
            resource_url,
            resource_name,
            allowed_origins,
            requirement,
            session_keys,
            also_accepted,
        } = config.check()?;
        let platform = verifier.platform().clone();
        let at_entra = AtEntra {
            verifier,
            resource,
            name: resource_name,
        };
        let mut protection = at_entra.protection(&resource_url);
        protection.allowed_origins = allowed_origins;
        protection.requirement = requirement;
        protection.session_keys = Some(match session_keys {
            Some(keys) => keys,
            None => own_keys(&platform)?,
        });
        let own: Arc<dyn AccessTokenVerifier> = Arc::new(at_entra.verifier.clone());
        let accepted = MultiAuth::first(own, also_accepted);
        let guard = RequireBearerLayer::new(accepted, platform.clock, protection);
        Ok(Self(Arc::new(Inner {
            at_entra,
            resource_url,
            guard,
        })))
    }

    /// Everything around `service` in one router: the metadata, and `service` behind the guard at
    /// the path of the resource and below it.
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
        mount(
            self.router(),
            &self.0.resource_url,
            self.0.guard.layer(service),
        )
    }

    /// The metadata, to be mounted at the root of the origin.
    pub fn router(&self) -> Router {
        let provider = self.clone();
        protected_resource_metadata_by(&self.0.resource_url, Root::Too, move || {
            let provider = provider.clone();
            async move { provider.metadata().await }
        })
    }

    /// The guard alone, for routes of your own.
    pub fn guard(&self) -> RequireBearerLayer {
        self.0.guard.clone()
    }

    /// The URL that MCP clients are told.
    pub fn resource(&self) -> &str {
        self.0.at_entra.resource.as_str()
    }

    /// What clients are told: where tokens come from, and the scopes to ask for there, with the
    /// identifier URI before them.
    pub async fn metadata(&self) -> ProtectedResourceMetadata {
        self.0.at_entra.metadata().await
    }
}

/// Keys of this process alone: a session does not outlive it, nor does it leave it.
fn own_keys(platform: &Platform) -> Result<Keys, ConfigErrors> {
    let now = platform.clock.now();
    KeyRing::generate(Algorithm::EdDsa, &*platform.random, now)
        .map(Keys::new)
        .map_err(|_| ConfigErrors::of(ConfigError::SessionKeys))
}

impl fmt::Debug for RemoteAuthProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteAuthProvider")
            .field("resource", &self.0.at_entra.resource.as_str())
            .finish_non_exhaustive()
    }
}
