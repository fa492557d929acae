//! The user is asked, once for each login.

use std::time::Duration;

use entra_emulator::Endpoint;
use http::{Method, StatusCode};
use serde_json::json;
use url::Url;

use crate::browser::{Page, Stop};
use crate::client::{Client, parameter};
use crate::world::{BASE_URL, CALLBACK, SECOND, World};

const MINUTE: Duration = Duration::from_secs(60);

#[track_caller]
fn assert_page(stop: Stop, status: u16, words: &str) -> Page {
    let page = stop.page();
    assert_eq!(page.status.as_u16(), status, "{}", page.html);
    assert!(page.html.contains(words), "{}", page.html);
    page
}

#[track_caller]
fn assert_denied(location: &Url) {
    assert!(location.as_str().starts_with(CALLBACK), "{location}");
    let got = ["error", "state", "iss"].map(|name| parameter(location, name));
    let got = got.each_ref().map(Option::as_deref);
    assert_eq!(
        got,
        [Some("access_denied"), Some("a+b c&d"), Some(BASE_URL)]
    );
    assert_eq!(parameter(location, "code"), None);
}

#[tokio::test]
async fn the_page_says_who_asks_for_what_and_where_it_goes() {
    let world = World::new().await;
    let client = world.client().await;
    let page = client.ask(&mut world.browser()).await;
    for words in [
        "Test client",
        "client.example",
        CALLBACK,
        "Contoso tools",
        "mcp.read",
        "User.Read",
        &*client.id,
    ] {
        assert!(page.html.contains(words), "{words}: {}", page.html);
    }
    for (header, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("strict-transport-security", "max-age=31536000"),
    ] {
        assert_eq!(page.headers[header], value);
    }
    assert!(!page.html.contains("<script"));
    assert_eq!(page.form().0.as_str(), format!("{BASE_URL}/consent"));
}

#[tokio::test]
async fn what_a_client_says_of_itself_is_shown_as_text() {
    let world = World::new().await;
    let hostile = "<script>alert(1)</script>\"'&";
    let client = world
        .client_with(&json!({ "redirect_uris": [CALLBACK], "client_name": hostile }))
        .await;
    let page = client.ask(&mut world.browser()).await;
    assert!(!page.html.contains("<script>"), "{}", page.html);
    assert!(page.html.contains("alert(1)"));
}

/// Browsers preload pages, and people press reload.
#[tokio::test]
async fn a_page_that_was_shown_twice_can_be_answered_either_time() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    let first = client.ask(&mut browser).await;
    let second = client.ask(&mut browser).await;
    for page in [second, first] {
        let location = browser.approve(&page, "alice").await.left();
        let code = parameter(&location, "code").unwrap();
        client.redeem(&code).await.ok();
    }
}

#[tokio::test]
async fn logins_in_several_tabs_do_not_disturb_each_other() {
    let world = World::new().await;
    let (one, two) = (world.client().await, world.client().await);
    let mut browser = world.browser();
    let pages = [one.ask(&mut browser).await, two.ask(&mut browser).await];
    browser.stop_before = Some("/auth/callback");
    let first = browser.approve(&pages[0], "alice").await.left();
    let second = browser.approve(&pages[1], "alice").await.left();
    browser.stop_before = None;
    assert_eq!(browser.cookies("mcp.example.com").len(), 3);
    for (client, url) in [(two, second), (one, first)] {
        let location = browser.get(url.as_str()).await.left();
        let code = parameter(&location, "code").unwrap();
        client.redeem(&code).await.ok();
    }
    // Each login took its own cookie with it.
    assert_eq!(
        browser.cookies("mcp.example.com"),
        ["__Host-entrada-browser"]
    );
}

#[tokio::test]
async fn pages_that_are_shown_many_times_leave_one_cookie() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    for _ in 0..30 {
        client.ask(&mut browser).await;
    }
    assert_eq!(browser.cookies("mcp.example.com").len(), 1);
}

#[tokio::test]
async fn a_denial_goes_back_to_the_client_and_is_final() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    let page = client.ask(&mut browser).await;
    let denied = browser.submit(&page, &[("answer", "deny")]).await.left();
    assert_denied(&denied);
    for answer in ["allow", "deny"] {
        let again = browser.submit(&page, &[("answer", answer)]).await;
        assert_page(again, 400, "You answered this before");
    }
    assert_eq!(world.entra.calls(Endpoint::Authorize), 0);
    // Whoever starts anew is asked anew.
    client.log_in(&mut browser, "alice").await;
}

#[tokio::test]
async fn a_denial_names_the_issuer_as_configured() {
    let issuer = format!("{BASE_URL}/tenants/a/");
    let world = World::with(|config| config.issuer_url(&*issuer)).await;
    let client = world.client().await;
    let mut browser = world.browser();
    let page = client.ask(&mut browser).await;
    let denied = browser.submit(&page, &[("answer", "deny")]).await.left();
    let issuers: Vec<_> = denied
        .query_pairs()
        .filter(|(name, _)| name == "iss")
        .collect();
    assert_eq!(issuers, [("iss".into(), issuer.into())]);
}

#[tokio::test]
async fn an_approval_counts_once() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    let page = client.ask(&mut browser).await;
    browser.submit(&page, &[("answer", "allow")]).await;
    for answer in ["allow", "deny"] {
        let again = browser.submit(&page, &[("answer", answer)]).await;
        assert_page(again, 400, "You answered this before");
    }
    assert_eq!(world.entra.calls(Endpoint::Authorize), 1);
}

#[tokio::test]
async fn a_page_that_stood_open_for_ten_minutes_has_expired() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    let page = client.ask(&mut browser).await;
    world.advance(10 * MINUTE);
    let in_time = browser.submit(&page, &[("answer", "allow")]).await.page();
    assert_eq!(in_time.url.host_str(), Some("login.emulator.test"));
    let page = client.ask(&mut browser).await;
    world.advance(10 * MINUTE + SECOND);
    for answer in ["allow", "deny"] {
        let late = browser.submit(&page, &[("answer", answer)]).await;
        assert_page(late, 400, "This page stood open for too long");
    }
}

#[tokio::test]
async fn a_form_counts_only_in_the_browser_it_was_shown_to() {
    let world = World::new().await;
    let client = world.client().await;
    let page = client.ask(&mut world.browser()).await;
    let other = world.browser().submit(&page, &[("answer", "allow")]).await;
    assert_page(other, 403, "This form belongs to another browser");
    let mut known = world.browser();
    client.ask(&mut known).await;
    let other = known.submit(&page, &[("answer", "allow")]).await;
    assert_page(other, 403, "This form belongs to another browser");
}

#[tokio::test]
async fn a_form_that_comes_from_another_site_does_not_count() {
    let world = World::new().await;
    let client = world.client().await;
    let answer = world
        .ask(Method::GET, &client.authorize_url(&[]), &[], "")
        .await;
    let cookie = answer
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let (_, rest) = answer.text.split_once("name=\"request\" value=\"").unwrap();
    let body = format!("answer=deny&request={}", rest.split('"').next().unwrap());
    let post = async |site: Option<&str>| {
        let mut headers = vec![
            ("cookie", &*cookie),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        headers.extend(site.map(|site| ("sec-fetch-site", site)));
        let answer = world.ask(Method::POST, "/consent", &headers, &body).await;
        answer.status
    };
    for site in ["cross-site", "same-site", "none"] {
        assert_eq!(post(Some(site)).await, StatusCode::FORBIDDEN, "{site}");
    }
    // Browsers that do not say are held to their cookie alone.
    assert_eq!(post(None).await, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_form_that_is_none_of_ours_is_refused() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    let page = client.ask(&mut browser).await;
    for change in [
        ("answer", "maybe"),
        ("answer", ""),
        ("request", ""),
        ("request", "x.y"),
    ] {
        let mut values = vec![("answer", "allow")];
        values.retain(|(name, _)| *name != change.0);
        values.push(change);
        let stop = browser.submit(&page, &values).await;
        assert_page(stop, 400, "This form cannot be used");
    }
    // Another server's form is sealed with other keys.
    let other = World::new().await;
    let foreign = other.client().await.ask(&mut other.browser()).await;
    let stop = browser.submit(&foreign, &[("answer", "allow")]).await;
    assert_page(stop, 400, "This form cannot be used");
}

#[tokio::test]
async fn another_replica_may_take_the_answer() {
    let world = World::new().await;
    let replica = world.replica();
    let client = world.client().await;
    let mut browser = world.browser();
    let page = client.ask(&mut browser).await;
    let mut browser = browser.at(&replica);
    let location = browser.approve(&page, "alice").await.left();
    let code = parameter(&location, "code").unwrap();
    client.redeem(&code).await.ok();
}

#[tokio::test]
async fn consent_given_before_is_asked_for_again() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    client.log_in(&mut browser, "alice").await;
    let page = client.ask(&mut browser).await;
    assert!(page.html.contains("Allow"), "{}", page.html);
    // Another client in a browser that is signed in at Entra is asked about, too.
    let other: Client = world.client().await;
    assert_eq!(other.ask(&mut browser).await.status, 200);
}

#[tokio::test]
async fn without_consent_the_browser_goes_straight_to_entra_and_is_bound_still() {
    let world = World::with(entrada::AzureConfig::insecure_skip_consent).await;
    let client = world.client().await;
    let mut browser = world.browser();
    browser.stop_before = Some("/auth/callback");
    let page = browser.get(&client.authorize_url(&[])).await;
    let back = browser.sign_in(page, "alice").await.left();
    let other = world.browser().get(back.as_str()).await;
    assert_page(other, 403, "This sign-in began in another browser");
    browser.stop_before = None;
    let location = browser.get(back.as_str()).await.left();
    client
        .redeem(&parameter(&location, "code").unwrap())
        .await
        .ok();
}
