//! Tokens to downstream APIs: whose they are, and who is asked for what they lack.

use entra_emulator::{Endpoint, GrantRefusal, GrantType, TokenOrder, builtin};
use entrada::entra::verifier::AppOnlyTokens;
use entrada::oauth::claims_request::ClaimsRequest;
use entrada::on_behalf_of::{DownstreamRequest, OboError};
use http::Method;
use serde_json::json;

use super::{HOST, assert_stopped, post_form, text};
use crate::browser::{Browser, Page};
use crate::client::{Session, parameter};
use crate::conditional_access::{asked, link};
use crate::direct::world::{Direct, config, good};
use crate::mcp_server::{DOWNSTREAM, DOWNSTREAM_CLAIMS};
use crate::obo::{EXCHANGE, USER_READ, caller, token};
use crate::world::{BASE_URL, SECOND, World};

/// Somebody whom Entra wants to see again, the browser they use, and the link on which it can.
async fn wanted(name: &str) -> (World, Browser, Session, String) {
    let world = World::new().await;
    let mut browser = world.browser();
    let session = world.client().await.log_in(&mut browser, name).await;
    let username = format!("{name}@{}", builtin::TENANT_DOMAIN);
    world.entra.refuse_obo(&username, GrantRefusal::MfaRequired);
    let link = link(&world, &session, USER_READ).await;
    (world, browser, session, link)
}

async fn still_wanted(session: &Session) {
    assert_eq!(session.call_downstream(USER_READ).await.status, 401);
    assert_eq!(session.call_tool().await.status, 200);
}

#[tokio::test]
async fn link_of_another_user_changes_nothing() {
    // The attacker sends a link of their own; the victim has a second factor, and follows it.
    let (world, mut attacker, session, link) = wanted("bob").await;
    let mut victim = world.browser();
    let page = victim.get(&link).await.page();
    assert!(page.html.contains("b…@contoso.onmicrosoft.com"));
    let there = victim.submit(&page, &[]).await;
    let back = victim.sign_in(there, "alice").await.page();
    assert_stopped(&back, 403);
    still_wanted(&session).await;
    // The link has not become worthless for whom it is for.
    let page = attacker.get(&link).await.page();
    let there = attacker.submit(&page, &[]).await;
    assert_eq!(attacker.sign_in(there, "bob").await.page().status, 200);
    let answer = session.call_downstream(USER_READ).await.ok();
    assert_eq!(answer["downstream"]["oid"], json!(builtin::BOB_OID));
}

#[tokio::test]
async fn forged_sign_in_again_link_is_refused() {
    let (world, mut browser, session, link) = wanted("alice").await;
    let consent = session.client.ask(&mut browser).await.form().1.remove(0).1;
    let cut = &link[..link.len() - 1];
    let elsewhere = wanted("alice").await.3;
    let other_purpose = format!("{BASE_URL}/sign-in-again?request={consent}");
    for forged in [cut, &elsewhere, &other_purpose] {
        assert_stopped(&browser.get(forged).await.page(), 400);
    }
    let page = browser.get(&link).await.page();
    let form = page.form().1.remove(0).1;
    let as_link = format!("{BASE_URL}/sign-in-again?request={form}");
    assert_stopped(&browser.get(&as_link).await.page(), 400);
    let of_link = parameter(&link.parse().unwrap(), "request").unwrap();
    let posted = browser.submit(&page, &[("request", &of_link)]).await;
    assert_stopped(&posted.page(), 400);
    drop(world);
}

#[tokio::test]
async fn sign_in_again_form_of_another_browser_is_refused() {
    let (world, mut attacker, session, link) = wanted("bob").await;
    let page = attacker.get(&link).await.page();
    let mut victim = world.browser();
    victim.get(&link).await.page();
    assert_stopped(&victim.submit(&page, &[]).await.page(), 403);
    still_wanted(&session).await;
}

#[tokio::test]
async fn sign_in_again_posted_by_another_site_is_refused() {
    let (world, mut victim, _, link) = wanted("alice").await;
    let page = victim.get(&link).await.page();
    let cookies = victim.cookie_header(HOST);
    for site in ["cross-site", "same-site", "none"] {
        let headers = [("cookie", &*cookies), ("sec-fetch-site", site)];
        let answer = post_form(&world, "/sign-in-again", &headers, &page.form().1).await;
        assert_eq!(answer.status, 403, "{site}");
    }
    for path in ["/sign-in-again", "/sign-in-again?request=x"] {
        let headers = [("origin", "https://evil.example")];
        let answer = world.ask(Method::GET, path, &headers, "").await;
        let shared = |name: &http::HeaderName| name.as_str().starts_with("access-control");
        assert!(!answer.headers.keys().any(shared), "{:?}", answer.headers);
    }
    assert!(text(&page.headers, "content-security-policy").contains("frame-ancestors 'none'"));
}

#[tokio::test]
async fn sign_in_again_comes_back_to_the_browser_that_left() {
    let (world, mut browser, session, link) = wanted("alice").await;
    let page = browser.get(&link).await.page();
    browser.stop_before = Some("/auth/callback");
    let there = browser.submit(&page, &[]).await;
    let back = browser.sign_in(there, "alice").await.left();
    browser.stop_before = None;
    let mut other = world.browser();
    assert_stopped(&other.get(back.as_str()).await.page(), 403);
    still_wanted(&session).await;
    let page: Page = browser.get(back.as_str()).await.page();
    assert_eq!(page.status, 200, "{}", page.html);
    assert_stopped(&browser.get(back.as_str()).await.page(), 403);
}

#[tokio::test]
async fn sign_in_again_link_and_form_end_in_time_and_with_the_grant() {
    let (world, mut browser, session, link) = wanted("alice").await;
    let page = browser.get(&link).await.page();
    world.advance(601 * SECOND);
    assert_stopped(&browser.submit(&page, &[]).await.page(), 400);
    let page = browser.get(&link).await.page();
    session.client.revoke(&session.refresh_token).await;
    assert_stopped(&browser.get(&link).await.page(), 400);
    let there = browser.submit(&page, &[]).await;
    assert_stopped(&browser.sign_in(there, "alice").await.page(), 400);

    let (world, mut browser, session, link) = wanted("alice").await;
    world.advance(1800 * SECOND);
    still_wanted(&session).await;
    world.advance(1800 * SECOND);
    assert_stopped(&browser.get(&link).await.page(), 400);
    let session = session.refreshed().await;
    let next = crate::conditional_access::link(&world, &session, USER_READ).await;
    assert_eq!(browser.get(&next).await.page().status, 200);
}

#[tokio::test]
async fn sign_in_again_link_tells_nobody_whose_it_is() {
    let (world, _, _, link) = wanted("alice").await;
    let mut stranger = world.browser();
    let page = stranger.get(&link).await.page();
    let cookies = stranger.cookie_header(HOST);
    let headers = [("cookie", &*cookies)];
    let sent = post_form(&world, "/sign-in-again", &headers, &page.form().1).await;
    let location = sent.header("location").unwrap();
    for told in [&*page.html, location] {
        assert!(!told.to_ascii_lowercase().contains("alice"), "{told}");
    }
}

#[tokio::test]
async fn what_one_user_must_bring_is_asked_of_nobody_else() {
    // With a client of everybody's, such as one that names itself by its metadata document.
    let (world, _, session, _) = wanted("alice").await;
    world.entra.reset_calls();
    let mut bobs = world.browser();
    let bob = session.client.log_in(&mut bobs, "bob").await;
    assert_eq!(world.entra.calls(Endpoint::Authorize), 1);
    assert_eq!(asked(&world, "claims"), None);
    bob.refreshed().await;
}

#[tokio::test]
async fn downstream_token_of_another_login_is_not_given() {
    let world = World::new().await;
    let alice = caller(&world, &world.log_in("alice").await).await;
    let again = caller(&world, &world.log_in("alice").await).await;
    let bob = caller(&world, &world.log_in("bob").await).await;
    let mut tokens = Vec::new();
    for caller in [&alice, &again, &bob] {
        tokens.push(token(caller).await.unwrap().expose().to_owned());
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 3);
    assert_eq!(world.entra.calls(EXCHANGE), 3);
    // Nor that of a stronger one: the first login brought no second factor.
    let direct = Direct::new(config().client_secret(builtin::CLIENT_SECRET));
    let stronger = direct.verdict(&good()).await.unwrap();
    stronger.downstream_token(USER_READ).await.unwrap();
    direct
        .entra
        .refuse_obo(builtin::ALICE, GrantRefusal::MfaRequired);
    let weaker = direct.verdict(&good()).await.unwrap();
    let refused = weaker.downstream_token(USER_READ).await;
    assert!(
        matches!(refused, Err(OboError::InteractionRequired(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn revoked_grant_gives_no_downstream_token() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let caller = caller(&world, &session).await;
    token(&caller).await.unwrap();
    session.client.revoke(&session.refresh_token).await;
    world.advance(11 * SECOND);
    let refused = token(&caller).await;
    assert!(matches!(refused, Err(OboError::Renewal(_))), "{refused:?}");
}

#[tokio::test]
async fn application_does_not_do_what_the_server_may_unless_told() {
    let verifier = config()
        .client_secret(builtin::CLIENT_SECRET)
        .app_only(AppOnlyTokens::Allow)
        .allowed_clients([builtin::DAEMON_CLIENT_ID]);
    let world = Direct::new(verifier);
    let order = TokenOrder::app_only(builtin::DAEMON_CLIENT_ID, builtin::CLIENT_ID);
    let token = world.entra.mint(&order);
    let answer = world.call_with(&token, &[(DOWNSTREAM, USER_READ)]).await;
    assert_eq!(answer.status, 403);
    assert_eq!(world.entra.calls(Endpoint::Token), 0);
}

#[tokio::test]
async fn user_is_never_answered_with_the_servers_own_token() {
    let world = Direct::new(config().client_secret(builtin::CLIENT_SECRET));
    let caller = world.verdict(&good()).await.unwrap();
    let request = DownstreamRequest::new(USER_READ).allow_app_only_fallback();
    for refusal in [GrantRefusal::ConsentRequired, GrantRefusal::UserDisabled] {
        world.entra.refuse_obo(builtin::ALICE, refusal);
        assert!(caller.downstream_token(request).await.is_err());
    }
    let own = Endpoint::TokenGrant(GrantType::ClientCredentials);
    assert_eq!(world.entra.calls(own), 0);
}

#[tokio::test]
async fn claims_of_an_api_smuggle_no_parameter_to_entra() {
    let (world, mut browser, session, _) = wanted("alice").await;
    for broken in ["", "x", "[]", "\"a\"", "{\"a\":1}&prompt=none", "{\"a\":"] {
        assert!(ClaimsRequest::parse(broken).is_err(), "{broken}");
    }
    let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(20_000));
    assert!(ClaimsRequest::parse(&huge).is_err());
    let claims = r#"{"access_token":{"x":{"value":"&prompt=none&client_id=evil#"}}}"#;
    let headers = [(DOWNSTREAM, USER_READ), (DOWNSTREAM_CLAIMS, claims)];
    assert_eq!(session.call_downstream_with(&headers).await.status, 401);
    session.client.log_in(&mut browser, "alice").await;
    assert!(asked(&world, "claims").unwrap().contains("&prompt=none"));
    assert_eq!(asked(&world, "prompt"), None);
    assert_eq!(asked(&world, "client_id").unwrap(), builtin::CLIENT_ID);
}

#[tokio::test]
async fn answer_of_an_administrator_spends_no_login() {
    let world = World::new().await;
    let mut browser = world.browser();
    let client = world.client().await;
    let back = super::callback_url(&client, &mut browser, "alice").await;
    let state = parameter(&back, "state").unwrap();
    let consented = format!("{BASE_URL}/auth/callback?admin_consent=True&state={state}");
    assert_eq!(browser.get(&consented).await.page().status, 200);
    let denied = format!("{consented}&error=access_denied");
    assert_stopped(&browser.get(&denied).await.page(), 403);
    let denied = format!("{BASE_URL}/auth/callback?error=permission_denied");
    assert_stopped(&browser.get(&denied).await.page(), 403);
    let location = browser.get(back.as_str()).await.left();
    assert!(parameter(&location, "code").is_some());
}

#[tokio::test]
async fn refused_calls_do_not_make_us_ask_entra_again_and_again() {
    let (world, _, session, _) = wanted("alice").await;
    let asked = world.entra.calls(EXCHANGE);
    for _ in 0..20 {
        assert_eq!(session.call_downstream(USER_READ).await.status, 401);
    }
    assert_eq!(world.entra.calls(EXCHANGE), asked);
}
