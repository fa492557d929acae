//! A gateway whose guard lets everybody in as Alice.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::middleware::{Next, from_fn};
use bytes::Bytes;
use entrada::VerifiedToken;
use entrada::access_token::TokenFacts;
use entrada::authorization_server::TrustedProxies;
use entrada::oauth::client::ClientId;
use entrada::oauth::scope::Scope;
use entrada::platform::Timestamp;
use entrada_gateway::access_log::{Observer, observed};
use entrada_gateway::audit::Audit;
use entrada_gateway::called::{Called, Calls};
use entrada_gateway::config::UpstreamSettings;
use entrada_gateway::policy::Decision;
use entrada_gateway::route::{Route, Routes};
use entrada_gateway::server::{ConnectionLimits, Server};
use entrada_gateway::traces::Tracer;
use entrada_gateway::upstream::McpServer;
use http::{Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) struct Gateway {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinSet<()>,
    client: Client<HttpConnector, Body>,
}

impl Gateway {
    /// In front of `upstream`, with the defaults.
    pub(crate) async fn before(upstream: &str) -> Self {
        Self::with(UpstreamSettings::new(upstream.parse().unwrap())).await
    }

    pub(crate) async fn with(settings: UpstreamSettings) -> Self {
        Self::serve(before(&settings)).await
    }

    /// In front of `upstream`, with no guard at all.
    pub(crate) async fn unguarded(upstream: &str) -> Self {
        let settings = UpstreamSettings::new(upstream.parse().unwrap());
        let server = McpServer::new(&settings).unwrap();
        Self::serve(Router::new().fallback_service(server)).await
    }

    /// In front of these servers, each at its path and under its policy.
    pub(crate) async fn routed(servers: impl IntoIterator<Item = UpstreamSettings>) -> Self {
        Self::serve(routed(servers)).await
    }

    /// In front of one, with what was decided noted.
    pub(crate) async fn under_policy(
        server: UpstreamSettings,
        decisions: Arc<Mutex<Vec<Decision>>>,
    ) -> Self {
        let note = move |request: Request<Body>, next: Next| {
            let decisions = Arc::clone(&decisions);
            async move {
                let response = next.run(request).await;
                let decided = response.extensions().get::<Decision>().cloned();
                decisions.lock().unwrap().extend(decided);
                response
            }
        };
        Self::serve(routed([server]).layer(from_fn(note))).await
    }

    /// In front of what `settings` say, with an audit log, where every call is what `called` says.
    pub(crate) async fn audited(
        settings: UpstreamSettings,
        audit: Option<Audit>,
        called: Option<Called>,
    ) -> Self {
        let resource = format!("http://gateway{}", settings.resource_path);
        let route = Route::new(&resource, &settings, audit.as_ref()).unwrap();
        let routes = Routes::of_all([route.clone()]);
        let observer = Observer::new(TrustedProxies::default());
        let observer = observer.of_routes(routes).telling(audit);
        let call = move |mut request: Request<Body>, next: Next| {
            if let Some(called) = called.clone() {
                request.extensions_mut().insert(Calls::new([called]));
            }
            let_caller_in(request, next)
        };
        let guarded = Router::new().fallback_service(route).layer(from_fn(call));
        Self::listen(observer.observe(guarded)).await
    }

    async fn serve(router: Router) -> Self {
        Self::listen(observed(router, TrustedProxies::default())).await
    }

    /// In front of one, which holds no more connections than `limits` say.
    pub(crate) async fn limited(settings: UpstreamSettings, limits: ConnectionLimits) -> Self {
        let router = observed(before(&settings), TrustedProxies::default());
        Self::listen_within(router, limits).await
    }

    async fn listen(router: Router) -> Self {
        Self::listen_within(router, ConnectionLimits::default()).await
    }

    async fn listen_within(router: Router, limits: ConnectionLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = Server::new(listener, router, Duration::from_millis(200)).limited(limits);
        let mut serving = JoinSet::new();
        serving.spawn(server.run(stop.clone()));
        Self {
            address,
            stop,
            serving,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// In front of what `settings` say, with traces that `tracer` begins.
    pub(crate) async fn traced(settings: UpstreamSettings, tracer: Tracer) -> Self {
        let server = McpServer::new(&settings).unwrap();
        let guarded = Router::new()
            .fallback_service(server)
            .layer(from_fn(let_alice_in));
        let observer = Observer::new(TrustedProxies::default());
        Self::listen(observer.tracing(Some(tracer)).observe(guarded)).await
    }

    pub(crate) fn url(&self, path: &str) -> Uri {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Incoming> {
        self.client.request(request).await.unwrap()
    }

    pub(crate) async fn post(&self, body: impl Into<Body>) -> Response<Incoming> {
        let request = Request::post(self.url("/mcp")).body(body.into());
        self.send(request.unwrap()).await
    }
}

/// What stands before the server of `settings` once alice is let in.
pub(crate) fn before(settings: &UpstreamSettings) -> Router {
    let server = McpServer::new(settings).unwrap();
    Router::new()
        .fallback_service(server)
        .layer(from_fn(let_alice_in))
}

fn routed(servers: impl IntoIterator<Item = UpstreamSettings>) -> Router {
    let router = servers.into_iter().fold(Router::new(), |router, server| {
        let path = server.resource_path.clone();
        let route = Route::new(&format!("http://gateway{path}"), &server, None).unwrap();
        router
            .route_service(&path, route.clone())
            .route_service(&format!("{path}/"), route.clone())
            .route_service(&format!("{path}/{{*rest}}"), route)
    });
    router.layer(from_fn(let_alice_in))
}

/// Lets everybody in as Alice, or as the subject in `test-subject`.
async fn let_caller_in(mut request: Request<Body>, next: Next) -> Response<Body> {
    let mut facts = TokenFacts::clone(&alice());
    if let Some(subject) = request.headers().get("test-subject") {
        facts.principal.object_id = Some(subject.to_str().unwrap().to_owned());
    }
    let caller = VerifiedToken::assertion(facts);
    request.extensions_mut().insert(caller);
    next.run(request).await
}

async fn let_alice_in(
    mut request: Request<Body>,
    next: Next,
) -> Result<Response<Body>, Infallible> {
    request.extensions_mut().insert(alice());
    Ok(next.run(request).await)
}

pub(crate) fn alice() -> VerifiedToken {
    let mut facts = TokenFacts::new(
        "https://mcp.example.com".to_owned(),
        "alice-subject".to_owned(),
        ClientId::parse("client-1").unwrap(),
        Timestamp::from_unix(4_000_000_000),
    );
    facts.scope = Scope::parse("mcp.read mcp.write").unwrap();
    facts.principal.tenant_id = String::from("tenant-1");
    facts.principal.object_id = Some(String::from("object-1"));
    facts.principal.name = Some("Alïce Anders".to_owned());
    facts.principal.roles = vec!["Mcp.Admin".to_owned(), "a,b".to_owned()];
    VerifiedToken::assertion(facts)
}

pub(crate) async fn body(response: Response<Incoming>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}
