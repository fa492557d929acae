//! Routes that need more than the server, in direct mode.

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use entra_emulator::builtin;
use entrada::access_token::Shortfall;
use entrada::policy::Requirement;
use entrada::provider::RemoteAuthConfig;
use entrada::resource_server::RequireLayer;
use entrada::{RemoteAuthProvider, VerifiedToken};
use http::Request;
use serde_json::json;
use tower::ServiceExt as _;

use super::world::{Direct, config, good};
use crate::client::Answer;

/// A handler that decides by what it finds.
async fn delete(caller: VerifiedToken) -> Result<&'static str, Shortfall> {
    Requirement::scopes(["mcp.write", "mcp.access"]).decide(&caller)?;
    Ok("deleted")
}

fn routes(world: &Direct) -> Router {
    let config = RemoteAuthConfig::new("https://mcp.example.com/mcp");
    let provider = RemoteAuthProvider::new(config, world.verifier.clone()).unwrap();
    let layer = |requirement| RequireLayer::new(requirement);
    let reader = Requirement::roles(["Reader"]).and(Requirement::scopes(["mcp.write"]));
    Router::new()
        .route("/mcp", post(async || "read"))
        .route(
            "/mcp/write",
            post(async || "written").layer(layer(Requirement::scopes(["mcp.write"]))),
        )
        .route(
            "/mcp/either",
            post(async || "either")
                .layer(layer(Requirement::any_scope(["mcp.write", "mcp.access"]))),
        )
        .route("/mcp/reader", post(async || "reader").layer(layer(reader)))
        .route("/mcp/delete", post(delete))
        .layer(provider.guard())
}

async fn call(world: &Direct, path: &str, scopes: &[&str], roles: &[&str]) -> Answer {
    let order = good()
        .scopes(scopes.iter().copied())
        .claim("roles", json!(roles));
    let bearer = format!("Bearer {}", world.entra.mint(&order));
    let request = Request::post(path).header("authorization", bearer);
    let request = request.body(Body::empty()).unwrap();
    Answer::read(routes(world).oneshot(request).await.unwrap()).await
}

/// The short scopes of a challenge.
fn told(answer: &Answer) -> Vec<String> {
    let challenge = answer.header("www-authenticate").unwrap();
    let (_, rest) = challenge.split_once("scope=\"").unwrap();
    let (scopes, _) = rest.split_once('"').unwrap();
    let prefix = format!("{}/", builtin::IDENTIFIER_URI);
    let short = |scope: &str| scope.strip_prefix(&prefix).unwrap().to_owned();
    scopes.split(' ').map(short).collect()
}

#[tokio::test]
async fn one_step_up_is_enough_on_every_route() {
    let world = Direct::new(config());
    for (path, scopes, roles) in [
        ("/mcp/write", vec!["mcp.read"], vec![]),
        ("/mcp/either", vec!["mcp.read"], vec![]),
        ("/mcp/delete", vec!["mcp.read"], vec![]),
        ("/mcp/delete", vec!["mcp.read", "mcp.access"], vec![]),
        ("/mcp/reader", vec!["mcp.read"], vec!["Reader"]),
    ] {
        let refused = call(&world, path, &scopes, &roles).await;
        assert_eq!(refused.status, 403, "{path}");
        // A client comes back with the scopes it was told, and no others.
        let told = told(&refused);
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        let answer = call(&world, path, &told, &roles).await;
        assert_eq!(answer.status, 200, "{path} {told:?}");
    }
}

#[tokio::test]
async fn a_role_that_is_missing_is_no_reason_to_ask_for_scopes() {
    let world = Direct::new(config());
    let refused = call(&world, "/mcp/reader", &["mcp.read"], &[]).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.header("www-authenticate"), None);
    assert_eq!(refused.json["error"], json!("access_denied"));
}

#[tokio::test]
async fn routes_that_need_nothing_more_are_as_before() {
    let world = Direct::new(config());
    assert_eq!(call(&world, "/mcp", &["mcp.read"], &[]).await.text, "read");
}
