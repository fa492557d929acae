//! Clients that a document describes: whoever writes documents, and whoever names them.

use entrada::jwt::jwks::Algorithm;
use entrada::jwt::sign::SigningKey;
use serde_json::{Value, json};

use crate::client_documents::keys::{Prover, inline};
use crate::client_documents::{URL, client_at, document, published, told};
use crate::world::{BASE_URL, SECOND, World};

#[tokio::test]
async fn document_describes_nobody_but_its_own_url() {
    let world = World::new().await;
    let evil = "https://evil.example/client.json";
    world.web.publish(evil, &document());
    let (status, description) = told(&world, &client_at(&world, evil)).await;
    assert_eq!(status, 400);
    assert!(description.contains("not its URL"), "{description}");
}

#[tokio::test]
async fn redirect_uri_that_is_not_in_the_document_is_refused() {
    let (world, client) = published().await;
    for redirect in [
        "https://evil.example/callback",
        "https://app.example/callback/../evil",
        "https://app.example/callback?to=evil",
        "https://app.example.evil.example/callback",
        "http://127.0.0.1:1/evil",
    ] {
        let answer = world
            .get(&client.authorize_url(&[("redirect_uri", redirect)]))
            .await;
        assert_eq!(answer.status, 400, "{redirect}");
        assert_eq!(answer.header("location"), None, "{redirect}");
    }
}

#[tokio::test]
async fn url_with_two_meanings_is_not_fetched() {
    let world = World::new().await;
    for url in [
        "https://app.example/../client.json",
        "https://app.example/a/%2e%2e/client.json",
        "https://app.example@evil.example/client.json",
        "https://app.example:443/client.json",
        "https://APP.example/client.json",
        "https://app.example\\@evil.example/client.json",
        "https://0x7f.1/client.json",
        "https://app.example/client.json#evil",
        "https://app.example/",
    ] {
        let (status, _) = told(&world, &client_at(&world, url)).await;
        assert_eq!(status, 400, "{url}");
    }
    assert_eq!(world.web.calls(), 0);
}

#[tokio::test]
async fn page_names_who_publishes_the_app() {
    let world = World::new().await;
    // The first letter is Cyrillic.
    let url = "https://xn--pple-43d.com/client.json";
    let mut posing = document();
    posing["client_id"] = json!(url);
    posing["client_name"] = json!("Apple");
    posing["logo_uri"] = json!("https://evil.example/logo.png");
    world.web.publish(url, &posing);
    let page = client_at(&world, url).ask(&mut world.browser()).await;
    assert!(
        page.html
            .contains("Published at <bdi dir=\"ltr\">xn--pple-43d.com</bdi>")
    );
    assert!(!page.html.contains("evil.example"), "{}", page.html);
}

#[tokio::test]
async fn publisher_nobody_trusts_is_not_even_asked() {
    let world = World::with(|config| config.client_document_hosts(["claude.ai"])).await;
    for url in [
        URL,
        "https://claude.ai.evil.example/c",
        "https://evilclaude.ai/c",
    ] {
        let (status, _) = told(&world, &client_at(&world, url)).await;
        assert_eq!(status, 400, "{url}");
    }
    assert_eq!(world.web.calls(), 0);
}

#[tokio::test]
async fn documents_are_rationed_for_each_host_and_in_all() {
    let world = World::new().await;
    for number in 0..30 {
        let url = format!("https://app.example/{number}");
        assert_eq!(told(&world, &client_at(&world, &url)).await.0, 503);
    }
    assert_eq!(world.web.calls(), 20);
    // Others have room, up to a limit of their own.
    let flood = async || {
        for number in 0..300 {
            let url = format!("https://app{number}.example/client.json");
            told(&world, &client_at(&world, &url)).await;
        }
    };
    flood().await;
    assert_eq!(world.web.calls(), 240);
    // Whoever is known already is not held up.
    world.advance(60 * SECOND);
    world.web.publish(URL, &document());
    assert_eq!(told(&world, &client_at(&world, URL)).await.0, 200);
    flood().await;
    assert_eq!(told(&world, &client_at(&world, URL)).await.0, 200);
}

/// What is inside is not learnt from what we say of it.
#[tokio::test]
async fn answer_of_a_strangers_host_is_told_to_nobody() {
    let world = World::new().await;
    let client = client_at(&world, URL);
    let mut described = Vec::new();
    for secret in ["{\"password\":\"hunter2\"}", "hunter2", "[\"hunter2\"]"] {
        let answer = http::Response::new(secret.to_owned().into());
        world.web.answer(URL, answer);
        let answer = world.get(&client.authorize_url(&[])).await;
        assert!(!answer.text.contains("hunter2"), "{}", answer.text);
        described.push(answer.status);
        world.advance(10 * SECOND);
    }
    for status in [301, 401, 403, 404, 405] {
        world.web.fail(URL, status);
        let (_, description) = told(&world, &client).await;
        assert_eq!(description, "the client's document cannot be had");
        world.advance(10 * SECOND);
    }
}

#[tokio::test]
async fn client_with_keys_is_nobody_without_them() {
    let world = World::new().await;
    let prover = Prover::new(&world, inline).await;
    let refused = prover.redeem(&[("client_id", URL)]).await;
    refused.assert_refused(401, "invalid_client");
    let stranger = SigningKey::generate(Algorithm::Es256).unwrap();
    let now = world.now().as_unix();
    let claims = json!({
        "iss": URL, "sub": URL, "aud": BASE_URL, "iat": now, "exp": now + 60, "jti": "1",
    });
    let forged = stranger.sign("JWT", &claims).unwrap();
    let refused = prover.redeem_with(&forged).await;
    refused.assert_refused(401, "invalid_client");
    // The code was not spent on any of it.
    let good = prover.assertion(&world, &json!({}));
    prover.redeem_with(&good).await.ok();
}

#[tokio::test]
async fn client_assertion_counts_once_here_and_nowhere_else() {
    let world = World::new().await;
    let prover = Prover::new(&world, inline).await;
    let elsewhere = |audience: Value| prover.assertion(&world, &json!({ "aud": audience }));
    for assertion in [
        elsewhere(json!("https://other.example/token")),
        elsewhere(json!([BASE_URL, "https://other.example"])),
        prover.assertion(&world, &json!({ "jti": null })),
        prover.assertion(&world, &json!({ "exp": world.now().as_unix() + 3600 })),
    ] {
        let refused = prover.redeem_with(&assertion).await;
        refused.assert_refused(401, "invalid_client");
    }
    let good = prover.assertion(&world, &json!({}));
    prover.redeem_with(&good).await.ok();
    for replica in [world.replica(), world.replica()] {
        let refused = prover.at(&replica).redeem_with(&good).await;
        refused.assert_refused(401, "invalid_client");
    }
}
