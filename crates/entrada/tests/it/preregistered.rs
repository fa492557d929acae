//! Clients that the operator knows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use entrada::AzureConfig;
use entrada::authorization_server::PreregisteredClient;
use entrada::jwt::jwks::Algorithm;
use entrada::jwt::sign::SigningKey;
use http::Method;
use serde_json::json;

use crate::client::{Answer, Client, VERIFIER};
use crate::world::{BASE_URL, CALLBACK, RESOURCE, SECOND, World};

const SECRET: &str = "t8sG2zO0xS1nVn3l9yW7r4Qk6cJ5bH0d";

fn agents() -> PreregisteredClient {
    PreregisteredClient::new("agents", [CALLBACK]).name("Agents of Contoso")
}

fn with(client: PreregisteredClient) -> impl FnOnce(AzureConfig) -> AzureConfig {
    |config| config.client(client)
}

fn client(world: &World) -> Client {
    Client::registered(
        world.hosts.clone(),
        &json!({ "client_id": "agents", "redirect_uris": [CALLBACK] }),
    )
}

fn form(code: &str) -> [(&'static str, &str); 5] {
    [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
        ("resource", RESOURCE),
    ]
}

/// Redeems `code`, the client being named in the header.
async fn redeem_by_basic(world: &World, code: &str, secret: &str) -> Answer {
    let credentials = STANDARD.encode(format!("agents:{secret}"));
    let headers = [
        ("authorization", &*format!("Basic {credentials}")),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form(code))
        .finish();
    world.ask(Method::POST, "/token", &headers, &body).await
}

#[tokio::test]
async fn a_public_client_need_not_register() {
    let world = World::with(with(agents())).await;
    let client = client(&world);
    let mut browser = world.browser();
    let page = client.ask(&mut browser).await;
    assert!(page.html.contains("Agents of Contoso"), "{}", page.html);
    let session = client.log_in(&mut browser, "alice").await;
    assert_eq!(session.claims()["client_id"], json!("agents"));
    // It is known whatever the store has forgotten.
    world.advance(500 * 24 * 3600 * SECOND);
    assert_eq!(client.ask(&mut browser).await.status, 200);
    let elsewhere = client.authorize_url(&[("redirect_uri", "https://client.example/other")]);
    assert_eq!(world.get(&elsewhere).await.status, 400);
}

#[tokio::test]
async fn a_client_with_a_secret_sends_it_in_one_of_two_ways() {
    let world = World::with(with(agents().secret(SECRET))).await;
    let metadata = world.get("/.well-known/oauth-authorization-server").await;
    assert_eq!(
        metadata.json["token_endpoint_auth_methods_supported"],
        json!([
            "none",
            "private_key_jwt",
            "client_secret_basic",
            "client_secret_post"
        ])
    );
    let client = client(&world);
    let mut browser = world.browser();
    let code = client.code(&mut browser, "alice").await;
    redeem_by_basic(&world, &code, SECRET).await.ok();
    let code = client.code(&mut browser, "alice").await;
    let named = [("client_id", "agents"), ("client_secret", SECRET)];
    let tokens = client
        .token(&[&form(&code)[..], &named].concat())
        .await
        .ok();
    // The secret is wanted whenever it asks.
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
        ("client_id", "agents"),
    ];
    let refused = client.token(&refresh).await;
    refused.assert_refused(401, "invalid_client");
    let proven = [&refresh[..], &[("client_secret", SECRET)]].concat();
    client.token(&proven).await.ok();
}

#[tokio::test]
async fn a_client_with_keys_signs() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let world = World::with(with(agents().private_key_jwt(key.jwks().unwrap()))).await;
    let client = client(&world);
    let code = client.code(&mut world.browser(), "alice").await;
    let now = world.now().as_unix();
    let claims = json!({
        "iss": "agents", "sub": "agents", "aud": BASE_URL, "iat": now, "exp": now + 60, "jti": "1",
    });
    let assertion = key.sign("JWT", &claims).unwrap();
    let proof = [
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", &*assertion),
    ];
    let named = [&form(&code)[..], &[("client_id", "agents")]].concat();
    let refused = client.token(&named).await;
    refused.assert_refused(401, "invalid_client");
    client
        .token(&[&form(&code)[..], &proof].concat())
        .await
        .ok();
}

#[tokio::test]
async fn a_secret_that_is_not_the_clients_is_answered_in_kind() {
    let world = World::with(with(agents().secret(SECRET))).await;
    let code = client(&world).code(&mut world.browser(), "alice").await;
    let refused = redeem_by_basic(&world, &code, "wrong").await;
    refused.assert_refused(401, "invalid_client");
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Basic "), "{challenge}");
    // The code was not spent on it.
    redeem_by_basic(&world, &code, SECRET).await.ok();
}

#[tokio::test]
async fn who_registers_gets_no_known_client() {
    let world = World::with(with(agents().secret(SECRET))).await;
    let mut asked = json!({ "redirect_uris": ["https://evil.example/cb"], "client_id": "agents" });
    asked["client_name"] = json!("Agents of Contoso");
    let registered = world.register(&asked).await.ok();
    assert_ne!(registered["client_id"], json!("agents"));
}
