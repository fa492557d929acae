//! Refresh tokens rotate.

use std::time::Duration;

use entra_emulator::{Endpoint, GrantType};
use entrada::grant::ROTATION_GRACE;
use serde_json::json;

use crate::client::{Client, Session};
use crate::world::{SECOND, World};

pub(crate) const REFRESH_GRANT: Endpoint = Endpoint::TokenGrant(GrantType::RefreshToken);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The session ends: neither token is of use, at the latest when the guard looks again.
pub(crate) async fn assert_ended(world: &World, session: &Session) {
    session.refresh().await.assert_refused(400, "invalid_grant");
    world.advance(entrada::authorization_server::GRANT_CACHE_TTL + SECOND);
    session
        .call_tool()
        .await
        .assert_unauthorized("invalid_token");
}

#[tokio::test]
async fn a_refresh_gives_new_tokens_of_the_same_session() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let answer = session.refresh().await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let next = session.client.session(answer.ok());
    assert_ne!(next.refresh_token, session.refresh_token);
    assert_ne!(next.access_token, session.access_token);
    for claim in ["sid", "sub", "aud", "scope", "client_id"] {
        assert_eq!(next.claims()[claim], session.claims()[claim], "{claim}");
    }
    assert_eq!(next.tokens["expires_in"], json!(3600));
    assert!(next.call_tool().await.status.is_success());
    assert_eq!(world.entra.calls(REFRESH_GRANT), 1);
}

#[tokio::test]
async fn entra_is_asked_for_our_own_api_alone() {
    let world = World::new().await;
    world.log_in("alice").await.refreshed().await;
    let form = world.entra.last_token_form().unwrap();
    let scopes: Vec<_> = form.iter().filter(|(name, _)| name == "scope").collect();
    assert_eq!(scopes.len(), 1);
    assert_eq!(
        scopes[0].1,
        "api://30000000-0000-4000-8000-000000000001/mcp.read openid profile offline_access"
    );
    assert!(form.iter().all(|(name, _)| name != "resource"));
}

#[tokio::test]
async fn a_lost_answer_is_given_again_for_thirty_seconds() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let first = session.refreshed().await;
    for wait in [Duration::ZERO, SECOND, 29 * SECOND] {
        world.advance(wait);
        let repeated = session.refreshed().await;
        assert_eq!(repeated.refresh_token, first.refresh_token);
        assert!(repeated.call_tool().await.status.is_success());
    }
    assert_eq!(world.entra.calls(REFRESH_GRANT), 1);
    assert_eq!(ROTATION_GRACE, 30 * SECOND);
    // Whoever got the answer goes on.
    first.refreshed().await;
}

#[tokio::test]
async fn a_token_used_again_later_ends_the_family() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let first = session.refreshed().await;
    assert!(first.call_tool().await.status.is_success());
    world.advance(ROTATION_GRACE + SECOND);
    session.refresh().await.assert_refused(400, "invalid_grant");
    assert_ended(&world, &first).await;
}

#[tokio::test]
async fn a_token_from_before_the_last_one_ends_the_family_at_once() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let second = session.refreshed().await.refreshed().await;
    session.refresh().await.assert_refused(400, "invalid_grant");
    assert_ended(&world, &second).await;
}

#[tokio::test]
async fn a_token_of_another_client_or_of_nobody_changes_nothing() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let other: Client = world.client().await;
    let stolen = other.refresh(&session.refresh_token).await;
    stolen.assert_refused(400, "invalid_grant");
    let mut forged = session.refresh_token.clone();
    let letter = if forged[40..].starts_with('A') {
        "B"
    } else {
        "A"
    };
    forged.replace_range(40..41, letter);
    for token in [&*forged, "x", &*session.access_token] {
        let answer = session.client.refresh(token).await;
        answer.assert_refused(400, "invalid_grant");
    }
    let form = [("grant_type", "refresh_token"), ("client_id", &*other.id)];
    let missing = other.token(&form).await;
    missing.assert_refused(400, "invalid_request");
    session.refreshed().await;
}

#[tokio::test]
async fn a_session_lives_for_ninety_days_after_its_last_use() {
    let world = World::new().await;
    let mut session = world.log_in("alice").await;
    for _ in 0..3 {
        world.advance(89 * DAY);
        session = session.refreshed().await;
    }
    world.advance(90 * DAY);
    session.refresh().await.assert_refused(400, "invalid_grant");
}

/// A world with two scopes, and a session that holds both.
async fn two_scopes() -> (World, Session) {
    let world = World::with(|config| config.required_scopes(["mcp.read", "mcp.write"])).await;
    let client = world.client().await;
    let mut browser = world.browser();
    let url = client.authorize_url(&[("scope", "mcp.read mcp.write")]);
    let consent = browser.get(&url).await.page();
    let location = browser.approve(&consent, "alice").await.left();
    let code = crate::client::parameter(&location, "code").unwrap();
    let session = client.session(client.redeem(&code).await.ok());
    (world, session)
}

#[tokio::test]
async fn a_refresh_may_narrow_the_scope_of_one_access_token() {
    let (world, session) = two_scopes().await;
    assert_eq!(session.tokens["scope"], json!("mcp.read mcp.write"));
    let prefixed = "api://30000000-0000-4000-8000-000000000001/mcp.read openid";
    for scope in ["mcp.read", prefixed] {
        let narrow = session.refresh_with(&[("scope", scope)]).await.ok();
        assert_eq!(narrow["scope"], json!("mcp.read"));
        let narrow = session.client.session(narrow);
        assert_eq!(narrow.claims()["scope"], json!("mcp.read"));
        assert_eq!(narrow.call_tool().await.status, 403);
    }
    // Left out, the scope is the whole grant's again.
    world.advance(SECOND);
    let next = session.refreshed().await.refreshed().await;
    assert_eq!(next.tokens["scope"], json!("mcp.read mcp.write"));
    assert!(next.call_tool().await.status.is_success());
}

#[tokio::test]
async fn a_refresh_never_widens_the_scope() {
    let world = World::with(|config| config.required_scopes(["mcp.read", "mcp.write"])).await;
    let narrow = world.log_in("alice").await;
    assert_eq!(narrow.tokens["scope"], json!("mcp.read"));
    for scope in ["mcp.write", "mcp.read mcp.write", "other", "a\"b"] {
        let answer = narrow.refresh_with(&[("scope", scope)]).await;
        answer.assert_refused(400, "invalid_scope");
    }
    let other = [("resource", "https://other.example/mcp")];
    let answer = narrow.refresh_with(&other).await;
    answer.assert_refused(400, "invalid_target");
    // None of this cost anything.
    assert_eq!(world.entra.calls(REFRESH_GRANT), 0);
    assert_eq!(narrow.refreshed().await.tokens["scope"], json!("mcp.read"));
}

/// Entra's tokens hold whatever the user ever consented to.
#[tokio::test]
async fn what_entra_gives_beyond_the_request_is_left_out() {
    let (world, wide) = two_scopes().await;
    assert!(wide.call_tool().await.status.is_success());
    let client = world.client().await;
    let narrow = client.log_in(&mut world.browser(), "alice").await;
    assert_eq!(narrow.tokens["scope"], json!("mcp.read"));
    for session in [narrow.refreshed().await, narrow.refreshed().await] {
        assert_eq!(session.tokens["scope"], json!("mcp.read"));
        assert_eq!(session.call_tool().await.status, 403);
    }
}

#[tokio::test]
async fn what_entra_says_of_the_user_now_is_what_the_server_sees() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    world.entra.change_directory(|directory| {
        let alice = directory.user_mut("alice@contoso.onmicrosoft.com").unwrap();
        "Alice Newname".clone_into(&mut alice.name);
        alice.app_roles.clear();
    });
    let before = session.call_tool().await.ok();
    assert_eq!(before["name"], json!("Alice Anders"));
    assert_eq!(before["roles"], json!(["Mcp.Admin"]));
    let after = session.refreshed().await.call_tool().await.ok();
    assert_eq!(after["name"], json!("Alice Newname"));
    assert_eq!(after["roles"], json!([]));
}

#[tokio::test]
async fn what_entra_takes_back_is_gone_for_good() {
    let (world, session) = two_scopes().await;
    assert!(session.call_tool().await.status.is_success());
    let short = "openid api://30000000-0000-4000-8000-000000000001/mcp.read";
    world.intercept(move |_, answer| answer["scope"] = json!(short));
    let narrow = session.refreshed().await;
    assert_eq!(narrow.tokens["scope"], json!("mcp.read"));
    assert_eq!(narrow.call_tool().await.status, 403);
    // From the tokens issued before, too, as soon as the guard looks again.
    world.advance(11 * SECOND);
    assert_eq!(session.call_tool().await.status, 403);
    world.intercept(|_, _| {});
    let next = narrow.refreshed().await;
    assert_eq!(next.tokens["scope"], json!("mcp.read"));
}
