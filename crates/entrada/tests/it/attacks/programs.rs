//! Clients that nobody signs in with: those that act for themselves, and those another issuer vouches to.

use entrada::authorization_server::PreregisteredClient;
use entrada::jwt::jwks::Algorithm;
use entrada::jwt::sign::SigningKey;
use entrada::policy::Requirement;
use http::Method;
use serde_json::{Value, json};

use crate::client_credentials::{SECRET, ask, client, with_jobs};
use crate::identity_assertion::{GRANT_TYPE, IDP, Idp, TYPE, trusting};
use crate::mcp_server::{DOWNSTREAM, claims_of};
use crate::world::{BASE_URL, CALLBACK, RESOURCE, World};

#[tokio::test]
async fn who_registers_acts_for_nobody_but_its_users() {
    let idp = Idp::with(|config| trusting(with_jobs(config))).await;
    let metadata = json!({
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "client_credentials", GRANT_TYPE],
        "token_endpoint_auth_method": "client_secret_basic",
    });
    let evil = idp.world.client_with(&metadata).await;
    let registered = idp.world.register(&metadata).await.ok();
    assert_eq!(registered["grant_types"], json!(["authorization_code"]));
    let claims = idp.claims(&json!({ "client_id": evil.id }));
    let assertion = idp.key.sign(TYPE, &claims).unwrap();
    for form in [
        vec![("grant_type", "client_credentials")],
        vec![("grant_type", GRANT_TYPE), ("assertion", &*assertion)],
    ] {
        let named = [&form[..], &[("client_id", &*evil.id)]].concat();
        let refused = evil.token(&named).await;
        refused.assert_refused(400, "unauthorized_client");
        // Nor do those the operator knows, unless it let them.
        let named = [&form[..], &[("client_id", "jobs")]].concat();
        let refused = evil.token(&named).await;
        refused.assert_refused(401, "invalid_client");
    }
}

#[tokio::test]
async fn a_program_gets_no_more_than_it_was_given() {
    let world = World::with(with_jobs).await;
    let tokens = ask(&world, &[("scope", "mcp.read mcp.write")]).await.ok();
    assert_eq!(tokens["scope"], "mcp.read");
    let claims = claims_of(tokens["access_token"].as_str().unwrap());
    assert_eq!(claims["scope"], "mcp.read");
    for scope in ["mcp.write", "openid"] {
        let answer = ask(&world, &[("scope", scope)]).await;
        let wide = answer.json["scope"].as_str().unwrap_or_default();
        assert!(!wide.contains("mcp.write"), "{}", answer.json);
    }
}

#[tokio::test]
async fn a_program_does_not_pass_for_a_user() {
    let world = World::with(|config| with_jobs(config).requirement(Requirement::user())).await;
    let tokens = ask(&world, &[]).await.ok();
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let headers = [("authorization", &*bearer)];
    let refused = client(&world).call(Method::POST, &headers).await;
    assert_eq!(refused.status, 403, "{}", refused.json);
    let open = world.replica_with(with_jobs);
    let scope = (DOWNSTREAM, "https://graph.microsoft.com/User.Read");
    let headers = [("authorization", &*bearer), scope];
    let refused = client(&open).call(Method::POST, &headers).await;
    assert_eq!(refused.status, 403, "{}", refused.json);
}

#[tokio::test]
async fn an_assertion_is_of_use_to_its_client_here_alone() {
    let idp = Idp::new().await;
    for (changes, error) in [
        (json!({ "client_id": "jobs" }), "invalid_grant"),
        (json!({ "aud": "https://other.example" }), "invalid_grant"),
        (
            json!({ "aud": [BASE_URL, "https://other.example"] }),
            "invalid_grant",
        ),
        (
            json!({ "resource": "https://mcp.example.com/other" }),
            "invalid_grant",
        ),
        (
            json!({ "resource": [RESOURCE, "https://other.example/mcp"] }),
            "invalid_grant",
        ),
        (json!({ "cnf": { "jkt": "x" } }), "invalid_grant"),
        (json!({ "exp": 1 }), "invalid_grant"),
    ] {
        let refused = idp.ask(&changes, &[]).await;
        refused.assert_refused(400, error);
    }
    // Who holds it must be the client, and not say so alone.
    let assertion = idp.key.sign(TYPE, &idp.claims(&json!({}))).unwrap();
    let form = [
        ("grant_type", GRANT_TYPE),
        ("client_id", "agents"),
        ("assertion", &*assertion),
    ];
    let refused = idp.client().token(&form).await;
    refused.assert_refused(401, "invalid_client");
    idp.present(&assertion, &[]).await.ok();
}

#[tokio::test]
async fn an_assertion_counts_once() {
    let idp = Idp::new().await;
    let assertion = idp.key.sign(TYPE, &idp.claims(&json!({}))).unwrap();
    idp.present(&assertion, &[]).await.ok();
    let again = idp.present(&assertion, &[]).await;
    again.assert_refused(400, "invalid_grant");
    // Nor at another replica, nor as another assertion of the same name.
    let replica = idp.world.replica_with(trusting);
    let elsewhere = idp.client().at(&replica);
    let form = [
        ("grant_type", GRANT_TYPE),
        ("client_id", "agents"),
        ("client_secret", SECRET),
        ("assertion", &*assertion),
    ];
    elsewhere
        .token(&form)
        .await
        .assert_refused(400, "invalid_grant");
    let renamed = idp.ask(&json!({ "sub": "user-2" }), &[]).await;
    renamed.assert_refused(400, "invalid_grant");
}

#[tokio::test]
async fn an_assertion_of_a_stranger_is_refused() {
    let idp = Idp::new().await;
    let stranger = SigningKey::generate(Algorithm::Es256).unwrap();
    for changes in [
        json!({}),
        json!({ "iss": "https://evil.example" }),
        json!({ "iss": format!("{IDP}/") }),
        json!({ "iss": BASE_URL }),
        json!({ "iss": null }),
    ] {
        let assertion = stranger.sign(TYPE, &idp.claims(&changes)).unwrap();
        let refused = idp.present(&assertion, &[]).await;
        refused.assert_refused(400, "invalid_grant");
    }
    for assertion in ["", "a.b.c", "e30.e30.", "eyJhbGciOiJub25lIn0.e30."] {
        let refused = idp.present(assertion, &[]).await;
        assert!(refused.status.is_client_error(), "{assertion}");
    }
}

#[tokio::test]
async fn an_assertion_is_no_other_kind_of_token() {
    let idp = Idp::new().await;
    for typ in ["JWT", "at+jwt", "client-authentication+jwt", "dpop+jwt"] {
        let token = idp.key.sign(typ, &idp.claims(&json!({}))).unwrap();
        let refused = idp.present(&token, &[]).await;
        refused.assert_refused(400, "invalid_grant");
    }
    let assertion = idp.key.sign(TYPE, &idp.claims(&json!({}))).unwrap();
    let refused = idp.client().call_with(&assertion).await;
    refused.assert_unauthorized("invalid_token");
    let session = idp.world.log_in("alice").await;
    let refused = idp.present(&session.access_token, &[]).await;
    refused.assert_refused(400, "invalid_grant");
}

#[tokio::test]
async fn an_asserted_user_passes_for_no_other() {
    let idp = Idp::new().await;
    let alice = idp.world.log_in("alice").await;
    let hers = alice.call_tool().await.ok();
    let claims = json!({
        "sub": alice.claims()["sub"],
        "oid": hers["oid"],
        "tid": hers["tid"],
        "roles": ["Admin"],
        "name": "Alice",
        "tenant": hers["tid"],
    });
    let tokens = idp.ask(&claims, &[]).await.ok();
    let token = tokens["access_token"].as_str().unwrap();
    assert_ne!(claims_of(token)["sub"], alice.claims()["sub"]);
    let seen = idp.client().call_with(token).await.ok();
    assert_eq!(seen["oid"], Value::Null);
    assert_eq!(seen["tid"], "");
    assert_eq!(seen["roles"], json!([]));
    // Issuer, tenant and name cannot be shifted into each other.
    let subject = async |changes: Value| {
        let tokens = idp.ask(&changes, &[]).await.ok();
        claims_of(tokens["access_token"].as_str().unwrap())["sub"].clone()
    };
    let one = subject(json!({ "jti": "2", "tenant": "a", "sub": "b\u{0}c" })).await;
    let other = subject(json!({ "jti": "3", "tenant": "a\u{0}b", "sub": "c" })).await;
    assert_ne!(one, other);
}

#[tokio::test]
async fn a_program_loses_what_its_operator_takes_from_it() {
    let idp = Idp::with(|config| trusting(with_jobs(config))).await;
    let tokens = ask(&idp.world, &[]).await.ok();
    let its = tokens["access_token"].as_str().unwrap();
    let seen = client(&idp.world).call_with(its).await.ok();
    assert_eq!(seen["roles"], json!(["Jobs.Run"]));
    let tokens = idp.ask(&json!({}), &[]).await.ok();
    let asserted = tokens["access_token"].as_str().unwrap();
    // The server starts anew, and gives less.
    let less = PreregisteredClient::program("jobs").client_credentials(["mcp.read"]);
    let less = idp
        .world
        .replica_with(|config| config.client(less.secret(SECRET)));
    let seen = client(&less).call_with(its).await.ok();
    assert_eq!(seen["roles"], json!([]));
    let none = idp.world.replica();
    for (replica, token) in [(&less, asserted), (&none, its), (&none, asserted)] {
        let refused = client(replica).call_with(token).await;
        refused.assert_unauthorized("invalid_token");
    }
}

#[tokio::test]
async fn an_assertion_that_names_no_scope_gives_no_more_than_is_required() {
    let idp = Idp::new().await;
    let mut claims = idp.claims(&json!({}));
    claims.as_object_mut().unwrap().remove("scope");
    let assertion = idp.key.sign(TYPE, &claims).unwrap();
    let asked = [("scope", "mcp.read mcp.write")];
    let tokens = idp.present(&assertion, &asked).await.ok();
    assert_eq!(tokens["scope"], "mcp.read");
}
