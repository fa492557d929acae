//! What Entra is asked.

use crate::browser::Browser;
use crate::client::CHALLENGE;
use crate::world::{CALLBACK, World};

/// What Entra was asked when `changes` were made to the request.
async fn upstream(world: &World, changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let client = world.client().await;
    let mut browser: Browser = world.browser();
    let page = browser.get(&client.authorize_url(changes)).await.page();
    browser.submit(&page, &[("answer", "allow")]).await;
    world.entra.last_authorize_query().unwrap()
}

fn value<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = query.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn entra_is_asked_in_its_own_terms() {
    let world = World::new().await;
    let query = upstream(&world, &[("scope", "mcp.read offline_access openid")]).await;
    let names: Vec<_> = query.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "client_id",
            "response_type",
            "redirect_uri",
            "response_mode",
            "scope",
            "state",
            "nonce",
            "code_challenge",
            "code_challenge_method",
            "prompt"
        ]
    );
    let scope = "api://30000000-0000-4000-8000-000000000001/mcp.read \
                 https://graph.microsoft.com/User.Read openid profile offline_access";
    assert_eq!(value(&query, "scope"), Some(scope));
    assert_eq!(value(&query, "response_mode"), Some("query"));
    assert_eq!(value(&query, "prompt"), Some("select_account"));
    assert_eq!(value(&query, "code_challenge_method"), Some("S256"));
    // None of the client's own values gets there.
    for (name, own) in [
        ("state", "a+b c&d"),
        ("code_challenge", CHALLENGE),
        ("redirect_uri", CALLBACK),
    ] {
        assert_ne!(value(&query, name), Some(own), "{name}");
    }
}

#[tokio::test]
async fn hints_reach_entra_and_prompt_consent_does_not() {
    let world = World::new().await;
    let alice = "alice@contoso.onmicrosoft.com";
    for (changes, prompt, login_hint) in [
        (vec![("prompt", "consent")], Some("select_account"), None),
        (vec![("prompt", "login consent")], Some("login"), None),
        (
            vec![("prompt", "select_account")],
            Some("select_account"),
            None,
        ),
        (
            vec![("login_hint", alice)],
            Some("select_account"),
            Some(alice),
        ),
        (
            vec![("login_hint", alice), ("prompt", "login")],
            Some("login"),
            Some(alice),
        ),
    ] {
        let query = upstream(&world, &changes).await;
        assert_eq!(value(&query, "prompt"), prompt, "{changes:?}");
        assert_eq!(value(&query, "login_hint"), login_hint, "{changes:?}");
    }
    let query = upstream(&world, &[("domain_hint", "contoso.com")]).await;
    assert_eq!(value(&query, "domain_hint"), Some("contoso.com"));
    let query = upstream(&world, &[("login_hint", &"x".repeat(321))]).await;
    assert_eq!(value(&query, "login_hint"), None);
}

#[tokio::test]
async fn a_request_without_scope_asks_for_what_is_required_and_no_more() {
    let world = World::with(|config| config.required_scopes(["mcp.read", "mcp.write"])).await;
    let prefix = "api://30000000-0000-4000-8000-000000000001";
    for (asked, expected) in [
        ("", format!("{prefix}/mcp.read {prefix}/mcp.write")),
        (
            "openid profile",
            format!("{prefix}/mcp.read {prefix}/mcp.write"),
        ),
        ("mcp.write", format!("{prefix}/mcp.write")),
        ("  mcp.read  other ", format!("{prefix}/mcp.read")),
        (&format!("{prefix}/mcp.read"), format!("{prefix}/mcp.read")),
    ] {
        let query = upstream(&world, &[("scope", asked)]).await;
        let scope = value(&query, "scope").unwrap();
        assert!(
            scope.starts_with(&format!("{expected} https://graph")),
            "{asked}: {scope}"
        );
    }
}
