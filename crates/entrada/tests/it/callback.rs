//! Entra sends the user back.

use std::time::Duration;

use entra_emulator::{Endpoint, GrantType};
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::browser::{Browser, Page, Stop};
use crate::client::{Client, parameter};
use crate::world::{BASE_URL, CALLBACK, SECOND, World};

pub(crate) const CODE_GRANT: Endpoint = Endpoint::TokenGrant(GrantType::AuthorizationCode);

/// A login whose user has signed in at Entra, and is about to be sent back.
pub(crate) struct Login {
    pub(crate) client: Client,
    pub(crate) browser: Browser,
    pub(crate) back: Url,
}

impl Login {
    pub(crate) async fn new(world: &World) -> Self {
        let client = world.client().await;
        let mut browser = world.browser();
        let consent = client.ask(&mut browser).await;
        browser.stop_before = Some("/auth/callback");
        let back = browser.approve(&consent, "alice").await.left();
        browser.stop_before = None;
        Self {
            client,
            browser,
            back,
        }
    }

    pub(crate) async fn finish(&mut self) -> Stop {
        self.browser.get(self.back.as_str()).await
    }

    /// Comes back with these parameters beside `state`.
    pub(crate) async fn finish_with(&mut self, parameters: &[(&str, &str)]) -> Stop {
        let state = parameter(&self.back, "state").unwrap();
        let mut url = self.back.clone();
        url.query_pairs_mut()
            .clear()
            .append_pair("state", &state)
            .extend_pairs(parameters);
        self.browser.get(url.as_str()).await
    }

    pub(crate) async fn assert_still_good(mut self) {
        let location = self.finish().await.left();
        let code = parameter(&location, "code").unwrap();
        self.client.redeem(&code).await.ok();
    }
}

#[track_caller]
pub(crate) fn assert_page(page: &Page, status: u16, words: &str) {
    assert_eq!(page.status.as_u16(), status, "{}", page.html);
    assert!(page.html.contains(words), "{}", page.html);
    assert_private(&page.headers);
    let header = |name: &str| page.headers[name].to_str().unwrap();
    assert_eq!(header("x-frame-options"), "DENY");
    assert_eq!(header("x-content-type-options"), "nosniff");
    let policy = header("content-security-policy");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(page.html.contains(header("x-correlation-id")));
}

#[track_caller]
fn assert_private(headers: &HeaderMap) {
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert_eq!(headers["strict-transport-security"], "max-age=31536000");
}

#[track_caller]
pub(crate) fn assert_error(location: &Url, error: &str) {
    assert!(location.as_str().starts_with(CALLBACK), "{location}");
    assert_eq!(parameter(location, "error").as_deref(), Some(error));
    assert_eq!(parameter(location, "state").as_deref(), Some("a+b c&d"));
    assert_eq!(parameter(location, "iss").as_deref(), Some(BASE_URL));
    assert_eq!(parameter(location, "code"), None);
}

#[tokio::test]
async fn a_callback_counts_once() {
    let world = World::new().await;
    let mut login = Login::new(&world).await;
    let location = login.finish().await.left();
    // The cookie went with it; a copy of it does not help either.
    assert_page(
        &login.finish().await.page(),
        403,
        "began in another browser",
    );
    let mut copy = Login::new(&world).await;
    let mut thief = copy.browser.clone();
    copy.finish().await.left();
    let replayed = thief.get(copy.back.as_str()).await.page();
    assert_page(&replayed, 400, "This sign-in is over");
    let code = parameter(&location, "code").unwrap();
    login.client.redeem(&code).await.ok();
}

#[tokio::test]
async fn a_callback_belongs_to_the_browser_that_consented() {
    let world = World::new().await;
    let login = Login::new(&world).await;
    let stranger = world.browser().get(login.back.as_str()).await.page();
    assert_page(&stranger, 403, "began in another browser");
    let mut without_cookies = login.browser.clone();
    without_cookies.forget_cookies();
    let blocked = without_cookies.get(login.back.as_str()).await.page();
    assert_page(&blocked, 403, "Cookies must be allowed");
    let mut other = Login::new(&world).await;
    let wrong = other.browser.get(login.back.as_str()).await.page();
    assert_page(&wrong, 403, "began in another browser");
    // Neither cost the user the login.
    login.assert_still_good().await;
}

#[tokio::test]
async fn a_login_takes_ten_minutes_at_most() {
    let world = World::new().await;
    let mut login = Login::new(&world).await;
    // Entra's own code is good for as long.
    world.advance(Duration::from_secs(600) + SECOND);
    let page = login.finish().await.page();
    assert_page(&page, 400, "This sign-in is over");
}

#[tokio::test]
async fn a_callback_without_state_or_code_is_not_complete() {
    let world = World::new().await;
    let words = "This link is not complete";
    for query in ["", "?code=x", "?state=", "?state=a&state=b&code=x"] {
        let url = format!("{BASE_URL}/auth/callback{query}");
        assert_page(&world.browser().get(&url).await.page(), 400, words);
    }
    let mut login = Login::new(&world).await;
    assert_page(&login.finish_with(&[]).await.page(), 400, words);
    let unknown = format!("{BASE_URL}/auth/callback?state=unknown&code=%3Cb%3E");
    let page = world.browser().get(&unknown).await.page();
    assert_page(&page, 403, "began in another browser");
    assert!(!page.html.contains("<b>"));
}

#[tokio::test]
async fn looking_ahead_spends_nothing() {
    let world = World::new().await;
    let login = Login::new(&world).await;
    let path = login.back.as_str();
    let head = world.ask(Method::HEAD, path, &[], "").await;
    assert_eq!(head.status, 405);
    for purpose in ["prefetch", "prefetch;prerender"] {
        let headers = [("sec-purpose", purpose)];
        let answer = world.ask(Method::GET, path, &headers, "").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(world.entra.calls(CODE_GRANT), 0);
    login.assert_still_good().await;
}

#[tokio::test]
async fn what_carries_a_code_is_kept_by_nobody() {
    let world = World::new().await;
    let mut login = Login::new(&world).await;
    let page = login
        .browser
        .exchange(&Method::GET, &login.back, "")
        .await
        .unwrap();
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert_private(&page.headers);
    assert_eq!(page.html, "");
    let cookie = page.headers["set-cookie"].to_str().unwrap();
    assert!(
        cookie.starts_with("__Host-entrada-login-") && cookie.contains("Max-Age=0"),
        "{cookie}"
    );
}
