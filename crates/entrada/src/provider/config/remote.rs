//! What [`RemoteAuthProvider`](crate::RemoteAuthProvider) is told.

use std::sync::Arc;

use url::Url;

use super::check::Findings;
use super::error::{ConfigError, ConfigErrors};
use super::setters;
use crate::access_token::AccessTokenVerifier;
use crate::keys::Keys;
use crate::oauth::issuer::bare_url;
use crate::oauth::resource::ResourceIndicator;
use crate::policy::Requirement;
use crate::resource_server::AllowedOrigin;

/// What [`RemoteAuthProvider`](crate::RemoteAuthProvider) is told. Nothing is checked until it is
/// used, and then all of it.
#[derive(Clone, Debug)]
pub struct RemoteAuthConfig {
    resource_url: String,
    resource_name: Option<String>,
    allowed_origins: Vec<String>,
    requirement: Requirement,
    session_keys: Option<Keys>,
    also_accepted: Vec<Arc<dyn AccessTokenVerifier>>,
}

/// A configuration in which everything holds.
#[derive(Debug)]
pub(in crate::provider) struct CheckedRemote {
    pub(in crate::provider) resource: ResourceIndicator,
    pub(in crate::provider) resource_url: Url,
    pub(in crate::provider) resource_name: Option<String>,
    pub(in crate::provider) allowed_origins: Vec<AllowedOrigin>,
    pub(in crate::provider) requirement: Requirement,
    pub(in crate::provider) session_keys: Option<Keys>,
    pub(in crate::provider) also_accepted: Vec<Arc<dyn AccessTokenVerifier>>,
}

impl RemoteAuthConfig {
    /// Protects the server at this public URL, such as `https://mcp.example.com/mcp`.
    pub fn new(resource_url: impl Into<String>) -> Self {
        Self {
            resource_url: resource_url.into(),
            resource_name: None,
            allowed_origins: Vec::new(),
            requirement: Requirement::default(),
            session_keys: None,
            also_accepted: Vec::new(),
        }
    }
}

setters! { RemoteAuthConfig:
    /// What people call the protected server.
    resource_name(resource_name: impl Into<String>) = Some(resource_name.into());
    /// Origins whose web pages may call the protected server.
    allowed_origins(allowed_origins: impl IntoIterator<Item = impl Into<String>>) =
        allowed_origins.into_iter().map(Into::into).collect();
    /// What every caller must have, whoever issued the token.
    requirement(requirement: Requirement) = requirement;
    /// The keys that tie MCP sessions to whoever opened them, the same on every replica; without
    /// them each process draws its own.
    session_keys(session_keys: Keys) = Some(session_keys);
}

impl RemoteAuthConfig {
    /// Lets in whoever has a token that `verifier` vouches for besides: see
    /// [`MultiAuth`](crate::MultiAuth).
    #[must_use]
    pub fn also_accept(mut self, verifier: impl AccessTokenVerifier + 'static) -> Self {
        self.also_accepted.push(Arc::new(verifier));
        self
    }

    pub(in crate::provider) fn check(self) -> Result<CheckedRemote, ConfigErrors> {
        let mut found = Findings::default();
        let resource_url = bare_url(&self.resource_url).map_err(ConfigError::ResourceUrl);
        let resource_url = found.note(resource_url);
        let origins = self.allowed_origins.iter().map(|origin| {
            AllowedOrigin::parse(origin).map_err(|source| ConfigError::AllowedOrigin {
                origin: origin.clone(),
                source,
            })
        });
        let allowed_origins = origins.filter_map(|origin| found.note(origin)).collect();
        if let Some(mistake) = self.requirement.mistake() {
            found.add(ConfigError::Requirement(mistake.to_owned()));
        }
        let resource = ResourceIndicator::parse(&self.resource_url).ok();
        match (resource_url, resource) {
            (Some(resource_url), Some(resource)) if found.count() == 0 => Ok(CheckedRemote {
                resource,
                resource_url,
                resource_name: self.resource_name,
                allowed_origins,
                requirement: self.requirement,
                session_keys: self.session_keys,
                also_accepted: self.also_accepted,
            }),
            _ => Err(found.into_errors()),
        }
    }
}
