//! Tokens and sessions at the guard.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entrada::jwt::jwks::Algorithm;
use entrada::platform::SystemRandom;
use http::Method;
use serde_json::{Value, json};

use super::forger::{Forger, claims_of, signing_input};
use super::{evil_client, overhear};
use crate::client::{Answer, Session};
use crate::world::{RESOURCE, SECOND, World};

/// A call with this token instead of the session's.
async fn call_with(session: &Session, token: &str) -> Answer {
    session.client.call_with(token).await
}

async fn assert_refused(session: &Session, token: &str) {
    call_with(session, token)
        .await
        .assert_unauthorized("invalid_token");
}

#[tokio::test]
async fn entra_token_is_not_taken_for_ours() {
    let world = World::new().await;
    let heard = overhear(&world);
    let session = world.log_in("alice").await;
    let entra = heard.lock().unwrap().pop().unwrap();
    for name in ["access_token", "id_token", "refresh_token"] {
        assert_refused(&session, entra[name].as_str().unwrap()).await;
    }
    // Nor is a refresh token of ours an access token.
    assert_refused(&session, &session.refresh_token).await;
}

#[tokio::test]
async fn no_token_is_passed_through() {
    let world = World::new().await;
    let heard = overhear(&world);
    let session = world.log_in("alice").await;
    let refreshed = session.refreshed().await;
    let bearer = format!("Bearer {}", session.access_token);
    let headers = [("authorization", &*bearer), ("dpop", "proof")];
    let seen = session.client.call(Method::POST, &headers).await.ok();
    let names: Vec<String> = serde_json::from_value(seen["headers"].clone()).unwrap();
    assert!(
        !names
            .iter()
            .any(|name| name == "authorization" || name == "dpop")
    );
    let ours = format!("{}{}{seen}", session.tokens, refreshed.tokens);
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 2);
    for entra in &*heard {
        for name in ["access_token", "id_token", "refresh_token"] {
            assert!(!ours.contains(entra[name].as_str().unwrap()), "{name}");
        }
    }
}

#[tokio::test]
async fn token_does_not_choose_its_algorithm() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let insider = Forger::insider(&world).await;
    let claims = claims_of(&session, &json!({}));
    call_with(
        &session,
        &insider.sign(&insider.header(&json!({})), &claims),
    )
    .await
    .ok();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let input = signing_input(&insider.header(&json!({"alg": alg})), &claims);
        let signed = insider.sign(&insider.header(&json!({"alg": alg})), &claims);
        for token in [format!("{input}."), input, signed] {
            assert_refused(&session, &token).await;
        }
    }
    // The signature is right, the name of the algorithm is another's.
    for alg in [
        "RS256", "EdDSA", "ES384", "ES512", "ES256K", "es256", "HS256", "PS256",
    ] {
        let header = insider.header(&json!({"alg": alg}));
        assert_refused(&session, &insider.sign(&header, &claims)).await;
    }
    let (jwk, point) = insider.public();
    let x = URL_SAFE_NO_PAD.decode(jwk["x"].as_str().unwrap()).unwrap();
    for secret in [&point, &x, &jwk.to_string().into_bytes(), &Vec::new()] {
        for (alg, kind) in [("HS256", hmac::HMAC_SHA256), ("HS512", hmac::HMAC_SHA512)] {
            let input = signing_input(&insider.header(&json!({"alg": alg})), &claims);
            let tag = hmac::sign(&hmac::Key::new(kind, secret), input.as_bytes());
            let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag));
            assert_refused(&session, &token).await;
        }
    }
}

#[tokio::test]
async fn token_does_not_bring_its_own_key() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let claims = claims_of(&session, &json!({}));
    let (insider, stranger) = (
        Forger::insider(&world).await,
        Forger::stranger(&world).await,
    );
    let (jwk, _) = stranger.public();
    for changes in [
        json!({}),
        json!({"jwk": jwk}),
        json!({"jku": "https://evil.example/jwks.json"}),
        json!({"x5u": "https://evil.example/cert.pem"}),
        json!({"x5c": ["MIIB"]}),
        json!({"kid": null}),
        json!({"kid": null, "jwk": jwk}),
        json!({"kid": "unknown"}),
        json!({"kid": ""}),
        json!({"kid": "../../../../dev/null"}),
        json!({"kid": "' or '1'='1"}),
    ] {
        let token = stranger.sign(&stranger.header(&changes), &claims);
        assert_refused(&session, &token).await;
    }
    // What must be understood is refused where it is not, whoever signed.
    for crit in [json!(["b64"]), json!(["exp"]), json!([]), json!("x")] {
        let header = insider.header(&json!({"crit": crit, "b64": false}));
        assert_refused(&session, &insider.sign(&header, &claims)).await;
    }
    for kid in [Value::Null, json!("unknown"), json!(7)] {
        let header = insider.header(&json!({"kid": kid}));
        assert_refused(&session, &insider.sign(&header, &claims)).await;
    }
}

#[tokio::test]
async fn token_of_a_withdrawn_key_is_refused() {
    // A key leaked: what it signed is over, what was already believed included.
    let world = World::new().await;
    let random = SystemRandom::default();
    let begun = world.keys.current();
    let next = begun.rotated(Algorithm::Es256, &random, world.now());
    world.advance(26 * 3600 * SECOND);
    let (believed, unseen) = (world.log_in("alice").await, world.log_in("alice").await);
    believed.call_tool().await.ok();
    // The rotation a day ago has left the first key behind by now.
    let without = next
        .unwrap()
        .rotated(Algorithm::Es256, &random, world.now());
    world.keys.replace(without.unwrap());
    world.advance(11 * SECOND);
    assert_refused(&unseen, &unseen.access_token).await;
    assert_refused(&believed, &believed.access_token).await;
    world.log_in("alice").await.call_tool().await.ok();
}

#[tokio::test]
async fn id_token_is_no_access_token() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let insider = Forger::insider(&world).await;
    let claims = claims_of(&session, &json!({}));
    for typ in [
        Value::Null,
        json!("JWT"),
        json!("id_token+jwt"),
        json!("oauth-id-jag+jwt"),
        json!("client-authentication+jwt"),
        json!("logout+jwt"),
        json!("dpop+jwt"),
        json!("at+jwt "),
        json!("xat+jwt"),
        json!(""),
    ] {
        let header = insider.header(&json!({"typ": typ}));
        assert_refused(&session, &insider.sign(&header, &claims)).await;
    }
}

#[tokio::test]
async fn token_for_another_server_is_refused() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let insider = Forger::insider(&world).await;
    for changes in [
        json!({"aud": "https://other.example/mcp"}),
        json!({"aud": ["https://other.example/mcp"]}),
        json!({"aud": []}),
        json!({"aud": null}),
        json!({"aud": ""}),
        json!({"aud": "https://mcp.example.com/mcp/"}),
        json!({"aud": "https://mcp.example.com"}),
        json!({"aud": "https://mcp.example.com/mcp2"}),
        json!({"iss": "https://evil.example"}),
        json!({"iss": "https://mcp.example.com/"}),
        json!({"iss": "https://MCP.example.com"}),
        json!({"iss": null}),
        json!({"iss": ["https://mcp.example.com"]}),
    ] {
        let claims = claims_of(&session, &changes);
        let token = insider.sign(&insider.header(&json!({})), &claims);
        assert_refused(&session, &token).await;
    }
}

#[tokio::test]
async fn altered_or_expired_token_is_refused() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let insider = Forger::insider(&world).await;
    let parts: Vec<_> = session.access_token.split('.').collect();
    let swapped = |claims: Value| {
        let claims = URL_SAFE_NO_PAD.encode(claims_of(&session, &claims).to_string());
        format!("{}.{claims}.{}", parts[0], parts[2])
    };
    let cut = &session.access_token[..session.access_token.len() - 4];
    for token in [
        swapped(json!({"scope": "mcp.read mcp.write"})),
        swapped(json!({"exp": u32::MAX})),
        swapped(json!({"sid": "AAAAAAAAAAAAAAAAAAAAAA"})),
        cut.to_owned(),
        format!("{}=", session.access_token),
        format!("{}.", session.access_token),
        format!("{}..{}", parts[0], parts[2]),
    ] {
        assert_refused(&session, &token).await;
    }
    let now = world.now().as_unix();
    for times in [
        json!({"exp": now}),
        json!({"exp": now - 1}),
        json!({"exp": null}),
        json!({"exp": "4000000000"}),
        json!({"exp": -1}),
        json!({"nbf": now + 61}),
        json!({"iat": now + 61}),
    ] {
        let token = insider.sign(&insider.header(&json!({})), &claims_of(&session, &times));
        assert_refused(&session, &token).await;
    }
    // One that was believed is not believed beyond its end.
    session.call_tool().await.ok();
    world.advance(3595 * SECOND);
    session.call_tool().await.ok();
    world.advance(5 * SECOND);
    assert_refused(&session, &session.access_token).await;
}

#[tokio::test]
async fn token_under_the_grant_of_another_client_is_refused() {
    // Even one the server signed itself.
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let insider = Forger::insider(&world).await;
    let other = evil_client(&world).await;
    let claims = claims_of(&session, &json!({"client_id": other.id}));
    let token = insider.sign(&insider.header(&json!({})), &claims);
    assert_refused(&session, &token).await;
}

#[tokio::test]
async fn token_outside_its_header_is_not_read() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let token = &session.access_token;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let in_query = format!("{RESOURCE}?access_token={token}");
    let in_body = format!("access_token={token}");
    for (method, url, body) in [
        (Method::GET, &*in_query, ""),
        (Method::POST, &*in_query, ""),
        (Method::POST, RESOURCE, &*in_body),
    ] {
        let answer = world.ask(method, url, &form, body).await;
        assert_eq!(answer.status, 401);
        assert!(!answer.header("www-authenticate").unwrap().contains("error"));
    }
    let cookie = format!("access_token={token}");
    let basic = format!("Basic {token}");
    for header in [
        ("cookie", &cookie),
        ("authorization", &basic),
        ("x-authorization", token),
    ] {
        let headers = [(header.0, header.1.as_str())];
        assert_eq!(
            session.client.call(Method::POST, &headers).await.status,
            401
        );
    }
}

#[tokio::test]
async fn two_credentials_are_refused() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let bearer = format!("Bearer {}", session.access_token);
    for other in [&*bearer, "Bearer x", "Basic eDp5"] {
        for headers in [
            [("authorization", &*bearer), ("authorization", other)],
            [("authorization", other), ("authorization", &*bearer)],
        ] {
            let answer = session.client.call(Method::POST, &headers).await;
            assert_eq!(answer.status, 400, "{other}");
        }
    }
    let joined = format!("{bearer}, {bearer}");
    let answer = session
        .client
        .call(Method::POST, &[("authorization", &joined)])
        .await;
    answer.assert_unauthorized("invalid_token");
}

#[tokio::test]
async fn missing_scope_is_forbidden() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let insider = Forger::insider(&world).await;
    for scope in ["", "mcp.write", "mcp.rea", "MCP.READ", "mcp.read.all"] {
        let claims = claims_of(&session, &json!({"scope": scope}));
        let token = insider.sign(&insider.header(&json!({})), &claims);
        let answer = call_with(&session, &token).await;
        assert_eq!(answer.status, 403, "{scope}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.contains("error=\"insufficient_scope\""));
        assert!(challenge.contains("scope=\"mcp.read\""));
    }
}

#[tokio::test]
async fn token_gives_no_more_than_its_grant() {
    // Even one the server signed itself: what was not granted is not in it.
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let insider = Forger::insider(&world).await;
    let claims = claims_of(&session, &json!({"scope": "mcp.read mcp.write admin"}));
    let token = insider.sign(&insider.header(&json!({})), &claims);
    let seen = call_with(&session, &token).await.ok();
    assert_eq!(seen["scope"], json!("mcp.read"));
}

#[tokio::test]
async fn foreign_origin_is_refused_even_with_a_token() {
    let world = World::with(|config| config.allowed_origins(["https://inspector.example"])).await;
    let session = world.log_in("alice").await;
    let bearer = format!("Bearer {}", session.access_token);
    let before = session.call_tool().await.ok()["calls"].as_u64().unwrap();
    for origin in [
        "https://evil.example",
        "null",
        "",
        "http://mcp.example.com",
        "https://mcp.example.com:8443",
        "https://mcp.example.com.evil.example",
        "https://evil.example/https://mcp.example.com",
        "https://inspector.example.evil.example",
        "https://xinspector.example",
        "https://mcp.example.com https://evil.example",
        "file://",
        "*",
    ] {
        for method in [Method::POST, Method::GET, Method::OPTIONS, Method::DELETE] {
            let headers = [
                ("authorization", &*bearer),
                ("origin", origin),
                ("access-control-request-method", "POST"),
            ];
            let answer = session.client.call(method, &headers).await;
            assert_eq!(answer.status, 403, "{origin}");
            assert!(answer.header("access-control-allow-origin").is_none());
        }
    }
    let twice = [
        ("authorization", &*bearer),
        ("origin", "https://inspector.example"),
        ("origin", "https://evil.example"),
    ];
    assert_eq!(session.client.call(Method::POST, &twice).await.status, 403);
    let good = [
        ("authorization", &*bearer),
        ("origin", "https://inspector.example"),
    ];
    let answer = session.client.call(Method::POST, &good).await.ok();
    assert_eq!(answer["calls"].as_u64().unwrap(), before + 1);
}

#[tokio::test]
async fn answers_with_cookies_are_never_shared() {
    // No page of another origin may have the browser add cookies and read the answer.
    let world = World::with(|config| config.allowed_origins(["https://inspector.example"])).await;
    for path in [
        "/token",
        "/register",
        "/revoke",
        "/mcp",
        "/authorize",
        "/consent",
        "/auth/callback",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/jwks.json",
    ] {
        for method in [Method::GET, Method::POST, Method::OPTIONS] {
            let headers = [
                ("origin", "https://inspector.example"),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "authorization, cookie"),
            ];
            let answer = world.ask(method, path, &headers, "").await;
            let credentials = answer.header("access-control-allow-credentials");
            assert_eq!(credentials, None, "{path}");
        }
    }
}
