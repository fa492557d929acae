use std::time::Duration;

use entra_emulator::builtin::*;
use serde_json::Value;

use crate::world::{Browser, CHALLENGE, Pairs, REDIRECT, VERIFIER, World, callback, own, peek};

const DAY: u64 = 24 * 3600;

fn scope() -> String {
    format!("{} openid profile offline_access", own("mcp.read"))
}

fn refresh_token(body: &Value) -> String {
    body["refresh_token"].as_str().unwrap().to_owned()
}

async fn refresh(world: &World, token: &str, scope: &str) -> crate::world::Answer {
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("scope", scope),
    ];
    world.mcp_token(&form).await
}

#[tokio::test]
async fn each_refresh_gives_a_new_token_and_the_old_one_stays_good() {
    let world = World::new();
    let first = refresh_token(&world.tokens(ALICE, &scope()).await);
    let body = refresh(&world, &first, &scope()).await.ok();
    let second = refresh_token(&body);
    assert_ne!(first, second);
    assert!(body["id_token"].is_string());
    assert_eq!(body["scope"], own("mcp.read mcp.write mcp.access"));
    for token in [&first, &second, &first] {
        refresh(&world, token, &scope()).await.ok();
    }
}

#[tokio::test]
async fn a_refresh_token_buys_tokens_for_other_resources() {
    let world = World::new();
    let token = refresh_token(&world.tokens(ALICE, &scope()).await);
    let graph = refresh(&world, &token, "https://graph.microsoft.com/Mail.Read")
        .await
        .ok();
    let (_, claims) = peek(graph["access_token"].as_str().unwrap());
    assert_eq!(claims["aud"], "https://graph.microsoft.com");
    let oidc = refresh(&world, &token, "openid profile").await.ok();
    let (_, claims) = peek(oidc["access_token"].as_str().unwrap());
    assert_eq!(claims["aud"], GRAPH_APP_ID);
}

#[tokio::test]
async fn every_way_a_refresh_token_is_refused() {
    let world = World::new();
    let good = refresh_token(&world.tokens(ALICE, &scope()).await);
    let two = format!("{} https://graph.microsoft.com/User.Read", own("mcp.read"));
    let itself = format!("{IDENTIFIER_URI}/.default");
    for (token, scope, wanted) in [
        (
            "nonsense",
            "openid".to_owned(),
            ("invalid_grant", 9_002_313),
        ),
        (
            "1.Anonsense",
            "openid".to_owned(),
            ("invalid_grant", 70_000),
        ),
        (&good, two, ("invalid_request", 28_000)),
        (&good, itself, ("invalid_request", 90_009)),
        // Without a scope the client would get a token for itself.
        (&good, String::new(), ("invalid_request", 90_009)),
        (&good, own("mcp.admin"), ("invalid_grant", 65_001)),
        (&good, "mcp.read".to_owned(), ("invalid_client", 650_053)),
    ] {
        let (_, error, code) = refresh(&world, token, &scope).await.failure();
        assert_eq!((error.as_str(), code), wanted, "{scope}");
    }
    let guid = format!("{CLIENT_ID}/.default");
    refresh(&world, &good, &guid).await.ok();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", good.as_str()),
        ("resource", "https://mcp.example.com/mcp"),
    ];
    assert_eq!(world.mcp_token(&form).await.failure().2, 9_010_010);
    let form = [
        ("client_id", CLIENT_ID),
        ("grant_type", "refresh_token"),
        ("refresh_token", good.as_str()),
        ("scope", "openid"),
    ];
    assert_eq!(
        world.token(&form).await.failure(),
        (401, "invalid_client".to_owned(), 7_000_218)
    );
}

#[tokio::test]
async fn a_refresh_token_dies_of_ninety_idle_days() {
    let world = World::new();
    let token = refresh_token(&world.tokens(ALICE, &scope()).await);
    world.control.advance(Duration::from_secs(89 * DAY));
    let renewed = refresh_token(&refresh(&world, &token, &scope()).await.ok());
    world.control.advance(Duration::from_secs(2 * DAY));
    assert_eq!(refresh(&world, &token, &scope()).await.failure().2, 700_082);
    refresh(&world, &renewed, &scope()).await.ok();
}

#[tokio::test]
async fn revoking_and_disabling_end_refresh_tokens() {
    let world = World::new();
    let token = refresh_token(&world.tokens(ALICE, &scope()).await);
    world.control.disable_user(ALICE);
    assert_eq!(refresh(&world, &token, &scope()).await.failure().2, 50_057);
    world.control.enable_user(ALICE);
    refresh(&world, &token, &scope()).await.ok();
    world.control.revoke_refresh_tokens(ALICE);
    let (status, error, code) = refresh(&world, &token, &scope()).await.failure();
    assert_eq!(
        (status, error.as_str(), code),
        (400, "invalid_grant", 50_173)
    );
    let fresh = refresh_token(&world.tokens(ALICE, &scope()).await);
    refresh(&world, &fresh, &scope()).await.ok();
    world.control.revoke_consent(CLIENT_ID);
    let answer = refresh(&world, &fresh, &scope()).await;
    assert_eq!(answer.failure().2, 65_001);
    assert_eq!(answer.json()["suberror"], "consent_required");
}

#[tokio::test]
async fn a_guests_refresh_token_works_in_both_tenants() {
    let world = World::new();
    let client: Pairs<'_> = &[
        ("client_id", MULTI_TENANT_CLIENT_ID),
        ("client_secret", MULTI_TENANT_CLIENT_SECRET),
    ];
    let scope = format!("api://{MULTI_TENANT_CLIENT_ID}/mcp.read openid profile offline_access");
    let mut token = String::new();
    for tenant in [FABRIKAM_TENANT_ID, TENANT_ID] {
        let query = [
            ("client_id", MULTI_TENANT_CLIENT_ID),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("scope", &scope),
        ];
        let mut browser = Browser::default();
        let page = browser.authorize(&world, tenant, &query).await;
        let page = browser.sign_in(&world, page, DANA_GUEST).await;
        let end = browser.submit(&world, &page, &[("answer", "accept")]).await;
        let code = callback(&end)["code"].clone();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT),
        ];
        let body = world.token_at(tenant, &[client, &form].concat()).await.ok();
        if token.is_empty() {
            token = refresh_token(&body);
        }
    }
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &token),
        ("scope", &scope),
    ];
    let body = world
        .token_at(TENANT_ID, &[client, &form].concat())
        .await
        .ok();
    let (_, claims) = peek(body["access_token"].as_str().unwrap());
    assert_eq!(claims["tid"], TENANT_ID);
    assert_eq!(claims["oid"], DANA_GUEST_OID);
    assert_eq!(
        claims["idp"],
        format!("https://sts.windows.net/{FABRIKAM_TENANT_ID}/")
    );
}

async fn public_tokens(
    world: &World,
    client_id: &str,
    redirect: &str,
    origin: Pairs<'_>,
) -> crate::world::Answer {
    let scope = scope();
    let query = [
        ("client_id", client_id),
        ("response_type", "code"),
        ("redirect_uri", redirect),
        ("scope", &scope),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let mut browser = Browser::default();
    let page = browser.authorize(world, TENANT_ID, &query).await;
    let end = browser.sign_in(world, page, ALICE).await;
    let code = callback(&end)["code"].clone();
    let form = [
        ("client_id", client_id),
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", redirect),
        ("code_verifier", VERIFIER),
    ];
    world
        .post(&format!("/{TENANT_ID}/oauth2/v2.0/token"), &form, origin)
        .await
}

#[tokio::test]
async fn a_single_page_application_has_a_day() {
    let world = World::new();
    let origin: Pairs<'_> = &[("origin", "http://localhost:5173")];
    let path = format!("/{TENANT_ID}/oauth2/v2.0/token");
    let redirect = "http://localhost:5173/spa";
    let answer = public_tokens(&world, SPA_CLIENT_ID, redirect, &[]).await;
    assert_eq!(answer.failure().2, 9_002_327);
    let answer = public_tokens(&world, SPA_CLIENT_ID, redirect, origin).await;
    assert_eq!(
        answer.headers["access-control-allow-origin"],
        "http://localhost:5173"
    );
    let mut token = refresh_token(&answer.ok());
    let scope = scope();
    for hours in [12, 11] {
        world.control.advance(Duration::from_secs(hours * 3600));
        let form = [
            ("client_id", SPA_CLIENT_ID),
            ("grant_type", "refresh_token"),
            ("refresh_token", &token),
            ("scope", &scope),
        ];
        token = refresh_token(&world.post(&path, &form, origin).await.ok());
    }
    // The replacement inherits the end.
    world.control.advance(Duration::from_secs(3600));
    let form = [
        ("client_id", SPA_CLIENT_ID),
        ("grant_type", "refresh_token"),
        ("refresh_token", &token),
        ("scope", &scope),
    ];
    assert_eq!(world.post(&path, &form, origin).await.failure().2, 700_084);
}

#[tokio::test]
async fn a_public_client_shows_nothing_and_comes_from_nowhere() {
    let world = World::new();
    let redirect = "http://localhost:7000/callback";
    let answer = public_tokens(&world, PUBLIC_CLIENT_ID, redirect, &[]).await;
    let token = refresh_token(&answer.ok());
    let (_, claims) = peek(answer.json()["access_token"].as_str().unwrap());
    assert_eq!(claims["azpacr"], "0");
    let origin: Pairs<'_> = &[("origin", "https://spa.example.com")];
    let crossed = public_tokens(&world, PUBLIC_CLIENT_ID, redirect, origin).await;
    assert_eq!(crossed.failure().2, 9_002_326);
    let form = [
        ("client_id", PUBLIC_CLIENT_ID),
        ("client_secret", "x"),
        ("grant_type", "refresh_token"),
        ("refresh_token", token.as_str()),
    ];
    assert_eq!(
        world.token(&form).await.failure(),
        (401, "invalid_client".to_owned(), 700_025)
    );
    // The resource is another application: no scope is needed.
    let form = [
        ("client_id", PUBLIC_CLIENT_ID),
        ("grant_type", "refresh_token"),
        ("refresh_token", token.as_str()),
    ];
    world.token(&form).await.ok();
}

#[tokio::test]
async fn name_and_password_in_the_request() {
    let world = World::new();
    let scope = scope();
    let form = |user: &'static str, password: &'static str| {
        [
            ("client_id", PUBLIC_CLIENT_ID),
            ("grant_type", "password"),
            ("username", user),
            ("password", password),
            ("scope", &*scope.clone().leak()),
        ]
    };
    let body = world.token(&form(ALICE, PASSWORD)).await.ok();
    assert!(body["refresh_token"].is_string());
    for (user, password, code) in [
        (ALICE, "wrong", 50_126),
        ("nobody@contoso.onmicrosoft.com", PASSWORD, 50_034),
        (FRANK, PASSWORD, 50_020),
        (DISABLED, PASSWORD, 50_057),
        (MALLORY_MFA, PASSWORD, 50_076),
    ] {
        assert_eq!(
            world.token(&form(user, password)).await.failure().2,
            code,
            "{user}"
        );
    }
}
