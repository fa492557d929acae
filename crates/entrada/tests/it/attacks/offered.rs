//! What the server offers, publishes and gives, which must not be more than it says.

use std::sync::Arc;

use entra_emulator::{Endpoint, builtin};
use entrada::{AzureConfig, AzureProvider};
use serde_json::json;

use crate::client::{Client, parameter};
use crate::world::{BASE_URL, CALLBACK, World};

const METADATA: &str = "/.well-known/oauth-authorization-server";

#[tokio::test]
async fn password_buys_nothing() {
    let world = World::new().await;
    let client = world.client().await;
    world.entra.reset_calls();
    let form = [
        ("grant_type", "password"),
        ("client_id", &*client.id),
        ("username", builtin::ALICE),
        ("password", "password"),
        ("scope", "mcp.read"),
    ];
    let answer = client.token(&form).await;
    answer.assert_refused(400, "unsupported_grant_type");
    assert_eq!(world.entra.calls(Endpoint::Token), 0);
    let metadata = world.get(METADATA).await.ok();
    let offered = metadata["grant_types_supported"].as_array().unwrap();
    for grant_type in ["password", "implicit"] {
        assert!(!offered.contains(&json!(grant_type)), "{offered:?}");
    }
}

/// Clients open some of them in a browser, or hand them to a shell, and fetch the others.
#[tokio::test]
async fn published_urls_are_plain_and_lead_to_us() {
    let world = World::new().await;
    let mut published = Vec::new();
    for path in [
        METADATA,
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
    ] {
        let document = world.get(path).await.ok();
        let values = document.as_object().unwrap().values();
        let strings = values.flat_map(|value| match value.as_array() {
            Some(values) => values.clone(),
            None => vec![value.clone()],
        });
        published.extend(strings.filter_map(|value| value.as_str().map(str::to_owned)));
    }
    let challenge = world.get("/mcp").await;
    let challenge = challenge.header("www-authenticate").unwrap();
    published.extend(challenge.split('"').map(str::to_owned));
    published.retain(|text| text.contains(':'));
    assert!(published.len() > 8, "{published:?}");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-./:_".contains(&byte);
    for url in &published {
        let path = url
            .strip_prefix(BASE_URL)
            .unwrap_or_else(|| panic!("{url}"));
        assert!(path.is_empty() || path.starts_with('/'), "{url}");
        assert!(url.bytes().all(plain), "{url}");
    }
    for base_url in [
        "http://mcp.example.com",
        "javascript:alert(1)",
        "https://user:pw@mcp.example.com",
        "https://mcp.example.com?x=$(id)",
        "https://mcp.example.com#x",
    ] {
        let config = AzureConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID, base_url)
            .client_secret(builtin::CLIENT_SECRET)
            .required_scopes(["mcp.read"])
            .store(Arc::clone(&world.store))
            .keys(world.keys.clone());
        assert!(
            AzureProvider::new(config, world.platform()).is_err(),
            "{base_url}"
        );
    }
}

/// Whoever takes a client over gets what it has, so it has what it needs.
#[tokio::test]
async fn client_has_no_more_than_it_asks_for() {
    let world = World::with(|config| config.optional_scopes(["mcp.write"])).await;
    let resource = world
        .get("/.well-known/oauth-protected-resource")
        .await
        .ok();
    assert_eq!(resource["scopes_supported"], json!(["mcp.read"]));
    let challenge = world.get("/mcp").await;
    let challenge = challenge.header("www-authenticate").unwrap();
    assert!(challenge.contains("scope=\"mcp.read\""), "{challenge}");
    let client = world.client().await;
    let everything = client.authorize_url(&[("scope", "*")]);
    let refused = world.browser().get(&everything).await.left();
    assert_eq!(
        parameter(&refused, "error").as_deref(),
        Some("invalid_scope")
    );
    for (asked, granted) in [
        ("", "mcp.read"),
        ("mcp.read .default mcp.* *", "mcp.read"),
        ("mcp.read mcp.write", "mcp.read mcp.write"),
    ] {
        let mut browser = world.browser();
        let url = client.authorize_url(&[("scope", asked)]);
        let consent = browser.get(&url).await.page();
        let location = browser.approve(&consent, "alice").await.left();
        let code = parameter(&location, "code").unwrap_or_else(|| panic!("{asked}: {location}"));
        let tokens = client.redeem(&code).await.ok();
        assert_eq!(tokens["scope"], json!(granted), "{asked}");
    }
}

/// The id of our app registration is known to everybody, and its secret may leak.
#[tokio::test]
async fn app_registration_is_no_client_of_ours() {
    let world = World::new().await;
    let named = json!({ "client_id": builtin::CLIENT_ID, "redirect_uris": [CALLBACK] });
    let client = Client::registered(world.hosts.clone(), &named);
    for redirect_uri in [CALLBACK, "https://mcp.example.com/auth/callback"] {
        let url = client.authorize_url(&[("redirect_uri", redirect_uri)]);
        let answer = world.get(&url).await;
        assert_eq!(answer.status, 400);
        assert!(answer.header("location").is_none());
    }
    let session = world.log_in("alice").await;
    for secret in [None, Some(builtin::CLIENT_SECRET)] {
        let mut form = vec![
            ("grant_type", "refresh_token"),
            ("refresh_token", &*session.refresh_token),
            ("client_id", &*client.id),
        ];
        form.extend(secret.map(|secret| ("client_secret", secret)));
        let answer = client.token(&form).await;
        answer.assert_refused(401, "invalid_client");
    }
}

/// Its redirect URIs would be the attacker's, or tokens would speak for it as for a user.
#[tokio::test]
async fn client_does_not_choose_whose_name_it_has() {
    let world = World::new().await;
    let victim = world.client().await;
    let user = world.log_in("alice").await;
    let subject = user.claims()["sub"].as_str().unwrap().to_owned();
    for wanted in [&*victim.id, &subject, builtin::ALICE_OID] {
        let metadata = json!({
            "client_id": wanted,
            "redirect_uris": ["https://evil.example/callback"],
        });
        let registered = world.register(&metadata).await.ok();
        assert_ne!(registered["client_id"], json!(wanted));
    }
    let to_evil = [("redirect_uri", "https://evil.example/callback")];
    let answer = world.get(&victim.authorize_url(&to_evil)).await;
    assert_eq!(answer.status, 400);
    assert!(answer.header("location").is_none());
    victim.log_in(&mut world.browser(), "alice").await;
}
