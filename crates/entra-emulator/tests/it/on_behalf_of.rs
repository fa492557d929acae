use std::time::Duration;

use entra_emulator::builtin::*;

use crate::world::{Answer, Browser, Pairs, REDIRECT, World, callback, own, peek};

pub(crate) const GRAPH_SCOPE: &str = "https://graph.microsoft.com/User.Read";

pub(crate) async fn assertion(world: &World, user: &str) -> String {
    let tokens = world.tokens(user, &own("mcp.read")).await;
    tokens["access_token"].as_str().unwrap().to_owned()
}

fn form<'a>(assertion: &'a str, change: Pairs<'a>) -> Vec<(&'a str, &'a str)> {
    let mut form = vec![
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("requested_token_use", "on_behalf_of"),
        ("assertion", assertion),
        ("scope", GRAPH_SCOPE),
    ];
    form.retain(|(name, _)| change.iter().all(|(changed, _)| changed != name));
    form.extend_from_slice(change);
    form
}

pub(crate) async fn exchange(world: &World, assertion: &str, change: Pairs<'_>) -> Answer {
    world.token(&form(assertion, change)).await
}

#[tokio::test]
async fn a_users_token_buys_one_for_graph_and_others() {
    let world = World::new();
    let assertion = assertion(&world, ALICE).await;
    let (_, first) = peek(&assertion);
    let body = exchange(&world, &assertion, &[]).await.ok();
    assert_eq!(
        body["scope"],
        "https://graph.microsoft.com/User.Read https://graph.microsoft.com/Mail.Read"
    );
    assert!(body.get("refresh_token").is_none() && body.get("id_token").is_none());
    let (header, claims) = peek(body["access_token"].as_str().unwrap());
    assert!(header["nonce"].is_string());
    assert_eq!(claims["oid"], ALICE_OID);
    assert_eq!(claims["appid"], CLIENT_ID);
    assert_ne!(claims["sub"], first["sub"]);
    assert_eq!(claims["xms_st"]["sub"], first["sub"]);

    let scope = format!("{DOWNSTREAM_IDENTIFIER_URI}/data.read openid offline_access");
    let body = exchange(&world, &assertion, &[("scope", &scope)])
        .await
        .ok();
    assert!(body["refresh_token"].is_string() && body["id_token"].is_string());
    let token = body["access_token"].as_str().unwrap();
    let claims = world.verified(TENANT_ID, token).await.unwrap();
    assert_eq!(claims["aud"], DOWNSTREAM_CLIENT_ID);
    assert_eq!(claims["azp"], CLIENT_ID);
    assert_eq!(claims["scp"], "data.read");
    assert_eq!(claims["acct"], 0);
    assert!(claims.get("xms_st").is_none());

    let default = exchange(
        &world,
        &assertion,
        &[("scope", "https://graph.microsoft.com/.default")],
    )
    .await;
    assert!(
        default.ok()["scope"]
            .as_str()
            .unwrap()
            .ends_with("/.default")
    );
}

#[tokio::test]
async fn the_refresh_token_of_an_exchange_is_the_middle_tiers() {
    let world = World::new();
    let assertion = assertion(&world, ALICE).await;
    let scope = format!("{GRAPH_SCOPE} offline_access");
    let body = exchange(&world, &assertion, &[("scope", &scope)])
        .await
        .ok();
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", body["refresh_token"].as_str().unwrap()),
        ("scope", GRAPH_SCOPE),
    ];
    world.mcp_token(&refresh).await.ok();
}

async fn app_token(world: &World) -> String {
    let form = [
        ("client_id", DAEMON_CLIENT_ID),
        ("client_secret", DAEMON_CLIENT_SECRET),
        ("grant_type", "client_credentials"),
        ("scope", "30000000-0000-4000-8000-000000000001/.default"),
    ];
    let body = world.token(&form).await.ok();
    body["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn only_a_users_access_token_for_this_application_is_an_assertion() {
    let world = World::new();
    let good = assertion(&world, ALICE).await;
    let token = |body: &serde_json::Value, name: &str| body[name].as_str().unwrap().to_owned();
    let graph = exchange(&world, &good, &[]).await.ok();
    let scope = format!("{DOWNSTREAM_IDENTIFIER_URI}/data.read");
    let downstream = exchange(&world, &good, &[("scope", &scope)]).await.ok();
    let signed_in = world
        .tokens(ALICE, &format!("{} openid", own("mcp.read")))
        .await;
    let (message, _) = good.rsplit_once('.').unwrap();
    for (name, assertion, wanted) in [
        (
            "graph token",
            token(&graph, "access_token"),
            (400, "invalid_grant", 50_013),
        ),
        (
            "other audience",
            token(&downstream, "access_token"),
            (400, "invalid_grant", 500_131),
        ),
        (
            "id token",
            token(&signed_in, "id_token"),
            (400, "invalid_grant", 240_002),
        ),
        (
            "app-only",
            app_token(&world).await,
            (400, "invalid_grant", 7_000_114),
        ),
        (
            "forged",
            format!("{message}.AAAA"),
            (400, "invalid_grant", 50_013),
        ),
        (
            "garbage",
            "nonsense".to_owned(),
            (400, "invalid_grant", 50_013),
        ),
        ("none", String::new(), (400, "invalid_request", 900_144)),
    ] {
        let (status, error, code) = exchange(&world, &assertion, &[]).await.failure();
        assert_eq!((status, error.as_str(), code), wanted, "{name}");
    }
}

#[tokio::test]
async fn every_other_way_an_exchange_is_refused() {
    let world = World::new();
    let good = assertion(&world, ALICE).await;
    let unconsented = format!("{UNCONSENTED_IDENTIFIER_URI}/data.read");
    let two = format!("{GRAPH_SCOPE} {DOWNSTREAM_IDENTIFIER_URI}/data.read");
    for (change, wanted) in [
        (
            ("requested_token_use", ""),
            (400, "invalid_request", 900_144),
        ),
        (("client_secret", ""), (401, "invalid_client", 7_000_218)),
        (
            ("client_secret", "wrong"),
            (401, "invalid_client", 7_000_215),
        ),
        (("scope", ""), (400, "invalid_request", 900_144)),
        (("scope", two.as_str()), (400, "invalid_request", 28_000)),
        (("scope", &unconsented), (400, "invalid_grant", 65_001)),
        (
            ("scope", "api://nobody/x"),
            (400, "invalid_resource", 500_011),
        ),
    ] {
        let answer = exchange(&world, &good, &[change]).await;
        let (status, error, code) = answer.failure();
        assert_eq!((status, error.as_str(), code), wanted, "{change:?}");
        if code == 65_001 {
            assert_eq!(answer.json()["suberror"], "consent_required");
        }
    }
    world.control.disable_user(ALICE);
    assert_eq!(exchange(&world, &good, &[]).await.failure().2, 50_057);
}

#[tokio::test]
async fn an_assertion_expires_and_its_key_can_go() {
    let world = World::new();
    world.control.set_token_lifetime(Duration::from_secs(60));
    let assertion = assertion(&world, ALICE).await;
    let kid = world.control.keys()[0].clone();
    world.control.rotate_keys();
    exchange(&world, &assertion, &[]).await.ok();
    world.control.retire_key(&kid);
    assert_eq!(exchange(&world, &assertion, &[]).await.failure().2, 50_013);
    let fresh = self::assertion(&world, ALICE).await;
    world.control.advance(Duration::from_secs(60));
    assert_eq!(exchange(&world, &fresh, &[]).await.failure().2, 500_133);
}

#[tokio::test]
async fn a_demanded_second_factor_is_met_by_signing_in_with_the_claims() {
    let world = World::new();
    world.control.demand_mfa_at_obo(ALICE, true);
    let weak = assertion(&world, ALICE).await;
    let answer = exchange(&world, &weak, &[]).await;
    let (status, error, code) = answer.failure();
    assert_eq!(
        (status, error.as_str(), code),
        (400, "invalid_grant", 50_076)
    );
    let body = answer.json();
    assert_eq!(body["suberror"], "basic_action");
    let claims = body["claims"].as_str().unwrap();

    let scope = own("mcp.read");
    let query = [
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", scope.as_str()),
        ("claims", claims),
    ];
    let mut browser = Browser::default();
    let page = browser.authorize(&world, TENANT_ID, &query).await;
    let page = browser.sign_in(&world, page, ALICE).await;
    let end = browser.submit(&world, &page, &[("otc", MFA_CODE)]).await;
    let code = callback(&end)["code"].clone();
    let redeem = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT),
    ];
    let tokens = world.mcp_token(&redeem).await.ok();
    let strong = tokens["access_token"].as_str().unwrap();
    exchange(&world, strong, &[]).await.ok();
    exchange(&world, &weak, &[]).await.failure();
    world.control.demand_mfa_at_obo(ALICE, false);
    exchange(&world, &weak, &[]).await.ok();
}

#[tokio::test]
async fn a_guests_assertion_is_good_in_its_own_tenant_only() {
    let world = World::new();
    let guest = assertion(&world, DANA_GUEST).await;
    let (_, claims) = peek(&guest);
    assert_eq!(claims["oid"], DANA_GUEST_OID);
    exchange(&world, &guest, &[]).await.ok();

    let world = World::with(|directory| {
        let app = directory.app_mut(CLIENT_ID).unwrap();
        app.sign_in_audience = entra_emulator::directory::app::SignInAudience::AzureADMultipleOrgs;
    });
    let guest = assertion(&world, DANA_GUEST).await;
    for tenant in ["common", FABRIKAM_TENANT_ID] {
        let answer = world.token_at(tenant, &form(&guest, &[])).await;
        assert_eq!(answer.failure().2, 50_013, "{tenant}");
    }
    let alice = assertion(&world, ALICE).await;
    world.token_at("common", &form(&alice, &[])).await.ok();
}

#[tokio::test]
async fn v1_tokens_are_assertions_too_and_some_applications_may_not() {
    let world = World::with(|directory| {
        directory
            .app_mut(CLIENT_ID)
            .unwrap()
            .requested_access_token_version = None;
    });
    let v1 = assertion(&world, ALICE).await;
    assert_eq!(peek(&v1).1["ver"], "1.0");
    exchange(&world, &v1, &[]).await.ok();

    let world = World::with(|directory| {
        directory.app_mut(CLIENT_ID).unwrap().deny_on_behalf_of = true;
    });
    let token = assertion(&world, ALICE).await;
    assert_eq!(exchange(&world, &token, &[]).await.failure().2, 7_000_114);
}
