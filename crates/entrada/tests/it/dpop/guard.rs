//! What the guard makes of requests with proofs.

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use entrada::policy::Requirement;
use entrada::resource_server::RequireLayer;
use http::Request;
use tower::ServiceExt as _;

use crate::client::Answer;
use crate::prover::{Prover, assert_refused};
use crate::world::World;

/// Sends a request as a proxy would, which knows the server by another name.
async fn behind_a_proxy(routes: Router, path: &str, token: &str, proof: &str) -> Answer {
    let request = Request::post(path)
        .header("host", "10.0.0.7:8000")
        .header("authorization", format!("DPoP {token}"))
        .header("dpop", proof);
    let request = request.body(Body::empty()).unwrap();
    Answer::read(routes.oneshot(request).await.unwrap()).await
}

fn proof(world: &World, prover: &Prover, url: &str, token: &str) -> String {
    let mut claims = Prover::claims_for_call(world, token);
    claims["htu"] = url.into();
    prover.sign(&prover.header(), &claims)
}

#[tokio::test]
async fn a_proof_is_for_the_url_that_clients_know() {
    let (world, prover) = (World::new().await, Prover::new());
    let token = prover.log_in(&world, "alice").await.access_token;
    let routes = || {
        let tools = Router::new().route("/tools", post(async || "called"));
        Router::new().nest("/mcp", tools.layer(world.provider.guard()))
    };
    for (htu, fits) in [
        ("https://mcp.example.com/mcp/tools", true),
        ("HTTPS://MCP.example.com:443/x/../mcp/%74ools?a=b#c", true),
        ("http://10.0.0.7:8000/mcp/tools", false),
        ("https://10.0.0.7:8000/mcp/tools", false),
        ("https://mcp.example.com/tools", false),
        ("https://mcp.example.com/mcp", false),
    ] {
        let proof = proof(&world, &prover, htu, &token);
        let answer = behind_a_proxy(routes(), "/mcp/tools?x=y", &token, &proof).await;
        if fits {
            assert_eq!(answer.status, 200, "{htu}");
        } else {
            assert_refused(&answer, "invalid_dpop_proof");
        }
    }
}

#[tokio::test]
async fn whoever_comes_with_a_proof_is_answered_in_kind() {
    let (world, prover) = (World::new().await, Prover::new());
    let session = prover.log_in(&world, "alice").await;
    let token = &session.access_token;
    // Nobody's token, one that is bound to nothing, and one that is over.
    assert_refused(&prover.call(&world, "x").await, "invalid_token");
    let unbound = world.log_in("alice").await.access_token;
    assert_refused(&prover.call(&world, &unbound).await, "invalid_token");
    session.client.revoke(token).await;
    world.advance(11 * crate::world::SECOND);
    assert_refused(&prover.call(&world, token).await, "invalid_token");
}

#[tokio::test]
async fn a_step_up_is_asked_for_in_kind() {
    let world = World::with(|config| config.optional_scopes(["mcp.write"])).await;
    let prover = Prover::new();
    let token = prover.log_in(&world, "alice").await.access_token;
    let needs = RequireLayer::new(Requirement::scopes(["mcp.write"]));
    let routes = Router::new().route("/mcp/delete", post(async || "deleted").layer(needs));
    let url = "https://mcp.example.com/mcp/delete";
    let proof = proof(&world, &prover, url, &token);
    let routes = world.provider.protect(routes);
    let answer = behind_a_proxy(routes, "/mcp/delete", &token, &proof).await;
    assert_eq!(answer.status, 403);
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("DPoP error=\"insufficient_scope\""));
    assert!(
        challenge.contains("scope=\"mcp.read mcp.write\""),
        "{challenge}"
    );
}
