use entra_emulator::builtin::*;

use crate::world::{Browser, Pairs, REDIRECT, World, callback, own, peek};

fn multi(scope: &str) -> [(&str, &str); 4] {
    [
        ("client_id", MULTI_TENANT_CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", scope),
    ]
}

fn multi_scope() -> String {
    format!("openid profile api://{MULTI_TENANT_CLIENT_ID}/mcp.read")
}

#[tokio::test]
async fn consent_is_asked_once_and_remembered() {
    let world = World::new();
    let scope = multi_scope();
    let mut browser = Browser::default();
    let page = browser
        .authorize(&world, FABRIKAM_TENANT_ID, &multi(&scope))
        .await;
    let page = browser.sign_in(&world, page, FRANK).await;
    for shown in [
        "Read through the MCP server",
        "Sign you in",
        "Multi-tenant MCP server",
        FRANK,
    ] {
        assert!(page.text.contains(shown), "{shown}");
    }
    assert!(!page.text.contains("on behalf of your organisation"));
    let end = browser.submit(&world, &page, &[("answer", "accept")]).await;
    assert!(callback(&end).contains_key("code"));
    let again = browser
        .authorize(&world, FABRIKAM_TENANT_ID, &multi(&scope))
        .await;
    assert!(callback(&again).contains_key("code"));
    // Dana has not consented.
    let mut other = Browser::default();
    let page = other
        .authorize(&world, FABRIKAM_TENANT_ID, &multi(&scope))
        .await;
    let page = other.sign_in(&world, page, DANA_GUEST).await;
    assert!(page.text.contains("Permissions requested"));
}

#[tokio::test]
async fn prompt_consent_asks_again() {
    let world = World::new();
    let scope = own("mcp.read");
    let query = [
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", &scope),
        ("prompt", "consent"),
    ];
    let mut browser = Browser::default();
    let page = browser.authorize(&world, TENANT_ID, &query).await;
    let page = browser.sign_in(&world, page, ALICE).await;
    assert!(page.text.contains("Permissions requested"));
    let end = browser.submit(&world, &page, &[("answer", "accept")]).await;
    assert!(callback(&end).contains_key("code"));
}

#[tokio::test]
async fn declining_goes_back_with_access_denied() {
    let world = World::new();
    let scope = multi_scope();
    let mut browser = Browser::default();
    let page = browser.authorize(&world, "common", &multi(&scope)).await;
    let page = browser.sign_in(&world, page, ALICE).await;
    let end = browser.submit(&world, &page, &[("answer", "cancel")]).await;
    let back = callback(&end);
    assert_eq!(back["error"], "access_denied");
    assert!(back["error_description"].starts_with("AADSTS65004: "));

    let page = Browser::default()
        .authorize(&world, "common", &multi(&scope))
        .await;
    let end = browser.submit(&world, &page, &[("answer", "cancel")]).await;
    let back = callback(&end);
    assert_eq!(
        (back["error"].as_str(), back["error_subcode"].as_str()),
        ("access_denied", "cancel")
    );
}

#[tokio::test]
async fn missing_consent_is_told_to_silent_requests() {
    let world = World::new();
    let scope = multi_scope();
    let mut browser = Browser::default();
    let page = browser.authorize(&world, "common", &multi(&scope)).await;
    browser.sign_in(&world, page, ALICE).await;
    let silent = [multi(&scope).as_slice(), &[("prompt", "none")]].concat();
    let back = callback(&browser.authorize(&world, "common", &silent).await);
    assert_eq!(back["error"], "consent_required");
    assert!(back["error_description"].starts_with("AADSTS65001: "));
}

#[tokio::test]
async fn only_an_administrator_consents_to_admin_scopes_and_for_everybody() {
    let world = World::new();
    let scope = own("mcp.admin");
    let query: Pairs<'_> = &[
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", &scope),
    ];
    let refused = |page: &str| page.contains("AADSTS90094: ");
    let mut alice = Browser::default();
    let page = alice.authorize(&world, TENANT_ID, query).await;
    assert!(refused(&alice.sign_in(&world, page, ALICE).await.text));

    let mut admin = Browser::default();
    let page = admin.authorize(&world, TENANT_ID, query).await;
    let page = admin.sign_in(&world, page, ADMIN).await;
    assert!(page.text.contains("on behalf of your organisation"));
    let fields = [("answer", "accept"), ("tenant", "true")];
    let end = admin.submit(&world, &page, &fields).await;
    assert!(callback(&end).contains_key("code"));

    let end = alice.authorize(&world, TENANT_ID, query).await;
    assert!(callback(&end).contains_key("code"));
}

#[tokio::test]
async fn a_second_factor_is_asked_of_those_who_need_one() {
    let world = World::new();
    let scope = own("mcp.read");
    let query = [
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", scope.as_str()),
    ];
    let mut browser = Browser::default();
    let page = browser.authorize(&world, TENANT_ID, &query).await;
    let page = browser.sign_in(&world, page, MALLORY_MFA).await;
    assert!(page.text.contains("name=\"otc\""));
    let silent = [query.as_slice(), &[("prompt", "none")]].concat();
    let back = callback(&browser.authorize(&world, TENANT_ID, &silent).await);
    assert_eq!(back["error"], "interaction_required");
    assert!(back["claims"].contains("capolids"));
    let page = browser.submit(&world, &page, &[("otc", "000000")]).await;
    assert!(page.text.contains("role=\"alert\""));
    let end = browser.submit(&world, &page, &[("otc", MFA_CODE)]).await;
    assert!(callback(&end).contains_key("code"));
}

#[tokio::test]
async fn claims_can_demand_a_second_factor_of_anybody() {
    let world = World::new();
    let scope = own("mcp.read");
    let query = [
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", scope.as_str()),
        (
            "claims",
            r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#,
        ),
    ];
    let mut browser = Browser::default();
    let page = browser.authorize(&world, TENANT_ID, &query).await;
    let page = browser.sign_in(&world, page, ALICE).await;
    let end = browser.submit(&world, &page, &[("otc", MFA_CODE)]).await;
    let code = callback(&end)["code"].clone();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT),
    ];
    let tokens = world.mcp_token(&form).await.ok();
    let (_, claims) = peek(tokens["access_token"].as_str().unwrap());
    assert_eq!(claims["acrs"][0], "c1");
}

#[tokio::test]
async fn a_hint_is_enough_where_the_directory_says_so() {
    let world = World::with(|directory| {
        directory.auto_sign_in = true;
        directory.default_login_hint = Some(BOB.to_owned());
    });
    let scope = own("mcp.read");
    let query = |change: Pairs<'static>| {
        let query = [
            ("client_id", CLIENT_ID),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("scope", &*scope.clone().leak()),
        ];
        [query.as_slice(), change].concat()
    };
    for (change, user) in [
        (&[("login_hint", ALICE)] as Pairs<'_>, ALICE),
        (
            &[("login_hint", ALICE), ("prompt", "select_account")],
            ALICE,
        ),
        (&[], BOB),
    ] {
        let end = Browser::default()
            .authorize(&world, TENANT_ID, &query(change))
            .await;
        let code = callback(&end)["code"].clone();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT),
        ];
        let tokens = world.mcp_token(&form).await.ok();
        let (_, claims) = peek(tokens["access_token"].as_str().unwrap());
        assert_eq!(claims["preferred_username"], user);
    }
    let silent = query(&[("login_hint", ALICE), ("prompt", "none")]);
    let end = Browser::default()
        .authorize(&world, TENANT_ID, &silent)
        .await;
    assert_eq!(callback(&end)["error"], "login_required");
}

#[tokio::test]
async fn assignment_can_be_required() {
    let world = World::with(|directory| {
        directory.app_mut(CLIENT_ID).unwrap().assignment_required = true;
    });
    let scope = own("mcp.read");
    let query = [
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", scope.as_str()),
    ];
    let mut browser = Browser::default();
    let page = browser.authorize(&world, TENANT_ID, &query).await;
    let page = browser.sign_in(&world, page, BOB).await;
    assert!(page.text.contains("AADSTS50105: "));
    let silent = [query.as_slice(), &[("prompt", "none")]].concat();
    let back = callback(&browser.authorize(&world, TENANT_ID, &silent).await);
    assert_eq!(back["error"], "interaction_required");
}

#[tokio::test]
async fn signing_out_forgets_the_browser_and_redirects_only_to_known_places() {
    let world = World::new();
    let scope = own("mcp.read");
    let query = [
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", scope.as_str()),
    ];
    let mut browser = Browser::default();
    let page = browser.authorize(&world, TENANT_ID, &query).await;
    browser.sign_in(&world, page, ALICE).await;
    let out = |uri: &str| format!("/{TENANT_ID}/oauth2/v2.0/logout?post_logout_redirect_uri={uri}");
    let elsewhere = browser
        .go(&world, http::Method::GET, &out("https://evil.example/"), "")
        .await;
    assert_eq!(elsewhere.status, 200);
    let page = browser.authorize(&world, TENANT_ID, &query).await;
    assert!(page.text.contains("name=\"password\""));
    let known = world
        .get(&out("https://mcp.example.com/auth/callback"))
        .await;
    assert_eq!(known.status, 302);
}
