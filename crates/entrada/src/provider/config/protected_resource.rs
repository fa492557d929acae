//! Servers that one authorization server issues tokens for.

use std::sync::Arc;

use url::Url;

use super::check::{Findings, allowed_origins, own_scopes};
use super::error::ConfigError;
use super::{AzureConfig, setters};
use crate::access_token::AccessTokenVerifier;
use crate::authorization_server::{Resource, ScopePolicy};
use crate::entra::verifier::AzureJwtVerifier;
use crate::oauth::issuer::bare_url;
use crate::oauth::resource::ResourceIndicator;
use crate::policy::Requirement;
use crate::provider::hosts::Host;
use crate::provider::paths;
use crate::provider::remote::AtEntra;
use crate::resource_server::AllowedOrigin;

/// A protected server besides the one that [`AzureConfig`] is about: an audience of its own, with metadata
/// (RFC 9728) and scopes of its own, at the same authorization server. What is not said of it is as it is
/// there.
///
/// A token for one server is refused by every other. It may have a host of its own, which the recommended
/// form is: MCP clients remember by origin which revision a server speaks.
#[derive(Clone, Debug)]
pub struct ProtectedResource {
    url: String,
    name: Option<String>,
    required_scopes: Option<Vec<String>>,
    optional_scopes: Option<Vec<String>>,
    allowed_origins: Option<Vec<String>>,
    requirement: Option<Requirement>,
    also_accepted: Option<Vec<Arc<dyn AccessTokenVerifier>>>,
    at_entra: Option<AzureJwtVerifier>,
}

setters! { ProtectedResource:
    /// What people call it; its host and path if it is not given.
    name(name: impl Into<String>) = Some(name.into());
    /// Scopes of your own API that every token for it must hold.
    required_scopes(required_scopes: impl IntoIterator<Item = impl Into<String>>) =
        Some(required_scopes.into_iter().map(Into::into).collect());
    /// Further scopes of your own API that a client gets for it if it asks for them.
    optional_scopes(optional_scopes: impl IntoIterator<Item = impl Into<String>>) =
        Some(optional_scopes.into_iter().map(Into::into).collect());
    /// Origins whose web pages may call it.
    allowed_origins(allowed_origins: impl IntoIterator<Item = impl Into<String>>) =
        Some(allowed_origins.into_iter().map(Into::into).collect());
    /// What every caller must have besides the required scopes.
    requirement(requirement: Requirement) = Some(requirement);
}

impl ProtectedResource {
    /// The server at `url`, as clients know it.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            name: None,
            required_scopes: None,
            optional_scopes: None,
            allowed_origins: None,
            requirement: None,
            also_accepted: None,
            at_entra: None,
        }
    }

    /// Sends its clients to Entra itself for tokens, which `verifier` judges, its required scopes among
    /// what they must have; tokens of the authorization server are not for it. See
    /// [`RemoteAuthProvider`](crate::RemoteAuthProvider) for the clients that can.
    ///
    /// # Security
    ///
    /// Entra issues tokens for an app registration: a token for this server is good at every other that
    /// takes tokens of the same one, where its scopes are enough.
    #[must_use]
    pub fn tokens_of_entra(mut self, verifier: AzureJwtVerifier) -> Self {
        self.at_entra = Some(verifier);
        self
    }

    /// Lets those in, too, whose tokens `verifier` believes: these, and not those of
    /// [`AzureConfig::also_accept`].
    #[must_use]
    pub fn also_accept(mut self, verifier: impl AccessTokenVerifier + 'static) -> Self {
        self.also_accepted
            .get_or_insert_default()
            .push(Arc::new(verifier));
        self
    }

    /// Lets none in but those with tokens of the authorization server itself.
    #[must_use]
    pub fn accept_nothing_else(mut self) -> Self {
        self.also_accepted = Some(Vec::new());
        self
    }

    /// Where it is, as it was given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether Entra itself issues the tokens for it.
    pub(super) fn is_at_entra(&self) -> bool {
        self.at_entra.is_some()
    }

    /// Whether it says itself that it lets those in who have tokens that are not ours.
    pub(super) fn accepts_others(&self) -> bool {
        let accepted = self.also_accepted.as_ref();
        self.at_entra.is_some() || accepted.is_some_and(|verifiers| !verifiers.is_empty())
    }
}

/// What the guard of one server is told.
#[derive(Debug)]
pub(in crate::provider) struct Guarded {
    pub(in crate::provider) url: Url,
    pub(in crate::provider) tokens: Tokens,
    pub(in crate::provider) allowed_origins: Vec<AllowedOrigin>,
    pub(in crate::provider) requirement: Requirement,
    pub(in crate::provider) also_accepted: Vec<Arc<dyn AccessTokenVerifier>>,
}

/// Who issues the tokens for a server.
#[derive(Clone, Debug)]
pub(in crate::provider) enum Tokens {
    /// The authorization server.
    Ours(Resource),
    /// Entra.
    Entras(AtEntra),
}

impl Tokens {
    /// The audience that the authorization server issues tokens for.
    pub(super) fn ours(&self) -> Option<&Resource> {
        match self {
            Self::Ours(resource) => Some(resource),
            Self::Entras(_) => None,
        }
    }

    pub(in crate::provider) fn resource(&self) -> &ResourceIndicator {
        match self {
            Self::Ours(resource) => &resource.indicator,
            Self::Entras(at_entra) => &at_entra.resource,
        }
    }
}

impl AzureConfig {
    /// The servers besides the first, which is at `first`.
    pub(super) fn other_resources(
        &self,
        (base_url, first): (&Url, &ResourceIndicator),
        found: &mut Findings,
    ) -> Vec<Guarded> {
        let mut taken = vec![first.clone()];
        let mut resources = Vec::new();
        for given in &self.resources {
            let mut of_this = Findings::default();
            let checked = self.other_resource(given, base_url, &mut of_this);
            if let Some(guarded) = &checked {
                let resource = guarded.tokens.resource();
                if taken.iter().any(|other| other.names_same(resource)) {
                    of_this.add(ConfigError::ResourceTwice);
                }
                taken.push(resource.clone());
            }
            for source in of_this.into_errors() {
                found.add(ConfigError::Resource {
                    url: given.url.clone(),
                    source: Box::new(source),
                });
            }
            resources.extend(checked);
        }
        resources
    }

    fn other_resource(
        &self,
        given: &ProtectedResource,
        base_url: &Url,
        found: &mut Findings,
    ) -> Option<Guarded> {
        let url = found.note(bare_url(&given.url).map_err(ConfigError::ResourceUrl));
        let origins = given.allowed_origins.as_ref();
        let allowed_origins = allowed_origins(origins.unwrap_or(&self.allowed_origins), found);
        let scopes = self.scopes_of(given, found);
        let url = url?;
        if !self.has_room_for(&url, base_url) {
            found.add(ConfigError::ResourcePath);
        }
        let indicator = ResourceIndicator::parse(&given.url).ok()?;
        let name = || given.name.clone().unwrap_or_else(|| place(&url));
        let tokens = match &given.at_entra {
            Some(verifier) => Tokens::Entras(AtEntra {
                verifier: verifier.clone(),
                resource: indicator,
                name: Some(name()),
            }),
            None => Tokens::Ours(Resource {
                indicator,
                name: name(),
                scopes: scopes?,
            }),
        };
        let requirement = given.requirement.as_ref().unwrap_or(&self.requirement);
        let accepted = given.also_accepted.as_ref().unwrap_or(&self.also_accepted);
        Some(Guarded {
            url,
            tokens,
            allowed_origins,
            requirement: requirement.clone(),
            also_accepted: accepted.clone(),
        })
    }

    /// The scopes of a server that we issue tokens for; what is wrong with those of any is noted.
    fn scopes_of(&self, given: &ProtectedResource, found: &mut Findings) -> Option<ScopePolicy> {
        let (required, optional) = (&given.required_scopes, &given.optional_scopes);
        if given.at_entra.is_some() {
            if required.is_some() || optional.is_some() {
                found.add(ConfigError::ScopesAtEntra);
            }
            found.extend(given.requirement.as_ref().and_then(mistake));
            return None;
        }
        let scopes = own_scopes(
            required.as_ref().unwrap_or(&self.required_scopes),
            optional.as_ref().unwrap_or(&self.optional_scopes),
            self.identifier(),
            found,
        );
        let accepted = given.also_accepted.as_ref().unwrap_or(&self.also_accepted);
        if let (Some(policy), Some(requirement)) = (&scopes, &given.requirement) {
            can_be_met(requirement, policy, accepted.is_empty(), found);
        }
        scopes
    }

    /// Whether nothing of ours is at `url`.
    pub(super) fn has_room_for(&self, url: &Url, base_url: &Url) -> bool {
        if Host::of(url) == Host::of(base_url) {
            paths::is_free(url, base_url, &self.redirect_path)
        } else {
            paths::is_mountable(url)
        }
    }
}

/// Notes why nobody can meet `requirement`; a scope that no client can get keeps everybody out, unless
/// somebody else gives tokens, too.
pub(super) fn can_be_met(
    requirement: &Requirement,
    policy: &ScopePolicy,
    only_ours: bool,
    found: &mut Findings,
) {
    if let Some(mistake) = mistake(requirement) {
        found.add(mistake);
    }
    let unknown = requirement.scopes_named().without(policy.grantable());
    if only_ours && !unknown.is_empty() {
        found.add(ConfigError::Requirement(format!(
            "{unknown} is among neither the required_scopes nor the optional_scopes"
        )));
    }
}

/// Why nobody at all can meet `requirement`.
pub(super) fn mistake(requirement: &Requirement) -> Option<ConfigError> {
    let mistake = requirement.mistake()?;
    Some(ConfigError::Requirement(mistake.to_owned()))
}

/// A server by its place: several may be on one host.
fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    format!("{host}{}", url.path().trim_end_matches('/'))
}
