//! Several protected servers at one authorization server.

use entrada::provider::ProtectedResource;
use entrada::{AzureConfig, AzureJwtVerifier};
use http::{Method, StatusCode};
use serde_json::json;

use crate::browser::Browser;
use crate::client::{Answer, Client, Session, VERIFIER, parameter};
use crate::world::{BASE_URL, RESOURCE, World};

/// Beside the first, on its host.
pub(crate) const FILES: &str = "https://mcp.example.com/files";
/// On a host of its own, at the same path as the first.
pub(crate) const ORDERS: &str = "https://orders.example.com/mcp";

pub(crate) fn three(config: AzureConfig) -> AzureConfig {
    let orders = ProtectedResource::new(ORDERS).name("Contoso orders");
    config
        .resource(ProtectedResource::new(FILES))
        .resource(orders.required_scopes(["mcp.write"]))
}

/// A client whose user signed in for `resource`; for none, it names none.
pub(crate) async fn log_in_for(world: &World, resource: &str, scope: &str) -> Session {
    let client = world.client().await;
    let code = code_for(&client, &mut world.browser(), (resource, scope)).await;
    let form = redemption(&client, &code);
    client.session(client.token(&form).await.ok())
}

async fn code_for(
    client: &Client,
    browser: &mut Browser,
    (resource, scope): (&str, &str),
) -> String {
    let changes = [("resource", resource), ("scope", scope)];
    let stop = browser.get(&client.authorize_url(&changes)).await;
    let location = browser.approve(&stop.page(), "alice").await.left();
    parameter(&location, "code").unwrap_or_else(|| panic!("no code in {location}"))
}

fn redemption<'a>(client: &'a Client, code: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("grant_type", "authorization_code"),
        ("client_id", &client.id),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", &client.redirect_uri),
    ]
}

pub(crate) async fn call(world: &World, resource: &str, session: &Session) -> Answer {
    let bearer = format!("Bearer {}", session.access_token);
    let headers = [("authorization", &*bearer)];
    world.ask(Method::POST, resource, &headers, "{}").await
}

#[tokio::test]
async fn each_says_what_it_is_and_what_it_requires() {
    let world = World::with(three).await;
    let known = "/.well-known/oauth-protected-resource";
    let orders = format!("https://orders.example.com{known}");
    for (at, resource, name, scope) in [
        (known.to_owned(), RESOURCE, "Contoso tools", "mcp.read"),
        (
            format!("{known}/mcp"),
            RESOURCE,
            "Contoso tools",
            "mcp.read",
        ),
        (
            format!("{known}/files"),
            FILES,
            "mcp.example.com/files",
            "mcp.read",
        ),
        (orders.clone(), ORDERS, "Contoso orders", "mcp.write"),
        (
            format!("{orders}/mcp"),
            ORDERS,
            "Contoso orders",
            "mcp.write",
        ),
    ] {
        let expected = json!({
            "resource": resource,
            "resource_name": name,
            "authorization_servers": [BASE_URL],
            "scopes_supported": [scope],
            "bearer_methods_supported": ["header"],
        });
        let mut document = world.get(&at).await.ok();
        document
            .as_object_mut()
            .unwrap()
            .retain(|name, _| !name.starts_with("dpop"));
        assert_eq!(document, expected, "{at}");
    }
    for (resource, metadata, scope) in [
        (RESOURCE, format!("{BASE_URL}{known}/mcp"), "mcp.read"),
        (FILES, format!("{BASE_URL}{known}/files"), "mcp.read"),
        (ORDERS, format!("{orders}/mcp"), "mcp.write"),
    ] {
        let refused = world.ask(Method::POST, resource, &[], "{}").await;
        assert_eq!(refused.status, 401);
        let challenge = refused.header("www-authenticate").unwrap();
        assert!(
            challenge.contains(&format!("resource_metadata=\"{metadata}\"")),
            "{challenge}"
        );
        assert!(
            challenge.contains(&format!("scope=\"{scope}\"")),
            "{challenge}"
        );
    }
    let metadata = world.get("/.well-known/oauth-authorization-server").await;
    assert_eq!(
        metadata.ok()["scopes_supported"],
        json!(["mcp.read", "mcp.write", "offline_access"])
    );
}

#[tokio::test]
async fn a_token_is_good_where_it_is_for_and_nowhere_else() {
    let world = World::with(three).await;
    let servers = [
        (RESOURCE, "mcp.read"),
        (FILES, "mcp.read"),
        (ORDERS, "mcp.write"),
    ];
    for (own, scope) in servers {
        let session = log_in_for(&world, own, scope).await;
        assert_eq!(session.claims()["aud"], own);
        let refreshed = session.refreshed().await;
        assert_eq!(refreshed.claims()["aud"], own);
        for session in [session, refreshed] {
            for (server, _) in servers {
                let answer = call(&world, server, &session).await;
                if server == own {
                    assert_eq!(answer.ok()["scope"], scope);
                } else {
                    answer.assert_unauthorized("invalid_token");
                }
            }
        }
    }
}

#[tokio::test]
async fn who_names_none_gets_the_first() {
    let world = World::with(three).await;
    let session = log_in_for(&world, "", "").await;
    assert_eq!(session.claims()["aud"], RESOURCE);
    assert_eq!(session.claims()["scope"], "mcp.read");
}

#[tokio::test]
async fn scopes_are_those_of_the_server_that_is_asked_for() {
    let world = World::with(three).await;
    let client = world.client().await;
    let mut browser = world.browser();
    for (resource, scope, granted) in [
        (ORDERS, "", "mcp.write"),
        (ORDERS, "mcp.read mcp.write", "mcp.write"),
        (FILES, "mcp.read mcp.write", "mcp.read"),
    ] {
        let code = code_for(&client, &mut browser, (resource, scope)).await;
        let tokens = client.token(&redemption(&client, &code)).await.ok();
        assert_eq!(tokens["scope"], granted, "{resource} {scope}");
    }
    let changes = [("resource", ORDERS), ("scope", "mcp.read")];
    let location = browser.get(&client.authorize_url(&changes)).await.left();
    let error = parameter(&location, "error");
    assert_eq!(error.as_deref(), Some("invalid_scope"));
}

#[tokio::test]
async fn the_user_is_told_which_server_it_is_about() {
    let world = World::with(three).await;
    let client = world.client().await;
    for (resource, name) in [
        (RESOURCE, "Contoso tools"),
        (FILES, "mcp.example.com/files"),
        (ORDERS, "Contoso orders"),
    ] {
        let changes = [("resource", resource), ("scope", "")];
        let url = client.authorize_url(&changes);
        let page = world.browser().get(&url).await.page();
        assert!(page.html.contains(name), "{}", page.html);
    }
}

#[tokio::test]
async fn a_grant_is_for_one_server() {
    let world = World::with(three).await;
    let client = world.client().await;
    let mut browser = world.browser();
    for both in [
        [RESOURCE, ORDERS],
        [FILES, RESOURCE],
        [ORDERS, "https://other.example/mcp"],
    ] {
        let changes = [("resource", both[0])];
        let mut url = client.authorize_url(&changes);
        url.push_str("&resource=");
        url.extend(url::form_urlencoded::byte_serialize(both[1].as_bytes()));
        let location = browser.get(&url).await.left();
        let error = parameter(&location, "error");
        assert_eq!(error.as_deref(), Some("invalid_target"), "{both:?}");
    }
    let code = code_for(&client, &mut browser, (FILES, "mcp.read")).await;
    let form = redemption(&client, &code);
    let form = [&form[..], &[("resource", RESOURCE)]].concat();
    client
        .token(&form)
        .await
        .assert_refused(400, "invalid_target");

    let session = log_in_for(&world, FILES, "mcp.read").await;
    let elsewhere = session.refresh_with(&[("resource", RESOURCE)]).await;
    elsewhere.assert_refused(400, "invalid_target");
    session.refresh_with(&[("resource", FILES)]).await.ok();
}

#[tokio::test]
async fn what_a_server_had_ends_with_it() {
    let world = World::with(three).await;
    let session = log_in_for(&world, FILES, "mcp.read").await;
    let fewer = world.replica();
    let session = session.at(&fewer);
    session
        .refresh()
        .await
        .assert_refused(400, "invalid_target");
    assert_eq!(call(&fewer, FILES, &session).await.status, 404);
    // It comes back with the server.
    session.at(&world).refreshed().await;
}

#[tokio::test]
async fn a_host_of_its_own_holds_the_server_and_nothing_else() {
    let world = World::with(three).await;
    for path in [
        "/authorize",
        "/token",
        "/register",
        "/consent",
        "/files",
        "/.well-known/oauth-authorization-server",
        "/.well-known/jwks.json",
        "/.well-known/oauth-protected-resource/files",
        "/",
    ] {
        let answer = world
            .get(&format!("https://orders.example.com{path}"))
            .await;
        assert_eq!(answer.status, 404, "{path}");
    }
}

/// Beside the first, for clients with Entra's own tokens.
pub(crate) const MACHINES: &str = "https://mcp.example.com/machines";

/// What takes Entra's own tokens of users.
fn entras(world: &World) -> AzureJwtVerifier {
    let config = crate::direct::world::config();
    AzureJwtVerifier::new(config, world.platform()).unwrap()
}

/// A world with a server whose tokens are Entra's beside one whose tokens are ours.
pub(crate) async fn with_entras() -> World {
    let world = World::new().await;
    let machines = ProtectedResource::new(MACHINES).tokens_of_entra(entras(&world));
    world.replica_with(|config| config.resource(machines))
}

/// A call with Entra's own token of a user.
pub(crate) async fn call_with_entras(world: &World, resource: &str) -> Answer {
    let token = world.entra.mint(&crate::direct::world::good());
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", &*bearer)];
    world.ask(Method::POST, resource, &headers, "{}").await
}

#[tokio::test]
async fn one_may_send_its_clients_to_entra() {
    let world = with_entras().await;
    let path = "/.well-known/oauth-protected-resource/machines";
    let document = world.get(path).await.ok();
    let issuer = document["authorization_servers"][0].as_str().unwrap();
    assert!(
        issuer.starts_with("https://login.emulator.test/"),
        "{issuer}"
    );
    let scope = document["scopes_supported"][0].as_str().unwrap();
    assert!(scope.starts_with("api://"), "{scope}");
    assert_eq!(document["resource"], MACHINES);
    let refused = world.ask(Method::POST, MACHINES, &[], "{}").await;
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(
        challenge.contains(&format!("scope=\"{scope}\"")),
        "{challenge}"
    );
    assert_eq!(call_with_entras(&world, MACHINES).await.status, 200);
    // The authorization server knows nothing of it.
    let client = world.client().await;
    let asked = client.authorize_url(&[("resource", MACHINES)]);
    let answer = world.browser().get(&asked).await.left();
    assert_eq!(
        parameter(&answer, "error").as_deref(),
        Some("invalid_target")
    );
}

#[tokio::test]
async fn where_entra_issues_all_there_is_no_authorization_server() {
    let world = World::new().await;
    let verifier = entras(&world);
    let config = AzureConfig::new("contoso.com", entra_emulator::builtin::CLIENT_ID, BASE_URL)
        .authority_host("login.emulator.test")
        .tokens_of_entra(verifier)
        .store(world.store.clone())
        .keys(world.keys.clone());
    let world = world.replica_with(|_| config);
    for gone in ["/.well-known/oauth-authorization-server", "/authorize"] {
        assert_eq!(
            world.get(gone).await.status,
            StatusCode::NOT_FOUND,
            "{gone}"
        );
    }
    // Servers verify with it what they are told of callers.
    let keys = world.get("/.well-known/jwks.json").await.ok();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    assert_eq!(call_with_entras(&world, RESOURCE).await.status, 200);
}
