//! What clients read before they do anything.

use std::sync::Arc;

use entra_emulator::builtin;
use entrada::AzureConfig;
use entrada::jwt::jwks::Algorithm;
use entrada::keys::{KeyRing, Keys};
use entrada::platform::{SystemRandom, Timestamp};
use entrada::store::MemoryStore;
use http::Method;
use serde_json::{Value, json};

use crate::client::{Answer, parameter};
use crate::world::{BASE_URL, RESOURCE, World};

const METADATA: &str = "/.well-known/oauth-authorization-server";
const RESOURCE_METADATA: &str = "/.well-known/oauth-protected-resource";

#[track_caller]
fn assert_without_nulls(value: &Value) {
    assert!(!value.to_string().contains("null"), "{value}");
}

#[tokio::test]
async fn metadata_stands_at_the_origin_and_is_whole() {
    let world = World::new().await;
    let answer = world.get(METADATA).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let url = |path: &str| format!("{BASE_URL}{path}");
    assert_eq!(
        answer.ok(),
        json!({
            "issuer": BASE_URL,
            "authorization_endpoint": url("/authorize"),
            "token_endpoint": url("/token"),
            "registration_endpoint": url("/register"),
            "revocation_endpoint": url("/revoke"),
            "jwks_uri": url("/.well-known/jwks.json"),
            "scopes_supported": ["mcp.read", "offline_access"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
            "revocation_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
            "revocation_endpoint_auth_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "client_id_metadata_document_supported": true,
            "dpop_signing_alg_values_supported": ["ES256", "EdDSA", "RS256"],
        })
    );
}

#[tokio::test]
async fn the_resource_names_its_server_at_path_and_root() {
    let world = World::new().await;
    for path in ["/mcp", ""] {
        let document = world.get(&format!("{RESOURCE_METADATA}{path}")).await.ok();
        assert_eq!(
            document,
            json!({
                "resource": RESOURCE,
                "authorization_servers": [BASE_URL],
                "scopes_supported": ["mcp.read"],
                "bearer_methods_supported": ["header"],
                "resource_name": "Contoso tools",
                "dpop_signing_alg_values_supported": ["ES256", "EdDSA", "RS256"],
            })
        );
    }
    let elsewhere = world.get(&format!("{RESOURCE_METADATA}/other")).await;
    assert_eq!(elsewhere.status, 404);
}

#[tokio::test]
async fn the_key_set_is_public_and_complete() {
    let world = World::new().await;
    let answer = world.get("/.well-known/jwks.json").await;
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    let keys = answer.ok();
    let key = &keys["keys"][0];
    assert_eq!(
        (&key["kty"], &key["crv"], &key["alg"], &key["use"]),
        (
            &json!("EC"),
            &json!("P-256"),
            &json!("ES256"),
            &json!("sig")
        )
    );
    assert!(key["kid"].is_string() && key.get("d").is_none());
    assert_without_nulls(&keys);
}

/// An issuer is compared as a string, so the spelling of the configuration is kept everywhere.
#[tokio::test]
async fn the_issuer_is_the_same_string_everywhere() {
    let slash = format!("{BASE_URL}/");
    let path = format!("{BASE_URL}/tenants/a");
    for (issuer, inserted) in [(BASE_URL, ""), (&*slash, ""), (&*path, "/tenants/a")] {
        let world = World::with(|config| config.issuer_url(issuer)).await;
        let metadata = world.get(&format!("{METADATA}{inserted}")).await.ok();
        assert_eq!(metadata["issuer"], json!(issuer));
        assert_eq!(
            metadata["token_endpoint"],
            json!(format!("{BASE_URL}/token"))
        );
        // Clients of the first revision look at the origin, whatever the issuer.
        assert_eq!(world.get(METADATA).await.ok(), metadata);
        let resource = world.get(RESOURCE_METADATA).await.ok();
        assert_eq!(resource["authorization_servers"], json!([issuer]));
        let client = world.client().await;
        let answer = client.authorize(&mut world.browser(), "alice").await;
        assert_eq!(parameter(&answer, "iss").as_deref(), Some(issuer));
        let code = parameter(&answer, "code").unwrap();
        let session = client.session(client.redeem(&code).await.ok());
        assert_eq!(session.claims()["iss"], json!(issuer));
        assert!(session.call_tool().await.status.is_success());
    }
}

#[tokio::test]
async fn a_server_below_a_path_keeps_to_it() {
    let base = format!("{BASE_URL}/api");
    let ring = KeyRing::generate(
        Algorithm::EdDsa,
        &SystemRandom::default(),
        Timestamp::from_unix(0),
    );
    let world = World::with(|_| {
        AzureConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID, &*base)
            .client_secret(builtin::CLIENT_SECRET)
            .required_scopes(["mcp.read"])
            .authority_host("login.emulator.test")
            .store(Arc::new(MemoryStore::default()))
            .keys(Keys::new(ring.unwrap()))
    })
    .await;
    let metadata = world.get(&format!("{METADATA}/api")).await.ok();
    assert_eq!(metadata["issuer"], json!(base));
    for endpoint in ["authorization", "token", "registration", "revocation"] {
        let url = metadata[format!("{endpoint}_endpoint")].as_str().unwrap();
        assert!(url.starts_with(&format!("{base}/")), "{url}");
        let answer = world.ask(Method::POST, url, &[], "").await;
        assert_ne!(answer.status, 404, "{url}");
    }
    let resource = world
        .get(&format!("{RESOURCE_METADATA}/api/mcp"))
        .await
        .ok();
    assert_eq!(resource["resource"], json!(format!("{base}/mcp")));
    assert_eq!(world.get("/api/mcp").await.status, 401);
    assert_eq!(world.get("/token").await.status, 404);
}

/// A partial OpenID Connect document breaks clients; none does not.
#[tokio::test]
async fn there_is_no_openid_configuration() {
    let world = World::with(|config| config.issuer_url(format!("{BASE_URL}/t"))).await;
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/t",
        "/t/.well-known/openid-configuration",
    ] {
        let answer = world.get(path).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (404, ""), "{path}");
    }
}

#[tokio::test]
async fn every_advertised_endpoint_answers() {
    let world = World::new().await;
    let metadata = world.get(METADATA).await.ok();
    for (endpoint, method, expected) in [
        ("authorization_endpoint", Method::GET, 400),
        ("token_endpoint", Method::POST, 400),
        ("registration_endpoint", Method::POST, 400),
        ("revocation_endpoint", Method::POST, 400),
        ("jwks_uri", Method::GET, 200),
    ] {
        let url = metadata[endpoint].as_str().unwrap();
        let answer = world.ask(method, url, &[], "").await;
        assert_eq!(answer.status.as_u16(), expected, "{endpoint}");
    }
}

#[tokio::test]
async fn other_methods_are_not_allowed_and_the_right_ones_named() {
    let world = World::new().await;
    for (method, path, allowed) in [
        (Method::POST, METADATA, "GET,HEAD"),
        (Method::POST, RESOURCE_METADATA, "GET,HEAD"),
        (Method::POST, "/.well-known/jwks.json", "GET,HEAD"),
        (Method::GET, "/token", "POST"),
        (Method::GET, "/register", "POST"),
        (Method::GET, "/revoke", "POST"),
        (Method::GET, "/consent", "POST"),
        (Method::DELETE, "/token", "POST"),
    ] {
        let answer = world.ask(method, path, &[], "").await;
        assert_eq!(answer.status, 405, "{path}");
        assert_eq!(answer.header("allow"), Some(allowed), "{path}");
    }
}

#[tokio::test]
async fn the_version_a_client_speaks_does_not_matter_here() {
    let world = World::new().await;
    for version in [
        "2024-11-05",
        "2025-11-25",
        "2026-07-28",
        "2099-01-01",
        "odd",
    ] {
        for path in [METADATA, RESOURCE_METADATA] {
            let headers = [("mcp-protocol-version", version)];
            let answer = world.ask(Method::GET, path, &headers, "").await;
            assert_eq!(answer.status, 200, "{version} {path}");
        }
    }
}

async fn preflight(world: &World, path: &str) -> Answer {
    let headers = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,mcp-protocol-version",
        ),
    ];
    world.ask(Method::OPTIONS, path, &headers, "").await
}

#[tokio::test]
async fn web_pages_may_read_what_takes_no_cookie() {
    let world = World::new().await;
    for path in [
        METADATA,
        RESOURCE_METADATA,
        "/.well-known/jwks.json",
        "/register",
        "/token",
        "/revoke",
    ] {
        let answer = preflight(&world, path).await;
        assert!(answer.status.is_success(), "{path}");
        let allowed = answer.header("access-control-allow-headers");
        assert_eq!(
            allowed,
            Some("authorization,mcp-protocol-version"),
            "{path}"
        );
        for method in [Method::GET, Method::POST] {
            let headers = [("origin", "https://app.example")];
            let answer = world.ask(method, path, &headers, "").await;
            let origin = answer.header("access-control-allow-origin");
            assert_eq!(origin, Some("*"), "{path}");
            let credentials = answer.header("access-control-allow-credentials");
            assert_eq!(credentials, None, "{path}");
        }
    }
}

#[tokio::test]
async fn web_pages_may_not_read_what_takes_cookies() {
    let world = World::new().await;
    for path in ["/authorize", "/consent", "/auth/callback"] {
        for method in [Method::GET, Method::POST] {
            let headers = [("origin", "https://app.example")];
            let answer = world.ask(method, path, &headers, "").await;
            assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
        }
        let answer = preflight(&world, path).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
    }
}

#[tokio::test]
async fn the_host_a_request_names_changes_nothing() {
    let world = World::new().await;
    let poison = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "host=evil.example;proto=http"),
    ];
    for path in [METADATA, RESOURCE_METADATA, "/mcp", "/authorize"] {
        let plain = world.get(path).await;
        let poisoned = world.ask(Method::GET, path, &poison, "").await;
        assert_eq!(plain.status, poisoned.status, "{path}");
        assert_eq!(plain.json, poisoned.json, "{path}");
        for value in poisoned.headers.values() {
            assert!(
                !value.to_str().unwrap().contains("evil"),
                "{path} {value:?}"
            );
        }
    }
}
