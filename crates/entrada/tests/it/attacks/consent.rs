//! Consent: whether the user was asked, and whether it was the user who answered.

use std::time::Duration;

use entra_emulator::Endpoint;
use entra_emulator::builtin;
use http::{Method, header};
use serde_json::json;

use super::{
    HOST, REDIRECT_PATH, allowed, assert_stopped, callback_url, evil_client, fetch, post_form, text,
};
use crate::browser::Stop;
use crate::client::parameter;
use crate::world::{BASE_URL, SECOND, World};

const ELEVEN_MINUTES: Duration = Duration::from_secs(11 * 60);

#[tokio::test]
async fn no_login_reaches_entra_without_consent() {
    // The victim is signed in at Entra and let another client in before, in this very browser.
    let world = World::new().await;
    let mut victim = world.browser();
    world.client().await.log_in(&mut victim, "alice").await;
    world.entra.reset_calls();
    let evil = evil_client(&world).await;
    for changes in [
        vec![],
        vec![("prompt", "consent")],
        vec![("prompt", "login")],
        vec![("login_hint", builtin::ALICE)],
    ] {
        let page = victim.get(&evil.authorize_url(&changes)).await.page();
        assert_eq!(page.url.path(), "/authorize", "{changes:?}");
        assert!(page.html.contains(">evil.example<"), "{}", page.html);
    }
    assert_eq!(world.entra.calls(Endpoint::Authorize), 0);
}

#[tokio::test]
async fn consent_is_asked_for_at_every_login() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    client.log_in(&mut browser, "alice").await;
    world.entra.reset_calls();
    let page = client.ask(&mut browser).await;
    assert_eq!(page.url.path(), "/authorize");
    assert!(!page.form().1.is_empty());
    assert_eq!(world.entra.calls(Endpoint::Authorize), 0);
}

#[tokio::test]
async fn consent_posted_by_another_site_is_refused() {
    let world = World::new().await;
    let mut victim = world.browser();
    let page = world.client().await.ask(&mut victim).await;
    let cookies = victim.cookie_header(HOST);
    let fields = allowed(&page);
    for site in ["cross-site", "same-site", "none", "SAME-ORIGIN"] {
        let headers = [("cookie", &*cookies), ("sec-fetch-site", site)];
        let answer = post_form(&world, "/consent", &headers, &fields).await;
        assert_eq!(answer.status, 403, "{site}");
    }
    // A browser does not send a Lax cookie with another site's form.
    let set = text(&page.headers, "set-cookie");
    for attribute in ["; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/"] {
        assert!(set.contains(attribute), "{set}");
    }
    let answer = post_form(&world, "/consent", &[], &fields).await;
    assert_eq!(answer.status, 403);
    assert!(answer.header("location").is_none());
}

#[tokio::test]
async fn consent_form_of_another_browser_is_refused() {
    // The attacker's own form, valid in the attacker's browser, is posted by the victim's.
    let world = World::new().await;
    let (mut attacker, mut victim) = (world.browser(), world.browser());
    let page = evil_client(&world).await.ask(&mut attacker).await;
    world.client().await.ask(&mut victim).await;
    let posted = victim.submit(&page, &[("answer", "allow")]).await.page();
    assert_stopped(&posted, 403);
    let posted = victim.submit(&page, &[("answer", "deny")]).await.page();
    assert_stopped(&posted, 403);
    assert!(matches!(
        attacker.approve(&page, "bob").await,
        Stop::Left(_)
    ));
}

#[tokio::test]
async fn planted_cookies_are_not_read() {
    // A neighbouring host can set a cookie for ours, but none whose name begins with __Host-.
    let world = World::new().await;
    let mut attacker = world.browser();
    let page = evil_client(&world).await.ask(&mut attacker).await;
    let own = attacker.cookie_header(HOST);
    assert!(own.starts_with("__Host-"), "{own}");
    let planted = own.replace("__Host-", "");
    for cookie in [&*planted, &format!("__host-{planted}"), &own.to_lowercase()] {
        let headers = [("cookie", cookie)];
        let answer = post_form(&world, "/consent", &headers, &allowed(&page)).await;
        assert_eq!(answer.status, 403, "{cookie}");
    }
    assert!(!text(&page.headers, "set-cookie").contains("Domain"));
}

#[tokio::test]
async fn forged_consent_form_is_refused() {
    let (world, elsewhere) = (World::new().await, World::new().await);
    let mut browser = world.browser();
    let client = world.client().await;
    let page = client.ask(&mut browser).await;
    let sealed = allowed(&page).remove(0).1;
    let foreign = elsewhere.client().await.ask(&mut elsewhere.browser()).await;
    let mut forged: Vec<String> = (0..sealed.len())
        .step_by(17)
        .map(|at| {
            let with = if &sealed[at..=at] == "A" { "B" } else { "A" };
            format!("{}{with}{}", &sealed[..at], &sealed[at + 1..])
        })
        .collect();
    forged.push(allowed(&foreign).remove(0).1);
    forged.push(sealed[..sealed.len() / 2].to_owned());
    forged.push("e30".to_owned());
    forged.push(client.id.clone());
    for request in &forged {
        let answered = browser
            .submit(&page, &[("request", request), ("answer", "allow")])
            .await;
        assert_stopped(&answered.page(), 400);
    }
    for answer in ["", "yes", "Allow"] {
        let answered = browser.submit(&page, &[("answer", answer)]).await;
        assert_stopped(&answered.page(), 400);
    }
}

#[tokio::test]
async fn denied_consent_is_final() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    let page = client.ask(&mut browser).await;
    let denied = browser.submit(&page, &[("answer", "deny")]).await.left();
    assert_eq!(
        parameter(&denied, "error").as_deref(),
        Some("access_denied")
    );
    world.entra.reset_calls();
    for answer in ["allow", "deny"] {
        let again = browser.submit(&page, &[("answer", answer)]).await;
        assert_stopped(&again.page(), 400);
    }
    assert_eq!(world.entra.calls(Endpoint::Authorize), 0);
}

#[tokio::test]
async fn consent_counts_once() {
    let world = World::new().await;
    let mut browser = world.browser();
    let page = world.client().await.ask(&mut browser).await;
    browser.approve(&page, "alice").await.left();
    for answer in ["allow", "deny"] {
        let again = browser.submit(&page, &[("answer", answer)]).await;
        assert_stopped(&again.page(), 400);
    }
}

#[tokio::test]
async fn consent_and_login_expire() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    let page = client.ask(&mut browser).await;
    world.advance(ELEVEN_MINUTES);
    let late = browser.submit(&page, &[("answer", "allow")]).await.page();
    assert_stopped(&late, 400);
    let callback = callback_url(&client, &mut browser, "alice").await;
    world.advance(ELEVEN_MINUTES);
    let late = browser.get(callback.as_str()).await.page();
    assert_stopped(&late, 400);
    // One second less than that is in time.
    let callback = callback_url(&client, &mut browser, "alice").await;
    world.advance(59 * SECOND);
    assert!(matches!(
        browser.get(callback.as_str()).await,
        Stop::Left(_)
    ));
}

#[tokio::test]
async fn pages_cannot_be_framed() {
    let world = World::new().await;
    let mut browser = world.browser();
    let consent = world.client().await.ask(&mut browser).await;
    let refused = browser.submit(&consent, &[("answer", "maybe")]).await;
    let nobody = format!("{BASE_URL}/authorize?client_id=nobody");
    let nowhere = format!("{BASE_URL}{REDIRECT_PATH}?state=nothing&code=x");
    for page in [
        consent,
        refused.page(),
        browser.get(&nobody).await.page(),
        browser.get(&nowhere).await.page(),
    ] {
        let policy = text(&page.headers, "content-security-policy");
        assert!(policy.contains("frame-ancestors 'none'"), "{}", page.url);
        assert_eq!(text(&page.headers, "x-frame-options"), "DENY");
    }
}

#[tokio::test]
async fn double_click_from_elsewhere_does_not_allow() {
    let world = World::new().await;
    let consent = world.client().await.ask(&mut world.browser()).await;
    let style = consent.html.split_whitespace().collect::<String>();
    for rule in [
        // Allow takes no click, until the pointer has rested on the form.
        ".primary{pointer-events:none;}",
        "form:hover>.primary{animation:arm0.7sstep-endforwards;}",
        "@media(hover:none){.primary{animation:arm0.7sstep-endforwards;}}",
        "@keyframesarm{to{pointer-events:auto;}}",
        // An animation would undo this one, were it not important.
        "button:focus:not(:focus-visible):not(:active){pointer-events:none!important;}",
    ] {
        assert!(style.contains(rule), "{rule}");
    }
    let allow = "value=\"allow\"class=\"primary\"";
    assert!(style.contains("<form") && style.contains(allow));
}

#[tokio::test]
async fn what_a_client_calls_itself_stays_text() {
    const SCRIPT: &str = "\"><script>alert(1)</script><img src=x onerror='alert(1)'>";
    let world = World::new().await;
    let metadata = json!({
        "client_name": SCRIPT,
        "redirect_uris": ["https://evil.example/cb?'onload='alert(1)&a=b"],
    });
    let client = world.client_with(&metadata).await;
    let mut browser = world.browser();
    let url = client.authorize_url(&[("state", SCRIPT)]);
    let escaped: String = url::form_urlencoded::byte_serialize(SCRIPT.as_bytes()).collect();
    for url in [
        url,
        format!("{BASE_URL}/authorize?client_id={escaped}"),
        format!("{BASE_URL}{REDIRECT_PATH}?state={escaped}&error={escaped}"),
    ] {
        let page = browser.get(&url).await.page();
        for part in ["<script", "<img", "'onload"] {
            assert!(!page.html.contains(part), "{part} in {}", page.html);
        }
        let policy = text(&page.headers, "content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
        assert!(!policy.contains("unsafe") && !policy.contains("script-src"));
    }
}

#[tokio::test]
async fn client_name_is_marked_as_its_own_claim() {
    let world = World::new().await;
    let name = format!(
        "\u{202e}\u{2066}Claude\u{200b}\u{ad} Code\n\t{}",
        "x".repeat(500)
    );
    let metadata = json!({"client_name": name, "redirect_uris": ["https://evil.example/"]});
    let client = world.client_with(&metadata).await;
    let page = client.ask(&mut world.browser()).await;
    assert!(page.html.contains("An app that calls itself"));
    let shown = page.html.split("<bdi>Claude Code").nth(1);
    let shown = shown.unwrap_or_else(|| panic!("{}", page.html));
    let rest = shown.split_once("</bdi>").unwrap().0;
    assert!(rest.bytes().all(|byte| byte == b'x') && rest.len() < 100);
}

#[tokio::test]
async fn app_on_this_device_comes_with_a_warning() {
    let world = World::new().await;
    for (redirect_uri, place, warned) in [
        ("http://localhost:4711/callback", "localhost:4711", true),
        ("http://127.0.0.1:4711/callback", "127.0.0.1:4711", true),
        ("cursor://evil.extension/callback", "cursor:", true),
        ("https://client.example/callback", "client.example", false),
    ] {
        let metadata = json!({"client_name": "VS Code", "redirect_uris": [redirect_uri]});
        let client = world.client_with(&metadata).await;
        let page = client.ask(&mut world.browser()).await;
        assert!(page.html.contains(&format!(">{place}<")), "{}", page.html);
        assert_eq!(page.html.contains("class=\"warning\""), warned);
    }
}

#[tokio::test]
async fn prompt_none_gives_no_code() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    client.log_in(&mut browser, "alice").await;
    world.entra.reset_calls();
    for prompt in ["none", "none login"] {
        let url = client.authorize_url(&[("prompt", prompt)]);
        let answer = browser.get(&url).await.left();
        let error = parameter(&answer, "error");
        assert_eq!(error.as_deref(), Some("consent_required"));
        assert_eq!(parameter(&answer, "code"), None);
    }
    assert_eq!(world.entra.calls(Endpoint::Authorize), 0);
}

#[tokio::test]
async fn login_endpoints_are_not_shared_across_origins() {
    let world = World::new().await;
    let callback = format!("{REDIRECT_PATH}?state=x");
    for (method, path) in [
        (Method::GET, "/authorize?client_id=x"),
        (Method::POST, "/authorize"),
        (Method::POST, "/consent"),
        (Method::GET, &callback),
        (Method::OPTIONS, "/authorize"),
        (Method::OPTIONS, "/consent"),
        (Method::OPTIONS, REDIRECT_PATH),
    ] {
        let headers = [
            ("origin", "https://evil.example"),
            ("access-control-request-method", "POST"),
        ];
        let answer = world.ask(method, path, &headers, "").await;
        let shared = answer
            .headers
            .keys()
            .any(|name| name.as_str().starts_with("access-control"));
        assert!(!shared, "{path} {:?}", answer.headers);
    }
}

#[tokio::test]
async fn pages_and_redirects_leak_no_url() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    let consent = client.ask(&mut browser).await;
    let (action, fields) = (consent.form().0, allowed(&consent));
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&fields)
        .finish();
    let to_entra = browser
        .exchange(&Method::POST, &action, &body)
        .await
        .unwrap();
    assert_eq!(to_entra.status, 303);
    let callback = callback_url(&client, &mut browser, "alice").await;
    let to_client = fetch(&mut browser, Method::GET, callback.as_str()).await;
    assert_eq!(to_client.status, 303);
    let spent = fetch(&mut browser, Method::GET, callback.as_str()).await;
    let bad_scope = client.authorize_url(&[("scope", "nothing")]);
    let error = fetch(&mut browser, Method::GET, &bad_scope).await;
    for answer in [consent, to_entra, to_client, spent, error] {
        let of = |name: header::HeaderName| text(&answer.headers, name.as_str()).to_owned();
        assert_eq!(of(header::REFERRER_POLICY), "no-referrer", "{}", answer.url);
        assert_eq!(of(header::CACHE_CONTROL), "no-store", "{}", answer.url);
    }
}
