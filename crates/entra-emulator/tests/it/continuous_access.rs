use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use entra_emulator::builtin::*;
use serde_json::{Value, json};

use crate::graph::get;
use crate::on_behalf_of::{GRAPH_SCOPE, assertion, exchange};
use crate::world::{Answer, Browser, NOW, REDIRECT, World, callback, own, peek};

const CP1: &str = r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#;

fn token(body: &Value) -> &str {
    body["access_token"].as_str().unwrap()
}

async fn for_graph(world: &World, assertion: &str, claims: &str) -> Answer {
    exchange(world, assertion, &[("claims", claims)]).await
}

/// The challenge of Graph's refusal, decoded.
fn challenge(answer: &Answer) -> String {
    assert_eq!(answer.status, 401, "{}", answer.text);
    let header = answer.headers["www-authenticate"].to_str().unwrap();
    assert!(header.starts_with("Bearer realm=\"\", authorization_uri=\""));
    assert!(header.contains("error=\"insufficient_claims\""), "{header}");
    let (_, claims) = header.split_once("claims=\"").unwrap();
    let bytes = STANDARD.decode(claims.trim_end_matches('"')).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_client_that_can_be_challenged_gets_graph_tokens_for_a_day() {
    let world = World::new();
    let good = assertion(&world, ALICE).await;
    for claims in [CP1, r#"{"access_token":{"xms_cc":{"values":["CP1"]}}}"#] {
        let body = for_graph(&world, &good, claims).await.ok();
        let lifetime = body["expires_in"].as_u64().unwrap();
        assert!((72_000..=100_800).contains(&lifetime), "{lifetime}");
        assert_eq!(body["refresh_in"], lifetime / 2);
        let (_, claims) = peek(token(&body));
        assert_eq!(claims["exp"], NOW + lifetime);
        let named = claims["xms_cc"][0].as_str().unwrap();
        assert!(named.eq_ignore_ascii_case("cp1"));
    }
    let plain = exchange(&world, &good, &[]).await.ok();
    assert!(plain["expires_in"].as_u64().unwrap() <= 5400);
    assert!(plain.get("refresh_in").is_none());
    assert!(peek(token(&plain)).1.get("xms_cc").is_none());
    // Other resources do not evaluate.
    let scope = format!("{DOWNSTREAM_IDENTIFIER_URI}/data.read");
    let other = [("scope", scope.as_str()), ("claims", CP1)];
    let body = exchange(&world, &good, &other).await.ok();
    assert!(body["expires_in"].as_u64().unwrap() <= 5400);
}

#[tokio::test]
async fn ended_sessions_end_graph_tokens_of_clients_that_can_be_challenged() {
    let world = World::new();
    let good = assertion(&world, ALICE).await;
    let evaluated = for_graph(&world, &good, CP1).await.ok();
    let plain = exchange(&world, &good, &[]).await.ok();
    let bobs = assertion(&world, BOB).await;
    let bobs = for_graph(&world, &bobs, CP1).await.ok();
    world.control.advance(Duration::from_secs(60));
    world.control.revoke_sessions(ALICE);

    let refused = get(&world, "me", token(&evaluated)).await;
    assert_eq!(
        refused.json()["error"]["code"],
        "InvalidAuthenticationToken"
    );
    let wanted = json!({"access_token": {
        "nbf": {"essential": true, "value": (NOW + 60).to_string()},
    }});
    let claims: Value = serde_json::from_str(&challenge(&refused)).unwrap();
    assert_eq!(claims, wanted);

    get(&world, "me", token(&bobs)).await.ok();
    get(&world, "me", token(&plain)).await.ok();
    world.control.advance(Duration::from_secs(5400));
    let refused = get(&world, "me", token(&plain)).await;
    assert_eq!(refused.status, 401);
    let header = refused.headers["www-authenticate"].to_str().unwrap();
    assert!(!header.contains("claims="), "{header}");
}

#[tokio::test]
async fn only_a_newer_sign_in_answers_the_challenge() {
    let world = World::new();
    let scope = format!("{} offline_access", own("mcp.read"));
    let query = [
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", scope.as_str()),
    ];
    let mut browser = Browser::default();
    let page = browser.authorize(&world, TENANT_ID, &query).await;
    let end = browser.sign_in(&world, page, ALICE).await;
    let old = redeem(&world, &end).await;
    let with_refresh = format!("{GRAPH_SCOPE} offline_access");
    let change = [("claims", CP1), ("scope", with_refresh.as_str())];
    let downstream = exchange(&world, token(&old), &change).await.ok();
    world.control.revoke_sessions(ALICE);
    let claims = challenge(&get(&world, "me", token(&downstream)).await);

    for (grant, answer) in [
        ("exchange", for_graph(&world, token(&old), &claims).await),
        ("exchange, cp1", for_graph(&world, token(&old), CP1).await),
        ("refresh", refresh(&world, &old, &scope, &claims).await),
        (
            "refresh of the exchange",
            refresh(&world, &downstream, GRAPH_SCOPE, &claims).await,
        ),
    ] {
        assert_eq!(
            answer.failure(),
            (400, "invalid_grant".to_owned(), 50_173),
            "{grant}"
        );
        assert_eq!(answer.json()["claims"], claims.as_str(), "{grant}");
    }
    // Who does not say to understand challenges is told without one.
    let plain = exchange(&world, token(&old), &[]).await;
    assert_eq!(plain.failure().2, 50_173);
    assert!(plain.json().get("claims").is_none());

    // The browser's session ended too.
    let challenged = [query.as_slice(), &[("claims", claims.as_str())]].concat();
    let page = browser.authorize(&world, TENANT_ID, &challenged).await;
    assert!(page.text.contains("name=\"password\""), "{}", page.text);
    let end = browser.sign_in(&world, page, ALICE).await;
    let new = redeem(&world, &end).await;
    let body = for_graph(&world, token(&new), CP1).await.ok();
    get(&world, "me", token(&body)).await.ok();
    refresh(&world, &new, &scope, &claims).await.ok();
}

async fn redeem(world: &World, end: &Answer) -> Value {
    let code = callback(end)["code"].clone();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT),
    ];
    world.mcp_token(&form).await.ok()
}

async fn refresh(world: &World, body: &Value, scope: &str, claims: &str) -> Answer {
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", body["refresh_token"].as_str().unwrap()),
        ("scope", scope),
        ("claims", claims),
    ];
    world.mcp_token(&form).await
}

#[tokio::test]
async fn revoked_refresh_tokens_alone_do_not_end_anything_at_graph() {
    let world = World::new();
    let good = assertion(&world, ALICE).await;
    let body = for_graph(&world, &good, CP1).await.ok();
    world.control.revoke_refresh_tokens(ALICE);
    get(&world, "me", token(&body)).await.ok();
    for_graph(&world, &good, CP1).await.ok();
}

#[tokio::test]
async fn ordinary_answers_say_when_to_ask_again_on_demand() {
    let world = World::new();
    world.control.set_refresh_in(Duration::from_secs(1200));
    let body = world.tokens(ALICE, &own("mcp.read")).await;
    assert_eq!(body["refresh_in"], 1200);
    assert!(body["expires_in"].as_u64().unwrap() >= 3600);
    world.control.set_refresh_in(None);
    let body = world.tokens(ALICE, &own("mcp.read")).await;
    assert!(body.get("refresh_in").is_none());
}
