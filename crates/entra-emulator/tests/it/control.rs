use std::time::Duration;

use axum::body::Body;
use entra_emulator::builtin::*;
use entra_emulator::{Endpoint, Failure, GrantType};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{World, own, peek};

const KEYS: &str = "/contoso.onmicrosoft.com/discovery/v2.0/keys";

#[tokio::test]
async fn keys_rotate_and_retire() {
    let world = World::new();
    let published = || async {
        let body = world.get(KEYS).await.ok();
        let keys = body["keys"].as_array().unwrap().clone();
        keys.iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let before = published().await;
    let old = world.control.keys()[0].clone();
    let new = world.control.rotate_keys();
    assert!(!before.contains(&new) && published().await.contains(&new));
    let tokens = world.tokens(ALICE, &own("mcp.read")).await;
    let token = tokens["access_token"].as_str().unwrap();
    assert_eq!(peek(token).0["kid"], new);
    assert!(world.control.retire_key(&old));
    assert!(!published().await.contains(&old));
}

#[tokio::test]
async fn failures_come_in_order_and_end() {
    let world = World::new();
    let control = &world.control;
    control.fail_next(Endpoint::Keys, 2, Failure::Status(503));
    control.throttle_next(Endpoint::Keys, 1, 7);
    control.fail_next(Endpoint::Keys, 1, Failure::Garbage);
    for _ in 0..2 {
        assert_eq!(world.get(KEYS).await.status, 503);
    }
    let throttled = world.get(KEYS).await;
    assert_eq!(throttled.status, 429);
    assert_eq!(throttled.headers["retry-after"], "7");
    assert_eq!(throttled.text, "Too Many Requests");
    assert!(world.get(KEYS).await.text.starts_with("<html>"));
    world.get(KEYS).await.ok();
    assert_eq!(control.calls(Endpoint::Keys), 5);
    control.reset_calls();
    assert_eq!(control.calls(Endpoint::Keys), 0);
}

#[tokio::test]
async fn one_grant_type_can_fail_alone_with_any_error() {
    let world = World::new();
    let failure = Failure::Error {
        aadsts: 53_003,
        error: "invalid_grant".to_owned(),
        suberror: Some("message_only".to_owned()),
        claims: Some("{}".to_owned()),
    };
    let refresh = Endpoint::TokenGrant(GrantType::RefreshToken);
    world.control.fail_next(refresh, 1, failure);
    let scope = format!("{} offline_access", own("mcp.read"));
    let tokens = world.tokens(ALICE, &scope).await;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
        ("scope", &scope),
    ];
    let answer = world.mcp_token(&form).await;
    assert_eq!(answer.failure(), (400, "invalid_grant".to_owned(), 53_003));
    assert_eq!(answer.json()["suberror"], "message_only");
    assert_eq!(answer.json()["claims"], "{}");
    world.mcp_token(&form).await.ok();
    assert_eq!(world.control.calls(refresh), 2);
    assert_eq!(
        world
            .control
            .calls(Endpoint::TokenGrant(GrantType::AuthorizationCode)),
        1
    );
    assert_eq!(world.control.calls(Endpoint::Token), 3);
    assert_eq!(world.control.calls(Endpoint::Authorize), 1);
}

#[tokio::test]
async fn a_dropped_answer_has_no_body_in_process() {
    let world = World::new();
    world
        .control
        .fail_next(Endpoint::Discovery, 1, Failure::Drop);
    let path = "/common/v2.0/.well-known/openid-configuration";
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = world.router.clone().oneshot(request).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
    world.get(path).await.ok();
}

#[tokio::test(start_paused = true)]
async fn answers_can_be_delayed() {
    let world = World::new();
    world
        .control
        .delay_next(Endpoint::Keys, 1, Duration::from_secs(30));
    let before = tokio::time::Instant::now();
    world.get(KEYS).await.ok();
    assert_eq!(before.elapsed(), Duration::from_secs(30));
    world.get(KEYS).await.ok();
    assert_eq!(before.elapsed(), Duration::from_secs(30));
}

#[tokio::test]
async fn what_was_sent_is_kept() {
    let world = World::new();
    assert_eq!(world.control.last_authorize_query(), None);
    let scope = own("mcp.read");
    world.tokens(ALICE, &scope).await;
    let query = world.control.last_authorize_query().unwrap();
    assert!(query.contains(&("scope".to_owned(), scope)));
    let form = world.control.last_token_form().unwrap();
    assert!(form.contains(&("client_secret".to_owned(), CLIENT_SECRET.to_owned())));
}

#[tokio::test]
async fn the_last_hundred_token_requests_are_kept_in_order() {
    let world = World::new();
    assert!(world.control.token_forms().is_empty());
    for n in 0..101 {
        let code = n.to_string();
        let form = [("grant_type", "authorization_code"), ("code", &code)];
        world.mcp_token(&form).await.failure();
    }
    let forms = world.control.token_forms();
    let code = |form: &Vec<(String, String)>| form.last().unwrap().1.clone();
    assert_eq!(forms.len(), 100);
    assert_eq!(code(&forms[0]), "1");
    assert_eq!(code(&forms[99]), "100");
    assert_eq!(world.control.last_token_form().as_ref(), forms.last());
}

async fn order(world: &World, action: &str, body: &Value) -> crate::world::Answer {
    let request = Request::post(format!("/control/{action}"))
        .body(Body::from(body.to_string()))
        .unwrap();
    world.send(request).await
}

#[tokio::test]
async fn everything_is_there_over_http_too() {
    let world = World::new();
    let seen = world.control.keys().len();
    for (action, body) in [
        ("rotate-keys", json!({})),
        ("advance", json!({"seconds": 60})),
        ("set-token-lifetime", json!({"seconds": 90})),
        (
            "fail-next",
            json!({"endpoint": "keys", "calls": 1, "failure": {"status": 500}}),
        ),
        (
            "fail-next",
            json!({"endpoint": {"token_grant": "refresh_token"}, "calls": 1, "failure": {"error": {"aadsts": 50173, "error": "invalid_grant"}}}),
        ),
        (
            "fail-next",
            json!({"endpoint": "graph", "calls": 1, "failure": "drop"}),
        ),
        (
            "delay-next",
            json!({"endpoint": "token", "calls": 1, "milliseconds": 1}),
        ),
        (
            "throttle-next",
            json!({"endpoint": "token", "calls": 1, "retry_after": 1}),
        ),
        ("disable-user", json!({"user": ALICE})),
        ("enable-user", json!({"user": ALICE})),
        ("revoke-refresh-tokens", json!({"user": ALICE})),
        ("revoke-sessions", json!({"user": ALICE})),
        ("set-refresh-in", json!({"seconds": null})),
        (
            "demand-mfa-at-obo",
            json!({"user": ALICE, "demanded": true}),
        ),
        (
            "refuse-obo",
            json!({"user": ALICE, "refusal": "device_not_compliant"}),
        ),
        ("refuse-refresh", json!({"user": ALICE, "refusal": null})),
        ("revoke-consent", json!({"client_id": CLIENT_ID})),
        (
            "revoke-consent",
            json!({"client_id": CLIENT_ID, "resource": GRAPH_APP_ID}),
        ),
        (
            "mint-workload-token",
            json!({"subject": WORKLOAD_SUBJECT, "audience": TOKEN_EXCHANGE_AUDIENCE, "seconds": 60}),
        ),
        ("sign-everybody-out", json!({})),
        ("last-authorize-query", json!({})),
        ("last-token-form", json!({})),
        ("token-forms", json!({})),
    ] {
        order(&world, action, &body).await.ok();
    }
    assert_eq!(world.control.keys().len(), seen + 1);
    assert_eq!(world.get(KEYS).await.status, 500);
    let calls = order(&world, "calls", &json!({"endpoint": "keys"}))
        .await
        .ok();
    assert_eq!(calls, json!({"calls": 1}));
    order(&world, "reset-calls", &json!({})).await.ok();
    let now = world.get("/control/now").await.ok();
    assert_eq!(now["now"], crate::world::NOW + 60);
    let kid = world.get("/control/keys").await.ok()["kids"][1].clone();
    let retired = order(&world, "retire-key", &json!({"kid": kid})).await.ok();
    assert_eq!(retired, json!({"retired": true}));
    for (action, body) in [
        ("nonsense", json!({})),
        ("advance", json!({})),
        ("advance", json!({"seconds": 1, "x": 1})),
    ] {
        assert_eq!(order(&world, action, &body).await.status, 400, "{action}");
    }
}
