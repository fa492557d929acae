use std::time::Duration;

use entra_emulator::builtin::*;

use crate::world::{Browser, CHALLENGE, Pairs, REDIRECT, VERIFIER, World, callback, mcp, own};

async fn code_with(world: &World, scope: &str, change: Pairs<'_>) -> String {
    let mut query = vec![
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", scope),
    ];
    query.retain(|(name, _)| change.iter().all(|(changed, _)| changed != name));
    query.extend_from_slice(change);
    let mut browser = Browser::default();
    let page = browser.authorize(world, TENANT_ID, &query).await;
    let end = browser.sign_in(world, page, ALICE).await;
    callback(&end)["code"].clone()
}

fn redeem<'a>(code: &'a str, change: Pairs<'a>) -> Vec<(&'a str, &'a str)> {
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT),
    ];
    form.retain(|(name, _)| change.iter().all(|(changed, _)| changed != name));
    form.extend_from_slice(change);
    form
}

#[tokio::test]
async fn a_code_buys_what_was_asked_for() {
    let world = World::new();
    for (scope, members) in [
        (own("mcp.read"), vec!["access_token"]),
        (
            format!("{} openid", own("mcp.read")),
            vec!["access_token", "id_token"],
        ),
        (
            format!("{} openid profile offline_access", own("mcp.read")),
            vec!["access_token", "id_token", "refresh_token"],
        ),
    ] {
        let code = code_with(&world, &scope, &[]).await;
        let answer = world
            .mcp_token(&redeem(&code, &[("client_info", "1")]))
            .await;
        assert_eq!(answer.headers["cache-control"], "no-store, no-cache");
        assert_eq!(answer.headers["pragma"], "no-cache");
        let body = answer.ok();
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(body["scope"], own("mcp.read mcp.write mcp.access"));
        assert!((3600..=5400).contains(&body["expires_in"].as_u64().unwrap()));
        assert_eq!(body["expires_in"], body["ext_expires_in"]);
        assert!(body["client_info"].is_string());
        for member in ["access_token", "id_token", "refresh_token"] {
            assert_eq!(
                body.get(member).is_some(),
                members.contains(&member),
                "{scope} {member}"
            );
        }
    }
}

#[tokio::test]
async fn every_way_a_code_is_refused() {
    let world = World::new();
    let scope = own("mcp.read");
    let both = format!("{} User.Read", own("mcp.read"));
    let several = format!("{} https://graph.microsoft.com/User.Read", own("mcp.read"));
    let itself = format!("{IDENTIFIER_URI}/.default");
    let unconsented = own("mcp.admin");
    for (asked, form, wanted) in [
        (
            &scope,
            ("redirect_uri", "http://localhost:9/auth/callback"),
            (400, "invalid_grant", 500_112),
        ),
        (
            &scope,
            ("redirect_uri", ""),
            (400, "invalid_grant", 500_112),
        ),
        (
            &scope,
            ("code", "nonsense"),
            (400, "invalid_grant", 9_002_313),
        ),
        (
            &scope,
            ("code", "1.Anonsense.x"),
            (400, "invalid_grant", 70_000),
        ),
        (&scope, ("code", ""), (400, "invalid_request", 900_144)),
        (
            &scope,
            ("grant_type", "magic"),
            (400, "unsupported_grant_type", 70_003),
        ),
        (
            &scope,
            ("grant_type", ""),
            (400, "invalid_request", 900_144),
        ),
        (
            &scope,
            ("scope", "User.Read mcp.read"),
            (401, "invalid_client", 650_053),
        ),
        (
            &scope,
            ("scope", &several),
            (400, "invalid_request", 28_000),
        ),
        (&scope, ("scope", &itself), (400, "invalid_request", 90_009)),
        (
            &scope,
            ("scope", &unconsented),
            (400, "invalid_grant", 65_001),
        ),
        (
            &scope,
            ("resource", "https://mcp.example.com/mcp"),
            (400, "invalid_target", 9_010_010),
        ),
        (&both, ("x", "y"), (400, "invalid_request", 28_003)),
    ] {
        let code = code_with(&world, asked, &[]).await;
        let (status, error, number) = world.mcp_token(&redeem(&code, &[form])).await.failure();
        assert_eq!((status, error.as_str(), number), wanted, "{form:?}");
    }
}

#[tokio::test]
async fn the_scope_parameter_chooses_among_the_codes_resources() {
    let world = World::new();
    let both = format!("{} User.Read", own("mcp.read"));
    let code = code_with(&world, &both, &[]).await;
    let form = redeem(&code, &[("scope", "User.Read")]);
    assert_eq!(
        world.mcp_token(&form).await.ok()["scope"],
        "User.Read Mail.Read"
    );
}

#[tokio::test]
async fn a_code_is_spent_once_and_what_it_bought_stays_good() {
    let world = World::new();
    let scope = format!("{} offline_access", own("mcp.read"));
    let code = code_with(&world, &scope, &[]).await;
    let tokens = world.mcp_token(&redeem(&code, &[])).await.ok();
    let again = world.mcp_token(&redeem(&code, &[])).await;
    assert_eq!(again.failure(), (400, "invalid_grant".to_owned(), 54_005));
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
        ("scope", &scope),
    ];
    world.mcp_token(&refresh).await.ok();
}

#[tokio::test]
async fn a_code_expires_after_ten_minutes() {
    let world = World::new();
    let code = code_with(&world, &own("mcp.read"), &[]).await;
    world.control.advance(Duration::from_secs(600));
    let answer = world.mcp_token(&redeem(&code, &[])).await;
    assert_eq!(answer.failure(), (400, "invalid_grant".to_owned(), 70_008));
}

#[tokio::test]
async fn the_verifier_must_match_the_challenge() {
    let world = World::new();
    let scope = own("mcp.read");
    let challenge = [
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let code = code_with(&world, &scope, &challenge).await;
    for wrong in [("code_verifier", CHALLENGE), ("x", "y")] {
        let answer = world.mcp_token(&redeem(&code, &[wrong])).await;
        assert_eq!(answer.failure(), (400, "invalid_grant".to_owned(), 501_481));
    }
    // A wrong verifier does not spend the code.
    world
        .mcp_token(&redeem(&code, &[("code_verifier", VERIFIER)]))
        .await
        .ok();
}

#[tokio::test]
async fn a_code_belongs_to_its_client_tenant_and_user() {
    let world = World::new();
    let scope = own("mcp.read");
    let code = code_with(&world, &scope, &[]).await;
    let other = [
        ("client_id", V1_CLIENT_ID),
        ("client_secret", V1_CLIENT_SECRET),
    ];
    let answer = world
        .token(&[&other, redeem(&code, &[]).as_slice()].concat())
        .await;
    assert_eq!(answer.failure().2, 70_000);
    // The single-tenant application is unknown elsewhere.
    let answer = world
        .token_at(FABRIKAM_TENANT_ID, &[mcp(), &redeem(&code, &[])].concat())
        .await;
    assert_eq!(
        answer.failure(),
        (400, "unauthorized_client".to_owned(), 700_016)
    );
    world.control.disable_user(ALICE);
    assert_eq!(
        world.mcp_token(&redeem(&code, &[])).await.failure().2,
        50_057
    );
    world.control.enable_user(ALICE);
    world.control.revoke_refresh_tokens(ALICE);
    assert_eq!(
        world.mcp_token(&redeem(&code, &[])).await.failure().2,
        50_173
    );
}

#[tokio::test]
async fn a_code_of_another_tenant_is_refused() {
    let world = World::new();
    let scope = format!("api://{MULTI_TENANT_CLIENT_ID}/mcp.read");
    let query = [
        ("client_id", MULTI_TENANT_CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", &scope),
    ];
    let mut browser = Browser::default();
    let page = browser.authorize(&world, "common", &query).await;
    let page = browser.sign_in(&world, page, FRANK).await;
    let end = browser.submit(&world, &page, &[("answer", "accept")]).await;
    let code = callback(&end)["code"].clone();
    let client = [
        ("client_id", MULTI_TENANT_CLIENT_ID),
        ("client_secret", MULTI_TENANT_CLIENT_SECRET),
    ];
    let form = [&client, redeem(&code, &[]).as_slice()].concat();
    assert_eq!(world.token_at(TENANT_ID, &form).await.failure().2, 700_005);
    let tokens = world.token_at("common", &form).await.ok();
    let token = tokens["access_token"].as_str().unwrap();
    let claims = world.verified(FABRIKAM_TENANT_ID, token).await.unwrap();
    assert_eq!(claims["tid"], FABRIKAM_TENANT_ID);
    assert_eq!(
        claims["iss"],
        format!("{BASE_URL}/{FABRIKAM_TENANT_ID}/v2.0")
    );
}

#[tokio::test]
async fn openid_alone_leads_to_graph() {
    let world = World::new();
    let code = code_with(&world, "openid profile", &[]).await;
    let body = world.mcp_token(&redeem(&code, &[])).await.ok();
    assert_eq!(body["scope"], "User.Read Mail.Read openid profile");
}

#[tokio::test]
async fn only_a_form_posted_is_read() {
    let world = World::new();
    let path = format!("/{TENANT_ID}/oauth2/v2.0/token");
    let answer = world.get(&path).await;
    assert_eq!(
        answer.failure(),
        (400, "invalid_request".to_owned(), 900_561)
    );
    let json = http::Request::post(&path)
        .header("content-type", "application/json")
        .body(axum::body::Body::from(r#"{"grant_type":"refresh_token"}"#))
        .unwrap();
    assert_eq!(world.send(json).await.failure().2, 900_144);
    let twice = [
        ("grant_type", "refresh_token"),
        ("grant_type", "refresh_token"),
    ];
    assert_eq!(world.token(&twice).await.failure().2, 9_000_411);
}

#[tokio::test]
async fn errors_say_everything_entras_say() {
    let world = World::new();
    let id = "11111111-2222-4333-8444-555555555555";
    let headers = [
        ("client-request-id", id),
        ("return-client-request-id", "true"),
    ];
    let form = [mcp(), &redeem("1.Ax.y", &[])].concat();
    let answer = world
        .post(&format!("/{TENANT_ID}/oauth2/v2.0/token"), &form, &headers)
        .await;
    assert_eq!(answer.headers["client-request-id"], id);
    let body = answer.json();
    assert_eq!(body["correlation_id"], id);
    assert_eq!(body["timestamp"], "2027-01-15 08:00:00Z");
    assert_eq!(body["error_uri"], format!("{BASE_URL}/error?code=70000"));
    assert_eq!(body["suberror"], "bad_token");
    let text = body["error_description"].as_str().unwrap();
    let trace = body["trace_id"].as_str().unwrap();
    let ends = format!(" Trace ID: {trace} Correlation ID: {id} Timestamp: 2027-01-15 08:00:00Z");
    assert!(text.ends_with(&ends), "{text}");
}
