//! A gateway before a server that tells what reached it.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use entrada_gateway::config::UpstreamSettings;
use entrada_gateway::gateway::gateway;
use entrada_gateway::route::Routes;
use entrada_gateway::upstream::exchange::Exchange;
use http::request::{Builder, Parts};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::browser::Browser;
use crate::client::{Answer, Session, VERIFIER, parameter};
use crate::world::{BASE_URL, RESOURCE, World};

pub(crate) const USER_READ: &str = "https://graph.microsoft.com/User.Read";

/// What the server answers instead, with its headers.
type Instead = Arc<Mutex<Option<(StatusCode, HeaderMap)>>>;

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) browser: Browser,
    pub(crate) session: Session,
    instead: Instead,
    app: Router,
    _serving: JoinSet<()>,
}

impl Stage {
    /// Alice is signed in; the server gets tokens by `exchange`.
    pub(crate) async fn new(exchange: Exchange) -> Self {
        Self::on(World::new().await, Some(exchange)).await
    }

    pub(crate) async fn on(world: World, exchange: Option<Exchange>) -> Self {
        Self::with_routes(world, [("/mcp", exchange)]).await
    }

    /// There is a server at each of these paths, which gets tokens by that exchange; the first is at
    /// `/mcp`.
    pub(crate) async fn with_routes(
        world: World,
        routes: impl IntoIterator<Item = (&str, Option<Exchange>)>,
    ) -> Self {
        let (instead, mut serving) = (Instead::default(), JoinSet::new());
        let server = server(Arc::clone(&instead));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        serving.spawn(async move { axum::serve(listener, server).await.unwrap() });
        let routes = routes.into_iter().map(|(path, exchange)| {
            let mut settings = UpstreamSettings::new(format!("{url}{path}").parse().unwrap());
            settings.exchange = exchange;
            settings
        });
        let routes: Vec<_> = routes.collect();
        let app = gateway(
            &world.provider,
            &Routes::new(&world.provider, &routes).unwrap(),
        );
        let mut browser = world.browser();
        let session = world.client().await.log_in(&mut browser, "alice").await;
        Self {
            world,
            browser,
            session,
            instead,
            app,
            _serving: serving,
        }
    }

    /// Makes the server answer the next request so.
    pub(crate) fn answer_next(&self, status: StatusCode, challenge: &str) {
        let mut headers = HeaderMap::new();
        headers.insert("www-authenticate", challenge.parse().unwrap());
        *self.instead.lock().unwrap() = Some((status, headers));
    }

    /// Sends a request through the gateway.
    pub(crate) async fn send(&self, method: Method, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(RESOURCE);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.present(&self.session.access_token, request).await
    }

    /// Alice's token for the server at `path`.
    pub(crate) async fn token_for(&self, path: &str) -> String {
        let resource = format!("{BASE_URL}{path}");
        let client = &self.session.client;
        let url = client.authorize_url(&[("resource", &resource)]);
        let mut browser = self.world.browser();
        let page = browser.get(&url).await.page();
        let location = browser.approve(&page, "alice").await.left();
        let code = parameter(&location, "code").unwrap();
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", &client.id),
            ("code", &code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", &client.redirect_uri),
        ];
        client.session(client.token(&form).await.ok()).access_token
    }

    /// Calls the server at `path` with `token`.
    pub(crate) async fn call(&self, path: &str, token: &str) -> Answer {
        let request = Request::post(format!("{BASE_URL}{path}"));
        self.present(token, request).await
    }

    async fn present(&self, token: &str, request: Builder) -> Answer {
        self.fetch(request.header("authorization", format!("Bearer {token}")))
            .await
    }

    /// Sends a request as it is.
    pub(crate) async fn fetch(&self, request: Builder) -> Answer {
        let request = request.body(Body::from("{}")).unwrap();
        let answer = self.app.clone().oneshot(request).await;
        Answer::read(answer.unwrap_or_else(|never| match never {})).await
    }

    pub(crate) async fn post(&self) -> Answer {
        self.send(Method::POST, &[]).await
    }

    /// Signs alice in once more.
    pub(crate) async fn sign_in(&mut self) {
        let client = self.session.client.clone();
        self.session = client.log_in(&mut self.browser, "alice").await;
    }
}

/// The header that reached the server, once.
#[track_caller]
pub(crate) fn header(answer: &Answer, name: &str) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let values = answer.json[name].as_array().unwrap();
    assert_eq!(values.len(), 1, "{values:?}");
    values[0].as_str().unwrap().to_owned()
}

fn server(instead: Instead) -> Router {
    Router::new().fallback(move |request: Request<Body>| {
        let instead = instead.lock().unwrap().take();
        let (parts, _) = request.into_parts();
        async move { instead.map_or_else(|| echo(&parts), IntoResponse::into_response) }
    })
}

/// Every header that came, with all of its values, and the path.
fn echo(parts: &Parts) -> Response {
    let values = |name: &HeaderName| {
        let all = parts.headers.get_all(name).iter();
        let all = all.map(|value| Value::from(value.to_str().unwrap()));
        (name.to_string(), all.collect::<Value>())
    };
    let headers = parts.headers.keys().map(values);
    let path = (":path".to_owned(), json!([parts.uri.path()]));
    let seen: serde_json::Map<_, _> = headers.chain([path]).collect();
    Json(json!(seen)).into_response()
}
