use entra_emulator::builtin::*;

use crate::on_behalf_of::{GRAPH_SCOPE, assertion, exchange};
use crate::world::{Answer, Browser, REDIRECT, World, callback, encode, own};

const DIRECTORY_SCOPE: &str = "https://graph.microsoft.com/Directory.Read.All";
const BASIC_SCOPE: &str = "https://graph.microsoft.com/User.ReadBasic.All";

fn request(scope: &str) -> [(&str, &str); 4] {
    [
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", scope),
    ]
}

async fn asked(world: &World, user: &str, scope: &str) -> (Browser, Answer) {
    let mut browser = Browser::default();
    let page = browser.authorize(world, TENANT_ID, &request(scope)).await;
    let page = browser.sign_in(world, page, user).await;
    (browser, page)
}

#[tokio::test]
async fn an_exchange_for_what_nobody_consented_to_asks_for_consent_without_a_challenge() {
    let world = World::new();
    let good = assertion(&world, ALICE).await;
    for scope in [BASIC_SCOPE, DIRECTORY_SCOPE] {
        let answer = exchange(&world, &good, &[("scope", scope)]).await;
        assert_eq!(answer.failure(), (400, "invalid_grant".to_owned(), 65_001));
        let body = answer.json();
        assert_eq!(body["suberror"], "consent_required");
        assert!(body.get("claims").is_none());
    }
}

#[tokio::test]
async fn one_request_consents_to_the_scopes_of_several_resources() {
    let world = World::new();
    world.control.revoke_consent(CLIENT_ID);
    let downstream = format!("{DOWNSTREAM_IDENTIFIER_URI}/data.read");
    let scope = format!("{} {GRAPH_SCOPE} {downstream}", own("mcp.read"));
    let (mut browser, page) = asked(&world, ALICE, &scope).await;
    for shown in ["mcp.read", "User.Read", "data.read"] {
        assert!(page.text.contains(shown), "{shown}");
    }
    let end = browser.submit(&world, &page, &[("answer", "accept")]).await;
    let first = own("mcp.read");
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &callback(&end)["code"]),
        ("redirect_uri", REDIRECT),
        ("scope", &first),
    ];
    let tokens = world.mcp_token(&form).await.ok();
    let token = tokens["access_token"].as_str().unwrap();
    for scope in [GRAPH_SCOPE, &downstream] {
        exchange(&world, token, &[("scope", scope)]).await.ok();
    }
    // It was Alice's consent, not everybody's.
    let (_, page) = asked(&world, BOB, &scope).await;
    assert!(page.text.contains("Permissions requested"));
}

#[tokio::test]
async fn a_user_consents_to_what_users_may_and_no_more() {
    let world = World::new();
    let scope = format!("{} {BASIC_SCOPE}", own("mcp.read"));
    let (mut browser, page) = asked(&world, ALICE, &scope).await;
    assert!(page.text.contains("User.ReadBasic.All"));
    let end = browser.submit(&world, &page, &[("answer", "accept")]).await;
    assert!(callback(&end).contains_key("code"));
    let good = assertion(&world, ALICE).await;
    exchange(&world, &good, &[("scope", BASIC_SCOPE)])
        .await
        .ok();

    let scope = format!("{} {DIRECTORY_SCOPE}", own("mcp.read"));
    let (_, page) = asked(&world, ALICE, &scope).await;
    assert!(page.text.contains("AADSTS90094"));
}

async fn admin_page(world: &World, user: &str, scope: &str) -> (Browser, Answer) {
    let query = [
        ("client_id", CLIENT_ID),
        ("scope", scope),
        ("redirect_uri", REDIRECT),
        ("state", "a b"),
    ];
    let path = format!("/{TENANT_ID}/v2.0/adminconsent?{}", encode(&query));
    let mut browser = Browser::default();
    let page = browser.go(world, http::Method::GET, &path, "").await;
    let page = browser.sign_in(world, page, user).await;
    (browser, page)
}

#[tokio::test]
async fn an_administrator_consents_by_url_for_everybody() {
    let world = World::new();
    let good = assertion(&world, ALICE).await;
    let (mut browser, page) = admin_page(&world, ADMIN, DIRECTORY_SCOPE).await;
    for shown in ["Directory.Read.All", "for all users in your organisation"] {
        assert!(page.text.contains(shown), "{}", page.text);
    }
    assert!(!page.text.contains("name=\"tenant\""));
    let end = browser.submit(&world, &page, &[("answer", "accept")]).await;
    let back = callback(&end);
    assert_eq!(back["admin_consent"], "True");
    assert_eq!(back["tenant"], TENANT_ID);
    assert_eq!(back["state"], "a b");
    assert_eq!(back["scope"], DIRECTORY_SCOPE);
    assert!(!back.contains_key("code"));
    let wanted = [("scope", DIRECTORY_SCOPE)];
    exchange(&world, &good, &wanted).await.ok();
    let scope = format!("{} {DIRECTORY_SCOPE}", own("mcp.read"));
    let (_, end) = asked(&world, BOB, &scope).await;
    assert!(callback(&end).contains_key("code"));
}

#[tokio::test]
async fn an_administrator_is_asked_even_when_all_was_consented_to() {
    let world = World::new();
    let scope = "https://graph.microsoft.com/.default";
    let (_, page) = admin_page(&world, ADMIN, scope).await;
    assert!(page.text.contains("User.Read"), "{}", page.text);
}

#[tokio::test]
async fn an_administrator_may_cancel_and_nobody_else_may_accept() {
    let world = World::new();
    let (mut browser, page) = admin_page(&world, ADMIN, DIRECTORY_SCOPE).await;
    let end = browser.submit(&world, &page, &[("answer", "cancel")]).await;
    let back = callback(&end);
    assert_eq!(back["error"], "permission_denied");
    assert_eq!(back["error_description"], "The admin canceled the request");
    assert_eq!(back["state"], "a b");
    let (_, page) = admin_page(&world, ALICE, DIRECTORY_SCOPE).await;
    assert!(page.text.contains("AADSTS90094"));

    let good = assertion(&world, ALICE).await;
    let answer = exchange(&world, &good, &[("scope", DIRECTORY_SCOPE)]).await;
    assert_eq!(answer.failure().2, 65_001);
}

#[tokio::test]
async fn mistakes_in_an_administrators_url_stay_on_a_page() {
    let world = World::new();
    let good = [
        ("client_id", CLIENT_ID),
        ("scope", DIRECTORY_SCOPE),
        ("redirect_uri", REDIRECT),
    ];
    for (name, value, label) in [
        ("client_id", "", "AADSTS900144"),
        (
            "client_id",
            "30000000-0000-4000-8000-0000000000ff",
            "AADSTS700016",
        ),
        ("redirect_uri", "", "AADSTS900144"),
        ("redirect_uri", "https://evil.example/", "AADSTS50011"),
        ("scope", "", "AADSTS900144"),
        ("scope", "Nonsense.Read", "AADSTS650053"),
    ] {
        let query = good.map(|(known, good)| (known, if known == name { value } else { good }));
        let path = format!("/{TENANT_ID}/v2.0/adminconsent?{}", encode(&query));
        let page = world.get(&path).await;
        assert!(page.location().is_none());
        assert!(page.text.contains(label), "{name} {value}: {}", page.text);
    }
}
