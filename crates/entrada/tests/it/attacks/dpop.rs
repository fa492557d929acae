//! Tokens that are bound to a key: stolen, and proofs that prove nothing.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entrada::AzureConfig;
use http::Method;
use serde_json::{Value, json};

use crate::client::{Client, parameter};
use crate::outage::Outage;
use crate::prover::{Prover, assert_refused, call, changed};
use crate::world::{BASE_URL, CALLBACK, SECOND, World};

#[tokio::test]
async fn stolen_bound_token_is_useless_without_its_key() {
    let (world, client, thief) = (World::new().await, Prover::new(), Prover::new());
    let token = client.log_in(&world, "alice").await.access_token;
    // The verdict is reached, and then remembered: neither spares the proof.
    for _ in 0..2 {
        assert_refused(&thief.call(&world, &token).await, "invalid_token");
        // The victim's key, and the thief's signature.
        let claims = Prover::claims_for_call(&world, &token);
        let proof = thief.sign(&client.header(), &claims);
        let answer = call(&world, &token, &proof).await;
        assert_refused(&answer, "invalid_dpop_proof");
        let dpop = format!("DPoP {token}");
        let headers = [("authorization", &*dpop)];
        let answer = world.ask(Method::POST, "/mcp", &headers, "{}").await;
        assert_refused(&answer, "invalid_dpop_proof");
        client.call(&world, &token).await.ok();
    }
}

#[tokio::test]
async fn bound_token_is_no_bearer_token_of_ours() {
    let store = Arc::new(Outage::default());
    let world = World::on(store.clone(), |config| config).await;
    let prover = Prover::new();
    let session = prover.log_in(&world, "alice").await;
    let token = &session.access_token;
    let downgrade = async || {
        let answer = session.client.call_with(token).await;
        answer.assert_unauthorized("invalid_token");
        // Nor with a good proof beside it.
        let (bearer, proof) = (format!("Bearer {token}"), prover.for_call(&world, token));
        let headers = [("authorization", &*bearer), ("dpop", &*proof)];
        let answer = session.client.call(Method::POST, &headers).await;
        answer.assert_unauthorized("invalid_token");
    };
    downgrade().await;
    prover.call(&world, token).await.ok();
    downgrade().await;
    // Nor when the grant is read again, nor when a verdict stands in for it.
    world.advance(11 * SECOND);
    downgrade().await;
    store.begin();
    world.advance(11 * SECOND);
    downgrade().await;
}

#[tokio::test]
async fn replayed_proof_is_refused() {
    let (world, prover) = (World::new().await, Prover::new());
    let session = prover.log_in(&world, "alice").await;
    let token = &session.access_token;
    let proof = prover.for_call(&world, token);
    call(&world, token, &proof).await.ok();
    for later in [0, 300] {
        world.advance(later * SECOND);
        assert_refused(&call(&world, token, &proof).await, "invalid_dpop_proof");
    }
    let proof = prover.for_token(&world);
    let refresh = async || {
        let token = &session.refresh_token;
        session
            .client
            .refresh_with(token, &[("dpop", &proof)])
            .await
    };
    refresh().await.ok();
    refresh().await.assert_refused(400, "invalid_dpop_proof");
}

#[tokio::test]
async fn proof_for_another_request_is_refused() {
    let (world, prover) = (World::new().await, Prover::new());
    let session = prover.log_in(&world, "alice").await;
    let token = &session.access_token;
    let other = prover.refreshed(&world, &session).await.access_token;
    let stolen = prover.for_call(&world, &other);
    assert_refused(&call(&world, token, &stolen).await, "invalid_dpop_proof");
    let stolen = prover.for_token(&world);
    assert_refused(&call(&world, token, &stolen).await, "invalid_dpop_proof");
    for change in [
        json!({ "htm": "GET" }),
        json!({ "htu": "https://evil.example/mcp" }),
        json!({ "htu": format!("{BASE_URL}/mcp/delete") }),
        json!({ "ath": null }),
    ] {
        let claims = changed(&Prover::claims_for_call(&world, token), &change);
        let stolen = prover.sign(&prover.header(), &claims);
        assert_refused(&call(&world, token, &stolen).await, "invalid_dpop_proof");
    }
    let stolen = prover.for_call(&world, token);
    let headers = [("dpop", &*stolen)];
    let answer = session.client.redeem_with("code", &headers).await;
    answer.assert_refused(400, "invalid_dpop_proof");
}

#[tokio::test]
async fn proof_made_for_another_day_is_refused() {
    let (world, prover) = (World::new().await, Prover::new());
    let token = prover.log_in(&world, "alice").await.access_token;
    let made_ahead = |seconds: u64| {
        let mut claims = Prover::claims_for_call(&world, &token);
        claims["iat"] = (world.now().as_unix() + seconds).into();
        prover.sign(&prover.header(), &claims)
    };
    let proof = made_ahead(3_000);
    assert_refused(&call(&world, &token, &proof).await, "invalid_dpop_proof");
    // With nonces it does not help either to wait until its time has come.
    let nonces = world.replica_with(AzureConfig::dpop_nonce);
    world.advance(2_900 * SECOND);
    assert_refused(&call(&nonces, &token, &proof).await, "use_dpop_nonce");
    let old = nonces.client().await.redeem("code").await;
    let old = old.header("dpop-nonce").unwrap().to_owned();
    let mut claims = Prover::claims_for_call(&world, &token);
    claims["iat"] = (world.now().as_unix() + 400).into();
    for (nonce, at) in [(&*old, 400), ("x", 0)] {
        world.advance(at * SECOND);
        claims["nonce"] = nonce.into();
        let proof = prover.sign(&prover.header(), &claims);
        assert_refused(&call(&nonces, &token, &proof).await, "use_dpop_nonce");
    }
}

/// A proof whose header names this algorithm, with this signature.
fn unsigned(header: &Value, claims: &Value, sign: impl FnOnce(&str) -> String) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let input = format!("{}.{}", part(header), part(claims));
    let signature = sign(&input);
    format!("{input}.{signature}")
}

#[tokio::test]
async fn proof_that_anybody_could_sign_is_refused() {
    let (world, client) = (World::new().await, Prover::new());
    let token = client.log_in(&world, "alice").await.access_token;
    let secret = hmac::Key::new(hmac::HMAC_SHA256, client.public_bytes());
    let by_hmac = |input: &str| {
        let tag = hmac::sign(&secret, input.as_bytes());
        URL_SAFE_NO_PAD.encode(tag)
    };
    for algorithm in ["none", "None", "HS256", "ES256"] {
        let header = changed(&client.header(), &json!({ "alg": algorithm }));
        let claims = Prover::claims_for_call(&world, &token);
        for proof in [
            unsigned(&header, &claims, |_| String::new()),
            unsigned(&header, &claims, by_hmac),
        ] {
            assert_refused(&call(&world, &token, &proof).await, "invalid_dpop_proof");
        }
    }
    let oct = json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(client.public_bytes()) });
    let header = json!({ "typ": "dpop+jwt", "alg": "HS256", "jwk": oct });
    let claims = Prover::claims(&world, "POST", &format!("{BASE_URL}/token"));
    let proof = unsigned(&header, &claims, by_hmac);
    let answer = world.client().await;
    let answer = answer.redeem_with("code", &[("dpop", &proof)]).await;
    answer.assert_refused(400, "invalid_dpop_proof");
}

#[tokio::test]
async fn key_that_is_in_every_proof_binds_nothing() {
    let (world, prover) = (World::new().await, Prover::new());
    let client = world.client().await;
    for member in ["d", "p", "q", "dp", "dq", "qi", "k"] {
        let mut header = prover.header();
        header["jwk"][member] = "AQ".into();
        let claims = Prover::claims(&world, "POST", &format!("{BASE_URL}/token"));
        let proof = prover.sign(&header, &claims);
        let answer = client.redeem_with("code", &[("dpop", &proof)]).await;
        answer.assert_refused(400, "invalid_dpop_proof");
    }
}

#[tokio::test]
async fn stolen_refresh_token_is_useless_without_its_key() {
    let (world, client, thief) = (World::new().await, Prover::new(), Prover::new());
    let first = client.log_in(&world, "alice").await;
    let second = client.refreshed(&world, &first).await;
    world.advance(31 * SECOND);
    // Neither the newest nor one that was replaced, and nothing is revoked by either.
    for stolen in [&second, &first] {
        let theft = thief.refresh(&world, stolen).await;
        theft.assert_refused(400, "invalid_grant");
        stolen.refresh().await.assert_refused(400, "invalid_grant");
    }
    client.refreshed(&world, &second).await;
}

#[tokio::test]
async fn thief_who_binds_a_refresh_token_is_found_out() {
    let (world, thief) = (World::new().await, Prover::new());
    let session = world.log_in("alice").await;
    let theft = thief.refreshed(&world, &session).await;
    // The client has the token that was stolen, and no key: it ends the grant for both, at once.
    session.refresh().await.assert_refused(400, "invalid_grant");
    let answer = thief.refresh(&world, &theft).await;
    answer.assert_refused(400, "invalid_grant");
    world.advance(11 * SECOND);
    let answer = thief.call(&world, &theft.access_token).await;
    assert_refused(&answer, "invalid_token");
}

#[tokio::test]
async fn stolen_code_is_useless_without_its_key() {
    let (world, prover, thief) = (World::new().await, Prover::new(), Prover::new());
    let client = world.client().await;
    let code = async || {
        let url = client.authorize_url(&[("dpop_jkt", &prover.thumbprint())]);
        let mut browser = world.browser();
        let consent = browser.get(&url).await.page();
        let location = browser.approve(&consent, "alice").await.left();
        parameter(&location, "code").unwrap()
    };
    // The thief has the verifier, too.
    let theft = thief.redeem(&world, &client, &code().await).await;
    theft.assert_refused(400, "invalid_grant");
    let theft = client.redeem(&code().await).await;
    theft.assert_refused(400, "invalid_grant");
    prover.redeem(&world, &client, &code().await).await.ok();
}

#[tokio::test]
async fn proof_taken_out_on_the_way_gives_no_bearer_token() {
    let (world, prover) = (World::new().await, Prover::new());
    let metadata = json!({ "redirect_uris": [CALLBACK], "dpop_bound_access_tokens": true });
    let client: Client = world.client_with(&metadata).await;
    let code = client.code(&mut world.browser(), "alice").await;
    let downgrade = client.redeem(&code).await;
    downgrade.assert_refused(400, "invalid_dpop_proof");
    let session = client.session(prover.redeem(&world, &client, &code).await.ok());
    let downgrade = session.refresh().await;
    downgrade.assert_refused(400, "invalid_dpop_proof");
}
