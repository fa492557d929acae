//! The way back from Entra: whose login it is, and what it may say.

use entra_emulator::{Endpoint, builtin};
use http::Method;

use super::{HOST, REDIRECT_PATH, assert_stopped, callback_url, evil_client, fetch, text};
use crate::browser::Stop;
use crate::client::parameter;
use crate::world::{BASE_URL, World};

#[tokio::test]
async fn callback_from_another_browser_is_refused() {
    let world = World::new().await;
    let (mut attacker, mut victim) = (world.browser(), world.browser());
    let evil = evil_client(&world).await;
    let callback = callback_url(&evil, &mut attacker, "bob").await;
    // Without cookies, and with those of a login of the victim's own.
    assert_stopped(&victim.get(callback.as_str()).await.page(), 403);
    callback_url(&world.client().await, &mut victim, "alice").await;
    assert_stopped(&victim.get(callback.as_str()).await.page(), 403);
    // Who only followed the link has ended nothing.
    assert!(matches!(
        attacker.get(callback.as_str()).await,
        Stop::Left(_)
    ));
}

#[tokio::test]
async fn cookie_of_another_login_is_refused() {
    // The name of the cookie tells which login it is for; its value must fit, too.
    let world = World::new().await;
    let (mut attacker, mut victim) = (world.browser(), world.browser());
    let callback = callback_url(&evil_client(&world).await, &mut attacker, "bob").await;
    callback_url(&world.client().await, &mut victim, "alice").await;
    let login = |cookies: &str| {
        let mut pairs = cookies.split("; ");
        let (name, value) = pairs
            .find(|pair| pair.contains("-login-"))
            .and_then(|pair| pair.split_once('='))
            .unwrap();
        (name.to_owned(), value.to_owned())
    };
    let (name, _) = login(&attacker.cookie_header(HOST));
    let (_, value) = login(&victim.cookie_header(HOST));
    let cookie = format!("{name}={value}");
    let answer = world
        .ask(Method::GET, callback.as_str(), &[("cookie", &cookie)], "")
        .await;
    assert_eq!(answer.status, 403);
    assert!(answer.header("location").is_none());
}

#[tokio::test]
async fn login_is_bound_only_after_consent() {
    // Whoever makes a victim open an authorization URL has prepared nothing.
    let world = World::new().await;
    let mut victim = world.browser();
    evil_client(&world).await.ask(&mut victim).await;
    let login = |name: &String| name.contains("-login-");
    assert!(!victim.cookies(HOST).iter().any(login));
    callback_url(&world.client().await, &mut victim, "alice").await;
    assert!(victim.cookies(HOST).iter().any(login));
}

#[tokio::test]
async fn state_of_the_client_is_not_the_state_at_entra() {
    // A state the attacker fixes must not name the login.
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    let url = client.authorize_url(&[("state", "fixed-by-the-attacker")]);
    let consent = browser.get(&url).await.page();
    browser.stop_before = Some(REDIRECT_PATH);
    let callback = browser.approve(&consent, "alice").await.left();
    let state = parameter(&callback, "state").unwrap();
    assert_ne!(state, "fixed-by-the-attacker");
    assert_eq!(state.len(), 43);
    let fixed = format!("{BASE_URL}{REDIRECT_PATH}?code=x&state=fixed-by-the-attacker");
    assert_stopped(&browser.get(&fixed).await.page(), 403);
}

#[tokio::test]
async fn callback_counts_once() {
    let world = World::new().await;
    let mut browser = world.browser();
    let callback = callback_url(&world.client().await, &mut browser, "alice").await;
    // The same browser, before it heard that the cookie is over.
    let mut again = browser.clone();
    assert!(matches!(
        browser.get(callback.as_str()).await,
        Stop::Left(_)
    ));
    world.entra.reset_calls();
    assert_stopped(&again.get(callback.as_str()).await.page(), 400);
    assert_stopped(&browser.get(callback.as_str()).await.page(), 403);
    assert_eq!(world.entra.calls(Endpoint::Token), 0);
}

#[tokio::test]
async fn errors_cannot_be_injected_at_the_callback() {
    let world = World::new().await;
    let (mut attacker, mut victim) = (world.browser(), world.browser());
    let callback = callback_url(&world.client().await, &mut victim, "alice").await;
    let state = parameter(&callback, "state").unwrap();
    let injected = format!("{BASE_URL}{REDIRECT_PATH}?error=access_denied&state={state}");
    assert_stopped(&attacker.get(&injected).await.page(), 403);
    let location = victim.get(callback.as_str()).await.left();
    assert!(parameter(&location, "code").is_some());
}

#[tokio::test]
async fn login_that_was_refused_is_over() {
    // The browser, the cookie and the code are the right ones; an error came first.
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    let callback = callback_url(&client, &mut browser, "alice").await;
    let mut before = browser.clone();
    let state = parameter(&callback, "state").unwrap();
    let refused = format!("{BASE_URL}{REDIRECT_PATH}?error=access_denied&state={state}");
    let location = browser.get(&refused).await.left();
    assert_eq!(
        parameter(&location, "error").as_deref(),
        Some("access_denied")
    );
    world.entra.reset_calls();
    assert_stopped(&before.get(callback.as_str()).await.page(), 400);
    assert_stopped(&before.get(&refused).await.page(), 403);
    assert_eq!(world.entra.calls(Endpoint::Token), 0);
}

#[tokio::test]
async fn entra_code_of_another_login_is_refused() {
    // The attacker's code at Entra in the victim's login would sign the victim in as the attacker.
    let world = World::new().await;
    let client = world.client().await;
    let (mut attacker, mut victim) = (world.browser(), world.browser());
    let theirs = callback_url(&client, &mut attacker, "bob").await;
    let asked = world.entra.last_authorize_query().unwrap();
    for name in ["code_challenge", "nonce"] {
        assert!(asked.iter().any(|(known, _)| known == name), "{name}");
    }
    let own = callback_url(&client, &mut victim, "alice").await;
    let code = parameter(&theirs, "code").unwrap();
    let state = parameter(&own, "state").unwrap();
    let injected = format!("{BASE_URL}{REDIRECT_PATH}?code={code}&state={state}");
    let location = victim.get(&injected).await.left();
    assert_eq!(parameter(&location, "code"), None);
    assert!(parameter(&location, "error").is_some());
}

#[tokio::test]
async fn looking_ahead_spends_nothing() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    let callback = callback_url(&client, &mut browser, "alice").await;
    let looked = fetch(&mut browser.clone(), Method::HEAD, callback.as_str()).await;
    assert_eq!(looked.status, 405);
    let looked = fetch(&mut browser, Method::HEAD, &client.authorize_url(&[])).await;
    assert_eq!(looked.status, 405);
    let cookies = browser.cookie_header(HOST);
    for purpose in ["prefetch", "prefetch;prerender"] {
        let headers = [("cookie", &*cookies), ("sec-purpose", purpose)];
        let answer = world
            .ask(Method::GET, callback.as_str(), &headers, "")
            .await;
        assert_eq!(answer.status, 503);
        assert_eq!(text(&answer.headers, "set-cookie"), "");
    }
    let location = browser.get(callback.as_str()).await.left();
    assert!(parameter(&location, "code").is_some());
}

#[tokio::test]
async fn client_parameters_do_not_reach_entra() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    let url = client.authorize_url(&[
        ("prompt", "consent"),
        ("claims", "{}"),
        ("nonce", "theirs"),
        ("response_mode", "query"),
        ("tenant", "evil"),
        (
            "scope",
            "mcp.read https://graph.microsoft.com/.default Mail.ReadWrite",
        ),
    ]);
    let consent = browser.get(&url).await.page();
    browser.approve(&consent, "alice").await.left();
    let sent = world.entra.last_authorize_query().unwrap();
    let value = |name: &str| {
        let found = sent.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(value("prompt"), Some("select_account"));
    assert_eq!(
        value("redirect_uri"),
        Some("https://mcp.example.com/auth/callback")
    );
    assert_ne!(value("nonce"), Some("theirs"));
    for name in ["resource", "claims", "tenant"] {
        assert_eq!(value(name), None, "{name}");
    }
    let scope = value("scope").unwrap();
    assert!(
        !scope.contains(".default") && !scope.contains("Mail"),
        "{scope}"
    );
    let form = world.entra.last_token_form().unwrap();
    assert!(!form.iter().any(|(name, _)| name == "resource"));
}

#[tokio::test]
async fn hint_does_not_skip_the_account_picker() {
    // One click on a consent page that was slipped under the pointer would be all.
    let world = World::new().await;
    let mut victim = world.browser();
    world.client().await.log_in(&mut victim, "alice").await;
    let evil = evil_client(&world).await;
    let url = evil.authorize_url(&[("login_hint", builtin::ALICE)]);
    let consent = victim.get(&url).await.page();
    let clicked = victim.submit(&consent, &[("answer", "allow")]).await;
    let picker = clicked.page();
    assert_eq!(picker.url.host_str(), Some("login.emulator.test"));
}
