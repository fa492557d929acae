//! What one would write instead of a gateway: axum, the guard of a crate, and hyper's client.
//!
//! Takes the origin that requests go to, and a JSON list of what listens: the `address`, and the
//! `issuer`, `audience`, `jwks` (a file) and `scope` of the tokens that are good there.

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, CONNECTION, HOST};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use oauth_resource_server::axum::AuthLayer;
use oauth_resource_server::{KeyNaming, OAuthConfig, OAuthValidator, static_token_policy};
use tokio::net::TcpListener;

#[derive(Clone)]
struct Upstream {
    client: Client<HttpConnector, Body>,
    origin: Arc<str>,
}

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(origin), Some(listeners)) = (arguments.next(), arguments.next()) else {
        return Err("usage: axum-proxy ORIGIN LISTENERS".into());
    };
    let listeners: Vec<serde_json::Value> = serde_json::from_str(&listeners)?;
    let upstream = Upstream {
        client: Client::builder(TokioExecutor::new()).build_http(),
        origin: origin.into(),
    };
    let mut serving = Vec::new();
    for listener in listeners {
        let text = |name: &str| listener[name].as_str().unwrap_or_default().to_owned();
        let app = guarded(upstream.clone(), text)?;
        let listener = TcpListener::bind(text("address")).await?;
        serving.push(tokio::spawn(
            async move { axum::serve(listener, app).await },
        ));
    }
    for served in serving {
        served.await??;
    }
    Ok(())
}

fn guarded(upstream: Upstream, text: impl Fn(&str) -> String) -> Result<Router, Failure> {
    let config = OAuthConfig {
        enabled: true,
        issuer: text("issuer"),
        // Never asked: the keys are given.
        jwks_uri: Some("http://127.0.0.1:9/jwks".to_owned()),
        audience: text("audience"),
        resource: "http://127.0.0.1/mcp".to_owned(),
        required_scope: Some(text("scope")),
        scope_claims: vec!["scope".to_owned(), "roles".to_owned()],
        ..OAuthConfig::default()
    };
    let config = config
        .resolve(KeyNaming::Dotted("oauth"))?
        .ok_or("disabled")?;
    let keys = std::fs::read_to_string(text("jwks"))?;
    let validator = OAuthValidator::builder(&config)
        .initial_jwks(&keys)
        .build()?;
    let decision = static_token_policy(None, Some(&config), false)?;
    let guard = AuthLayer::from_decision(decision, Some(Arc::new(validator)))?;
    let routes = Router::new().fallback(any(forward)).layer(guard);
    Ok(routes.with_state(upstream))
}

async fn forward(State(upstream): State<Upstream>, mut request: Request) -> Response {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let Ok(uri) = format!("{}{path}", upstream.origin).parse() else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    *request.uri_mut() = uri;
    for name in [AUTHORIZATION, CONNECTION, HOST] {
        request.headers_mut().remove(name);
    }
    match upstream.client.request(request).await {
        Ok(response) => response.map(Body::new),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
