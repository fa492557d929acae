//! The page on which users see which clients act for them, and remove some.

use entrada::store::Collection;
use std::time::Duration;

use entra_emulator::{Endpoint, Failure};
use url::Url;

use crate::browser::{Browser, Page, Stop};
use crate::client::parameter;
use crate::outage::Outage;
use crate::remembered_consent::{is_asked, opened, remembering};
use crate::world::{BASE_URL, SECOND, World};

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn page_url() -> String {
    format!("{BASE_URL}/approved-apps")
}

/// The page, once `name` has signed in for it.
pub(crate) async fn sign_in(browser: &mut Browser, name: &str) -> Page {
    let page = browser.get(&page_url()).await.page();
    assert!(
        page.html.contains("Sign in with Microsoft"),
        "{}",
        page.html
    );
    let stop = browser.submit(&page, &[]).await;
    let page = browser.sign_in(stop, name).await.page();
    assert_eq!(page.url.as_str(), page_url());
    page
}

/// The form that removes the client with this id.
pub(crate) fn removal(page: &Page, id: &str) -> (Url, Vec<(String, String)>) {
    let ids = page.html.split("App id").skip(1);
    let at = ids.enumerate().find(|(_, after)| {
        let text = after.split("</bdi>").next().unwrap();
        text.ends_with(&format!(">{id}"))
    });
    let (at, _) = at.unwrap_or_else(|| panic!("{id}: {}", page.html));
    page.forms().nth(at).unwrap()
}

async fn press(browser: &mut Browser, form: (Url, Vec<(String, String)>)) -> Page {
    browser.post(&form.0, &form.1).await.page()
}

#[tokio::test]
async fn users_see_their_own_clients_and_what_they_can_do() {
    let world = World::with(remembering).await;
    let (one, two) = (world.client().await, world.client().await);
    let mut browser = world.browser();
    one.log_in(&mut browser, "alice").await;
    world.advance(2 * 24 * 60 * MINUTE);
    two.log_in(&mut browser, "alice").await;
    let page = sign_in(&mut browser, "alice").await;
    for words in [
        "alice@contoso.onmicrosoft.com",
        "Contoso tools",
        "Test client",
        "client.example",
        "mcp.read",
        "within the last day",
        "2 days ago",
        &*one.id,
        &*two.id,
    ] {
        assert!(page.html.contains(words), "{words}: {}", page.html);
    }
    assert_eq!(page.headers["cache-control"], "no-store");
    assert_eq!(page.headers["x-frame-options"], "DENY");
    let bob = sign_in(&mut world.browser(), "bob").await;
    assert!(bob.html.contains("There are none."), "{}", bob.html);
    assert!(!bob.html.contains(&*one.id));
}

#[tokio::test]
async fn a_client_that_is_removed_is_signed_out_and_asked_about_again() {
    let world = World::with(remembering).await;
    let (one, other) = (world.client().await, world.client().await);
    let (mut browser, mut phone) = (opened(&world), opened(&world));
    let sessions = [
        one.log_in(&mut browser, "alice").await,
        one.log_in(&mut phone, "alice").await,
    ];
    let kept = other.log_in(&mut browser, "alice").await;
    let of_bob = one.log_in(&mut world.browser(), "bob").await;
    let page = sign_in(&mut browser, "alice").await;
    let page = press(&mut browser, removal(&page, &one.id)).await;
    assert_eq!(page.url.as_str(), page_url());
    assert!(!page.html.contains(&*one.id), "{}", page.html);
    assert!(page.html.contains(&*other.id), "{}", page.html);
    world.advance(11 * SECOND);
    for session in &sessions {
        session
            .call_tool()
            .await
            .assert_unauthorized("invalid_token");
        session.refresh().await.assert_refused(400, "invalid_grant");
    }
    for session in [kept, of_bob] {
        session.call_tool().await.ok();
        session.refresh().await.ok();
    }
    assert!(is_asked(&mut browser, &one.authorize_url(&[])).await);
    assert!(!is_asked(&mut browser, &other.authorize_url(&[])).await);
    // Who approves it again has it back.
    one.log_in(&mut browser, "alice")
        .await
        .call_tool()
        .await
        .ok();
}

#[tokio::test]
async fn the_page_is_shown_for_ten_minutes_or_until_signed_out() {
    let world = World::with(remembering).await;
    let client = world.client().await;
    let mut browser = opened(&world);
    client.log_in(&mut browser, "alice").await;
    let page = sign_in(&mut browser, "alice").await;
    world.advance(9 * MINUTE);
    let again = browser.get(&page_url()).await.page();
    assert!(again.html.contains(&*client.id), "{}", again.html);
    world.advance(MINUTE);
    let late = browser.get(&page_url()).await.page();
    assert!(
        late.html.contains("Sign in with Microsoft"),
        "{}",
        late.html
    );
    let stale = press(&mut browser, removal(&page, &client.id)).await;
    assert_eq!(stale.status, 403, "{}", stale.html);
    let page = sign_in(&mut browser, "alice").await;
    let out = page.forms().last().unwrap();
    let page = press(&mut browser, out).await;
    assert!(
        page.html.contains("Sign in with Microsoft"),
        "{}",
        page.html
    );
    // A browser that was signed out is nobody's, and asks.
    assert!(is_asked(&mut browser, &client.authorize_url(&[])).await);
    world.advance(11 * MINUTE);
    let expired = browser.submit(&page, &[]).await.page();
    assert_eq!(expired.status, 400, "{}", expired.html);
}

#[tokio::test]
async fn what_goes_wrong_at_entra_is_said() {
    let world = World::new().await;
    let mut browser = world.browser();
    let back = |error: &'static str| {
        let mut browser = browser.clone();
        async move {
            browser.stop_before = Some("/auth/callback");
            let page = browser.get(&page_url()).await.page();
            let stop = browser.submit(&page, &[]).await;
            let back = browser.sign_in(stop, "alice").await.left();
            browser.stop_before = None;
            if error.is_empty() {
                return (browser, back);
            }
            let state = parameter(&back, "state").unwrap();
            let url = format!("{BASE_URL}/auth/callback?state={state}&error={error}");
            (browser, url.parse().unwrap())
        }
    };
    for (error, status, words) in [
        ("access_denied", 403, "Microsoft did not sign you in"),
        ("temporarily_unavailable", 503, "Signing in did not work"),
        ("invalid_request", 500, "Signing in did not work"),
    ] {
        let (mut browser, url) = back(error).await;
        let page = browser.get(url.as_str()).await.page();
        assert_eq!(page.status, status, "{error}: {}", page.html);
        assert!(page.html.contains(words), "{}", page.html);
    }
    let (mut refused, url) = back("").await;
    let failure = Failure::Error {
        aadsts: 7_000_215,
        error: "invalid_client".to_owned(),
        suberror: None,
        claims: None,
    };
    world.entra.fail_next(Endpoint::Token, 1, failure);
    let page = refused.get(url.as_str()).await.page();
    assert_eq!(page.status, 500, "{}", page.html);
    // Nobody is signed in by any of it.
    for browser in [&mut refused, &mut browser] {
        let page = browser.get(&page_url()).await.page();
        assert!(page.html.contains("Sign in with Microsoft"));
    }
}

#[tokio::test]
async fn a_store_that_fails_removes_nothing_by_half() {
    let outage = std::sync::Arc::new(Outage::default());
    let world = World::on(outage.clone(), |config| config).await;
    let client = world.client().await;
    let mut browser = world.browser();
    let session = client.log_in(&mut browser, "alice").await;
    let page = sign_in(&mut browser, "alice").await;
    for (verb, collection) in [
        ("read", Collection::Approvals),
        ("revoke", Collection::Grants),
        ("put_version", Collection::Approvals),
    ] {
        outage.begin_at(verb, collection);
        let form = removal(&page, &client.id);
        let failed = browser.post(&form.0, &form.1).await;
        let Stop::Page(failed) = failed else {
            panic!("{failed:?}");
        };
        assert_eq!(failed.status, 503, "{verb}");
        outage.end();
        // What could not be done is still there to be done.
        let listed = browser.get(&page_url()).await.page();
        assert!(listed.html.contains(&*client.id), "{verb}");
    }
    press(&mut browser, removal(&page, &client.id)).await;
    world.advance(11 * SECOND);
    session
        .call_tool()
        .await
        .assert_unauthorized("invalid_token");
}

#[tokio::test]
async fn where_there_are_too_many_sessions_the_oldest_end() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    let oldest = client.log_in(&mut browser, "alice").await;
    world.advance(SECOND);
    let mut sessions = Vec::new();
    for _ in 0..256 {
        sessions.push(client.log_in(&mut browser, "alice").await);
    }
    world.advance(11 * SECOND);
    oldest
        .call_tool()
        .await
        .assert_unauthorized("invalid_token");
    oldest.refresh().await.assert_refused(400, "invalid_grant");
    for session in sessions.iter().rev().take(192) {
        session.call_tool().await.ok();
    }
}
