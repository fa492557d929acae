//! What can be set, where it may be set, and what it comes to.
//!
//! Every setting has one name. `tenant_id` is the flag `--tenant-id`, the variable
//! `ENTRADA_TENANT_ID` and the key `tenant_id` of the configuration file; a flag wins over the
//! environment, which wins over the file, which wins over the default. [`Settings::read`] finds
//! everything that is wrong at once.

mod acme;
mod admin;
mod credential;
mod environment;
mod file;
mod findings;
mod flags;
mod kept;
mod keys;
mod observing;
mod ourselves;
mod policy;
mod prints;
mod problem;
mod provider;
mod resource;
mod source;
mod spelling;
mod stdio;
mod store;
mod table;
mod tls;
mod together;
mod transport;
mod upstream;
mod value;
mod websocket;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use entrada::authorization_server::ConsentMode;
use entrada::caller_assertion::CallerAssertions;
use url::Url;

pub use crate::config::admin::AdminListener;
pub use crate::config::environment::Environment;
pub use crate::config::flags::{Flags, refusing_secrets};
pub(crate) use crate::config::kept::{GrantPlace, KeptSettings};
pub use crate::config::keys::{KeyPlace, SharedPlace, SharedPlaceError, key_place};
use crate::config::ourselves::Ourselves;
pub use crate::config::policy::policies;
pub(crate) use crate::config::prints::{Change, Print, Prints};
pub use crate::config::problem::{ConfigError, Problem};
pub use crate::config::provider::ProviderSettings;
pub use crate::config::resource::{ResourceSettings, TokensOf};
use crate::config::source::Sources;
pub(crate) use crate::config::spelling::nearest_of;
pub use crate::config::store::{OpenStore, StoreSettings};
pub(crate) use crate::config::store::{ends_of_move, named as store_named};
pub use crate::config::table::names;
pub use crate::config::transport::Transport;
pub(crate) use crate::config::value::{address, authorities, duration, signing_algorithm};

use crate::acme::AcmeSettings;
use crate::audit::AuditSettings;
use crate::policy::{Policy, Rule};
use crate::rate::Rates;
use crate::telemetry::LogSettings;
use crate::tls::CertificateFiles;
use crate::traces::TraceSettings;
use crate::upstream::checks::HealthChecks;
use crate::upstream::exchange::Exchange;
use crate::upstream::headers::HostHeader;
use crate::upstream::identity::ForwardedIdentity;
use crate::upstream::place::Place;
use crate::upstream::{SESSION_GRACE, TlsSettings};

/// Everything `entrada serve` was told.
#[derive(Debug)]
#[non_exhaustive]
pub struct Settings {
    /// What speaks to Entra and to MCP clients.
    pub provider: ProviderSettings,
    /// What speaks to the MCP servers, each of which has a path of its own.
    pub upstreams: Vec<UpstreamSettings>,
    /// Where to listen, and how to leave.
    pub server: ServerSettings,
    /// Where operators are served, if they are.
    pub admin: Option<AdminListener>,
    /// The certificate to listen with, where TLS is spoken there.
    pub tls: Option<CertificateFiles>,
    /// The certificate to get for that, where an authority issues one.
    pub acme: Option<AcmeSettings>,
    /// What is logged, and how.
    pub log: LogSettings,
    /// Where decisions are written, and how.
    pub audit: Option<AuditSettings>,
    /// Where traces go, and of which requests.
    pub traces: Option<TraceSettings>,
    /// What may be meant, and is to be looked at.
    pub warnings: Vec<Problem>,
    /// What tells them from others.
    pub(crate) prints: Prints,
}

/// How requests are passed on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UpstreamSettings {
    /// How the MCP server is reached.
    pub transport: Transport,
    /// The path that stands for it on our side; of settings that were read, below the base URL.
    pub resource_path: String,
    /// What the MCP server sees as `Host`.
    pub host_header: HostHeader,
    /// What the MCP server is told about the user.
    pub forward_identity: ForwardedIdentity,
    /// What signs for the user, where the MCP server is told that way.
    pub assertions: Option<CallerAssertions>,
    /// The token it gets in place of the caller's own, if it gets one.
    pub exchange: Option<Exchange>,
    /// Whether WebSockets are passed through. What is said there is not read, so none is opened where a policy or
    /// the limit of a tool must know what is called.
    pub websocket: bool,
    /// How large a request may be.
    pub body_limit: u64,
    /// How long the MCP server may take to begin its answer.
    pub response_timeout: Option<Duration>,
    /// Certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// How the MCP server and we prove to each other who we are.
    pub tls: TlsSettings,
    /// Whether HTTP/2 is spoken where a server with TLS offers it.
    pub http2: bool,
    /// Where replicas are asked whether they are well, if they are.
    pub health_checks: Option<HealthChecks>,
    /// How long a replica may be away before its sessions are over.
    pub session_grace: Duration,
    /// Who may call what there.
    pub policy: Policy,
    /// How often users, clients and callers of a tool may come.
    pub rates: Rates,
    /// How many requests of one user, or of one application, may be under way, open streams among them.
    pub max_concurrent_requests: Option<u32>,
    /// What tells the way to the server from another; not known of one that was not read.
    pub(crate) print: Option<Print>,
}

impl UpstreamSettings {
    /// The defaults, for an MCP server at `url`, at the same path on our side.
    pub fn new(url: Url) -> Self {
        let resource_path = url.path().to_owned();
        Self::of(Transport::Http(vec![Place::at(url)]), resource_path)
    }

    /// The defaults, for an MCP server that is reached by `transport`, at `resource_path` on our side.
    pub fn of(transport: Transport, resource_path: impl Into<String>) -> Self {
        Self {
            transport,
            resource_path: resource_path.into(),
            host_header: HostHeader::Rewrite,
            forward_identity: ForwardedIdentity::default(),
            assertions: None,
            exchange: None,
            websocket: false,
            body_limit: table::BODY_LIMIT,
            response_timeout: Some(table::UPSTREAM_TIMEOUT),
            ca_file: None,
            tls: TlsSettings::default(),
            http2: false,
            health_checks: None,
            session_grace: SESSION_GRACE,
            policy: Policy::default(),
            rates: Rates::default(),
            max_concurrent_requests: Some(table::CONCURRENT_REQUESTS),
            print: None,
        }
    }
}

/// Where to listen, and how to leave.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ServerSettings {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// How long requests under way may take to end after a stop signal.
    pub drain_timeout: Duration,
    /// How old the newest signing key becomes before there is a new one.
    pub key_rotation: Option<Duration>,
    /// Where to say what is counted.
    pub metrics_listen: Option<SocketAddr>,
    /// How many connections there may be.
    pub max_connections: Option<u32>,
    /// How many of them one address may have.
    pub max_connections_per_address: Option<u32>,
}

impl ServerSettings {
    /// Listens on `listen` and gives requests under way `drain_timeout` to end.
    pub const fn new(listen: SocketAddr, drain_timeout: Duration) -> Self {
        Self {
            listen,
            drain_timeout,
            key_rotation: None,
            metrics_listen: None,
            max_connections: None,
            max_connections_per_address: None,
        }
    }
}

impl Settings {
    /// Reads the settings from `flags`, from `environment` and from the file they name.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every problem there is.
    pub fn read(flags: &Flags, environment: &Environment) -> Result<Self, ConfigError> {
        let mut sources = Sources::open(flags, environment).map_err(ConfigError::new)?;
        let prints = sources.prints().clone();
        let (resources, upstreams) = resource::read(&mut sources, upstream);
        let behind = upstreams.as_deref().unwrap_or_default();
        let provider = provider(&mut sources, resources, behind);
        together::look(&mut sources, &provider);
        let server = server(&mut sources);
        let admin = admin::read(&mut sources);
        let tls = tls::read(&mut sources);
        let acme = acme::read(&mut sources, &provider);
        together::look_at_tls(&mut sources, &provider);
        let log = observing::log(&mut sources);
        let audit = observing::audit(&mut sources);
        let traces = observing::traces(&mut sources);
        let warnings = problem::in_order(sources.take_warnings());
        let mut problems = sources.into_problems();
        if let (Some(upstreams), []) = (upstreams, &*problems) {
            return Ok(Self {
                provider,
                upstreams,
                server,
                admin,
                tls,
                acme,
                log,
                audit,
                traces,
                warnings,
                prints,
            });
        }
        let found = provider.rehearse(&problems);
        problems.extend(found);
        Err(ConfigError::new(problems))
    }

    /// What tells the settings that are there now from others; what they are is not looked at.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the file cannot be read.
    pub(crate) fn prints(flags: &Flags, environment: &Environment) -> Result<Prints, ConfigError> {
        let sources = Sources::open(flags, environment).map_err(ConfigError::new)?;
        Ok(sources.prints().clone())
    }
}

fn provider(
    sources: &mut Sources<'_>,
    resources: Vec<ResourceSettings>,
    upstreams: &[UpstreamSettings],
) -> ProviderSettings {
    let origins = sources.origins();
    let store = store::read(sources);
    // Where Entra issues all tokens, nothing is asked in our name, unless a server gets some.
    let exchanges = upstreams.iter().any(|server| server.exchange.is_some());
    let issues = |resource: &ResourceSettings| resource.tokens != TokensOf::Entra;
    let needs_credential = exchanges || resources.is_empty() || resources.iter().any(issues);
    ProviderSettings {
        key_encryption_keys: keys::read(sources, &store),
        origins,
        tenant_id: sources.required("tenant_id"),
        allowed_tenants: sources.only("allowed_tenants"),
        client_id: sources.required("client_id"),
        credential: credential::read(sources, needs_credential),
        base_url: sources.required("base_url"),
        resources,
        additional_scopes: additional_scopes(sources, upstreams),
        incremental_scopes: sources.list("incremental_scopes"),
        continuous_access_evaluation: sources.parsed("continuous_access_evaluation", value::switch)
            == Some(true),
        identifier_uri: sources.text("identifier_uri"),
        issuer_url: sources.text("issuer_url"),
        redirect_path: sources
            .parsed("redirect_path", value::path)
            .unwrap_or_default(),
        allowed_client_redirect_uris: sources.only("allowed_client_redirect_uris"),
        client_document_hosts: document_hosts(sources),
        egress_proxy: sources.parsed("egress_proxy", value::proxy),
        insecure_document_addresses: sources
            .parsed("insecure_document_addresses", value::addresses)
            .unwrap_or_default(),
        clients: sources.take_clients(),
        trusted_issuers: sources.take_trusted_issuers(),
        client_registrations: sources
            .parsed("client_registrations", value::client_registrations)
            .unwrap_or_default(),
        consent: consent(sources),
        pre_approved_clients: sources.list("pre_approved_clients"),
        rate_limits: sources
            .parsed("rate_limits", value::rate_limits)
            .unwrap_or_default(),
        trusted_proxies: sources.list("trusted_proxies"),
        groups_from_graph: sources.parsed("groups_from_graph", value::switch) == Some(true),
        cloud: sources.parsed("cloud", value::cloud),
        authority_host: sources.text("authority_host"),
        insecure_http_authority: sources.parsed("insecure_http_authority", value::switch)
            == Some(true),
        certificate_authorities: sources.parsed("ca_file", authorities),
        data_dir: sources.required("data_dir").into(),
        store,
        access_token_lifetime: sources.parsed("access_token_lifetime", duration),
        refresh_token_lifetime: sources.parsed("refresh_token_lifetime", duration),
        signing_algorithm: sources.parsed("signing_algorithm", signing_algorithm),
        dpop: sources.parsed("dpop", value::dpop).unwrap_or_default(),
        dpop_nonce: sources.parsed("dpop_nonce", value::switch) == Some(true),
        audit: None,
        numbers: None,
    }
}

/// What becomes of users whom nobody asks.
const ASKED_ELSEWHERE: &str = "users are not asked here: a link hands a stranger's app their access, \
                               unless whatever asks them stands before /authorize";

/// When users are asked; a problem where what is said of remembering has no use.
fn consent(sources: &mut Sources<'_>) -> ConsentMode {
    let mode = sources.parsed("consent", value::consent);
    let remembers = matches!(mode, Some(ConsentMode::Remember(_)));
    if mode == Some(ConsentMode::External) {
        sources.warn("consent", ASKED_ELSEWHERE);
    }
    let is_of_use = || {
        let unused = "it says something where consent is remember alone";
        remembers.then_some(()).ok_or_else(|| unused.to_owned())
    };
    let lifetime = sources.parsed("consent_lifetime", |text| {
        is_of_use()?;
        duration(text)
    });
    let asks = sources.parsed("ask_for_apps_on_device", |text| {
        is_of_use()?;
        value::switch(text)
    });
    match mode {
        Some(ConsentMode::Remember(mut policy)) => {
            policy.lifetime = lifetime.unwrap_or(policy.lifetime);
            policy.apps_on_device = asks != Some(true);
            ConsentMode::Remember(policy)
        }
        mode => mode.unwrap_or_default(),
    }
}

fn document_hosts(sources: &mut Sources<'_>) -> Option<Vec<String>> {
    let name = "client_document_hosts";
    let hosts = sources.only(name);
    let hosts = sources.check(name, value::document_hosts(hosts));
    sources.is_given(name).then_some(hosts)
}

/// What the servers need is asked for at the first login, unless it is to be asked for later.
fn additional_scopes(sources: &Sources<'_>, upstreams: &[UpstreamSettings]) -> Vec<String> {
    let mut scopes = sources.list("additional_scopes");
    let later = sources.list("incremental_scopes");
    let exchanges = upstreams
        .iter()
        .filter_map(|server| server.exchange.as_ref());
    let needed = exchanges.flat_map(|exchange| exchange.scope().split(' '));
    let needed = needed.filter(|scope| !scope.is_empty() && !scope.ends_with("/.default"));
    for scope in needed {
        let is_known = |known: &[String]| known.iter().any(|known| known == scope);
        if !is_known(&scopes) && !is_known(&later) {
            scopes.push(scope.to_owned());
        }
    }
    scopes
}

/// What is behind the server at `resource_path`, with its `rules`.
fn upstream(
    sources: &mut Sources<'_>,
    (route, resource_path): (&str, String),
    rules: Vec<Rule>,
) -> Option<UpstreamSettings> {
    let print = sources.print_of_server(route);
    let policy = policy::read(sources, Some(route), rules);
    let ourselves = Ourselves::of(sources);
    let transport = if stdio::is_meant(sources) {
        stdio::read(sources).map(Transport::Stdio)
    } else {
        upstream::read(sources, &ourselves).map(Transport::Http)
    };
    let tls = upstream::tls(sources, transport.as_ref());
    let health_checks = upstream::health_checks(sources, transport.as_ref());
    let host_header = sources.parsed("host_header", str::parse);
    let http2 = upstream::http2(sources, (transport.as_ref(), host_header));
    let identity = sources.parsed("forward_identity", ForwardedIdentity::parse);
    let exchange = exchange(sources);
    let body_limit = sources.parsed("body_limit", value::size);
    let timeout = sources.parsed("upstream_timeout", value::timeout);
    let rates = observing::rates(sources);
    let concurrent = sources.parsed("max_concurrent_requests_per_user", value::most);
    let websocket = websocket::read(sources, transport.as_ref(), (&policy, &rates));
    Some(UpstreamSettings {
        transport: transport?,
        resource_path,
        host_header: host_header?,
        forward_identity: identity?,
        assertions: None,
        exchange,
        websocket,
        body_limit: body_limit?,
        response_timeout: timeout?,
        ca_file: sources.text("ca_file").map(PathBuf::from),
        tls,
        http2,
        health_checks,
        session_grace: SESSION_GRACE,
        policy,
        rates,
        max_concurrent_requests: concurrent?,
        print: Some(print),
    })
}

/// The token the MCP server gets, if it gets one; a problem where only its particulars are set.
fn exchange(sources: &mut Sources<'_>) -> Option<Exchange> {
    let exchange = sources.parsed("upstream_scope", |scope| Exchange::new(scope));
    let header = sources.parsed("upstream_token_header", Exchange::parse_header);
    let fallback = sources.parsed("upstream_app_only_fallback", value::switch);
    sources.needs("upstream_token_header", &["upstream_scope"]);
    let applications = ["required_app_roles", "allowed_applications"];
    if fallback == Some(true) {
        sources.needs("upstream_app_only_fallback", &["upstream_scope"]);
        sources.needs("upstream_app_only_fallback", &applications);
    }
    if fallback.is_none() && applications.iter().any(|name| sources.is_given(name)) {
        sources.warn("upstream_scope", NO_FALLBACK);
    }
    let exchange = match header {
        Some(header) => exchange?.header(header),
        None => exchange?,
    };
    Some(if fallback == Some(true) {
        exchange.allow_app_only_fallback()
    } else {
        exchange
    })
}

/// What applications make of a server that gets a token, where nobody says.
const NO_FALLBACK: &str = "applications are let in, and refused at this server, for there is no user \
                           to get a token for: set upstream_app_only_fallback to true, or to false \
                           if that is meant";

fn server(sources: &mut Sources<'_>) -> ServerSettings {
    let listen = sources.parsed("listen", address);
    let drain_timeout = sources.parsed("drain_timeout", duration);
    let key_rotation = sources.parsed("key_rotation", value::rotation);
    let connections = sources.parsed("max_connections", value::most);
    let per_address = sources.parsed("max_connections_per_address", value::most);
    ServerSettings {
        listen: listen.unwrap_or(table::LISTEN),
        drain_timeout: drain_timeout.unwrap_or_default(),
        key_rotation: key_rotation.flatten(),
        metrics_listen: observing::metrics_listen(sources, listen),
        max_connections: connections.flatten(),
        max_connections_per_address: per_address.flatten(),
    }
}

#[cfg(test)]
mod tests;
