//! Clients that act for themselves.

use std::time::Duration;

use entrada::AzureConfig;
use entrada::authorization_server::PreregisteredClient;
use entrada::jwt::jwks::Algorithm;
use entrada::jwt::sign::SigningKey;
use entrada::policy::Requirement;
use http::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::mcp_server::claims_of;
use crate::world::{BASE_URL, RESOURCE, SECOND, World};

pub(crate) const SECRET: &str = "t8sG2zO0xS1nVn3l9yW7r4Qk6cJ5bH0d";

/// A program of Contoso's that works at night.
pub(crate) fn jobs() -> PreregisteredClient {
    PreregisteredClient::program("jobs")
        .name("Nightly jobs")
        .client_credentials(["mcp.read"])
        .app_roles(["Jobs.Run"])
}

pub(crate) fn with_jobs(config: AzureConfig) -> AzureConfig {
    let config = config.optional_scopes(["mcp.write"]);
    config.client(jobs().secret(SECRET))
}

pub(crate) fn client(world: &World) -> Client {
    let known = json!({ "client_id": "jobs", "redirect_uris": [""] });
    Client::registered(world.hosts.clone(), &known)
}

/// Asks for a token, with more in the form.
pub(crate) async fn ask(world: &World, more: &[(&str, &str)]) -> Answer {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "jobs"),
        ("client_secret", SECRET),
    ];
    client(world).token(&[&form[..], more].concat()).await
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_program_gets_a_token_of_its_own() {
    let world = World::with(with_jobs).await;
    let tokens = ask(&world, &[("scope", "mcp.read"), ("resource", RESOURCE)]).await;
    let tokens = tokens.ok();
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["scope"], "mcp.read");
    assert_eq!(tokens["expires_in"], 3600);
    assert!(tokens.get("refresh_token").is_none(), "{tokens}");
    let token = text(&tokens["access_token"]);
    let claims = claims_of(token);
    assert_eq!(claims["sub"], "jobs");
    assert_eq!(claims["client_id"], "jobs");
    assert_eq!(claims["aud"], RESOURCE);
    let seen = client(&world).call_with(token).await.ok();
    assert_eq!(seen["client_id"], "jobs");
    assert_eq!(seen["roles"], json!(["Jobs.Run"]));
    assert_eq!(seen["name"], "Nightly jobs");
    assert_eq!(seen["oid"], Value::Null);
    assert_eq!(seen["tid"], "");
    // rmcp names no resource, and who names no scope gets all it may have.
    assert_eq!(ask(&world, &[]).await.ok()["scope"], "mcp.read");
}

#[tokio::test]
async fn a_program_may_sign_or_send_its_secret_in_the_header() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let jwks = key.jwks().unwrap();
    let world = World::with(|config| config.client(jobs().private_key_jwt(jwks))).await;
    let now = world.now().as_unix();
    let claims = |id: &str| json!({ "iss": "jobs", "sub": "jobs", "aud": BASE_URL, "jti": id, "iat": now, "exp": now + 60 });
    let assertion = key.sign("client-authentication+jwt", &claims("1")).unwrap();
    let form = [
        ("grant_type", "client_credentials"),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", &*assertion),
    ];
    client(&world).token(&form).await.ok();
    let again = client(&world).token(&form).await;
    again.assert_refused(401, "invalid_client");

    let world = World::with(with_jobs).await;
    let headers = [
        (
            "authorization",
            "Basic am9iczp0OHNHMnpPMHhTMW5WbjNsOXlXN3I0UWs2Y0o1YkgwZA==",
        ),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let body = "grant_type=client_credentials";
    world.ask(Method::POST, "/token", &headers, body).await.ok();
}

#[tokio::test]
async fn what_a_program_asks_for_must_be_its_own() {
    let world = World::with(with_jobs).await;
    for (more, status, error) in [
        (vec![("scope", "mcp.write")], 400, "invalid_scope"),
        (vec![("scope", "unknown")], 400, "invalid_scope"),
        (
            vec![("resource", "https://other.example/mcp")],
            400,
            "invalid_target",
        ),
        (vec![("resource", "none")], 400, "invalid_target"),
    ] {
        let refused = ask(&world, &more).await;
        refused.assert_refused(status, error);
    }
    let wrong = [
        ("grant_type", "client_credentials"),
        ("client_id", "jobs"),
        ("client_secret", "wrong"),
    ];
    let refused = client(&world).token(&wrong).await;
    refused.assert_refused(401, "invalid_client");
    // Nobody signs in to it.
    let url = format!("{BASE_URL}/authorize?client_id=jobs&response_type=code");
    let page = world.browser().get(&url).await.page();
    assert_eq!(page.status, 400);
}

#[tokio::test]
async fn metadata_say_so_where_there_is_such_a_client() {
    let types = async |world: World| {
        let path = "/.well-known/oauth-authorization-server";
        world.get(path).await.ok()["grant_types_supported"].clone()
    };
    let users = json!(["authorization_code", "refresh_token"]);
    assert_eq!(types(World::new().await).await, users);
    let all = json!(["authorization_code", "refresh_token", "client_credentials"]);
    assert_eq!(types(World::with(with_jobs).await).await, all);
}

#[tokio::test]
async fn its_token_ends_by_time_and_by_revocation() {
    let world = World::with(with_jobs).await;
    let tokens = ask(&world, &[]).await.ok();
    let token = text(&tokens["access_token"]);
    let revoke = [
        ("client_id", "jobs"),
        ("client_secret", SECRET),
        ("token", token),
    ];
    client(&world).call_with(token).await.ok();
    client(&world).post("/revoke", &revoke).await.ok();
    world.advance(11 * SECOND);
    let ended = client(&world).call_with(token).await;
    ended.assert_unauthorized("invalid_token");
    let tokens = ask(&world, &[]).await.ok();
    world.advance(Duration::from_secs(3700));
    let ended = client(&world)
        .call_with(text(&tokens["access_token"]))
        .await;
    ended.assert_unauthorized("invalid_token");
}

#[tokio::test]
async fn policies_tell_programs_from_users() {
    let world = World::with(|config| with_jobs(config).requirement(Requirement::user())).await;
    let tokens = ask(&world, &[]).await.ok();
    let refused = client(&world)
        .call_with(text(&tokens["access_token"]))
        .await;
    assert_eq!(refused.status, 403, "{}", refused.json);
    let program = Requirement::application().and(Requirement::roles(["Jobs.Run"]));
    let replica = world.replica_with(|config| with_jobs(config).requirement(program));
    let admitted = client(&replica)
        .call_with(text(&tokens["access_token"]))
        .await;
    admitted.ok();
    let alice = world.log_in("alice").await.at(&replica);
    assert_eq!(alice.call_tool().await.status, 403);
}
