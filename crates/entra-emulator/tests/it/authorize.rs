use entra_emulator::builtin::*;
use entra_emulator::quirks::Quirks;

use crate::world::{Browser, CHALLENGE, Pairs, REDIRECT, World, callback, own};

/// A good request of the MCP application, changed.
fn request<'a>(scope: &'a str, change: Pairs<'a>) -> Vec<(&'a str, &'a str)> {
    let mut query = vec![
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", scope),
        ("state", "a&b=c"),
    ];
    for (name, value) in change {
        query.retain(|(known, _)| known != name);
        if *value != "-" {
            query.push((name, value));
        }
    }
    query
}

async fn ask(world: &World, tenant: &str, query: Pairs<'_>) -> crate::world::Answer {
    Browser::default().authorize(world, tenant, query).await
}

#[tokio::test]
async fn mistakes_that_stay_on_entras_page() {
    let world = World::new();
    let scope = own("mcp.read");
    for (tenant, change, wanted) in [
        ("nobody.example", [("x", "-")], 90_002),
        ("nonsense", [("x", "-")], 900_023),
        (TENANT_ID, [("client_id", "-")], 900_144),
        (
            TENANT_ID,
            [("client_id", "30000000-0000-4000-8000-0000000000ff")],
            700_016,
        ),
        (TENANT_ID, [("client_id", GRAPH_APP_ID)], 700_016),
        (FABRIKAM_TENANT_ID, [("x", "-")], 700_016),
        ("common", [("x", "-")], 50_194),
        ("consumers", [("x", "-")], 9_002_332),
        (
            TENANT_ID,
            [("redirect_uri", "https://mcp.example.com/auth/callback/")],
            50_011,
        ),
        (
            TENANT_ID,
            [("redirect_uri", "https://evil.example/auth/callback")],
            50_011,
        ),
        (TENANT_ID, [("redirect_uri", "nonsense")], 90_102),
        (TENANT_ID, [("response_type", "-")], 900_144),
        (TENANT_ID, [("response_type", "token")], 700_038),
        (TENANT_ID, [("scope", "-")], 900_144),
        (TENANT_ID, [("scope", "")], 900_144),
        (TENANT_ID, [("prompt", "create")], 90_023),
        (TENANT_ID, [("prompt", "login consent")], 90_023),
    ] {
        let answer = ask(&world, tenant, &request(&scope, &change)).await;
        assert_eq!(answer.status, 200, "{change:?}");
        assert!(answer.location().is_none(), "{change:?}");
        let shown = format!("AADSTS{wanted}: ");
        assert!(answer.text.contains(&shown), "{change:?} {}", answer.text);
    }
    let twice = [request(&scope, &[]), vec![("state", "x")]].concat();
    let answer = ask(&world, TENANT_ID, &twice).await;
    assert!(answer.text.contains("AADSTS9000411: "));
}

#[tokio::test]
async fn error_pages_have_status_400_on_demand() {
    let world = World::with_quirks(Quirks {
        strict_error_pages: true,
        ..Quirks::default()
    });
    let answer = ask(&world, TENANT_ID, &[]).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn mistakes_that_go_back_to_the_client() {
    let world = World::new();
    let scope = own("mcp.read");
    let unknown = own("nonsense");
    for (change, error, code) in [
        (
            ("response_type", "magic"),
            "unsupported_response_type",
            70_005,
        ),
        (
            ("response_type", "code id_token"),
            "unsupported_response_type",
            700_054,
        ),
        (("response_mode", "telepathy"), "invalid_request", 70_007),
        (("code_challenge", "short"), "invalid_request", 501_491),
        (("claims", "nonsense"), "invalid_request", 90_023),
        (("scope", "nonsense"), "invalid_client", 650_053),
        (("scope", unknown.as_str()), "invalid_client", 650_053),
        (("scope", "api://nobody/x"), "invalid_resource", 500_011),
        (
            ("scope", "User.Read https://graph.microsoft.com/.default"),
            "invalid_scope",
            70_011,
        ),
        (
            ("resource", "https://mcp.example.com/mcp"),
            "invalid_target",
            9_010_010,
        ),
        (("prompt", "none"), "login_required", 50_058),
    ] {
        let answer = ask(&world, TENANT_ID, &request(&scope, &[change])).await;
        assert_eq!(answer.status, 302, "{change:?} {}", answer.text);
        let back = callback(&answer);
        assert_eq!(back["error"], error, "{change:?}");
        assert_eq!(back["state"], "a&b=c", "{change:?}");
        let text = format!("AADSTS{code}: ");
        assert!(
            back["error_description"].starts_with(&text),
            "{change:?} {back:?}"
        );
    }
}

#[tokio::test]
async fn the_resource_parameter_must_be_the_scopes_prefix_or_before_2026_absent() {
    let scope = own("mcp.read");
    let query = request(&scope, &[("resource", IDENTIFIER_URI)]);
    let answer = ask(&World::new(), TENANT_ID, &query).await;
    assert_eq!(answer.status, 200);
    let world = World::with_quirks(Quirks {
        pre_2026_resource: true,
        ..Quirks::default()
    });
    let back = callback(&ask(&world, TENANT_ID, &query).await);
    assert!(back["error_description"].starts_with("AADSTS901002: "));
}

#[tokio::test]
async fn a_person_signs_in_and_is_remembered() {
    let world = World::new();
    let scope = own("mcp.read");
    let mut browser = Browser::default();
    let query = request(&scope, &[("nonce", "n")]);
    let page = browser.authorize(&world, TENANT_ID, &query).await;
    assert_eq!(page.headers["x-frame-options"], "DENY");
    let end = browser.sign_in(&world, page, ALICE).await;
    assert_eq!(end.status, 302);
    let location = end.headers["location"].to_str().unwrap();
    assert!(
        location.starts_with(REDIRECT) && location.ends_with('#'),
        "{location}"
    );
    let back = callback(&end);
    assert_eq!(back["state"], "a&b=c");
    assert!(back["code"].starts_with("1.A"));
    assert_eq!(back["code"].split('.').count(), 2);
    assert!(back.contains_key("session_state") && !back.contains_key("iss"));

    let again = browser.authorize(&world, TENANT_ID, &query).await;
    assert_eq!(callback(&again)["session_state"], back["session_state"]);
    let silent = request(&scope, &[("prompt", "none")]);
    let silent = browser.authorize(&world, TENANT_ID, &silent).await;
    assert!(callback(&silent).contains_key("code"));
    for prompt in ["login", "select_account"] {
        let prompt = [("prompt", prompt)];
        let query = request(&scope, &prompt);
        let page = browser.authorize(&world, TENANT_ID, &query).await;
        assert_eq!(page.status, 200, "{prompt:?}");
    }
}

#[tokio::test]
async fn an_account_is_picked_from_several() {
    let world = World::new();
    let scope = own("mcp.read");
    let mut browser = Browser::default();
    for user in [ALICE, BOB] {
        let query = request(&scope, &[("prompt", "login")]);
        let page = browser.authorize(&world, TENANT_ID, &query).await;
        browser.sign_in(&world, page, user).await;
    }
    let silent = request(&scope, &[("prompt", "none")]);
    let back = callback(&browser.authorize(&world, TENANT_ID, &silent).await);
    assert_eq!(back["error"], "interaction_required");
    assert!(back["error_description"].starts_with("AADSTS16000: "));

    let hinted = request(&scope, &[("prompt", "none"), ("login_hint", BOB)]);
    let hinted = browser.authorize(&world, TENANT_ID, &hinted).await;
    assert!(callback(&hinted).contains_key("code"));

    let page = browser
        .authorize(&world, TENANT_ID, &request(&scope, &[]))
        .await;
    assert!(page.text.contains("Pick an account"));
    let picked = browser.submit(&world, &page, &[("account", BOB)]).await;
    assert!(callback(&picked).contains_key("code"));
    let page = browser
        .authorize(&world, TENANT_ID, &request(&scope, &[]))
        .await;
    let other = browser.submit(&world, &page, &[("account", "")]).await;
    assert!(other.text.contains("name=\"password\""));
}

#[tokio::test]
async fn wrong_names_and_passwords_are_told_on_the_page() {
    let world = World::with(|directory| {
        directory.user_mut(BOB).unwrap().password_expired = true;
    });
    let scope = own("mcp.read");
    for (user, password, wanted) in [
        (ALICE, "wrong", "invalid username or password"),
        (
            "nobody@contoso.onmicrosoft.com",
            PASSWORD,
            "does not exist in the directory",
        ),
        (DISABLED, PASSWORD, "account is disabled"),
        (BOB, PASSWORD, "password is expired"),
    ] {
        let mut browser = Browser::default();
        let page = browser
            .authorize(&world, TENANT_ID, &request(&scope, &[]))
            .await;
        let fields = [("username", user), ("password", password)];
        let page = browser.submit(&world, &page, &fields).await;
        assert_eq!(page.status, 200);
        assert!(page.text.contains(wanted), "{user} {}", page.text);
        assert!(page.text.contains("role=\"alert\""), "{user}");
    }
}

#[tokio::test]
async fn who_may_sign_in_depends_on_the_tenant_that_was_asked() {
    let world = World::new();
    let scope = format!("api://{MULTI_TENANT_CLIENT_ID}/mcp.read");
    for (tenant, user, wanted) in [
        (TENANT_ID, FRANK, Err("AADSTS50020: ")),
        (TENANT_ID, PAT_PERSONAL, Err("AADSTS50020: ")),
        (TENANT_ID, DANA_GUEST, Ok(())),
        (FABRIKAM_TENANT_ID, FRANK, Ok(())),
        ("organizations", FRANK, Ok(())),
        ("organizations", PAT_PERSONAL, Err("AADSTS50020: ")),
        ("common", PAT_PERSONAL, Ok(())),
        ("consumers", PAT_PERSONAL, Ok(())),
        ("consumers", ALICE, Err("AADSTS50020: ")),
    ] {
        let mut browser = Browser::default();
        let change = [("client_id", MULTI_TENANT_CLIENT_ID)];
        let page = browser
            .authorize(&world, tenant, &request(&scope, &change))
            .await;
        let end = browser.sign_in(&world, page, user).await;
        match wanted {
            Ok(()) => assert!(
                end.text.contains("Permissions requested"),
                "{tenant} {user}"
            ),
            Err(text) => assert!(end.text.contains(text), "{tenant} {user} {}", end.text),
        }
    }
}

#[tokio::test]
async fn a_redirect_uri_left_out_is_the_first_registered() {
    let world = World::new();
    let scope = own("mcp.read");
    let mut browser = Browser::default();
    let query = request(&scope, &[("redirect_uri", "-")]);
    let page = browser.authorize(&world, TENANT_ID, &query).await;
    let end = browser.sign_in(&world, page, ALICE).await;
    assert!(
        end.headers["location"]
            .to_str()
            .unwrap()
            .starts_with("http://localhost/auth/callback?")
    );
}

#[tokio::test]
async fn single_page_applications_need_pkce_and_may_have_id_tokens() {
    let world = World::new();
    let query = |change: Pairs<'static>| {
        let base = [
            ("client_id", SPA_CLIENT_ID),
            ("redirect_uri", "http://localhost:5173/spa"),
            ("response_type", "code"),
            ("scope", "openid profile"),
            ("code_challenge_method", "S256"),
        ];
        let kept = base
            .into_iter()
            .filter(|(name, _)| change.iter().all(|(new, _)| new != name));
        kept.chain(change.iter().copied()).collect::<Vec<_>>()
    };
    let back = callback(&ask(&world, TENANT_ID, &query(&[])).await);
    assert!(back["error_description"].starts_with("AADSTS9002325: "));

    let hybrid: Pairs<'_> = &[
        ("code_challenge", CHALLENGE),
        ("response_type", "code id_token"),
    ];
    let answer = ask(&world, TENANT_ID, &query(hybrid)).await;
    let location = answer.location().unwrap();
    assert!(
        location.fragment().unwrap().contains("AADSTS90014"),
        "{location}"
    );

    let hybrid: Pairs<'_> = &[
        ("code_challenge", CHALLENGE),
        ("response_type", "code id_token"),
        ("nonce", "n"),
    ];
    let mut browser = Browser::default();
    let page = browser.authorize(&world, TENANT_ID, &query(hybrid)).await;
    let end = browser.sign_in(&world, page, ALICE).await;
    let location = end.location().unwrap();
    let fragment = location.fragment().unwrap();
    let token = fragment
        .split("id_token=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap();
    let claims = world.verified(TENANT_ID, token).await.unwrap();
    assert_eq!(claims["nonce"], "n");
    assert!(claims["c_hash"].is_string());
}

#[tokio::test]
async fn form_post_answers_with_a_form() {
    let world = World::new();
    let scope = own("mcp.read");
    let mut browser = Browser::default();
    let query = request(&scope, &[("response_mode", "form_post")]);
    let page = browser.authorize(&world, TENANT_ID, &query).await;
    let end = browser.sign_in(&world, page, ALICE).await;
    assert_eq!(end.status, 200);
    assert!(
        end.text.contains(&format!("action=\"{REDIRECT}\"")),
        "{}",
        end.text
    );
    assert!(end.text.contains("name=\"code\"") && end.text.contains("value=\"a&#38;b=c\""));
}
