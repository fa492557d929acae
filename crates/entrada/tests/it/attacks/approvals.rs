//! Consent that is remembered, and the page on which it is taken back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use entra_emulator::{Endpoint, builtin};
use entrada::authorization_server::ConsentMode;
use entrada::grant::Remember;
use entrada::jwt::jwks::Algorithm;
use entrada::platform::SystemRandom;
use serde_json::json;

use super::storage::Tampered;
use super::{HOST, assert_stopped, evil_client, post_form};
use crate::approved_apps::{page_url, removal, sign_in};
use crate::client::{Client, parameter};
use crate::refresh::assert_ended;
use crate::remembered_consent::{is_asked, opened, remembering};
use crate::world::{World, is_entra};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn consent_remembered_for_one_client_serves_no_other() {
    let world = World::with(remembering).await;
    let mut victim = opened(&world);
    let client = world.client().await;
    client.log_in(&mut victim, "alice").await;
    world.entra.reset_calls();
    let evil = evil_client(&world).await;
    assert!(is_asked(&mut victim, &evil.authorize_url(&[])).await);
    // Nor the same client at another of its redirect URIs.
    let metadata = json!({ "redirect_uris": [
        "https://client.example/callback", "https://client.example/beta"
    ] });
    let two = world.client_with(&metadata).await;
    two.log_in(&mut victim, "alice").await;
    world.entra.reset_calls();
    let beta = two.authorize_url(&[("redirect_uri", "https://client.example/beta")]);
    assert!(is_asked(&mut victim, &beta).await);
    // Nor for more than was asked.
    let more = client.authorize_url(&[("scope", "mcp.read mcp.write")]);
    assert!(is_asked(&mut victim, &more).await);
    assert_eq!(world.entra.calls(Endpoint::Authorize), 0);
}

#[tokio::test]
async fn another_site_cannot_begin_a_login_unseen() {
    let world = World::with(remembering).await;
    let mut victim = opened(&world);
    let client = world.client().await;
    client.log_in(&mut victim, "alice").await;
    world.entra.reset_calls();
    for site in [Some("cross-site"), Some("same-site"), None] {
        victim.opened_from = site;
        let url = client.authorize_url(&[]);
        assert!(is_asked(&mut victim, &url).await, "{site:?}");
    }
    assert_eq!(world.entra.calls(Endpoint::Authorize), 0);
}

#[tokio::test]
async fn consent_of_one_user_gives_no_code_for_another() {
    let world = World::with(remembering).await;
    let client = world.client().await;
    let mut browser = opened(&world);
    client.log_in(&mut browser, "alice").await;
    let page = browser.get(&client.authorize_url(&[])).await;
    let page = browser.sign_in(page, "bob").await.page();
    // He is asked, and may say no.
    let denied = browser.submit(&page, &[("answer", "deny")]).await.left();
    assert_eq!(parameter(&denied, "code"), None);
    let error = parameter(&denied, "error");
    assert_eq!(error.as_deref(), Some("access_denied"));
}

#[tokio::test]
async fn who_uses_a_browser_cannot_be_made_up() {
    let world = World::with(remembering).await;
    let client = world.client().await;
    let mut victim = opened(&world);
    client.log_in(&mut victim, "alice").await;
    sign_in(&mut victim, "alice").await;
    let cookies = victim.cookie_header(HOST);
    let value = |name: &str| {
        let pair = cookies.split("; ").find_map(|pair| pair.strip_prefix(name));
        pair.unwrap().to_owned()
    };
    let user = value("__Host-entrada-user=");
    let session = value("__Host-entrada-session=");
    let middle = user.len() / 2;
    let with = if user.as_bytes()[middle] == b'A' {
        "B"
    } else {
        "A"
    };
    let changed = format!("{}{with}{}", &user[..middle], &user[middle + 1..]);
    for (name, forged) in [
        ("__Host-entrada-user", changed.as_str()),
        ("__Host-entrada-user", &session),
        ("__Host-entrada-user", "eyJ1c2VyIjoiYWxpY2UifQ"),
        ("entrada-user", &user),
    ] {
        let cookie = format!("{name}={forged}");
        let headers = [
            ("cookie", &*cookie),
            ("sec-fetch-site", "none"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        let url = client.authorize_url(&[]);
        let answer = world.ask(http::Method::GET, &url, &headers, "").await;
        assert_eq!(answer.status, 200, "{name}={forged}");
    }
    // Who used the browser last is not signed in to the page of apps.
    for cookie in [
        format!("__Host-entrada-session={user}"),
        format!("__Host-entrada-user={user}"),
    ] {
        let headers = [("cookie", &*cookie)];
        let answer = world
            .ask(http::Method::GET, "/approved-apps", &headers, "")
            .await;
        assert!(
            answer.text.contains("Sign in with Microsoft"),
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn a_removed_client_keeps_no_grant() {
    let world = World::with(remembering).await;
    let client = world.client().await;
    let mut browser = opened(&world);
    let session = client.log_in(&mut browser, "alice").await;
    // A code is under way when the user removes the client.
    let code = client.code(&mut world.browser(), "alice").await;
    let page = sign_in(&mut browser, "alice").await;
    let (action, fields) = removal(&page, &client.id);
    browser.post(&action, &fields).await.page();
    client
        .redeem(&code)
        .await
        .assert_refused(400, "invalid_grant");
    assert_ended(&world, &session).await;
}

#[tokio::test]
async fn clients_are_removed_by_their_user_alone() {
    let world = World::new().await;
    let client = world.client().await;
    let (mut alice, mut mallory) = (world.browser(), world.browser());
    let session = client.log_in(&mut alice, "alice").await;
    client.log_in(&mut mallory, "bob").await;
    let hers = sign_in(&mut alice, "alice").await;
    let his = sign_in(&mut mallory, "bob").await;
    // Another site posts her form.
    let (action, fields) = removal(&hers, &client.id);
    let cookies = alice.cookie_header(HOST);
    for site in ["cross-site", "same-site", "none"] {
        let headers = [("cookie", &*cookies), ("sec-fetch-site", site)];
        let answer = post_form(&world, "/approved-apps", &headers, &fields).await;
        assert_eq!(answer.status, 403, "{site}");
    }
    // Her form in his browser, and his in hers.
    let posted = mallory.post(&action, &fields).await.page();
    assert_stopped(&posted, 403);
    let (action, fields) = removal(&his, &client.id);
    let posted = alice.post(&action, &fields).await.page();
    assert_stopped(&posted, 403);
    // He signs in where she had the page open.
    let form = removal(&hers, &client.id);
    sign_out(&mut alice, &hers).await;
    sign_in(&mut alice, "bob").await;
    let posted = alice.post(&form.0, &form.1).await.page();
    assert_stopped(&posted, 403);
    session.call_tool().await.ok();
    session.refresh().await.ok();
}

async fn sign_out(browser: &mut crate::browser::Browser, page: &crate::browser::Page) {
    let (action, fields) = page.forms().last().unwrap();
    browser.post(&action, &fields).await.page();
}

#[tokio::test]
async fn a_link_does_not_sign_in_to_the_page_of_apps() {
    let world = World::new().await;
    let mut victim = world.browser();
    world.client().await.log_in(&mut victim, "alice").await;
    world.entra.reset_calls();
    let page = victim.get(&page_url()).await.page();
    assert_eq!(world.entra.calls(Endpoint::Authorize), 0);
    // The attacker's own way back from Entra, in the victim's browser.
    let mut attacker = world.browser();
    let own = attacker.get(&page_url()).await.page();
    attacker.stop_before = Some("/auth/callback");
    let stop = attacker.submit(&own, &[]).await;
    let back = attacker.sign_in(stop, "bob").await.left();
    assert_stopped(&victim.get(back.as_str()).await.page(), 403);
    assert_stopped(&victim.submit(&own, &[]).await.page(), 403);
    assert!(page.html.contains("Sign in with Microsoft"));
}

#[tokio::test]
async fn approvals_of_one_user_do_not_pass_for_anothers() {
    let store = Arc::new(Tampered::default());
    let world = World::on(store.clone(), remembering).await;
    let (one, other) = (world.client().await, world.client().await);
    let mut alice = opened(&world);
    let mut bob = opened(&world);
    one.log_in(&mut alice, "alice").await;
    other.log_in(&mut bob, "bob").await;
    // Whoever writes to the store puts Alice's record in the place of Bob's.
    store.swapped_approvals.store(true, Ordering::SeqCst);
    assert!(is_asked(&mut bob, &one.authorize_url(&[])).await);
    assert!(!is_asked(&mut alice, &one.authorize_url(&[])).await);
}

#[tokio::test]
async fn who_says_no_to_one_client_is_not_led_on_to_another() {
    let world = World::with(remembering).await;
    let mut victim = opened(&world);
    let client = world.client().await;
    client.log_in(&mut victim, "alice").await;
    world.entra.reset_calls();
    // The attacker's redirect URI is our own endpoint, with a request of the victim's client.
    let metadata = json!({ "redirect_uris": [client.authorize_url(&[])] });
    let evil = world.client_with(&metadata).await;
    victim.opened_from = Some("cross-site");
    let page = victim.get(&evil.authorize_url(&[])).await.page();
    // Where a form of ours is redirected to, it is we who opened the page.
    victim.opened_from = Some("same-origin");
    let led = victim.submit(&page, &[("answer", "deny")]).await.page();
    assert_eq!(led.url.path(), "/authorize");
    assert!(led.html.contains("Test client"), "{}", led.html);
    assert_eq!(world.entra.calls(Endpoint::Authorize), 0);
}

#[tokio::test]
async fn a_login_under_way_gives_a_removed_client_nothing_unasked() {
    let world = World::with(remembering).await;
    let client = world.client().await;
    let mut browser = opened(&world);
    client.log_in(&mut browser, "alice").await;
    // Somebody began a login, and it waits at Entra.
    let waiting = browser.get(&client.authorize_url(&[])).await;
    let mut phone = world.browser();
    let page = sign_in(&mut phone, "alice").await;
    let (action, fields) = removal(&page, &client.id);
    phone.post(&action, &fields).await.page();
    let asked = browser.sign_in(waiting, "alice").await.page();
    assert!(asked.html.contains("Test client"), "{}", asked.html);
    let page = phone.get(&page_url()).await.page();
    assert!(page.html.contains("There are none."), "{}", page.html);
    // She may have it back.
    let back = browser.approve(&asked, "alice").await.left();
    let code = parameter(&back, "code").unwrap();
    client.redeem(&code).await.ok();
}

#[tokio::test]
async fn keys_that_change_do_not_hide_a_client_from_its_user() {
    let world = World::new().await;
    let client = world.client().await;
    let mut session = client.log_in(&mut world.browser(), "alice").await;
    // For years she does not sign in; her client goes on.
    for _ in 0..12 {
        world.advance(80 * DAY);
        let (random, now) = (SystemRandom::default(), world.now());
        let ring = world.keys.current().rotated(Algorithm::Es256, &random, now);
        world.keys.replace(ring.unwrap());
        session = session.refreshed().await;
    }
    let mut browser = world.browser();
    let page = sign_in(&mut browser, "alice").await;
    let (action, fields) = removal(&page, &client.id);
    browser.post(&action, &fields).await.page();
    session.refresh().await.assert_refused(400, "invalid_grant");
}

#[tokio::test]
async fn a_small_request_does_not_hide_what_a_client_has() {
    let world = World::with(remembering).await;
    let client = world.client().await;
    let mut browser = world.browser();
    for scope in ["mcp.read mcp.write", "mcp.read"] {
        let url = client.authorize_url(&[("scope", scope)]);
        let page = browser.get(&url).await.page();
        let back = browser.approve(&page, "alice").await.left();
        let code = parameter(&back, "code").unwrap();
        client.redeem(&code).await.ok();
    }
    let page = sign_in(&mut browser, "alice").await;
    assert!(page.html.contains("mcp.write"), "{}", page.html);
}

#[tokio::test]
async fn what_a_page_did_not_say_it_remembers_is_not_remembered() {
    let world = World::new().await;
    let (client, other) = (world.client().await, world.client().await);
    let local = Client::register(world.hosts.clone(), "http://127.0.0.1:5000/callback").await;
    let mut browser = opened(&world);
    client.log_in(&mut browser, "alice").await;
    // From now on it is, but of apps on the device.
    let mut policy = Remember::default();
    policy.apps_on_device = false;
    let mode = ConsentMode::Remember(policy);
    let replica = world.replica_with(|config| config.consent(mode));
    let mut browser = browser.at(&replica);
    let page = other.at(&replica).ask(&mut browser).await;
    assert!(page.html.contains("will not see this page again"));
    browser.approve(&page, "alice").await.left();
    let page = local.at(&replica).ask(&mut browser).await;
    assert!(!page.html.contains("will not see this page again"));
    browser.approve(&page, "alice").await.left();
    assert!(!is_asked(&mut browser, &other.authorize_url(&[])).await);
    assert!(is_asked(&mut browser, &client.authorize_url(&[])).await);
    // And of those, too.
    let replica = world.replica_with(remembering);
    let mut browser = browser.at(&replica);
    assert!(is_asked(&mut browser, &local.authorize_url(&[])).await);
}

#[tokio::test]
async fn a_hint_does_not_take_the_choice_of_an_account_from_who_is_not_asked() {
    let world = World::with(remembering).await;
    let client = world.client().await;
    let mut browser = opened(&world);
    client.log_in(&mut browser, "alice").await;
    let hints = [
        ("domain_hint", "contoso.com"),
        ("login_hint", builtin::ALICE),
    ];
    let picker = browser.get(&client.authorize_url(&hints)).await.page();
    assert!(picker.url.host_str().is_some_and(is_entra));
    let asked = parameter(&picker.url, "prompt");
    assert_eq!(asked.as_deref(), Some("select_account"));
    assert_eq!(parameter(&picker.url, "domain_hint"), None);
}
