//! Proofs that hold what the server gave the client (RFC 9449 §8 and §9).

use entrada::AzureConfig;
use entrada::authorization_server::RateLimits;
use entrada::dpop::Dpop;
use http::Method;

use crate::client::Answer;
use crate::prover::{Prover, assert_refused, call};
use crate::world::{BASE_URL, SECOND, World};

async fn world() -> World {
    World::with(AzureConfig::dpop_nonce).await
}

fn nonce_of(answer: &Answer) -> String {
    answer.header("dpop-nonce").expect("a nonce").to_owned()
}

/// A proof for a token request that holds `nonce`.
fn for_token(world: &World, prover: &Prover, nonce: &str) -> String {
    let mut claims = Prover::claims(world, "POST", &format!("{BASE_URL}/token"));
    claims["nonce"] = nonce.into();
    prover.sign(&prover.header(), &claims)
}

/// A proof for a call that holds `nonce`.
fn for_call(world: &World, prover: &Prover, token: &str, nonce: &str) -> String {
    let mut claims = Prover::claims_for_call(world, token);
    claims["nonce"] = nonce.into();
    prover.sign(&prover.header(), &claims)
}

#[tokio::test]
async fn a_client_is_told_what_its_next_proof_must_hold() {
    let (world, prover) = (world().await, Prover::new());
    let client = world.client().await;
    let code = client.code(&mut world.browser(), "alice").await;
    let refused = prover.redeem(&world, &client, &code).await;
    refused.assert_refused(400, "use_dpop_nonce");
    // The refusal spent nothing.
    let proof = for_token(&world, &prover, &nonce_of(&refused));
    let answer = client.redeem_with(&code, &[("dpop", &proof)]).await;
    let nonce = nonce_of(&answer);
    let token = client.session(answer.ok()).access_token;

    let refused = prover.call(&world, &token).await;
    assert_refused(&refused, "use_dpop_nonce");
    for nonce in [nonce, nonce_of(&refused)] {
        let proof = for_call(&world, &prover, &token, &nonce);
        let answer = call(&world, &token, &proof).await;
        nonce_of(&answer);
        answer.ok();
    }
}

#[tokio::test]
async fn every_replica_knows_the_nonces_of_all_for_five_minutes() {
    let (world, prover) = (world().await, Prover::new());
    let replica = world.replica_with(AzureConfig::dpop_nonce);
    let client = world.client().await.at(&replica);
    let nonce = nonce_of(&client.redeem("code").await);
    for (later, error) in [
        (0, "invalid_grant"),
        (300, "invalid_grant"),
        (1, "use_dpop_nonce"),
    ] {
        world.advance(later * SECOND);
        let proof = for_token(&world, &prover, &nonce);
        let answer = client
            .at(&world)
            .redeem_with("code", &[("dpop", &proof)])
            .await;
        answer.assert_refused(400, error);
    }
    let off = world.replica().client().await.redeem("code").await;
    assert_eq!(off.header("dpop-nonce"), None);
}

#[tokio::test]
async fn a_client_without_a_key_needs_no_nonce() {
    let world = world().await;
    let answer = world.log_in("alice").await.call_tool().await;
    assert_eq!(answer.header("dpop-nonce"), None);
    answer.ok();
    let required = |config: AzureConfig| config.dpop(Dpop::Required).dpop_nonce();
    let answer = world
        .replica_with(required)
        .client()
        .await
        .redeem("code")
        .await;
    answer.assert_refused(400, "invalid_dpop_proof");
    nonce_of(&answer);
    let nothing = world.ask(Method::POST, "/mcp", &[], "{}").await;
    assert_eq!(nothing.status, 401);
}

/// The first request of each client is refused: an address with many of them has done nothing wrong.
#[tokio::test]
async fn to_be_told_of_a_nonce_is_no_failure() {
    let mut limits = RateLimits::default();
    limits.failures = 2;
    let world = World::with(|config| config.dpop_nonce().rate_limits(limits)).await;
    let (client, prover) = (world.client().await, Prover::new());
    let body = format!(
        "grant_type=authorization_code&client_id={}&code=x",
        client.id
    );
    let ask = async |proof: &str| {
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("dpop", proof),
        ];
        let token = (Method::POST, "/token");
        world.ask_from("203.0.113.5", token, &headers, &body).await
    };
    for _ in 0..5 {
        let answer = ask(&prover.for_token(&world)).await;
        answer.assert_refused(400, "use_dpop_nonce");
    }
    for _ in 0..2 {
        ask("x").await.assert_refused(400, "invalid_dpop_proof");
    }
    assert_eq!(ask("x").await.status, 429);
}
