//! A configuration that is read again: what the one before decided, and what it counted.

use entrada::AzureConfig;
use entrada::authorization_server::RateLimits;
use entrada::dpop::Dpop;
use entrada::policy::Requirement;
use http::Method;

use crate::client_credentials::{ask, client, with_jobs};
use crate::client_documents::{published, told};
use crate::prover::{Prover, assert_refused, call};
use crate::world::World;

#[tokio::test]
async fn who_is_taken_away_is_refused_at_the_next_request() {
    let before = World::with(with_jobs).await;
    let tokens = ask(&before, &[]).await.ok();
    let token = tokens["access_token"].as_str().unwrap();
    client(&before).call_with(token).await.ok();
    // The same second: the verdict is as young as can be.
    let after = before.renewed(|config| config).unwrap();
    let refused = client(&after).call_with(token).await;
    refused.assert_unauthorized("invalid_token");
}

#[tokio::test]
async fn who_lacks_what_is_required_now_is_refused_at_the_next_request() {
    let before = World::new().await;
    let session = before.log_in("alice").await;
    session.call_tool().await.ok();
    let demanding =
        |config: AzureConfig| config.requirement(Requirement::roles(["Nobody.Has.This"]));
    let after = before.renewed(demanding).unwrap();
    assert_eq!(session.at(&after).call_tool().await.status, 403);
    let scope = |config: AzureConfig| config.required_scopes(["mcp.read", "mcp.write"]);
    let after = before.renewed(scope).unwrap();
    assert_eq!(session.at(&after).call_tool().await.status, 403);
}

#[tokio::test]
async fn a_proof_that_was_used_stays_used_whatever_is_configured_since() {
    let (before, prover) = (World::new().await, Prover::new());
    let token = prover.log_in(&before, "alice").await.access_token;
    let proof = prover.for_call(&before, &token);
    call(&before, &token, &proof).await.ok();
    let after = before.renewed(|config| config).unwrap();
    assert_refused(&call(&after, &token, &proof).await, "invalid_dpop_proof");
    // Nor where proofs were not looked at for a while.
    let off = before.renewed(|config| config.dpop(Dpop::Off)).unwrap();
    let again = off.renewed(|config| config).unwrap();
    assert_refused(&call(&again, &token, &proof).await, "invalid_dpop_proof");
    prover.call(&again, &token).await.ok();
}

#[tokio::test]
async fn whoever_came_too_often_waits_on() {
    let few = |config: AzureConfig| {
        let mut limits = RateLimits::default();
        limits.token = 2;
        config.rate_limits(limits)
    };
    let mut world = World::with(few).await;
    for allowed in [true, true, false, false] {
        let asked = world.ask_from("203.0.113.5", (Method::POST, "/token"), &[], "");
        assert_eq!(asked.await.status != 429, allowed);
        world = world.renewed(few).unwrap();
    }
}

#[tokio::test]
async fn a_document_that_leads_where_nobody_may_go_now_is_not_believed() {
    let (before, client) = published().await;
    assert_eq!(told(&before, &client).await.0, 200);
    let elsewhere = ["https://other.example/callback"];
    let after = before.renewed(|config| config.allowed_client_redirect_uris(elsewhere));
    let after = after.unwrap();
    assert_eq!(told(&after, &client.at(&after)).await.0, 400);
    let nobody = before.renewed(|config| config.client_document_hosts([""; 0]));
    let nobody = nobody.unwrap();
    assert_eq!(told(&nobody, &client.at(&nobody)).await.0, 400);
}
