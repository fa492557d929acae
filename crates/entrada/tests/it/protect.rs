//! The guard in front of the server.

use std::sync::Arc;
use std::time::Duration;

use entra_emulator::{TokenOrder, builtin};
use entrada::authorization_server::{GRANT_CACHE_TTL, STORE_OUTAGE_GRACE};
use http::{Method, StatusCode};
use serde_json::json;
use url::form_urlencoded;

use crate::client::Answer;
use crate::log::Log;
use crate::outage::Outage;
use crate::world::{BASE_URL, RESOURCE, SECOND, World};

const METADATA: &str =
    "resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/mcp\"";

/// Calls the server with this `Authorization` header.
async fn call_as(world: &World, credentials: &str) -> Answer {
    let headers = [("authorization", credentials)];
    world.ask(Method::POST, RESOURCE, &headers, "{}").await
}

#[tokio::test]
async fn without_credentials_the_client_is_told_where_to_get_some() {
    let world = World::new().await;
    for (method, path) in [
        (Method::POST, "/mcp"),
        (Method::GET, "/mcp"),
        (Method::DELETE, "/mcp"),
        (Method::POST, "/mcp/"),
        (Method::POST, "/mcp/below"),
        (Method::POST, "/mcp?access_token=x"),
        (Method::OPTIONS, "/mcp"),
    ] {
        let answer = world.ask(method, path, &[], "{}").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        let challenge = answer.header("www-authenticate").unwrap();
        assert_eq!(challenge, format!("Bearer scope=\"mcp.read\", {METADATA}"));
        assert_eq!(answer.text, "");
    }
    let document = world
        .get("/.well-known/oauth-protected-resource/mcp")
        .await
        .ok();
    assert_eq!(document["resource"], json!(RESOURCE));
}

#[tokio::test]
async fn the_log_names_who_issued_a_token_that_is_not_ours() {
    let (log, _guard) = Log::begin();
    let world = World::new().await;
    let order = TokenOrder::app_only(builtin::DAEMON_CLIENT_ID, builtin::CLIENT_ID);
    let token = world.entra.mint(&order);
    let answer = call_as(&world, &format!("Bearer {token}")).await;
    assert_eq!(answer.status, 401);
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    assert!(!challenge.contains("login.emulator.test"), "{challenge}");
    let text = log.text();
    let told = format!(
        "the token is from another issuer: expected {BASE_URL}, got \"https://login.emulator.test/{}/v2.0\"",
        builtin::TENANT_ID
    );
    assert!(text.contains(&told), "{text}");
}

#[tokio::test]
async fn a_token_counts_in_the_header_alone() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let query = format!("/mcp?access_token={}", session.access_token);
    let answer = world.ask(Method::POST, &query, &[], "{}").await;
    assert_eq!(answer.status, 401);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = format!("access_token={}", session.access_token);
    let answer = world.ask(Method::POST, "/mcp", &form, &body).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn a_good_token_is_good_in_any_case_of_its_scheme_on_every_method() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let credentials = format!("{scheme} {}", session.access_token);
            let headers = [("authorization", &*credentials)];
            let answer = world.ask(method, RESOURCE, &headers, "{}").await;
            assert_eq!(answer.status, StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn what_is_no_access_token_of_ours_is_refused() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let parts: Vec<_> = session.access_token.split('.').collect();
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{}.", parts[1]);
    let mut changed = session.access_token.clone();
    let at = parts[0].len() + 40;
    let letter = if changed[at..].starts_with('A') {
        "B"
    } else {
        "A"
    };
    changed.replace_range(at..=at, letter);
    for token in [
        &session.refresh_token,
        &unsigned,
        &none,
        &changed,
        "x",
        "a.b.c",
    ] {
        let answer = call_as(&world, &format!("Bearer {token}")).await;
        answer.assert_unauthorized("invalid_token");
        assert_eq!(answer.json["error"], json!("invalid_token"));
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.ends_with(&format!("scope=\"mcp.read\", {METADATA}")));
    }
    for credentials in ["Basic YTpi", "Bearer", "Bearer ", "DPoP", ""] {
        call_as(&world, credentials)
            .await
            .assert_unauthorized("invalid_token");
    }
}

/// The service behind the guard sees who calls, and not with what.
#[tokio::test]
async fn the_token_goes_no_further() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let bearer = format!("Bearer {}", session.access_token);
    let headers = [
        ("authorization", &*bearer),
        ("dpop", "proof"),
        ("x-other", "1"),
    ];
    let seen = session.client.call(Method::POST, &headers).await.ok();
    assert_eq!(seen["headers"], json!(["x-other"]));
    assert_eq!(seen["preferred_username"], json!(builtin::ALICE));
}

#[tokio::test]
async fn a_token_of_entra_is_refused_though_it_is_for_this_app() {
    let world = World::new().await;
    let path = format!(
        "{}/{}/oauth2/v2.0/token",
        builtin::BASE_URL,
        builtin::TENANT_ID
    );
    let form = [
        ("grant_type", "password"),
        ("client_id", builtin::CLIENT_ID),
        ("client_secret", builtin::CLIENT_SECRET),
        ("username", builtin::ALICE),
        ("password", builtin::PASSWORD),
        (
            "scope",
            &*format!("openid {}/mcp.read", builtin::IDENTIFIER_URI),
        ),
    ];
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    // The consent that the password grant needs was given at a login.
    world.log_in("alice").await;
    let tokens = world.ask(Method::POST, &path, &kind, &body).await.ok();
    for name in ["access_token", "id_token"] {
        let token = tokens[name].as_str().unwrap();
        let answer = call_as(&world, &format!("Bearer {token}")).await;
        answer.assert_unauthorized("invalid_token");
    }
}

#[tokio::test]
async fn a_token_of_a_sibling_server_is_refused() {
    let world = World::new().await;
    // The same keys and store, another resource: what two servers of one deployment share.
    let sibling = world.replica_with(|config| config.resource_url(format!("{BASE_URL}/other")));
    let session = world.log_in("alice").await;
    let path = format!("{BASE_URL}/other");
    let headers = [(
        "authorization",
        &*format!("Bearer {}", session.access_token),
    )];
    let answer = sibling.ask(Method::POST, &path, &headers, "{}").await;
    answer.assert_unauthorized("invalid_token");
    // And a server with keys of its own.
    let stranger = World::new().await;
    let answer = stranger.ask(Method::POST, RESOURCE, &headers, "{}").await;
    answer.assert_unauthorized("invalid_token");
}

#[tokio::test]
async fn an_expired_token_is_refused_to_the_second() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    world.advance(Duration::from_secs(3599));
    assert_eq!(session.call_tool().await.status, 200);
    world.advance(SECOND);
    // Although the verdict is remembered for ten seconds.
    session
        .call_tool()
        .await
        .assert_unauthorized("invalid_token");
}

#[tokio::test]
async fn a_good_token_that_allows_too_little_is_forbidden_not_unauthorized() {
    let world = World::with(|config| config.required_scopes(["mcp.read", "mcp.write"])).await;
    let session = world.log_in("alice").await;
    let answer = session.call_tool().await;
    answer.assert_refused(403, "insufficient_scope");
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(
        challenge.starts_with("Bearer error=\"insufficient_scope\""),
        "{challenge}"
    );
    let rest = format!("scope=\"mcp.read mcp.write\", {METADATA}");
    assert!(challenge.ends_with(&rest), "{challenge}");
}

#[tokio::test]
async fn several_authorization_headers_are_malformed() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let good = format!("Bearer {}", session.access_token);
    let headers = [("authorization", &*good), ("authorization", &*good)];
    let answer = world.ask(Method::POST, RESOURCE, &headers, "{}").await;
    answer.assert_refused(400, "invalid_request");
}

#[tokio::test]
async fn only_pages_of_allowed_origins_may_call() {
    let allowed = "https://inspector.example";
    let world = World::with(|config| config.allowed_origins([allowed])).await;
    let session = world.log_in("alice").await;
    let good = format!("Bearer {}", session.access_token);
    for (origin, expected) in [
        ("https://evil.example", 403),
        ("null", 403),
        ("https://inspector.example.evil.example", 403),
        (allowed, 200),
        (BASE_URL, 200),
    ] {
        let headers = [("authorization", &*good), ("origin", origin)];
        let answer = world.ask(Method::POST, RESOURCE, &headers, "{}").await;
        assert_eq!(answer.status.as_u16(), expected, "{origin}");
        let shared = answer.header("access-control-allow-origin");
        assert_eq!(shared, (expected == 200).then_some(origin));
    }
    // A preflight needs no token, and a refusal can be read.
    let asks = [
        ("origin", allowed),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,mcp-session-id,x-other",
        ),
    ];
    let preflight = world.ask(Method::OPTIONS, RESOURCE, &asks, "").await;
    assert_eq!(preflight.status, 204);
    let headers = preflight.header("access-control-allow-headers");
    assert_eq!(headers, Some("authorization, mcp-session-id"));
    let refused = world
        .ask(Method::POST, RESOURCE, &[("origin", allowed)], "{}")
        .await;
    assert_eq!(refused.status, 401);
    let exposed = refused.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("www-authenticate"), "{exposed}");
}

#[tokio::test]
async fn while_the_store_is_down_known_sessions_go_on_for_a_minute() {
    let store = Arc::new(Outage::default());
    let world = World::on(store.clone(), |config| config).await;
    let (known, unknown) = (world.log_in("alice").await, world.log_in("alice").await);
    assert_eq!(known.call_tool().await.status, 200);
    store.begin();
    let assert_unavailable = |answer: Answer| {
        answer.assert_refused(503, "temporarily_unavailable");
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert_eq!(answer.header("www-authenticate"), None);
    };
    assert_unavailable(unknown.call_tool().await);
    for wait in [11 * SECOND, 49 * SECOND] {
        world.advance(wait);
        assert_eq!(known.call_tool().await.status, 200);
    }
    assert_eq!(
        (GRANT_CACHE_TTL, STORE_OUTAGE_GRACE),
        (10 * SECOND, 60 * SECOND)
    );
    world.advance(SECOND);
    assert_unavailable(known.call_tool().await);
    // A token that is bad by itself is bad in an outage, too.
    call_as(&world, "Bearer x")
        .await
        .assert_unauthorized("invalid_token");
    assert!(world.provider.ready().await.is_err());
    store.end();
    assert!(world.provider.ready().await.is_ok());
    assert_eq!(known.call_tool().await.status, 200);
    assert_eq!(unknown.call_tool().await.status, 200);
}
