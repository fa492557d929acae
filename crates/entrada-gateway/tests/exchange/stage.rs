//! A gateway before a server that tells what reached it.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use entrada_gateway::config::UpstreamSettings;
use entrada_gateway::gateway::gateway;
use entrada_gateway::upstream::exchange::Exchange;
use entrada_gateway::upstream::http::ReverseProxy;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::browser::Browser;
use crate::client::{Answer, Session};
use crate::world::{RESOURCE, World};

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
        let (instead, mut serving) = (Instead::default(), JoinSet::new());
        let server = server(Arc::clone(&instead));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        serving.spawn(async move { axum::serve(listener, server).await.unwrap() });
        let mut settings = UpstreamSettings::new(url.parse().unwrap());
        settings.exchange = exchange;
        let app = gateway(&world.provider, ReverseProxy::new(&settings).unwrap());
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
        let bearer = format!("Bearer {}", self.session.access_token);
        let mut request = Request::builder().method(method).uri(RESOURCE);
        request = request.header("authorization", bearer);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
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

/// Every header that came, with all of its values.
fn echo(parts: &Parts) -> Response {
    let values = |name: &HeaderName| {
        let all = parts.headers.get_all(name).iter();
        let all = all.map(|value| Value::from(value.to_str().unwrap()));
        (name.to_string(), all.collect::<Value>())
    };
    let headers: serde_json::Map<_, _> = parts.headers.keys().map(values).collect();
    Json(json!(headers)).into_response()
}
