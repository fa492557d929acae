//! Everything a scenario needs, in one process and without a socket.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use bytes::Bytes;
use entra_emulator::{Control, Directory, Emulator, Options, builtin};
use entrada::admin_site::AdminSettings;
use entrada::entra::verifier::AppOnlyTokens;
use entrada::jwt::jwks::Algorithm;
use entrada::keys::{KeyRing, Keys};
use entrada::platform::{Clock, HttpTransport, Platform, SystemRandom, Timestamp, TransportError};
use entrada::provider::ConfigErrors;
use entrada::store::{MemoryStore, Store};
use entrada::{AzureConfig, AzureJwtConfig, AzureJwtVerifier, AzureProvider};
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;
use url::Url;

use crate::browser::Browser;
use crate::client::{Answer, Client, Session};
use crate::mcp_server::McpServer;
use crate::web::Web;

pub(crate) const BASE_URL: &str = "https://mcp.example.com";
pub(crate) const ADMIN_URL: &str = "https://admin.example.com";
pub(crate) const RESOURCE: &str = "https://mcp.example.com/mcp";
pub(crate) const CALLBACK: &str = "https://client.example/callback";
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// When every scenario begins.
const BEGINNING: u64 = 1_800_000_000;

/// One emulated Entra, one server before it, and the time of both.
pub(crate) struct World {
    pub(crate) provider: AzureProvider,
    pub(crate) entra: Control,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Keys,
    pub(crate) hosts: Hosts,
    /// Where strangers publish.
    pub(crate) web: Web,
    /// Where another issuer, at `idp.example`, publishes its keys.
    pub(crate) idp: Web,
    clock: Arc<VirtualClock>,
    wire: Wire,
}

/// The hosts there are, each a router.
#[derive(Clone)]
pub(crate) struct Hosts {
    app: Router,
    emulator: Router,
    /// Where operators are, if they are anywhere.
    admin: Option<Router>,
}

impl Hosts {
    /// Sends a request to the host its URL names; `None` if there is no such host.
    pub(crate) async fn send(&self, request: Request) -> Option<Response> {
        let router = match request.uri().host() {
            Some("mcp.example.com" | "orders.example.com") => &self.app,
            Some("admin.example.com") => self.admin.as_ref()?,
            Some(host) if is_entra(host) => &self.emulator,
            _ => return None,
        };
        Some(
            router
                .clone()
                .oneshot(request)
                .await
                .unwrap_or_else(|never| match never {}),
        )
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|config| config).await
    }

    /// A world whose server is configured as `adjust` wants.
    pub(crate) async fn with(adjust: impl FnOnce(AzureConfig) -> AzureConfig) -> Self {
        Self::on(Arc::new(MemoryStore::default()), adjust).await
    }

    /// A world whose server keeps its records in `store`.
    #[expect(clippy::unused_async, reason = "every way to make a world reads alike")]
    pub(crate) async fn on(
        store: Arc<dyn Store>,
        adjust: impl FnOnce(AzureConfig) -> AzureConfig,
    ) -> Self {
        let clock = Arc::new(VirtualClock::default());
        let ring = KeyRing::generate(Algorithm::Es256, &SystemRandom::default(), clock.now());
        let keys = Keys::new(ring.unwrap());
        let emulator = emulator(&clock);
        let wire = Wire::new(emulator.router());
        let web = Web::default();
        let outside = (&clock, &wire, &web);
        let provider = provider(outside, (Arc::clone(&store), keys.clone()), adjust);
        let hosts = Hosts {
            app: provider.protect_each(|_| Some(McpServer::service())),
            emulator: wire.entra.clone(),
            admin: None,
        };
        Self {
            provider,
            entra: emulator.control(),
            store,
            keys,
            web,
            idp: wire.idp.clone(),
            clock,
            hosts,
            wire,
        }
    }

    /// Another replica of the server: the same store, keys, Entra and time.
    pub(crate) fn replica(&self) -> Self {
        self.replica_with(|config| config)
    }

    /// A replica whose server is configured as `adjust` wants.
    pub(crate) fn replica_with(&self, adjust: impl FnOnce(AzureConfig) -> AzureConfig) -> Self {
        self.sharing(Arc::clone(&self.store), Arc::clone(&self.clock), adjust)
    }

    /// The same, with a clock that is ahead by so many seconds, or behind.
    pub(crate) fn replica_ahead(
        &self,
        by: i64,
        adjust: impl FnOnce(AzureConfig) -> AzureConfig,
    ) -> Self {
        let clock = Arc::new(self.clock.beside(by));
        self.sharing(Arc::clone(&self.store), clock, adjust)
    }

    /// A server with the same keys, Entra and time, on another store.
    pub(crate) fn over(&self, store: Arc<dyn Store>) -> Self {
        self.sharing(store, Arc::clone(&self.clock), |config| config)
    }

    fn sharing(
        &self,
        store: Arc<dyn Store>,
        clock: Arc<VirtualClock>,
        adjust: impl FnOnce(AzureConfig) -> AzureConfig,
    ) -> Self {
        let shared = (Arc::clone(&store), self.keys.clone());
        let outside = (&clock, &self.wire, &self.web);
        self.serving(provider(outside, shared, adjust), store, clock)
    }

    /// The same server by another configuration, which names neither store nor keys.
    pub(crate) fn renewed(
        &self,
        adjust: impl FnOnce(AzureConfig) -> AzureConfig,
    ) -> Result<Self, ConfigErrors> {
        let provider = self.provider.renewed(adjust(config()))?;
        Ok(self.serving(provider, Arc::clone(&self.store), Arc::clone(&self.clock)))
    }

    fn serving(
        &self,
        provider: AzureProvider,
        store: Arc<dyn Store>,
        clock: Arc<VirtualClock>,
    ) -> Self {
        let app = provider.protect_each(|_| Some(McpServer::service()));
        Self {
            provider,
            entra: self.entra.clone(),
            store,
            keys: self.keys.clone(),
            web: self.web.clone(),
            idp: self.idp.clone(),
            clock,
            hosts: Hosts {
                app,
                emulator: self.hosts.emulator.clone(),
                admin: None,
            },
            wire: self.wire.clone(),
        }
    }

    /// The same, with pages and an API for operators, who have the app role `Mcp.Admin`.
    pub(crate) fn administered(self) -> Self {
        let programs = AzureJwtConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID);
        let settings = AdminSettings::new(ADMIN_URL, "Mcp.Admin");
        self.administered_by(settings, programs)
    }

    /// The same, for the operators of `settings`, and for the `programs` among them.
    pub(crate) fn administered_by(self, settings: AdminSettings, programs: AzureJwtConfig) -> Self {
        let programs = programs
            .app_only(AppOnlyTokens::Require)
            .required_app_roles(["Mcp.Admin"])
            .authority_host("login.emulator.test");
        let programs = AzureJwtVerifier::new(programs, self.platform());
        let programs = programs.unwrap_or_else(|errors| panic!("{errors}"));
        self.administered_as(settings.programs(programs))
    }

    /// The same, for whom `settings` say.
    pub(crate) fn administered_as(mut self, settings: AdminSettings) -> Self {
        self.hosts.admin = Some(self.provider.admin_site(settings).unwrap());
        self
    }

    /// Lets time pass, here and at Entra.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// The time and the network of this world.
    pub(crate) fn platform(&self) -> Platform {
        platform(&self.clock, &self.wire, &self.web)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.hosts.clone())
    }

    /// Puts somebody on the path from Entra to the server, who changes its answers: each comes
    /// with the path it answers.
    pub(crate) fn intercept(&self, rewrite: impl FnMut(&str, &mut Value) + Send + 'static) {
        *self.wire.rewrite.lock().unwrap() = Some(Box::new(rewrite));
    }

    /// Makes the next answer of Entra's to the server never come.
    pub(crate) fn hang_next(&self) {
        self.wire.hangs.store(true, Ordering::SeqCst);
    }

    /// Sends one request to the server or to Entra.
    pub(crate) async fn send(&self, request: Request) -> Response {
        self.hosts.send(request).await.expect("the host exists")
    }

    /// Sends one request to the server; the path may be a whole URL.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let request = request((method, path), headers, body);
        Answer::read(self.send(request).await).await
    }

    /// The same, over a connection from the address `peer`.
    pub(crate) async fn ask_from(
        &self,
        peer: &str,
        (method, path): (Method, &str),
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let peer = SocketAddr::new(peer.parse().unwrap(), 50_000);
        let mut request = request((method, path), headers, body);
        request.extensions_mut().insert(ConnectInfo(peer));
        Answer::read(self.send(request).await).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], "").await
    }

    /// Registers a client with this metadata.
    pub(crate) async fn register(&self, metadata: &Value) -> Answer {
        Client::register_as(&self.hosts, metadata).await
    }

    /// An MCP client that registered with this metadata.
    pub(crate) async fn client_with(&self, metadata: &Value) -> Client {
        let registered = self.register(metadata).await.ok();
        Client::registered(self.hosts.clone(), &registered)
    }

    /// An MCP client that has just registered.
    pub(crate) async fn client(&self) -> Client {
        Client::register(self.hosts.clone(), CALLBACK).await
    }

    /// An MCP client that registered, and whose user `name` signed in and consented.
    pub(crate) async fn log_in(&self, name: &str) -> Session {
        let client = self.client().await;
        client.log_in(&mut self.browser(), name).await
    }
}

fn request((method, path): (Method, &str), headers: &[(&str, &str)], body: &str) -> Request {
    let url = Url::parse(BASE_URL).unwrap().join(path).unwrap();
    let mut request = Request::builder().method(method).uri(url.as_str());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

/// Where a virtual machine learns who it is.
const METADATA_HOST: &str = "169.254.169.254";

/// Whether the emulator answers for `host`.
pub(crate) fn is_entra(host: &str) -> bool {
    let others = [
        builtin::CUSTOMERS_LOGIN_HOST,
        "login.microsoftonline.us",
        METADATA_HOST,
    ];
    host == "login.emulator.test" || others.contains(&host)
}

fn emulator(clock: &Arc<VirtualClock>) -> Emulator {
    let mut options = Options::default();
    let time = Arc::clone(clock);
    options.clock = Arc::new(move || time.now().as_unix());
    options.directory = Directory::default();
    Emulator::new(options)
}

fn platform(clock: &Arc<VirtualClock>, wire: &Wire, web: &Web) -> Platform {
    let wire = Arc::new(wire.clone());
    let platform = Platform::new(clock.clone(), Arc::new(SystemRandom::default()), wire);
    platform.with_public_web(Arc::new(web.clone()))
}

fn config() -> AzureConfig {
    AzureConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID, BASE_URL)
        .client_secret(builtin::CLIENT_SECRET)
        .required_scopes(["mcp.read"])
        .additional_scopes(["https://graph.microsoft.com/User.Read"])
        .authority_host("login.emulator.test")
        .resource_name("Contoso tools")
}

fn provider(
    (clock, wire, web): (&Arc<VirtualClock>, &Wire, &Web),
    (store, keys): (Arc<dyn Store>, Keys),
    adjust: impl FnOnce(AzureConfig) -> AzureConfig,
) -> AzureProvider {
    let config = config().store(store).keys(keys);
    let platform = platform(clock, wire, web);
    AzureProvider::new(adjust(config), platform).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The time of one world, as one clock tells it.
#[derive(Debug)]
pub(crate) struct VirtualClock {
    time: Arc<AtomicU64>,
    ahead: i64,
}

impl Default for VirtualClock {
    fn default() -> Self {
        let time = Arc::new(AtomicU64::new(BEGINNING));
        Self { time, ahead: 0 }
    }
}

impl VirtualClock {
    /// Another clock for the same time, which is ahead by so many seconds.
    fn beside(&self, ahead: i64) -> Self {
        let time = Arc::clone(&self.time);
        Self { time, ahead }
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.time.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    pub(crate) fn set_back(&self, by: Duration) {
        self.time.fetch_sub(by.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let time = self.time.load(Ordering::SeqCst);
        Timestamp::from_unix(time.saturating_add_signed(self.ahead))
    }
}

/// What somebody on the path makes of an answer of Entra's: its path, and its JSON.
type Rewrite = Box<dyn FnMut(&str, &mut Value) + Send>;

/// The network between the server and whoever it is told to trust, and who sits on it.
#[derive(Clone)]
struct Wire {
    entra: Router,
    idp: Web,
    hangs: Arc<AtomicBool>,
    rewrite: Arc<Mutex<Option<Rewrite>>>,
}

impl Wire {
    fn new(entra: Router) -> Self {
        Self {
            entra,
            idp: Web::default(),
            hangs: Arc::default(),
            rewrite: Arc::default(),
        }
    }

    fn rewritten(&self, path: &str, body: Bytes) -> Bytes {
        match (
            &mut *self.rewrite.lock().unwrap(),
            serde_json::from_slice(&body),
        ) {
            (Some(rewrite), Ok(mut json)) => {
                rewrite(path, &mut json);
                json.to_string().into()
            }
            _ => body,
        }
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

#[async_trait]
impl HttpTransport for Wire {
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, TransportError> {
        // A network takes its time: whoever else is at work goes on meanwhile.
        tokio::task::yield_now().await;
        if self.hangs.swap(false, Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let host = request.uri().host().unwrap_or_default().to_owned();
        if host == "idp.example" {
            return self.idp.send(request).await;
        }
        if !is_entra(&host) {
            return Err(TransportError::new(host, "no such host"));
        }
        let path = request.uri().path().to_owned();
        let answer = self.entra.clone().oneshot(request.map(Body::from)).await;
        let (parts, body) = answer.unwrap_or_else(|never| match never {}).into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| TransportError::new(host, error))?;
        let body = self.rewritten(&path, body.to_bytes());
        Ok(http::Response::from_parts(parts, body))
    }
}
