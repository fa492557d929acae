//! A configuration held against every rule at once.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::AzureConfig;
use super::error::{ConfigError, ConfigErrors};
use super::graph::{everything_consented, graph_url, prover};
use super::protected_resource::{Guarded, can_be_met, mistake};
use crate::authorization_server::{
    AuthorizationServerConfig, ConsentMode, PreregisteredClient, PreregisteredClients, Resource,
    Resources, ScopePolicy, TrustedIssuer, TrustedProxies,
};
use crate::dpop::Proofs;
use crate::entra::AppRegistration;
use crate::entra::scope::ScopeNames;
use crate::grant::Lifetimes;
use crate::jwt::jwks::Algorithm;
use crate::jwt::verify::is_guid;
use crate::keys::{KeyFile, Keys};
use crate::oauth::client::ClientId;
use crate::oauth::client_document::{DocumentHost, DocumentHosts};
use crate::oauth::issuer::{Issuer, bare_url};
use crate::oauth::redirect_pattern::RedirectPattern;
use crate::oauth::redirect_uri::AllowedRedirects;
use crate::oauth::resource::ResourceIndicator;
use crate::oauth::scope::{Scope, ScopeToken};
use crate::platform::Platform;
use crate::provider::paths;
use crate::resource_server::AllowedOrigin;
use crate::store::{SharedKeys, Store, StoredKeyRing, WatchedStore};

/// The longest an access token of ours may live: until then a token that leaked is good.
const LONGEST_ACCESS_TOKEN: Duration = Duration::from_secs(24 * 60 * 60);

/// How long consent may be remembered: for less nobody would notice, and browsers keep no cookie for
/// longer (RFC 6265bis §4.1.2.2).
const CONSENT_LIFETIMES: RangeInclusive<Duration> =
    Duration::from_secs(60 * 60)..=Duration::from_secs(400 * 24 * 60 * 60);

/// A configuration in which everything holds.
#[derive(Debug)]
pub(in crate::provider) struct Checked {
    pub(in crate::provider) app: AppRegistration,
    pub(in crate::provider) server: AuthorizationServerConfig,
    /// What guards each resource, in the order of the server's.
    pub(in crate::provider) guarded: Vec<Guarded>,
    /// Where groups are looked up, and with which scope.
    pub(in crate::provider) graph: Option<(String, String)>,
    pub(in crate::provider) store: WatchedStore,
    pub(in crate::provider) keys: Keys,
    pub(in crate::provider) signing_algorithm: Algorithm,
}

/// What has gone wrong so far.
#[derive(Debug, Default)]
pub(in crate::provider) struct Findings(Vec<ConfigError>);

impl Findings {
    pub(in crate::provider) fn add(&mut self, error: ConfigError) {
        self.0.push(error);
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
    /// Checks all of it, and opens keys and store only if the rest holds.
    pub(in crate::provider) fn check(self, platform: &Platform) -> Result<Checked, ConfigErrors> {
        let mut found = Findings::default();
        let app = self.app(platform, &mut found);
        let places = self.places(&mut found);
        let scopes = own_scopes(
            &self.required_scopes,
            &self.optional_scopes,
            self.identifier(),
            &mut found,
        );
        let resources = self.resources(places.as_ref(), scopes, &mut found);
        let allowed_redirects = self.allowed_redirects(&mut found);
        let document_hosts = self.document_hosts(&mut found);
        let known = resources.as_ref().map(|(resources, _)| resources);
        let clients = self.clients(&allowed_redirects, known, &mut found);
        let trusted_issuers = self.trusted_issuers(&mut found);
        let pre_approved = self.pre_approved(&mut found);
        let trusted_proxies = self.proxies(&mut found);
        if !self.lifetimes_hold() {
            found.0.push(ConfigError::Lifetimes);
        }
        self.dpop_holds(&mut found);
        let graph = self.graph(&mut found);
        let (Some((app, redirect_path)), Some(places), Some((resources, guarded)), true) =
            (app, places, resources, found.0.is_empty())
        else {
            return Err(ConfigErrors(found.0));
        };
        let store = found.note(self.open_store());
        // Reading the keys tells of trouble, too.
        let store = store.map(|store| WatchedStore::new(store, Arc::clone(&platform.clock)));
        let keys = found.note(self.open_keys((&places.issuer, store.as_ref()), platform));
        let (Some(keys), Some(store)) = (keys.flatten(), store) else {
            return Err(ConfigErrors(found.0));
        };
        let server = AuthorizationServerConfig {
            issuer: places.issuer,
            keys_are_shared: self.shared_keys.is_some(),
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
            proofs: Proofs::wanted(self.dpop, self.dpop_nonce.then(|| keys.clone())),
            audit: self.audit,
        };
        Ok(Checked {
            app,
            server,
            guarded,
            graph,
            store,
            keys,
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
        let credential = self.credential.as_ref().ok_or(ConfigError::NoCredential);
        let cloud = self.authority.cloud;
        let credential = found.note(credential.and_then(|given| prover(given, cloud, platform)));
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

    /// What tokens are issued for, and what guards each.
    fn resources(
        &self,
        places: Option<&Places>,
        scopes: Option<ScopePolicy>,
        found: &mut Findings,
    ) -> Option<(Resources, Vec<Guarded>)> {
        let allowed_origins = allowed_origins(&self.allowed_origins, found);
        let only_ours = self.also_accepted.is_empty();
        match &scopes {
            Some(policy) => can_be_met(&self.requirement, policy, only_ours, found),
            None => found.0.extend(mistake(&self.requirement)),
        }
        let places = places?;
        let others = self.other_resources((&places.base_url, &places.resource), found);
        let host = places.resource_url.host_str().unwrap_or_default();
        let first = Resource {
            indicator: places.resource.clone(),
            name: self
                .resource_name
                .clone()
                .unwrap_or_else(|| host.to_owned()),
            scopes: scopes?,
        };
        let guarded = Guarded {
            url: places.resource_url.clone(),
            allowed_origins,
            requirement: self.requirement.clone(),
            also_accepted: self.also_accepted.clone(),
        };
        let (others, mut all_guarded): (Vec<_>, Vec<_>) = others.into_iter().unzip();
        all_guarded.insert(0, guarded);
        Some((Resources::new(first, others), all_guarded))
    }

    fn allowed_redirects(&self, found: &mut Findings) -> AllowedRedirects {
        let Some(uris) = &self.allowed_client_redirect_uris else {
            return AllowedRedirects::Registered;
        };
        let parse = |uri: &String| {
            RedirectPattern::parse(uri).map_err(|source| ConfigError::AllowedRedirect {
                uri: uri.clone(),
                source,
            })
        };
        let parsed = uris.iter().filter_map(|uri| found.note(parse(uri)));
        AllowedRedirects::Only(parsed.collect())
    }

    fn document_hosts(&self, found: &mut Findings) -> DocumentHosts {
        let Some(hosts) = &self.client_document_hosts else {
            return DocumentHosts::Any;
        };
        if hosts.is_empty() {
            return DocumentHosts::None;
        }
        let parse = |host: &String| {
            DocumentHost::parse(host).map_err(|source| ConfigError::ClientDocumentHost {
                host: host.clone(),
                source,
            })
        };
        let parsed = hosts.iter().filter_map(|host| found.note(parse(host)));
        DocumentHosts::Only(parsed.collect())
    }

    fn clients(
        &self,
        allowed: &AllowedRedirects,
        resources: Option<&Resources>,
        found: &mut Findings,
    ) -> PreregisteredClients {
        let mut clients = PreregisteredClients::default();
        for client in &self.clients {
            let added = clients.add(client.clone(), allowed, resources);
            found.note(added.map_err(|source| ConfigError::Client {
                client_id: client.client_id().to_owned(),
                source,
            }));
        }
        clients
    }

    fn takes_assertions(&self) -> bool {
        let mut clients = self.clients.iter();
        clients.any(PreregisteredClient::takes_identity_assertions)
    }

    fn trusted_issuers(&self, found: &mut Findings) -> Vec<TrustedIssuer> {
        let mut named = HashSet::new();
        for (issuer, _) in &self.trusted_issuers {
            if !named.insert(issuer) {
                found.add(ConfigError::TrustedIssuerTwice(issuer.clone()));
            }
        }
        let parse = |(issuer, jwks_uri): &(String, String)| {
            TrustedIssuer::parse(issuer, jwks_uri).map_err(|source| ConfigError::TrustedIssuer {
                issuer: issuer.clone(),
                source,
            })
        };
        match (self.takes_assertions(), self.trusted_issuers.is_empty()) {
            (true, true) => found.add(ConfigError::NoTrustedIssuer),
            (false, false) => found.add(ConfigError::NoIdentityAssertions),
            (true, false) | (false, true) => {}
        }
        let issuers = self.trusted_issuers.iter().map(parse);
        issuers.filter_map(|issuer| found.note(issuer)).collect()
    }

    fn pre_approved(&self, found: &mut Findings) -> HashSet<ClientId> {
        if let ConsentMode::Remember(policy) = self.consent
            && !CONSENT_LIFETIMES.contains(&policy.lifetime)
        {
            found.add(ConfigError::ConsentLifetime);
        }
        let parse = |id: &String| {
            ClientId::parse(id).map_err(|_| ConfigError::PreApprovedClient(id.clone()))
        };
        let ids = self.pre_approved_clients.iter().map(parse);
        ids.filter_map(|id| found.note(id)).collect()
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

    /// The keys; `None` if they are to be in a store that there is not.
    fn open_keys(
        &self,
        (issuer, store): (&Issuer, Option<&WatchedStore>),
        platform: &Platform,
    ) -> Result<Option<Keys>, ConfigError> {
        if let Some(keys) = &self.keys {
            return Ok(Some(keys.clone()));
        }
        let file = KeyFile::new(self.data_dir.join("keys.json"));
        let clock = Arc::clone(&platform.clock);
        let Some(sealed_with) = &self.shared_keys else {
            let (random, now) = (&*platform.random, clock.now());
            let ring = file.load_or_create(self.signing_algorithm, random, now);
            let ring = ring.map_err(ConfigError::Keys)?;
            return Ok(Some(Keys::kept_by(Arc::new(file), Some(ring), clock)));
        };
        let Some(store) = store else {
            return Ok(None);
        };
        let (store, random) = (Arc::new(store.clone()), Arc::clone(&platform.random));
        let place = StoredKeyRing::new(store, issuer, sealed_with.clone(), random);
        let shared = SharedKeys::new(place, file, self.signing_algorithm);
        Ok(Some(Keys::kept_by(Arc::new(shared), None, clock)))
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
mod tests {
    use super::super::authority::{AuthoritySettings, Directory};
    use super::*;
    use crate::dpop::Dpop;
    use crate::entra::cloud::Cloud;
    use crate::entra::credential::{ClientCredential, ManagedIdentity};
    use crate::entra::verifier::AzureJwtVerifier;
    use crate::keys::KeyRing;
    use crate::platform::{SystemRandom, Timestamp};
    use crate::policy::Requirement;
    use crate::provider::{AzureJwtConfig, ProtectedResource};
    use crate::store::MemoryStore;

    const CLIENT_ID: &str = "11111111-2222-3333-4444-555555555555";

    fn least() -> AzureConfig {
        let now = Timestamp::from_unix(0);
        let ring = KeyRing::generate(Algorithm::Es256, &SystemRandom::default(), now).unwrap();
        AzureConfig::new("contoso.com", CLIENT_ID, "https://mcp.example.com")
            .client_secret("secret")
            .required_scopes(["mcp.read"])
            .store(Arc::new(MemoryStore::default()))
            .keys(Keys::new(ring))
    }

    fn check(config: AzureConfig) -> Result<Checked, Vec<String>> {
        config
            .check(&Platform::system().unwrap())
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_not_given_follows_from_what_is() {
        let checked = check(least()).unwrap();
        assert_eq!(checked.server.issuer.as_str(), "https://mcp.example.com");
        assert_eq!(
            checked.server.resources.first().indicator.as_str(),
            "https://mcp.example.com/mcp"
        );
        assert_eq!(checked.server.resources.first().name, "mcp.example.com");
        assert_eq!(
            checked.app.redirect_uri,
            "https://mcp.example.com/auth/callback"
        );
        let read = checked
            .app
            .names
            .to_entra(checked.server.resources.first().scopes.required());
        assert_eq!(read.to_string(), format!("api://{CLIENT_ID}/mcp.read"));
        let slash = check(AzureConfig {
            base_url: "https://h/team/".to_owned(),
            ..least()
        })
        .unwrap();
        assert_eq!(slash.server.issuer.as_str(), "https://h/team/");
        assert_eq!(
            slash.server.resources.first().indicator.as_str(),
            "https://h/team/mcp"
        );
        assert_eq!(slash.app.redirect_uri, "https://h/team/auth/callback");
    }

    #[test]
    fn each_mistake_says_what_to_change() {
        type Change = fn(AzureConfig) -> AzureConfig;
        let cases: [(Change, &str); 15] = [
            (
                |c| AzureConfig {
                    authority: AuthoritySettings::new(Directory::EntraId("contoso".to_owned())),
                    ..c
                },
                "tenant_id: ",
            ),
            (
                |c| AzureConfig {
                    client_id: "app".to_owned(),
                    ..c
                },
                "client_id: ",
            ),
            (
                |c| AzureConfig {
                    credential: None,
                    ..c
                },
                "client_secret: add one",
            ),
            (|c| c.client_secret(""), "client_secret: add one"),
            (
                |c| c.client_secret(CLIENT_ID),
                "client_secret: this is the id",
            ),
            (
                |c| AzureConfig {
                    base_url: "http://h".to_owned(),
                    ..c
                },
                "base_url: ",
            ),
            (|c| c.issuer_url("https://h?x"), "issuer_url: "),
            (
                |c| c.resource_url("https://mcp.example.com/token"),
                "resource_url: its path",
            ),
            (|c| c.redirect_path("callback"), "redirect_path: "),
            (|c| c.identifier_uri("api://app/"), "identifier_uri: "),
            (
                |c| c.groups_from_graph().graph_url("ftp://x"),
                "graph_url: ",
            ),
            (
                |c| c.requirement(Requirement::any_scope(["mcp.read", "mcp.write"])),
                "requirement: nobody can meet it: mcp.write is among neither",
            ),
            (
                |c| c.authority_host("https://login.microsoftonline.com"),
                "authority_host: ",
            ),
            (
                |c| c.allowed_client_redirect_uris(["javascript:x"]),
                "allowed_client_redirect",
            ),
            (|c| c.access_token_lifetime(Duration::ZERO), "lifetimes: "),
        ];
        for (change, expected) in cases {
            assert_mistake(change(least()), expected);
        }
    }

    #[test]
    fn each_mistake_in_a_further_server_says_what_to_change() {
        let server = |url: &str| ProtectedResource::new(url);
        let at = "https://mcp.example.com/files";
        for (server, expected) in [
            (
                server("https://mcp.example.com/mcp/"),
                "resource_url: another",
            ),
            (server("http://tools.example.com/mcp"), "resource_url: "),
            (
                server("https://mcp.example.com/token"),
                "resource_url: its path",
            ),
            (
                server("https://mcp.example.com/auth/callback"),
                "resource_url: its path",
            ),
            (server("https://a.example/:x"), "resource_url: its path"),
            (
                server("https://a.example/.well-known/x"),
                "resource_url: its path",
            ),
            (server(at).required_scopes(["openid"]), "required_scopes: "),
            (server(at).optional_scopes(["a\"b"]), "scopes: "),
            (server(at).allowed_origins(["x"]), "allowed_origin"),
            (
                server(at).requirement(Requirement::scopes(["mcp.write"])),
                "requirement: nobody can meet it: mcp.write is among neither",
            ),
        ] {
            let expected = format!("{}: {expected}", server.url());
            assert_mistake(least().resource(server), &expected);
        }
        let elsewhere = "https://orders.example.com/token";
        assert!(check(least().resource_url(elsewhere)).is_ok());
        for fine in [at, "https://mcp.example.com/", elsewhere] {
            let config = least().resource(server(fine));
            assert!(check(config).is_ok(), "{fine}");
        }
    }

    #[test]
    fn each_mistake_in_a_client_says_what_to_change() {
        let known = |id: &str| PreregisteredClient::new(id, ["https://client.example/cb"]);
        for (client, expected) in [
            (known("a b"), "client \"a b\": its id"),
            (
                known("https://a.example/c"),
                "client \"https://a.example/c\": its id",
            ),
            (known("taken"), "client \"taken\": another client"),
            (known("a").secret("short"), "client \"a\": its secret"),
            (known("a").private_key_jwt("{}"), "client \"a\": its keys"),
            (
                known("a").private_key_jwt(r#"{"keys":[]}"#),
                "client \"a\": its keys",
            ),
            (
                PreregisteredClient::new("a", ["http://client.example/cb"]),
                "client \"a\": ",
            ),
            (
                PreregisteredClient::new("a", Vec::<String>::new()),
                "client \"a\": redirect_uris is missing",
            ),
        ] {
            let config = least().client(known("taken")).client(client);
            assert_mistake(config, expected);
        }
    }

    #[test]
    fn each_mistake_in_a_scope_says_what_to_change() {
        type Change = fn(AzureConfig) -> AzureConfig;
        let cases: [(Change, &str); 7] = [
            (|c| c.required_scopes(["openid"]), "required_scopes: "),
            (|c| c.required_scopes(["a\"b"]), "scopes: "),
            (|c| c.optional_scopes(["a\"b"]), "scopes: "),
            (|c| c.optional_scopes([".default"]), "optional_scopes: "),
            (
                |c| c.incremental_scopes(["User.Read"]),
                "incremental_scopes: ",
            ),
            (
                |c| c.incremental_scopes(["api://x/.default"]),
                "incremental_scopes: ",
            ),
            (
                |c| c.additional_scopes(["User.Read"]),
                "additional_scopes: ",
            ),
        ];
        for (change, expected) in cases {
            assert_mistake(change(least()), expected);
        }
    }

    fn assert_mistake(config: AzureConfig, expected: &str) {
        let errors = check(config).map(drop).unwrap_err();
        assert!(
            errors.len() == 1 && errors[0].starts_with(expected),
            "{expected}: {errors:?}"
        );
    }

    #[test]
    fn a_credential_is_looked_at_before_anything_is_served() {
        let certificate = ClientCredential::certificate_file;
        let token_file = ClientCredential::federated_token_file;
        let imds = || ManagedIdentity::imds_at("here");
        let bleu = least().cloud(Cloud::Bleu);
        for (config, expected) in [
            (
                least().credential(certificate("/nowhere/at/all")),
                "/nowhere/at/all cannot be read: ",
            ),
            (
                least().credential(certificate("Cargo.toml")),
                "Cargo.toml holds no certificate that can be used: neither a PEM",
            ),
            (
                least().credential(token_file("/nowhere/at/all")),
                "/nowhere/at/all cannot be read: ",
            ),
            (
                least().credential(token_file("Cargo.toml")),
                "Cargo.toml holds no token",
            ),
            (
                least().credential(imds()),
                "the endpoint of the managed identity",
            ),
            (
                bleu.credential(ManagedIdentity::imds()),
                "the audience of assertions in this cloud",
            ),
        ] {
            let errors = check(config).map(drop).unwrap_err();
            let told = errors[0].strip_prefix("credential: ").unwrap_or_default();
            assert!(
                errors.len() == 1 && told.starts_with(expected),
                "{errors:?}"
            );
        }
    }

    #[test]
    fn proofs_are_not_asked_for_and_turned_away_at_once() {
        let client = PreregisteredClient::new("agents", ["https://agents.example/callback"]);
        let bound = client.clone().dpop_bound_access_tokens();
        let machines = || {
            let config = AzureJwtConfig::new("contoso.com", CLIENT_ID).required_scopes(["x"]);
            AzureJwtVerifier::new(config, Platform::system().unwrap()).unwrap()
        };
        let off = || least().dpop(Dpop::Off);
        assert_mistake(off().dpop_nonce(), "dpop_nonce: ");
        assert_mistake(off().client(bound.clone()), "client \"agents\": ");
        let required = || least().dpop(Dpop::Required);
        assert_mistake(required().also_accept(machines()), "dpop: ");
        for good in [
            off().client(client),
            least().client(bound).dpop_nonce(),
            least().also_accept(machines()),
            off().also_accept(machines()),
            required().dpop_nonce(),
        ] {
            assert!(check(good).is_ok());
        }
    }

    #[test]
    fn the_last_credential_counts() {
        let lost = || ClientCredential::certificate_file("/nowhere/at/all");
        assert!(check(least().credential(lost())).is_err());
        assert!(check(least().credential(lost()).client_secret("secret")).is_ok());
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let config = AzureConfig::new("x", "y", "z").allowed_origins(["nowhere"]);
        let errors = check(config).map(drop).unwrap_err();
        let topics: Vec<_> = errors
            .iter()
            .filter_map(|error| error.split(':').next())
            .collect();
        assert_eq!(
            topics,
            [
                "tenant_id",
                "client_id",
                "client_secret",
                "base_url",
                "required_scopes",
                "allowed_origins"
            ]
        );
    }
}
