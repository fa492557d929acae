//! Codes become tokens.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{Answer, Client, VERIFIER};
use crate::world::{BASE_URL, CALLBACK, RESOURCE, SECOND, World};

const OTHER_VERIFIER: &str = "0123456789012345678901234567890123456789012";

async fn code(world: &World, client: &Client) -> String {
    client.code(&mut world.browser(), "alice").await
}

/// Redeems a code with some parameters changed, or left out if empty.
async fn redeem(client: &Client, code: &str, changes: &[(&str, &str)]) -> Answer {
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("client_id", &*client.id),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", CALLBACK),
        ("resource", RESOURCE),
    ];
    for (name, value) in changes {
        form.retain(|(known, _)| known != name);
        if !value.is_empty() {
            form.push((name, value));
        }
    }
    client.token(&form).await
}

#[track_caller]
fn assert_uncached(answer: &Answer) {
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("pragma"), Some("no-cache"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_code_gives_tokens_for_this_server_alone() {
    let world = World::new().await;
    let client = world.client().await;
    let answer = client.redeem(&code(&world, &client).await).await;
    assert_uncached(&answer);
    let session = client.session(answer.ok());
    let mut members: Vec<_> = session.tokens.as_object().unwrap().keys().collect();
    members.sort_unstable();
    let expected = [
        "access_token",
        "expires_in",
        "refresh_token",
        "scope",
        "token_type",
    ];
    assert_eq!(members, expected);
    let header = session.access_token.split('.').next().unwrap();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    assert_eq!(
        (&header["typ"], &header["alg"]),
        (&json!("at+jwt"), &json!("ES256"))
    );
    let claims = session.claims();
    let mut names: Vec<_> = claims.as_object().unwrap().keys().collect();
    names.sort_unstable();
    let known = [
        "aud",
        "client_id",
        "exp",
        "iat",
        "iss",
        "jti",
        "scope",
        "sid",
        "sub",
    ];
    assert_eq!(names, known);
    let now = world.now().as_unix();
    assert_eq!(
        ["iss", "aud", "client_id", "scope", "iat", "exp"].map(|name| claims[name].clone()),
        [
            json!(BASE_URL),
            json!(RESOURCE),
            json!(client.id),
            json!("mcp.read"),
            json!(now),
            json!(now + 3600)
        ]
    );
}

#[tokio::test]
async fn tokens_say_nothing_of_the_person() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let claims = session.claims().to_string().to_lowercase();
    let ids = ["alice", "anders", "contoso", "20000000", "10000000"];
    assert!(ids.iter().all(|word| !claims.contains(word)), "{claims}");
    // The same person is the same subject, to any client.
    let again = world.log_in("alice").await;
    assert_eq!(again.claims()["sub"], session.claims()["sub"]);
    assert_ne!(again.claims()["jti"], session.claims()["jti"]);
    let bob = world.log_in("bob").await;
    assert_ne!(bob.claims()["sub"], session.claims()["sub"]);
}

#[tokio::test]
async fn configured_lifetimes_are_kept_to() {
    let world = World::with(|config| config.access_token_lifetime(300 * SECOND)).await;
    let session = world.log_in("alice").await;
    assert_eq!(session.tokens["expires_in"], json!(300));
    world.advance(299 * SECOND);
    assert!(session.call_tool().await.status.is_success());
    world.advance(SECOND);
    session
        .call_tool()
        .await
        .assert_unauthorized("invalid_token");
}

#[tokio::test]
async fn a_client_without_the_refresh_grant_gets_no_refresh_token() {
    let world = World::new().await;
    world.entra.set_token_lifetime(Duration::from_secs(1800));
    let metadata = json!({"redirect_uris": [CALLBACK], "grant_types": ["authorization_code"]});
    let client = world.client_with(&metadata).await;
    let session = client.log_in(&mut world.browser(), "alice").await;
    assert!(session.tokens.get("refresh_token").is_none());
    // Nothing outlives Entra's own token then.
    assert_eq!(session.tokens["expires_in"], json!(1800));
    let other = world.log_in("alice").await;
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", &*client.id),
        ("refresh_token", &*other.refresh_token),
    ];
    client
        .token(&form)
        .await
        .assert_refused(400, "unauthorized_client");
}

#[tokio::test]
async fn what_does_not_fit_the_code_is_refused_and_the_code_spent() {
    let world = World::new().await;
    let client = world.client().await;
    for (change, value, error) in [
        ("code_verifier", OTHER_VERIFIER, "invalid_grant"),
        ("code_verifier", "short", "invalid_grant"),
        (
            "redirect_uri",
            "https://client.example/other",
            "invalid_grant",
        ),
        (
            "redirect_uri",
            "https://client.example/callback/",
            "invalid_grant",
        ),
        ("resource", "https://other.example/mcp", "invalid_target"),
    ] {
        let code = code(&world, &client).await;
        let answer = redeem(&client, &code, &[(change, value)]).await;
        answer.assert_refused(400, error);
        assert_uncached(&answer);
        client
            .redeem(&code)
            .await
            .assert_refused(400, "invalid_grant");
    }
}

#[tokio::test]
async fn what_is_missing_or_malformed_is_refused_before_the_code_is_spent() {
    let world = World::new().await;
    let client = world.client().await;
    let code = code(&world, &client).await;
    for (change, value, error) in [
        ("grant_type", "", "invalid_request"),
        ("grant_type", "password", "unsupported_grant_type"),
        ("grant_type", "client_credentials", "unsupported_grant_type"),
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:device_code",
            "unsupported_grant_type",
        ),
        ("code", "", "invalid_request"),
        ("code_verifier", "", "invalid_request"),
        (
            "resource",
            "https://mcp.example.com/mcp#fragment",
            "invalid_target",
        ),
        ("resource", "mcp", "invalid_target"),
    ] {
        let answer = redeem(&client, &code, &[(change, value)]).await;
        answer.assert_refused(400, error);
    }
    let twice = [("client_id", &*client.id), ("code", &*code), ("code", "x")];
    client
        .token(&twice)
        .await
        .assert_refused(400, "invalid_request");
    client.redeem(&code).await.ok();
}

#[tokio::test]
async fn redirect_uri_and_resource_may_be_left_out() {
    let world = World::new().await;
    let client = world.client().await;
    let code = code(&world, &client).await;
    let answer = redeem(&client, &code, &[("redirect_uri", ""), ("resource", "")]).await;
    assert_eq!(client.session(answer.ok()).claims()["aud"], json!(RESOURCE));
}

#[tokio::test]
async fn a_code_belongs_to_the_client_it_was_issued_to() {
    let world = World::new().await;
    let (client, other) = (world.client().await, world.client().await);
    let code = code(&world, &client).await;
    other
        .redeem(&code)
        .await
        .assert_refused(400, "invalid_grant");
    client
        .redeem(&code)
        .await
        .assert_refused(400, "invalid_grant");
}

#[tokio::test]
async fn a_code_lives_for_a_minute_and_another_where_clocks_are_apart() {
    let world = World::new().await;
    let client = world.client().await;
    let (first, second) = (code(&world, &client).await, code(&world, &client).await);
    world.advance(120 * SECOND);
    client.redeem(&first).await.ok();
    world.advance(SECOND);
    client
        .redeem(&second)
        .await
        .assert_refused(400, "invalid_grant");
    client
        .redeem("unknown")
        .await
        .assert_refused(400, "invalid_grant");
}

#[tokio::test]
async fn a_replayed_code_takes_back_what_it_gave() {
    let world = World::new().await;
    let client = world.client().await;
    let code = code(&world, &client).await;
    let session = client.session(client.redeem(&code).await.ok());
    client
        .redeem(&code)
        .await
        .assert_refused(400, "invalid_grant");
    session.refresh().await.assert_refused(400, "invalid_grant");
    session
        .call_tool()
        .await
        .assert_unauthorized("invalid_token");
    // Minutes later it still does.
    let fresh = client.code(&mut world.browser(), "alice").await;
    let session = client.session(client.redeem(&fresh).await.ok());
    world.advance(Duration::from_secs(9 * 60));
    client
        .redeem(&fresh)
        .await
        .assert_refused(400, "invalid_grant");
    session.refresh().await.assert_refused(400, "invalid_grant");
}

/// RFC 6749 §4.1.2: one redemption wins, and the others take back what it got.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_redemptions_of_one_code_have_one_winner_whose_tokens_end() {
    let world = World::new().await;
    let client = world.client().await;
    let code = code(&world, &client).await;
    let mut redemptions = JoinSet::new();
    for _ in 0..50 {
        let (client, code) = (client.clone(), code.clone());
        redemptions.spawn(async move { client.redeem(&code).await });
    }
    let answers = redemptions.join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .partition(|answer| answer.status.is_success());
    assert!(won.len() <= 1);
    assert!(lost.len() >= 49);
    for answer in lost {
        answer.assert_refused(400, "invalid_grant");
    }
    for answer in won {
        let session = client.session(answer.ok());
        session
            .call_tool()
            .await
            .assert_unauthorized("invalid_token");
        session.refresh().await.assert_refused(400, "invalid_grant");
    }
}
