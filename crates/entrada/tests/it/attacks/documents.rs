//! Clients that a document describes: whoever writes documents, and whoever names them.

use entrada::jwt::jwks::Algorithm;
use entrada::jwt::sign::SigningKey;
use serde_json::{Value, json};

use crate::client_documents::keys::{KEYS, Prover, elsewhere, inline, published_by};
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

/// Somebody names what nobody published, at the host of an app that is in use and elsewhere.
async fn name_what_is_not_there(world: &World) {
    for number in 0..30 {
        let url = format!("https://app.example/{number}");
        assert_eq!(told(world, &client_at(world, &url)).await.0, 503);
    }
    for number in 0..1500 {
        let url = format!("https://app{number}.example/client.json");
        told(world, &client_at(world, &url)).await;
    }
}

#[tokio::test]
async fn made_up_documents_keep_nobody_from_an_app_in_use() {
    let (world, client) = published().await;
    client.log_in(&mut world.browser(), "alice").await;
    let replica = world.replica();
    // Its time is over, and a replica has never seen it: both must ask.
    world.advance(2 * 3600 * SECOND);
    for server in [&world, &replica] {
        name_what_is_not_there(server).await;
        let calls = server.web.calls();
        let client = client.at(server);
        assert_eq!(told(server, &client).await.0, 200);
        assert_eq!(server.web.calls(), calls + 1);
    }
    // Nor does it after its host was away for longer than anything is believed.
    world.web.unplug(URL);
    world.advance(96 * 3600 * SECOND);
    let late = world.replica();
    let client = client.at(&late);
    assert_eq!(told(&late, &client).await.0, 503);
    world.web.publish(URL, &document());
    world.advance(60 * SECOND);
    name_what_is_not_there(&late).await;
    assert_eq!(told(&late, &client).await.0, 200);
}

#[tokio::test]
async fn document_that_was_withdrawn_does_not_come_back() {
    let (world, client) = published().await;
    let session = client.log_in(&mut world.browser(), "alice").await;
    let replica = world.replica();
    world.advance(2 * 3600 * SECOND);
    world.web.fail(URL, 404);
    assert_eq!(told(&world, &client).await.0, 400);
    // Its host stumbles, and strangers have us ask for more than we do.
    world.web.fail(URL, 500);
    for _ in 0..3 {
        world.advance(10 * SECOND);
        assert_eq!(told(&world, &client).await.0, 503);
        name_what_is_not_there(&world).await;
        assert_eq!(told(&world, &client).await.0, 503);
        assert_eq!(told(&replica, &client.at(&replica)).await.0, 503);
    }
    session
        .refresh()
        .await
        .assert_refused(503, "temporarily_unavailable");
}

/// That we fetch no more just now is no outage of its host: strangers can bring that about.
#[tokio::test]
async fn flood_does_not_make_us_believe_what_is_out_of_date() {
    let (world, client) = published().await;
    assert_eq!(told(&world, &client).await.0, 200);
    let others: Vec<_> = (0..240)
        .map(|number| format!("https://app.example/{number}"))
        .collect();
    for some in others.chunks(20) {
        world.advance(60 * SECOND);
        for url in some {
            let mut document = document();
            document["client_id"] = json!(url);
            world.web.publish(url, &document);
            assert_eq!(told(&world, &client_at(&world, url)).await.0, 200);
        }
    }
    world.advance(2 * 3600 * SECOND);
    for url in &others {
        told(&world, &client_at(&world, url)).await;
    }
    let calls = world.web.calls();
    assert_eq!(told(&world, &client).await.0, 503);
    assert_eq!(world.web.calls(), calls);
    world.advance(60 * SECOND);
    assert_eq!(told(&world, &client).await.0, 200);
}

#[tokio::test]
async fn older_document_does_not_come_back() {
    let (world, client) = published().await;
    client.log_in(&mut world.browser(), "alice").await;
    // This one will look again once its host is down.
    let late = world.replica();
    assert_eq!(told(&late, &client.at(&late)).await.0, 200);
    world.advance(2 * 3600 * SECOND);
    let mut changed = document();
    changed["redirect_uris"] = json!(["https://app.example/new"]);
    world.web.publish(URL, &changed);
    assert_eq!(told(&world, &client).await.0, 400);
    world.web.unplug(URL);
    let replica = world.replica();
    for server in [&world, &replica, &late] {
        name_what_is_not_there(server).await;
        let (status, description) = told(server, &client.at(server)).await;
        assert_eq!(status, 400);
        assert!(description.contains("redirect_uri"), "{description}");
    }
}

#[tokio::test]
async fn key_that_a_client_replaced_proves_nothing() {
    let world = World::new().await;
    let prover = Prover::new(&world, |world, document, keys| {
        elsewhere(world, document, keys);
        // Whatever its host says.
        let mut response = http::Response::new(keys.to_string().into());
        let year = http::HeaderValue::from_static("max-age=31536000");
        response.headers_mut().insert("cache-control", year);
        world.web.answer(KEYS, response);
    })
    .await;
    let refresh_token = prover.signed_in(&world).await;
    let new = SigningKey::generate(Algorithm::Es256).unwrap();
    world.web.publish(KEYS, &published_by(&new));
    world.advance(3600 * SECOND);
    // Nobody asked meanwhile: the first to do so is the thief.
    let refused = prover.refresh_with(&world, &refresh_token).await;
    refused.assert_refused(401, "invalid_client");
    // Neither does it help to keep the publisher from answering.
    world.web.fail(KEYS, 500);
    world.advance(3600 * SECOND);
    let refused = prover.refresh_with(&world, &refresh_token).await;
    refused.assert_refused(401, "invalid_client");
}

#[tokio::test]
async fn keys_of_a_client_are_not_pushed_out_by_others() {
    let world = World::new().await;
    let prover = Prover::new(&world, elsewhere).await;
    let refresh_token = prover.signed_in(&world).await;
    for number in 0..300 {
        let url = format!("https://app{number}.example/client.json");
        let mut document = document();
        document["client_id"] = json!(url);
        document["token_endpoint_auth_method"] = json!("private_key_jwt");
        document["jwks_uri"] = json!(format!("https://app{number}.example/keys.json"));
        world.web.publish(&url, &document);
        let posing = prover.posing_as(&url);
        posing
            .redeem_with(&posing.assertion(&world, &json!({})))
            .await;
    }
    prover.refresh_with(&world, &refresh_token).await.ok();
}

/// A name that only our resolver knows is told by nothing from one that is not there.
#[tokio::test]
async fn names_on_the_inside_are_not_told_from_those_that_are_not_there() {
    let world = World::new().await;
    let (inside, nowhere) = (
        "https://jira.corp.example/x",
        "https://nowhere.corp.example/x",
    );
    world.web.hide(inside);
    let mut answers = Vec::new();
    for url in [inside, nowhere] {
        let client = client_at(&world, url);
        let authorize = world.get(&client.authorize_url(&[])).await;
        let page = world.browser().get(&client.authorize_url(&[])).await.page();
        let token = client.redeem("code").await;
        let shown = page
            .html
            .split("Reference")
            .next()
            .unwrap_or_default()
            .to_owned();
        answers.push([
            (authorize.status, authorize.text),
            (page.status, shown),
            (token.status, token.text),
        ]);
    }
    assert_eq!(answers[0], answers[1]);
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
