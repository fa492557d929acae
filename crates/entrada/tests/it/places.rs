//! Where the protected server may be.

use http::Method;
use serde_json::json;

use crate::client::{Client, VERIFIER, parameter};
use crate::world::{BASE_URL, CALLBACK, World};

const RESOURCE_METADATA: &str = "/.well-known/oauth-protected-resource";

/// Signs in and gives the access token, without naming a resource.
async fn access_token(world: &World) -> (String, serde_json::Value) {
    let client = Client::register(world.hosts.clone(), CALLBACK).await;
    let mut browser = world.browser();
    let url = client.authorize_url(&[("resource", "")]);
    let consent = browser.get(&url).await.page();
    let location = browser.approve(&consent, "alice").await.left();
    let code = parameter(&location, "code").unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", &*client.id),
        ("code", &*code),
        ("code_verifier", VERIFIER),
    ];
    let session = client.session(client.token(&form).await.ok());
    let audience = session.claims()["aud"].clone();
    (session.access_token, audience)
}

#[tokio::test]
async fn the_resource_may_be_anywhere_on_its_origin() {
    for (resource, well_known, path, below) in [
        ("/mcp", "/mcp", "/mcp", "/mcp/x"),
        ("/a/b/mcp", "/a/b/mcp", "/a/b/mcp", "/a/b/mcp/x"),
        ("/mcp/", "/mcp", "/mcp/", "/mcp/x"),
        ("", "", "/", "/anything"),
        ("/", "", "/", "/anything"),
    ] {
        let resource = format!("{BASE_URL}{resource}");
        let world = World::with(|config| config.resource_url(&*resource)).await;
        let (token, audience) = access_token(&world).await;
        assert_eq!(audience, json!(resource));
        let bearer = format!("Bearer {token}");
        for path in [path, below] {
            let headers = [("authorization", &*bearer)];
            let answer = world.ask(Method::POST, path, &headers, "{}").await;
            assert_eq!(answer.status, 200, "{resource} {path}");
            let refused = world.ask(Method::POST, path, &[], "{}").await;
            assert_eq!(refused.status, 401, "{resource} {path}");
            let challenge = refused.header("www-authenticate").unwrap();
            let (_, url) = challenge.split_once("resource_metadata=\"").unwrap();
            let document = world.get(url.trim_end_matches('"')).await.ok();
            assert_eq!(document["resource"], json!(resource));
        }
        let document = world.get(&format!("{RESOURCE_METADATA}{well_known}")).await;
        assert_eq!(document.ok()["resource"], json!(resource));
        assert_eq!(world.get(RESOURCE_METADATA).await.status, 200);
    }
}

/// A server at the root of its origin leaves the authorization server its paths.
#[tokio::test]
async fn a_server_at_the_root_does_not_stand_in_the_way() {
    let world = World::with(|config| config.resource_url(BASE_URL)).await;
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/jwks.json",
    ] {
        assert_eq!(world.get(path).await.status, 200, "{path}");
    }
    let openid = world.get("/.well-known/openid-configuration").await;
    assert_eq!(openid.status, 404);
    assert_eq!(world.get("/token").await.status, 405);
}

#[tokio::test]
async fn the_callback_is_where_it_was_registered() {
    let world = World::with(|config| config.redirect_path("/signin-oidc")).await;
    world.entra.change_directory(|directory| {
        let app = directory
            .app_mut(entra_emulator::builtin::CLIENT_ID)
            .unwrap();
        app.redirect_uris
            .web
            .push(format!("{BASE_URL}/signin-oidc"));
    });
    assert_eq!(world.log_in("alice").await.call_tool().await.status, 200);
    assert_eq!(world.get("/auth/callback").await.status, 404);
}
