//! Clients register themselves.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::world::World;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn metadata(redirect_uris: &[&str]) -> Value {
    json!({ "redirect_uris": redirect_uris })
}

/// The URIs that were taken, or the error.
async fn redirect_uris(world: &World, asked: &[&str]) -> Result<Vec<String>, String> {
    let answer = world.register(&metadata(asked)).await;
    if !answer.status.is_success() {
        assert_eq!(answer.status, 400);
        return Err(answer.json["error"].as_str().unwrap().to_owned());
    }
    let taken = answer.json["redirect_uris"].as_array().unwrap();
    Ok(taken
        .iter()
        .map(|uri| uri.as_str().unwrap().to_owned())
        .collect())
}

#[tokio::test]
async fn the_least_a_client_can_say_makes_a_public_client() {
    let world = World::new().await;
    let answer = world
        .register(&metadata(&["https://client.example/cb"]))
        .await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("pragma"), Some("no-cache"));
    let mut registered = answer.ok();
    let id = registered["client_id"].take();
    assert!(!id.as_str().unwrap().starts_with("https:"));
    registered.as_object_mut().unwrap().remove("client_id");
    assert_eq!(
        registered,
        json!({
            "client_id_issued_at": world.now().as_unix(),
            "redirect_uris": ["https://client.example/cb"],
            "application_type": "native",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "scope": "mcp.read offline_access",
        })
    );
}

#[tokio::test]
async fn a_client_that_wants_a_secret_is_told_that_it_gets_none() {
    let world = World::new().await;
    for method in ["none", "client_secret_basic", "client_secret_post"] {
        let mut asked = metadata(&["http://localhost/cb"]);
        asked["token_endpoint_auth_method"] = json!(method);
        let registered = world.register(&asked).await.ok();
        assert_eq!(registered["token_endpoint_auth_method"], json!("none"));
        assert!(registered.get("client_secret").is_none());
        assert!(registered.get("client_secret_expires_at").is_none());
    }
}

#[tokio::test]
async fn redirect_uris_are_https_loopback_or_private_use() {
    let world = World::new().await;
    for good in [
        "https://client.example/cb",
        "https://client.example:8443/cb?flag",
        "http://localhost:8787/callback",
        "http://127.0.0.1/callback",
        "http://127.0.0.2:1/callback",
        "http://[::1]:33418/",
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "com.example.app:/oauth",
    ] {
        assert_eq!(
            redirect_uris(&world, &[good]).await,
            Ok(vec![good.to_owned()])
        );
    }
    for bad in [
        "http://evil.example/cb",
        "http://localhost.evil.example/cb",
        "http://localhost@evil.example/cb",
        "https://user@client.example/cb",
        "https://client.example/cb#fragment",
        "https://*.example/cb{x}",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "unknown://app/cb",
        "/relative",
        "not a uri",
        "",
    ] {
        let refused = Err("invalid_redirect_uri".to_owned());
        assert_eq!(redirect_uris(&world, &[bad]).await, refused, "{bad}");
    }
}

/// Clients register one list for all of their platforms.
#[tokio::test]
async fn one_uri_outside_the_rules_does_not_spoil_the_others() {
    let world = World::new().await;
    let asked = [
        "unknown://x/cb",
        "http://localhost:8787/cb",
        "http://evil.example/",
    ];
    assert_eq!(
        redirect_uris(&world, &asked).await,
        Ok(vec!["http://localhost:8787/cb".to_owned()])
    );
}

#[tokio::test]
async fn only_configured_redirect_uris_where_there_is_a_list() {
    let allowed = [
        "https://claude.ai/api/mcp/auth_callback",
        "http://localhost/cb",
    ];
    let world = World::with(|config| config.allowed_client_redirect_uris(allowed)).await;
    assert!(redirect_uris(&world, &[allowed[0]]).await.is_ok());
    assert!(
        redirect_uris(&world, &["http://localhost:5000/cb"])
            .await
            .is_ok()
    );
    for other in ["https://claude.ai/other", "https://client.example/cb"] {
        assert!(redirect_uris(&world, &[other]).await.is_err(), "{other}");
    }
}

#[tokio::test]
async fn a_pattern_stands_for_redirect_uris() {
    let allowed = ["https://*.example.com/callback", "http://127.0.0.1/**"];
    let world = World::with(|config| config.allowed_client_redirect_uris(allowed)).await;
    for (uri, expected) in [
        ("https://app.example.com/callback", true),
        ("http://127.0.0.1:8787/oauth/callback", true),
        ("https://example.com/callback", false),
        ("https://app.example.com/callback/more", false),
        ("https://app.example.com/callback?x=1", false),
    ] {
        let taken = redirect_uris(&world, &[uri]).await.is_ok();
        assert_eq!(taken, expected, "{uri}");
    }
}

#[tokio::test]
async fn either_application_type_may_use_either_kind_of_redirect() {
    let world = World::new().await;
    for kind in ["native", "web"] {
        for uri in ["https://client.example/cb", "http://localhost:8787/cb"] {
            let mut asked = metadata(&[uri]);
            asked["application_type"] = json!(kind);
            let registered = world.register(&asked).await.ok();
            assert_eq!(registered["application_type"], json!(kind));
        }
    }
}

#[tokio::test]
async fn what_is_unknown_is_left_out() {
    let world = World::new().await;
    let mut asked = metadata(&["https://client.example/cb"]);
    asked["foo"] = json!(1);
    asked["scope"] = json!("a b");
    asked["software_id"] = json!("x");
    asked["logo_uri"] = json!("https://client.example/logo.png");
    asked["client_uri"] = Value::Null;
    asked["contacts"] = json!(["a@client.example"]);
    asked["grant_types"] = json!(["authorization_code", "urn:example:other"]);
    asked["response_types"] = json!(["code", "token"]);
    let registered = world.register(&asked).await.ok();
    assert_eq!(registered["grant_types"], json!(["authorization_code"]));
    assert_eq!(registered["response_types"], json!(["code"]));
    for absent in ["foo", "logo_uri", "client_uri", "registration_client_uri"] {
        assert!(registered.get(absent).is_none(), "{absent}");
    }
    assert!(!registered.to_string().contains("null"));
}

#[tokio::test]
async fn metadata_that_breaks_a_rule_is_refused() {
    let world = World::new().await;
    let uri = "https://client.example/cb";
    let many: Vec<_> = (0..17)
        .map(|n| format!("https://client.example/{n}"))
        .collect();
    for (change, value) in [
        ("redirect_uris", json!([])),
        ("redirect_uris", Value::Null),
        ("redirect_uris", json!(uri)),
        ("redirect_uris", json!([1])),
        ("redirect_uris", json!(many)),
        ("grant_types", json!([])),
        ("grant_types", json!(["refresh_token"])),
        (
            "grant_types",
            json!(["urn:ietf:params:oauth:grant-type:jwt-bearer"]),
        ),
        ("response_types", json!(["token"])),
        ("token_endpoint_auth_method", json!("private_key_jwt")),
        ("token_endpoint_auth_method", json!("tls_client_auth")),
        ("application_type", json!("other")),
        ("client_name", json!(["a", "b"])),
    ] {
        let mut asked = metadata(&[uri]);
        asked[change] = value.clone();
        let answer = world.register(&asked).await;
        answer.assert_refused(400, "invalid_client_metadata");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn the_body_is_json_and_says_so() {
    let world = World::new().await;
    let body = metadata(&["https://client.example/cb"]).to_string();
    for (headers, body) in [
        (vec![], &*body),
        (vec![("content-type", "text/plain")], &*body),
        (
            vec![("content-type", "application/x-www-form-urlencoded")],
            "redirect_uris=x",
        ),
        (JSON.to_vec(), "{"),
        (JSON.to_vec(), "[]"),
        (JSON.to_vec(), ""),
        (JSON.to_vec(), "\"redirect_uris\""),
    ] {
        let answer = world.ask(Method::POST, "/register", &headers, body).await;
        answer.assert_refused(400, "invalid_client_metadata");
    }
    let utf8 = [("content-type", "Application/JSON; charset=utf-8")];
    let answer = world.ask(Method::POST, "/register", &utf8, &body).await;
    assert_eq!(answer.status, 201);
}

#[tokio::test]
async fn an_oversized_registration_is_refused_unread() {
    let world = World::new().await;
    let mut asked = metadata(&["https://client.example/cb"]);
    asked["padding"] = json!("x".repeat(64 * 1024));
    assert_eq!(world.register(&asked).await.status, 413);
}

#[tokio::test]
async fn a_name_is_cut_and_cleaned() {
    let world = World::new().await;
    let mut asked = metadata(&["https://client.example/cb"]);
    asked["client_name"] = json!(format!("  A\u{202e}B\n{}", "x".repeat(200)));
    let registered = world.register(&asked).await.ok();
    let name = registered["client_name"].as_str().unwrap();
    assert!(
        name.starts_with("ABxxx") && name.chars().count() <= 100,
        "{name}"
    );
    asked["client_name"] = json!(" \u{200b} ");
    let registered = world.register(&asked).await.ok();
    assert!(registered.get("client_name").is_none());
}

#[tokio::test]
async fn a_registration_outlives_idle_days_and_a_year_once_it_is_used() {
    let world = World::new().await;
    let (idle, used) = (world.client().await, world.client().await);
    world.advance(6 * DAY);
    assert_eq!(idle.ask(&mut world.browser()).await.status, 200);
    used.log_in(&mut world.browser(), "alice").await;
    world.advance(399 * DAY);
    assert_eq!(used.ask(&mut world.browser()).await.status, 200);
    let page = idle.ask(&mut world.browser()).await;
    assert_eq!(page.status, 400);
    assert!(page.html.contains("add it again"), "{}", page.html);
}

#[tokio::test]
async fn a_registration_holds_on_every_replica() {
    let world = World::new().await;
    let replica = world.replica();
    let client = world.client().await.at(&replica);
    assert!(
        client
            .log_in(&mut replica.browser(), "alice")
            .await
            .call_tool()
            .await
            .status
            .is_success()
    );
}
