use entra_emulator::GrantRefusal;
use entra_emulator::builtin::*;
use serde_json::Value;

use crate::on_behalf_of::{GRAPH_SCOPE, assertion, exchange};
use crate::world::{Answer, Browser, REDIRECT, World, callback, own};

fn request<'a>(scope: &'a str, extra: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut query = vec![
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", scope),
    ];
    query.extend_from_slice(extra);
    query
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

fn token(body: &Value) -> String {
    body["access_token"].as_str().unwrap().to_owned()
}

async fn challenge(world: &World) -> String {
    let weak = assertion(world, ALICE).await;
    let body = exchange(world, &weak, &[]).await.json();
    body["claims"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_challenge_interrupts_a_browser_that_is_signed_in_already() {
    let world = World::new();
    world.control.refuse_obo(ALICE, GrantRefusal::MfaRequired);
    let claims = challenge(&world).await;
    let scope = format!("{} offline_access", own("mcp.read"));
    let mut browser = Browser::default();
    let plain = request(&scope, &[]);
    let page = browser.authorize(&world, TENANT_ID, &plain).await;
    let end = browser.sign_in(&world, page, ALICE).await;
    let weak = redeem(&world, &end).await;
    // The session alone is enough for an ordinary request, and its token is not for the exchange.
    let end = browser.authorize(&world, TENANT_ID, &plain).await;
    let silent = token(&redeem(&world, &end).await);
    assert_eq!(exchange(&world, &silent, &[]).await.failure().2, 50_076);

    let challenged = request(&scope, &[("claims", &claims)]);
    let page = browser.authorize(&world, TENANT_ID, &challenged).await;
    assert!(page.text.contains("name=\"otc\""), "{}", page.text);
    let end = browser.submit(&world, &page, &[("otc", MFA_CODE)]).await;
    let strong = redeem(&world, &end).await;
    exchange(&world, &token(&strong), &[]).await.ok();

    // What is refreshed is as strong as its sign-in.
    for (login, wanted) in [(&strong, None), (&weak, Some(50_076))] {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", login["refresh_token"].as_str().unwrap()),
            ("scope", &scope),
        ];
        let refreshed = token(&world.mcp_token(&form).await.ok());
        let answer = exchange(&world, &refreshed, &[]).await;
        match wanted {
            None => drop(answer.ok()),
            Some(code) => assert_eq!(answer.failure().2, code),
        }
    }
}

#[tokio::test]
async fn a_challenge_is_not_met_silently() {
    let world = World::new();
    world.control.refuse_obo(ALICE, GrantRefusal::MfaRequired);
    let claims = challenge(&world).await;
    let scope = own("mcp.read");
    let mut browser = Browser::default();
    let plain = request(&scope, &[]);
    let page = browser.authorize(&world, TENANT_ID, &plain).await;
    browser.sign_in(&world, page, ALICE).await;
    let silent = request(&scope, &[("claims", &claims), ("prompt", "none")]);
    let back = callback(&browser.authorize(&world, TENANT_ID, &silent).await);
    assert_eq!(back["error"], "interaction_required");
}

type Wanted = (GrantRefusal, &'static str, u64, Option<&'static str>, bool);

const REFUSALS: [Wanted; 8] = [
    (
        GrantRefusal::MfaRequired,
        "invalid_grant",
        50_076,
        Some("basic_action"),
        true,
    ),
    (
        GrantRefusal::MfaEnrolmentRequired,
        "interaction_required",
        50_079,
        Some("basic_action"),
        true,
    ),
    (
        GrantRefusal::DeviceNotCompliant,
        "invalid_grant",
        53_000,
        Some("message_only"),
        true,
    ),
    (
        GrantRefusal::Blocked,
        "invalid_grant",
        53_003,
        Some("message_only"),
        true,
    ),
    (
        GrantRefusal::ConsentRequired,
        "invalid_grant",
        65_001,
        Some("consent_required"),
        false,
    ),
    (GrantRefusal::Revoked, "invalid_grant", 50_173, None, false),
    (
        GrantRefusal::PasswordExpired,
        "invalid_grant",
        50_055,
        Some("user_password_expired"),
        false,
    ),
    (
        GrantRefusal::UserDisabled,
        "invalid_grant",
        50_057,
        None,
        false,
    ),
];

#[track_caller]
fn check(answer: &Answer, (refusal, error, code, suberror, challenged): &Wanted) {
    let failure = (400, (*error).to_owned(), *code);
    assert_eq!(answer.failure(), failure, "{refusal:?}");
    let body = answer.json();
    assert_eq!(body["suberror"].as_str(), *suberror, "{refusal:?}");
    let claims = body["claims"].as_str();
    assert_eq!(claims.is_some(), *challenged, "{refusal:?}");
    if let Some(claims) = claims {
        let claims: Value = serde_json::from_str(claims).unwrap();
        let policies = claims["access_token"].as_object().unwrap();
        assert!(policies.keys().all(|name| name.ends_with("polids")));
    }
}

#[tokio::test]
async fn every_standing_refusal_of_an_exchange_says_what_entra_says() {
    let world = World::new();
    let good = assertion(&world, ALICE).await;
    let bobs = assertion(&world, BOB).await;
    for wanted in &REFUSALS {
        world.control.refuse_obo(ALICE, wanted.0);
        for _ in 0..2 {
            check(&exchange(&world, &good, &[]).await, wanted);
        }
        exchange(&world, &bobs, &[]).await.ok();
    }
    world.control.refuse_obo(ALICE, None);
    exchange(&world, &good, &[]).await.ok();
}

#[tokio::test]
async fn refreshing_is_refused_apart_from_exchanging() {
    let world = World::new();
    let good = assertion(&world, ALICE).await;
    let scope = format!("{GRAPH_SCOPE} offline_access");
    let body = exchange(&world, &good, &[("scope", &scope)]).await.ok();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", body["refresh_token"].as_str().unwrap()),
        ("scope", &scope),
    ];
    for wanted in &REFUSALS {
        world.control.refuse_refresh(ALICE, wanted.0);
        check(&world.mcp_token(&form).await, wanted);
        exchange(&world, &good, &[]).await.ok();
    }
    world.control.refuse_refresh(ALICE, None);
    world.mcp_token(&form).await.ok();
}

#[tokio::test]
async fn a_policy_no_page_can_meet_ends_on_an_error_page_until_it_is_lifted() {
    for (refusal, label) in [
        (GrantRefusal::DeviceNotCompliant, "AADSTS53000"),
        (GrantRefusal::Blocked, "AADSTS53003"),
    ] {
        let world = World::new();
        world.control.refuse_obo(ALICE, refusal);
        let claims = challenge(&world).await;
        let scope = own("mcp.read");
        let query = request(&scope, &[("claims", &claims)]);
        let mut browser = Browser::default();
        let page = browser.authorize(&world, TENANT_ID, &query).await;
        let page = browser.sign_in(&world, page, ALICE).await;
        assert!(page.text.contains(label), "{}", page.text);
        let silent = request(&scope, &[("claims", &claims), ("prompt", "none")]);
        let back = callback(&browser.authorize(&world, TENANT_ID, &silent).await);
        assert_eq!(back["error"], "interaction_required");

        world.control.refuse_obo(ALICE, None);
        let end = browser.authorize(&world, TENANT_ID, &query).await;
        let strong = token(&redeem(&world, &end).await);
        exchange(&world, &strong, &[]).await.ok();
    }
}
