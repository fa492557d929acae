//! Refresh tokens that are bound to a key.

use entrada::authorization_server::PreregisteredClient;
use serde_json::json;

use crate::client::{Client, VERIFIER};
use crate::prover::Prover;
use crate::world::{CALLBACK, SECOND, World};

#[tokio::test]
async fn a_client_that_lost_its_key_signs_in_again() {
    let (world, lost, new) = (World::new().await, Prover::new(), Prover::new());
    let session = lost.log_in(&world, "alice").await;
    let answer = new.refresh(&world, &session).await;
    answer.assert_refused(400, "invalid_grant");
    session.refresh().await.assert_refused(400, "invalid_grant");
    let code = session.client.code(&mut world.browser(), "alice").await;
    let again = new.redeem(&world, &session.client, &code).await.ok();
    let again = session.client.session(again);
    new.refreshed(&world, &again).await;
    // What it could not use still stands.
    lost.refreshed(&world, &session).await;
}

#[tokio::test]
async fn an_answer_that_got_lost_is_given_to_the_key_alone() {
    let (world, prover) = (World::new().await, Prover::new());
    let session = prover.log_in(&world, "alice").await;
    let next = prover.refreshed(&world, &session).await;
    Prover::new()
        .refresh(&world, &session)
        .await
        .assert_refused(400, "invalid_grant");
    session.refresh().await.assert_refused(400, "invalid_grant");
    let again = prover.refreshed(&world, &session).await;
    assert_eq!(again.refresh_token, next.refresh_token);
}

#[tokio::test]
async fn an_old_token_still_tells_a_thief_who_has_the_key() {
    let (world, prover) = (World::new().await, Prover::new());
    let session = prover.log_in(&world, "alice").await;
    let next = prover.refreshed(&world, &session).await;
    world.advance(31 * SECOND);
    for session in [&session, &next] {
        let answer = prover.refresh(&world, session).await;
        answer.assert_refused(400, "invalid_grant");
    }
}

#[tokio::test]
async fn a_family_is_bound_when_its_client_first_has_a_key() {
    let (world, prover) = (World::new().await, Prover::new());
    let session = world.log_in("alice").await;
    let bound = prover.refreshed(&world, &session).await;
    assert_eq!(bound.tokens["token_type"], json!("DPoP"));
    bound.refresh().await.assert_refused(400, "invalid_grant");
    let next = prover.refreshed(&world, &bound).await;
    prover.call(&world, &next.access_token).await.ok();
}

#[tokio::test]
async fn a_client_with_a_secret_may_change_its_key() {
    const SECRET: &str = "t8sG2zO0xS1nVn3l9yW7r4Qk6cJ5bH0d";
    let agents = PreregisteredClient::new("agents", [CALLBACK]).secret(SECRET);
    let world = World::with(|config| config.client(agents)).await;
    let client = json!({ "client_id": "agents", "redirect_uris": [CALLBACK] });
    let client = Client::registered(world.hosts.clone(), &client);
    let code = client.code(&mut world.browser(), "alice").await;
    let secret = [("client_id", "agents"), ("client_secret", SECRET)];
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("code_verifier", VERIFIER),
    ];
    form.extend(secret);
    let (one, other) = (Prover::new(), Prover::new());
    let proof = one.for_token(&world);
    let tokens = client.post_with("/token", &form, &[("dpop", &proof)]).await;
    let session = client.session(tokens.ok());
    one.call(&world, &session.access_token).await.ok();
    let mut form = vec![
        ("grant_type", "refresh_token"),
        ("refresh_token", &*session.refresh_token),
    ];
    form.extend(secret);
    let proof = other.for_token(&world);
    let tokens = client.post_with("/token", &form, &[("dpop", &proof)]).await;
    let session = client.session(tokens.ok());
    other.call(&world, &session.access_token).await.ok();
}
