//! The parts of a provider, put together; and again, by another configuration, while it runs.

use std::sync::Arc;

use super::config::{Checked, Guarded, Opened, Tokens};
use super::{AzureConfig, AzureProvider, ConfigError, ConfigErrors, Inner, Metadata, Protected};
use crate::access_token::AccessTokenVerifier;
use crate::authorization_server::{AuthorizationServer, AuthorizationServerConfig, Resource};
use crate::dpop;
use crate::entra::EntraClient;
use crate::entra::groups::{GroupResolver, WithGroups};
use crate::multi_auth::MultiAuth;
use crate::oauth::metadata::ProtectedResourceMetadata;
use crate::on_behalf_of::{GrantAccess, OnBehalfOf};
use crate::platform::Platform;
use crate::resource_server::{Protection, RequireBearerLayer, resource_metadata_url};
use crate::store::SealedStore;

impl AzureProvider {
    /// The same server by another configuration, for whoever reads theirs again while requests are served.
    ///
    /// It goes on where this one is: with its store and its keys, with the proofs that were used, with what
    /// was counted for rate limits, with tokens for other APIs, with what was fetched and may still be
    /// believed. What this one decided it decides again: nobody is let in for having been let in before. Both
    /// may serve at once, and what is under way ends as it began.
    ///
    /// What says where store and keys are is not looked at: [`store`](AzureConfig::store),
    /// [`keys`](AzureConfig::keys), [`shared_keys`](AzureConfig::shared_keys),
    /// [`data_dir`](AzureConfig::data_dir).
    ///
    /// ```no_run
    /// # use entrada::provider::ConfigErrors;
    /// # use entrada::{AzureConfig, AzureProvider};
    /// # fn read() -> AzureConfig { AzureConfig::new("", "", "") }
    /// # fn mcp() -> axum::Router { axum::Router::new() }
    /// use std::sync::{Arc, RwLock};
    ///
    /// /// What requests are sent to: each by a clone of the router that is there when it comes.
    /// #[derive(Clone)]
    /// struct Serving(Arc<RwLock<(AzureProvider, axum::Router)>>);
    ///
    /// impl Serving {
    ///     fn reload(&self) -> Result<(), ConfigErrors> {
    ///         let before = self.0.read().expect("nobody panics with it").0.clone();
    ///         // Where it cannot be used, what is served stays.
    ///         let after = before.renewed(read())?;
    ///         let router = after.protect(mcp());
    ///         *self.0.write().expect("nobody panics with it") = (after, router);
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigErrors`] names everything that is wrong, as [`new`](Self::new) does; and
    /// [`ConfigError::NotWhileRunning`], where the issuer, the base URL, the path of the callback, the tenant or
    /// the app registration is another: grants, keys and sign-ins are bound to those.
    pub fn renewed(&self, config: AzureConfig) -> Result<Self, ConfigErrors> {
        let Inner {
            opened, platform, ..
        } = &*self.0;
        let checked = config.check(Some(opened), platform)?;
        let changed = self.bound_to(&checked);
        let errors: Vec<_> = changed.map(ConfigError::NotWhileRunning).collect();
        if !errors.is_empty() {
            return Err(ConfigErrors::of_all(errors));
        }
        Ok(Self::put_together(checked, Some(self), platform.clone()))
    }

    /// What is another in `checked`, and cannot be.
    fn bound_to(&self, checked: &Checked) -> impl Iterator<Item = &'static str> {
        let Inner {
            server,
            app,
            base_url,
            ..
        } = &*self.0;
        let (new, there) = (&checked.server, &checked.app);
        let is_same = [
            ("issuer_url", *server.issuer() == new.issuer),
            ("base_url", *base_url == new.base_url),
            ("redirect_path", app.redirect_uri == there.redirect_uri),
            ("tenant_id", app.authority.is_where(&there.authority)),
            ("client_id", app.client_id == there.client_id),
        ];
        let changed = is_same.into_iter().filter(|(_, is_same)| !is_same);
        changed.map(|(name, _)| name)
    }

    /// What `checked` comes to, for the first time.
    pub(super) fn assembled(checked: Checked, platform: Platform) -> Self {
        Self::put_together(checked, None, platform)
    }

    fn put_together(checked: Checked, before: Option<&Self>, platform: Platform) -> Self {
        let Checked {
            app,
            server,
            issues,
            guarded,
            graph,
            opened,
            signing_algorithm,
        } = checked;
        let base_url = server.base_url.clone();
        let described: Vec<_> = guarded
            .iter()
            .map(|guarded| described(&server, &guarded.tokens))
            .collect();
        let proofs = server.proofs.clone();
        let entra = Arc::new(EntraClient::new(app.clone(), platform.clone()));
        let (server, on_behalf_of) = serving((server, entra), &opened, before, &platform);
        let groups = groups(graph, &on_behalf_of, before, &platform);
        let protected = guarded.into_iter().zip(described);
        let protected = protected.map(|(guarded, metadata)| {
            let Guarded { url, tokens, .. } = guarded;
            let (mut protection, own) = match &tokens {
                Tokens::Ours(resource) => {
                    let mut protection = Protection::new(resource_metadata_url(&url));
                    protection.required_scope = resource.scopes.required().clone();
                    protection.proofs.clone_from(&proofs);
                    // It has reached no verdict yet, whatever the one before has.
                    let own = own_verifier((&server, resource), &on_behalf_of, groups.as_ref());
                    (protection, own)
                }
                Tokens::Entras(at_entra) => {
                    let verifier = Arc::new(at_entra.verifier.clone()) as _;
                    (at_entra.protection(&url), verifier)
                }
            };
            protection.requirement = guarded.requirement;
            protection.allowed_origins = guarded.allowed_origins;
            protection.session_keys = Some(opened.keys.clone());
            let verifier = MultiAuth::first(own, guarded.also_accepted);
            let clock = Arc::clone(&platform.clock);
            Protected {
                resource: tokens.resource().as_str().to_owned(),
                url,
                metadata,
                guard: RequireBearerLayer::new(verifier, clock, protection),
            }
        });
        let protected = protected.collect();
        Self(Arc::new(Inner {
            server,
            issues,
            base_url,
            protected,
            opened,
            signing_algorithm,
            app,
            on_behalf_of,
            groups,
            platform,
        }))
    }
}

/// The server and what exchanges its grants, in the place of those `before`, if there were any.
fn serving(
    (server, entra): (AuthorizationServerConfig, Arc<EntraClient>),
    opened: &Opened,
    before: Option<&AzureProvider>,
    platform: &Platform,
) -> (AuthorizationServer, OnBehalfOf) {
    if let Some(before) = before {
        let server = before.0.server.renewed(server, entra);
        let on_behalf_of = before.0.on_behalf_of.renewed(server.clone());
        return (server, on_behalf_of);
    }
    let (store, keys) = (opened.store.clone(), opened.keys.clone());
    let health = store.health();
    let random = Arc::clone(&platform.random);
    let store = SealedStore::new(Arc::new(store), keys.clone(), random);
    let store = (store, health);
    let server = AuthorizationServer::new(server, entra, store, keys, platform.clone());
    let on_behalf_of = OnBehalfOf::of_grants(server.clone(), platform.clone());
    (server, on_behalf_of)
}

/// What a server says of itself whose tokens are these.
fn described(server: &AuthorizationServerConfig, tokens: &Tokens) -> Metadata {
    match tokens {
        Tokens::Ours(resource) => Metadata::Ours(Arc::new(metadata(server, resource))),
        Tokens::Entras(at_entra) => Metadata::Entras(at_entra.clone()),
    }
}

/// What a server says of itself that we issue tokens for.
fn metadata(server: &AuthorizationServerConfig, resource: &Resource) -> ProtectedResourceMetadata {
    let issuers = vec![server.issuer.clone()];
    let mut metadata = ProtectedResourceMetadata::new(&resource.indicator, issuers);
    metadata.scopes_supported = resource.scopes.required().iter().cloned().collect();
    metadata.resource_name = Some(resource.name.clone());
    if let Some(proofs) = &server.proofs {
        metadata.dpop_signing_alg_values_supported = Some(dpop::algorithms());
        metadata.dpop_bound_access_tokens_required = proofs.are_required().then_some(true);
    }
    metadata
}

/// What looks groups up, where that is wanted; it goes on with what the one `before` knows.
fn groups(
    graph: Option<(String, String)>,
    on_behalf_of: &OnBehalfOf,
    before: Option<&AzureProvider>,
    platform: &Platform,
) -> Option<Arc<GroupResolver>> {
    let (url, scope) = graph?;
    let access = GrantAccess::new(on_behalf_of.clone(), scope);
    let groups = GroupResolver::new(url, Arc::new(access), platform.clone());
    let before = before.and_then(|before| before.0.groups.as_ref());
    Some(Arc::new(match before {
        Some(before) => groups.keeping(before),
        None => groups,
    }))
}

/// What verifies our own tokens for `resource`.
fn own_verifier(
    (server, resource): (&AuthorizationServer, &Resource),
    on_behalf_of: &OnBehalfOf,
    groups: Option<&Arc<GroupResolver>>,
) -> Arc<dyn AccessTokenVerifier> {
    let verifier = Arc::new(server.verifier(resource, Arc::new(on_behalf_of.clone())));
    match groups {
        Some(groups) => Arc::new(WithGroups::new(verifier, Arc::clone(groups))),
        None => verifier,
    }
}
