//! Programs that nobody signs in with bind their tokens, too.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::client_credentials::{SECRET, with_jobs};
use crate::identity_assertion::{GRANT_TYPE, Idp, TYPE};
use crate::prover::Prover;
use crate::world::World;

fn token(answer: Answer) -> (String, Value) {
    let tokens = answer.ok();
    let token = tokens["access_token"].as_str().unwrap().to_owned();
    (token, tokens["token_type"].clone())
}

#[tokio::test]
async fn a_program_with_a_key_gets_a_token_bound_to_it() {
    let (world, prover) = (World::with(with_jobs).await, Prover::new());
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "jobs"),
        ("client_secret", SECRET),
    ];
    let client = crate::client_credentials::client(&world);
    let proof = prover.for_token(&world);
    let answer = client.post_with("/token", &form, &[("dpop", &proof)]).await;
    let (token, kind) = token(answer);
    assert_eq!(kind, json!("DPoP"));
    prover.call(&world, &token).await.ok();
    client
        .call_with(&token)
        .await
        .assert_unauthorized("invalid_token");
}

#[tokio::test]
async fn an_assertion_that_is_bound_to_a_key_wants_a_proof_with_it() {
    let (idp, prover) = (Idp::new().await, Prover::new());
    let bound = json!({ "cnf": { "jkt": prover.thumbprint() } });
    let assertion = idp.key.sign(TYPE, &idp.claims(&bound)).unwrap();
    let form = [
        ("grant_type", GRANT_TYPE),
        ("client_id", "agents"),
        ("client_secret", SECRET),
        ("assertion", &*assertion),
    ];
    let client = idp.client();
    client
        .token(&form)
        .await
        .assert_refused(400, "invalid_grant");
    let another = Prover::new().for_token(&idp.world);
    let refused = client
        .post_with("/token", &form, &[("dpop", &another)])
        .await;
    refused.assert_refused(400, "invalid_grant");
    let proof = prover.for_token(&idp.world);
    let answer = client.post_with("/token", &form, &[("dpop", &proof)]).await;
    let (token, _) = token(answer);
    prover.call(&idp.world, &token).await.ok();
}
