//! The user is asked once, and again when something is new.

use std::time::Duration;

use entra_emulator::{Endpoint, builtin};
use entrada::AzureConfig;
use entrada::authorization_server::ConsentMode;
use entrada::grant::Remember;
use entrada::store::Collection;
use http::Method;

use crate::browser::{Browser, Stop};
use crate::client::{Client, parameter};
use crate::outage::Outage;
use crate::world::{CALLBACK, World};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const LOOPBACK: &str = "http://127.0.0.1:5000/callback";

pub(crate) fn remembering(config: AzureConfig) -> AzureConfig {
    let config = config.optional_scopes(["mcp.write"]);
    config.consent(ConsentMode::Remember(Remember::default()))
}

/// A browser that was opened by its user.
pub(crate) fn opened(world: &World) -> Browser {
    let mut browser = world.browser();
    browser.opened_from = Some("none");
    browser
}

/// Asks to sign in; answers whether the consent page is shown.
pub(crate) async fn is_asked(browser: &mut Browser, url: &str) -> bool {
    match browser.get(url).await {
        Stop::Page(page) => page.url.path() == "/authorize",
        Stop::Left(url) => panic!("left for {url}"),
    }
}

/// Signs in as `name` without being asked.
async fn log_in_unasked(client: &Client, browser: &mut Browser, name: &str) {
    let page = browser.get(&client.authorize_url(&[])).await;
    let location = browser.sign_in(page, name).await.left();
    let code = parameter(&location, "code").unwrap();
    client.redeem(&code).await.ok();
}

#[tokio::test]
async fn a_client_that_was_approved_is_not_asked_about_again() {
    let world = World::with(remembering).await;
    let client = world.client().await;
    let mut browser = opened(&world);
    client.log_in(&mut browser, "alice").await;
    for _ in 0..2 {
        log_in_unasked(&client, &mut browser, "alice").await;
    }
    // Nor at another replica.
    let replica = world.replica_with(remembering);
    let mut browser = browser.at(&replica);
    log_in_unasked(&client.at(&replica), &mut browser, "alice").await;
}

#[tokio::test]
async fn whatever_is_new_is_asked_about() {
    let world = World::with(remembering).await;
    let client = world.client().await;
    let other = world.client().await;
    let mut browser = opened(&world);
    client.log_in(&mut browser, "alice").await;
    world.entra.reset_calls();
    for (what, url, asked) in [
        ("the same", client.authorize_url(&[]), false),
        (
            "a larger scope",
            client.authorize_url(&[("scope", "mcp.read mcp.write")]),
            true,
        ),
        ("another client", other.authorize_url(&[]), true),
        (
            "a client that insists",
            client.authorize_url(&[("prompt", "consent")]),
            true,
        ),
        (
            "a client that does so by rote",
            client.authorize_url(&[("prompt", "consent"), ("scope", "mcp.read offline_access")]),
            false,
        ),
    ] {
        assert_eq!(is_asked(&mut browser, &url).await, asked, "{what}");
    }
    // A larger scope that was approved is remembered as well.
    let larger = client.authorize_url(&[("scope", "mcp.read mcp.write")]);
    let page = browser.get(&larger).await.page();
    browser.approve(&page, "alice").await.left();
    assert!(!is_asked(&mut browser, &larger).await);
    // Somebody else's browser knows nothing of it, and one that does not say who opened it is not believed.
    assert!(is_asked(&mut opened(&world), &client.authorize_url(&[])).await);
    browser.opened_from = None;
    assert!(is_asked(&mut browser, &client.authorize_url(&[])).await);
}

#[tokio::test]
async fn more_that_microsoft_is_asked_for_is_asked_about() {
    let world = World::with(remembering).await;
    let client = world.client().await;
    let mut browser = opened(&world);
    client.log_in(&mut browser, "alice").await;
    for (scopes, asked) in [
        (vec!["https://graph.microsoft.com/User.Read"], false),
        (
            vec![
                "https://graph.microsoft.com/User.Read",
                "https://graph.microsoft.com/Mail.Read",
            ],
            true,
        ),
    ] {
        let replica =
            world.replica_with(|config| remembering(config).additional_scopes(scopes.clone()));
        let mut browser = browser.clone().at(&replica);
        let url = client.authorize_url(&[]);
        assert_eq!(is_asked(&mut browser, &url).await, asked, "{scopes:?}");
    }
}

#[tokio::test]
async fn another_user_than_the_one_who_approved_is_asked() {
    let world = World::with(remembering).await;
    let client = world.client().await;
    let mut browser = opened(&world);
    client.log_in(&mut browser, "alice").await;
    // Bob sits down at Alice's browser.
    let page = browser.get(&client.authorize_url(&[])).await;
    let page = browser.sign_in(page, "bob").await.page();
    assert_eq!(page.url.path(), "/auth/callback");
    assert!(page.html.contains("Test client"), "{}", page.html);
    let location = browser.approve(&page, "bob").await.left();
    let code = parameter(&location, "code").unwrap();
    let session = client.session(client.redeem(&code).await.ok());
    let who = session.call_tool().await.ok();
    assert_eq!(who["oid"], builtin::BOB_OID);
    assert_eq!(parameter(&location, "state").as_deref(), Some("a+b c&d"));
    // The browser is Bob's now.
    log_in_unasked(&client, &mut browser, "bob").await;
}

#[tokio::test]
async fn consent_is_remembered_as_long_as_the_policy_says() {
    let mut policy = Remember::default();
    policy.lifetime = 7 * DAY;
    let mode = ConsentMode::Remember(policy);
    let world = World::with(|config| config.consent(mode)).await;
    let client = world.client().await;
    let mut browser = opened(&world);
    client.log_in(&mut browser, "alice").await;
    world.advance(6 * DAY);
    log_in_unasked(&client, &mut browser, "alice").await;
    // That they signed in since does not count: they were not asked.
    world.advance(DAY);
    assert!(is_asked(&mut browser, &client.authorize_url(&[])).await);
}

#[tokio::test]
async fn apps_on_the_device_are_remembered_at_any_port_unless_told_otherwise() {
    let world = World::with(remembering).await;
    let client = Client::register(world.hosts.clone(), LOOPBACK).await;
    let mut browser = opened(&world);
    client.log_in(&mut browser, "alice").await;
    let other_port = [("redirect_uri", "http://127.0.0.1:6000/callback")];
    assert!(!is_asked(&mut browser, &client.authorize_url(&other_port)).await);
    let mut policy = Remember::default();
    policy.apps_on_device = false;
    let replica = world.replica_with(|config| config.consent(ConsentMode::Remember(policy)));
    let mut browser = browser.at(&replica);
    assert!(is_asked(&mut browser, &client.authorize_url(&[])).await);
}

#[tokio::test]
async fn while_the_store_fails_users_are_asked() {
    let outage = std::sync::Arc::new(Outage::default());
    let world = World::on(outage.clone(), remembering).await;
    let client = world.client().await;
    let mut browser = opened(&world);
    client.log_in(&mut browser, "alice").await;
    outage.begin_at("read", Collection::Approvals);
    assert!(is_asked(&mut browser, &client.authorize_url(&[])).await);
    outage.begin_at("put_version", Collection::Approvals);
    // A grant nobody could take back is not made.
    let location = client.authorize(&mut world.browser(), "alice").await;
    let error = parameter(&location, "error");
    assert_eq!(error.as_deref(), Some("temporarily_unavailable"));
    outage.end();
    client.log_in(&mut world.browser(), "alice").await;
}

#[tokio::test]
async fn users_of_a_pre_approved_client_are_not_asked() {
    let world = World::new().await;
    let (known, other) = (world.client().await, world.client().await);
    let id = known.id.clone();
    let replica = world.replica_with(|config| config.pre_approved_clients([id]));
    // Whoever links to it: the operator answers for where it leads.
    let mut browser = replica.browser();
    log_in_unasked(&known.at(&replica), &mut browser, "alice").await;
    assert!(is_asked(&mut browser, &other.authorize_url(&[])).await);
}

#[tokio::test]
async fn where_consent_is_asked_for_elsewhere_it_is_not_asked_for_here() {
    let world = World::with(|config| config.consent(ConsentMode::External)).await;
    let client = world.client().await;
    log_in_unasked(&client, &mut world.browser(), "alice").await;
}

/// The modes are switched while users are on their way.
#[tokio::test]
async fn logins_that_nobody_was_asked_for_are_not_remembered() {
    let world = World::with(|config| config.consent(ConsentMode::External)).await;
    let client = world.client().await;
    let mut browser = opened(&world);
    log_in_unasked(&client, &mut browser, "alice").await;
    let replica = world.replica_with(remembering);
    let mut browser = browser.at(&replica);
    assert!(is_asked(&mut browser, &client.authorize_url(&[])).await);
    client.at(&replica).log_in(&mut browser, "alice").await;
    assert!(!is_asked(&mut browser, &client.authorize_url(&[])).await);
}

#[tokio::test]
async fn a_denial_is_not_remembered() {
    let world = World::with(remembering).await;
    let client = world.client().await;
    let mut browser = opened(&world);
    client.log_in(&mut browser, "alice").await;
    let url = client.authorize_url(&[("scope", "mcp.read mcp.write")]);
    let page = browser.get(&url).await.page();
    let denied = browser.submit(&page, &[("answer", "deny")]).await.left();
    assert!(denied.as_str().starts_with(CALLBACK));
    assert!(is_asked(&mut browser, &url).await);
    assert_eq!(world.entra.calls(Endpoint::Authorize), 1);
}

#[tokio::test]
async fn prompt_none_is_answered_for_the_user_chooses_an_account() {
    let world = World::with(remembering).await;
    let client = world.client().await;
    let mut browser = opened(&world);
    client.log_in(&mut browser, "alice").await;
    let url = client.authorize_url(&[("prompt", "none")]);
    let location = browser.get(&url).await.left();
    let error = parameter(&location, "error");
    assert_eq!(error.as_deref(), Some("consent_required"));
    // And whoever looks ahead opens no login.
    let cookies = browser.cookie_header("mcp.example.com");
    let headers = [
        ("cookie", &*cookies),
        ("sec-fetch-site", "none"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
        ("sec-purpose", "prefetch"),
    ];
    let url = client.authorize_url(&[]);
    let ahead = world.ask(Method::GET, &url, &headers, "").await;
    assert_eq!(ahead.status, 200);
}
