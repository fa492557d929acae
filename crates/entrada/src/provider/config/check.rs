//! A configuration held against every rule at once.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::AzureConfig;
use super::error::{ConfigError, ConfigErrors};
use super::graph::{everything_consented, graph_url, prover};
use super::opened::Opened;
use super::protected_resource::{Guarded, ProtectedResource, Tokens, can_be_met, mistake};
use crate::authorization_server::{
    AuthorizationServerConfig, Resource, Resources, ScopePolicy, TrustedProxies,
};
use crate::dpop::Proofs;
use crate::entra::AppRegistration;
use crate::entra::credential::ClientProver;
use crate::entra::scope::ScopeNames;
use crate::grant::Lifetimes;
use crate::jwt::jwks::Algorithm;
use crate::jwt::verify::is_guid;
use crate::oauth::issuer::{Issuer, bare_url};
use crate::oauth::resource::ResourceIndicator;
use crate::oauth::scope::{Scope, ScopeToken};
use crate::platform::Platform;
use crate::provider::paths;
use crate::provider::remote::AtEntra;
use crate::resource_server::AllowedOrigin;

/// The longest an access token of ours may live: until then a token that leaked is good.
const LONGEST_ACCESS_TOKEN: Duration = Duration::from_secs(24 * 60 * 60);

/// A configuration in which everything holds.
#[derive(Debug)]
pub(in crate::provider) struct Checked {
    pub(in crate::provider) app: AppRegistration,
    pub(in crate::provider) server: AuthorizationServerConfig,
    /// Whether there is anything that we issue tokens for.
    pub(in crate::provider) issues: bool,
    /// What guards each server, the first one first.
    pub(in crate::provider) guarded: Vec<Guarded>,
    /// Where groups are looked up, and with which scope.
    pub(in crate::provider) graph: Option<(String, String)>,
    pub(in crate::provider) opened: Opened,
    pub(in crate::provider) signing_algorithm: Algorithm,
}

/// What has gone wrong so far.
#[derive(Debug, Default)]
pub(in crate::provider) struct Findings(Vec<ConfigError>);

impl Findings {
    pub(in crate::provider) fn add(&mut self, error: ConfigError) {
        self.0.push(error);
    }

    pub(in crate::provider) fn extend(&mut self, errors: impl IntoIterator<Item = ConfigError>) {
        self.0.extend(errors);
    }

    pub(in crate::provider) fn count(&self) -> usize {
        self.0.len()
    }

    /// All of it.
    pub(in crate::provider) fn into_errors(self) -> ConfigErrors {
        ConfigErrors(self.0)
    }

    /// The value, or a note of why there is none.
    pub(in crate::provider) fn note<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }
}

impl AzureConfig {
    /// Checks all of it, and opens keys and store only if the rest holds, unless they are `open` already.
    pub(in crate::provider) fn check(
        self,
        open: Option<&Opened>,
        platform: &Platform,
    ) -> Result<Checked, ConfigErrors> {
        let mut found = Findings::default();
        let app = self.app(platform, &mut found);
        let places = self.places(&mut found);
        let guarded = self.guarded(places.as_ref(), &mut found);
        let resources = guarded.as_deref().and_then(|guarded| self.issued(guarded));
        let issues = !self.issues_nothing();
        let allowed_redirects = self.allowed_redirects(&mut found);
        let document_hosts = self.document_hosts(&mut found);
        let clients = self.clients(&allowed_redirects, resources.as_ref(), &mut found);
        let trusted_issuers = self.trusted_issuers(&mut found);
        let pre_approved = self.pre_approved(&mut found);
        let trusted_proxies = self.proxies(&mut found);
        if !self.lifetimes_hold() {
            found.0.push(ConfigError::Lifetimes);
        }
        self.dpop_holds(&mut found);
        let graph = self.graph(&mut found);
        let (Some((app, redirect_path)), Some(places), Some(guarded), Some(resources)) =
            (app, places, guarded, resources)
        else {
            return Err(ConfigErrors(found.0));
        };
        if !found.0.is_empty() {
            return Err(ConfigErrors(found.0));
        }
        let opened = match open {
            Some(opened) => Some(opened.clone()),
            None => self.open(&places.issuer, platform, &mut found),
        };
        let Some(opened) = opened else {
            return Err(ConfigErrors(found.0));
        };
        let nonce_keys = self.dpop_nonce.then(|| opened.keys.clone());
        let used_proofs = Arc::clone(&opened.used_proofs);
        let server = AuthorizationServerConfig {
            issuer: places.issuer,
            keys_are_shared: opened.keys_are_shared,
            base_url: places.base_url,
            redirect_path,
            resources,
            lifetimes: self.lifetimes,
            consent: self.consent,
            pre_approved,
            allowed_redirects,
            document_hosts,
            client_registrations: self.client_registrations,
            clients,
            trusted_issuers,
            rate_limits: self.rate_limits,
            trusted_proxies,
            proofs: Proofs::wanted(self.dpop, nonce_keys, used_proofs),
            audit: self.audit,
        };
        Ok(Checked {
            app,
            server,
            issues,
            guarded,
            graph,
            opened,
            signing_algorithm: self.signing_algorithm,
        })
    }

    pub(super) fn identifier(&self) -> String {
        self.identifier_uri
            .clone()
            .unwrap_or_else(|| format!("api://{}", self.client_id.to_ascii_lowercase()))
    }

    /// The app registration, and the path of its callback.
    fn app(&self, platform: &Platform, found: &mut Findings) -> Option<(AppRegistration, String)> {
        let authority = self.authority.check(found);
        if !is_guid(&self.client_id) {
            found.0.push(ConfigError::ClientId);
        }
        let cloud = self.authority.cloud;
        let credential = match &self.credential {
            Some(given) => prover(given, cloud, platform),
            None if self.issues_nothing() => Ok(ClientProver::Nothing),
            None => Err(ConfigError::NoCredential),
        };
        let credential = found.note(credential);
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
        let incremental = self.incremental(found);
        let app = AppRegistration {
            authority: authority?,
            client_id: self.client_id.to_ascii_lowercase(),
            redirect_uri: format!("{}{path}", self.base_url.trim_end_matches('/')),
            credential: credential?,
            names: ScopeNames::new(identifier),
            additional: additional?,
            incremental: incremental?,
            continuous_access_evaluation: self.continuous_access_evaluation,
        };
        Some((app, path.clone()))
    }

    fn graph(&self, found: &mut Findings) -> Option<(String, String)> {
        let cloud = self.authority.cloud;
        let url = found.note(graph_url(self.graph_url.as_deref(), cloud))?;
        self.groups_from_graph
            .then(|| (url, everything_consented(cloud)))
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

    fn incremental(&self, found: &mut Findings) -> Option<Scope> {
        let scope = parse_scopes(&self.incremental_scopes, found)?;
        let unclear: Vec<_> = scope
            .iter()
            .filter(|token| {
                let api = crate::entra::scope::api(token);
                api.is_empty() || token.as_str().ends_with("/.default")
            })
            .map(ToString::to_string)
            .collect();
        let clear = unclear.is_empty();
        found
            .0
            .extend(unclear.into_iter().map(ConfigError::IncrementalScope));
        clear.then_some(scope)
    }

    /// What follows from a base URL that is wrong is not told as wrong, too.
    fn places(&self, found: &mut Findings) -> Option<Places> {
        let base_url = found.note(bare_url(&self.base_url).map_err(ConfigError::BaseUrl));
        let base = base_url
            .as_ref()
            .map(|_| self.base_url.trim_end_matches('/'));
        let issuer = self
            .issuer_url
            .as_deref()
            .or_else(|| base.and(Some(&self.base_url)));
        let issuer = issuer
            .and_then(|issuer| found.note(Issuer::parse(issuer).map_err(ConfigError::IssuerUrl)));
        let resource = self.resource_url.clone();
        let resource = resource.or_else(|| base.map(|base| format!("{base}/mcp")))?;
        let resource_url = found.note(bare_url(&resource).map_err(ConfigError::ResourceUrl));
        let (base_url, issuer, resource_url) = (base_url?, issuer?, resource_url?);
        if !self.has_room_for(&resource_url, &base_url) {
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

    /// What guards each server, the first one first.
    fn guarded(&self, places: Option<&Places>, found: &mut Findings) -> Option<Vec<Guarded>> {
        let scopes = self.first_scopes(found);
        let allowed_origins = allowed_origins(&self.allowed_origins, found);
        let places = places?;
        let others = self.other_resources((&places.base_url, &places.resource), found);
        let host = places.resource_url.host_str().unwrap_or_default();
        let name = self.resource_name.as_deref().unwrap_or(host).to_owned();
        let indicator = places.resource.clone();
        let tokens = match &self.at_entra {
            Some(verifier) => Tokens::Entras(AtEntra {
                verifier: verifier.clone(),
                resource: indicator,
                name: Some(name),
            }),
            None => Tokens::Ours(Resource {
                indicator,
                name,
                scopes: scopes?,
            }),
        };
        let first = Guarded {
            url: places.resource_url.clone(),
            tokens,
            allowed_origins,
            requirement: self.requirement.clone(),
            also_accepted: self.also_accepted.clone(),
        };
        Some(std::iter::once(first).chain(others).collect())
    }

    /// The scopes of the first server, where we issue its tokens.
    fn first_scopes(&self, found: &mut Findings) -> Option<ScopePolicy> {
        if self.at_entra.is_some() {
            // Others may require those that are given here; where there are none, nobody does.
            let given = [&self.required_scopes, &self.optional_scopes];
            if self.issues_nothing() && given.iter().any(|scopes| !scopes.is_empty()) {
                found.add(ConfigError::ScopesAtEntra);
            }
            found.0.extend(mistake(&self.requirement));
            return None;
        }
        let (required, optional) = (&self.required_scopes, &self.optional_scopes);
        let scopes = own_scopes(required, optional, self.identifier(), found);
        let only_ours = self.also_accepted.is_empty();
        match &scopes {
            Some(policy) => can_be_met(&self.requirement, policy, only_ours, found),
            None => found.0.extend(mistake(&self.requirement)),
        }
        scopes
    }

    /// What we issue tokens for.
    fn issued(&self, guarded: &[Guarded]) -> Option<Resources> {
        let mut issued = guarded.iter().filter_map(|guarded| guarded.tokens.ours());
        let first = match issued.next() {
            Some(first) => first.clone(),
            // Nobody can ask for it: there is no authorization server.
            None => Resource {
                indicator: guarded.first()?.tokens.resource().clone(),
                name: self.resource_name.clone().unwrap_or_default(),
                scopes: ScopePolicy::nothing(ScopeNames::new(self.identifier())),
            },
        };
        Some(Resources::new(first, issued.cloned().collect()))
    }

    /// Whether Entra issues the tokens for every server.
    fn issues_nothing(&self) -> bool {
        let mut others = self.resources.iter();
        self.at_entra.is_some() && others.all(ProtectedResource::is_at_entra)
    }

    fn proxies(&self, found: &mut Findings) -> TrustedProxies {
        let mut trusted = TrustedProxies::default();
        for proxy in &self.trusted_proxies {
            let added = trusted.add(proxy);
            found.note(added.map_err(|source| ConfigError::TrustedProxy {
                proxy: proxy.clone(),
                source,
            }));
        }
        trusted
    }

    fn lifetimes_hold(&self) -> bool {
        let Lifetimes {
            access_token,
            refresh_token,
        } = self.lifetimes;
        let range = Duration::from_secs(1)..=LONGEST_ACCESS_TOKEN;
        range.contains(&access_token) && refresh_token >= access_token
    }
}

/// URLs of the server, in the relations they must have.
struct Places {
    base_url: Url,
    issuer: Issuer,
    resource: ResourceIndicator,
    resource_url: Url,
}

/// The web pages that may call a server.
pub(super) fn allowed_origins(origins: &[String], found: &mut Findings) -> Vec<AllowedOrigin> {
    let parse = |origin: &String| {
        AllowedOrigin::parse(origin).map_err(|source| ConfigError::AllowedOrigin {
            origin: origin.clone(),
            source,
        })
    };
    let parsed = origins.iter().map(parse);
    parsed.filter_map(|origin| found.note(origin)).collect()
}

/// The scopes of a server.
pub(super) fn own_scopes(
    required: &[String],
    optional: &[String],
    identifier: String,
    found: &mut Findings,
) -> Option<ScopePolicy> {
    let required = parse_scopes(required, found);
    let optional = parse_scopes(optional, found);
    let policy = ScopePolicy::new(&required?, ScopeNames::new(identifier));
    let policy = found.note(policy.map_err(ConfigError::RequiredScopes))?;
    let policy = policy.with_optional(&optional?);
    found.note(policy.map_err(ConfigError::OptionalScopes))
}

/// Parses scopes given one by one, or several in one string.
pub(super) fn parse_scopes(texts: &[String], found: &mut Findings) -> Option<Scope> {
    let words = texts.iter().flat_map(|text| text.split([' ', ',']));
    let parsed: Vec<_> = words
        .filter(|word| !word.is_empty())
        .map(|word| {
            found.note(ScopeToken::parse(word).map_err(|_| ConfigError::Scope(word.to_owned())))
        })
        .collect();
    parsed.into_iter().collect()
}

#[cfg(test)]
mod tests;
