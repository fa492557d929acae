//! Clients that are described by a document at the URL that names them.

use std::sync::Arc;
use std::time::Duration;

use entrada::platform::Timestamp;
use entrada::store::Collection;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{Client, Session};
use crate::log::Log;
use crate::outage::Outage;
use crate::world::{SECOND, World};

pub(crate) mod keys;

pub(crate) const URL: &str = "https://app.example/client.json";
const CALLBACK: &str = "https://app.example/callback";
const HOUR: Duration = Duration::from_secs(60 * 60);

pub(crate) fn document() -> Value {
    json!({
        "client_id": URL,
        "client_name": "Example App",
        "redirect_uris": [CALLBACK, "http://127.0.0.1/callback"],
    })
}

/// The client that the document at `url` describes, whatever that says.
pub(crate) fn client_at(world: &World, url: &str) -> Client {
    let named = json!({ "client_id": url, "redirect_uris": [CALLBACK] });
    Client::registered(world.hosts.clone(), &named)
}

/// A world in which the document stands, and its client.
pub(crate) async fn published() -> (World, Client) {
    let world = World::new().await;
    world.web.publish(URL, &document());
    let client = client_at(&world, URL);
    (world, client)
}

/// What a program is told that asks for authorization.
pub(crate) async fn told(world: &World, client: &Client) -> (u16, String) {
    let answer = world.get(&client.authorize_url(&[])).await;
    let description = answer.json["error_description"].as_str();
    let shown = description.unwrap_or_else(|| answer.json["error"].as_str().unwrap_or("consent"));
    (answer.status.as_u16(), shown.to_owned())
}

async fn signed_in(world: &World, client: &Client) -> Session {
    client.log_in(&mut world.browser(), "alice").await
}

#[tokio::test]
async fn a_client_that_never_registered_signs_its_user_in() {
    let (world, client) = published().await;
    let metadata = world.get("/.well-known/oauth-authorization-server").await;
    assert_eq!(
        metadata.json["client_id_metadata_document_supported"],
        json!(true)
    );
    let page = client.ask(&mut world.browser()).await;
    for shown in [
        "Example App",
        "Published at <bdi dir=\"ltr\">app.example</bdi>",
        URL,
    ] {
        assert!(page.html.contains(shown), "{}", page.html);
    }
    let session = signed_in(&world, &client).await;
    assert_eq!(session.claims()["client_id"], json!(URL));
    session.call_tool().await.ok();
    session.refreshed().await.call_tool().await.ok();
    let asked = world.web.last();
    assert_eq!(asked.uri(), URL);
    assert_eq!(asked.headers()["accept"], "application/json");
    assert_eq!(world.web.calls(), 1);
}

#[tokio::test]
async fn the_port_of_a_loopback_redirect_is_open() {
    let (world, client) = published().await;
    for (redirect, expected) in [
        ("http://127.0.0.1:53124/callback", 200),
        ("http://127.0.0.1:53124/other", 400),
        ("http://localhost:53124/callback", 400),
        ("https://app.example/other", 400),
    ] {
        let url = client.authorize_url(&[("redirect_uri", redirect)]);
        let answer = world.get(&url).await;
        assert_eq!(answer.status, expected, "{redirect}");
        assert_eq!(answer.header("location"), None);
    }
}

#[tokio::test]
async fn a_document_that_breaks_a_rule_is_refused_on_a_page() {
    let world = World::new().await;
    let client = client_at(&world, URL);
    for (change, expected) in [
        (
            json!({ "client_id": "https://app.example/other" }),
            "not its URL",
        ),
        (json!({ "client_name": null }), "client_name is missing"),
        (json!({ "redirect_uris": [] }), "redirect_uris must name"),
        (json!({ "client_secret": "s" }), "no client_secret"),
        (
            json!({ "token_endpoint_auth_method": "client_secret_post" }),
            "must be none or private_key_jwt",
        ),
        (
            json!({ "token_endpoint_auth_method": "private_key_jwt" }),
            "either jwks or",
        ),
    ] {
        let mut changed = document();
        for (name, value) in change.as_object().unwrap() {
            changed[name] = value.clone();
        }
        world.web.publish(URL, &changed);
        let (status, description) = told(&world, &client).await;
        assert_eq!(status, 400, "{change}");
        assert!(description.contains(expected), "{change}: {description}");
        let page = world.browser().get(&client.authorize_url(&[])).await.page();
        assert_eq!(page.status, 400);
        assert!(
            page.html.contains("does not say who it is"),
            "{}",
            page.html
        );
        world.advance(10 * SECOND);
    }
}

#[tokio::test]
async fn only_a_plain_success_counts() {
    let world = World::new().await;
    let client = client_at(&world, URL);
    for (status, expected) in [
        (301, 400),
        (302, 400),
        (204, 400),
        (304, 400),
        (401, 400),
        (404, 400),
        (429, 503),
        (500, 503),
        (503, 503),
    ] {
        let mut response = Response::new(document().to_string().into());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        let elsewhere = "https://elsewhere.example/client.json";
        response
            .headers_mut()
            .insert("location", elsewhere.parse().unwrap());
        world.web.publish(elsewhere, &document());
        world.web.answer(URL, response);
        let (told, _) = told(&world, &client).await;
        assert_eq!(told, expected, "{status}");
        assert_eq!(world.web.last().uri(), URL);
        world.advance(10 * SECOND);
    }
    world.web.unplug(URL);
    assert_eq!(told(&world, &client).await.0, 503);
}

#[tokio::test]
async fn a_document_is_asked_for_again_when_its_time_is_over() {
    let (world, client) = published().await;
    let mut response = Response::new(document().to_string().into());
    let headers = response.headers_mut();
    headers.insert("cache-control", "max-age=7200".parse().unwrap());
    headers.insert("etag", "\"v1\"".parse().unwrap());
    world.web.answer(URL, response);
    assert_eq!(told(&world, &client).await.0, 200);
    world.advance(7199 * SECOND);
    assert_eq!(told(&world, &client).await.0, 200);
    assert_eq!(world.web.calls(), 1);

    // It did not change.
    world.web.fail(URL, 304);
    world.advance(SECOND);
    assert_eq!(told(&world, &client).await.0, 200);
    assert_eq!(world.web.last().headers()["if-none-match"], "\"v1\"");
    world.advance(7199 * SECOND);
    assert_eq!(told(&world, &client).await.0, 200);
    assert_eq!(world.web.calls(), 2);

    // It does not name the redirect URI any more.
    let mut changed = document();
    changed["redirect_uris"] = json!(["https://app.example/new"]);
    world.web.publish(URL, &changed);
    world.advance(SECOND);
    let (status, description) = told(&world, &client).await;
    assert_eq!(status, 400);
    assert!(description.contains("redirect_uri"), "{description}");
}

#[tokio::test]
async fn that_nothing_changed_is_said_to_whoever_asked() {
    let (world, client) = published().await;
    assert_eq!(told(&world, &client).await.0, 200);
    world.advance(HOUR);
    world.web.fail(URL, 304);
    assert_eq!(told(&world, &client).await.0, 400);
    assert!(!world.web.last().headers().contains_key("if-none-match"));
}

#[tokio::test]
async fn a_failure_is_believed_for_a_moment() {
    let world = World::new().await;
    world.web.fail(URL, 500);
    let client = client_at(&world, URL);
    for _ in 0..5 {
        assert_eq!(told(&world, &client).await.0, 503);
    }
    assert_eq!(world.web.calls(), 1);
    world.web.publish(URL, &document());
    world.advance(10 * SECOND);
    assert_eq!(told(&world, &client).await.0, 200);
}

#[tokio::test]
async fn many_who_name_a_client_at_once_cause_one_fetch() {
    let (world, client) = published().await;
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let (client, mut browser) = (client.clone(), world.browser());
        asking.spawn(async move { client.ask(&mut browser).await.status });
    }
    assert!(
        asking
            .join_all()
            .await
            .into_iter()
            .all(|status| status == 200)
    );
    assert_eq!(world.web.calls(), 1);
}

#[tokio::test]
async fn an_outage_of_its_host_logs_nobody_out() {
    let (world, client) = published().await;
    let session = signed_in(&world, &client).await;
    world.web.unplug(URL);
    world.advance(2 * HOUR);
    let session = session.refreshed().await;
    // A replica that has just started has never seen the document.
    let replica = world.replica();
    let session = session.at(&replica).refreshed().await;
    // After three days nobody can tell whether the client is still the same: it is told to wait.
    world.advance(72 * HOUR);
    for replica in [&world, &replica] {
        let refused = session.at(replica).refresh().await;
        refused.assert_refused(503, "temporarily_unavailable");
        assert_eq!(refused.header("retry-after"), Some("10"));
    }
    world.web.publish(URL, &document());
    world.advance(10 * SECOND);
    session.refreshed().await;
}

#[tokio::test]
async fn a_client_is_kept_once_for_each_look_at_its_document() {
    let (log, _guard) = Log::begin();
    let store = Arc::new(Outage::default());
    let world = World::on(store.clone(), |config| config).await;
    world.web.publish(URL, &document());
    let session = signed_in(&world, &client_at(&world, URL)).await;
    store.begin_at("put", Collection::Clients);
    let session = session.refreshed().await;
    assert!(!log.text().contains("client not kept"));
    world.advance(2 * HOUR);
    // Neither does it cost the client its answer that it cannot be kept.
    session.refreshed().await;
    assert!(log.text().contains("client not kept"));
}

#[tokio::test]
async fn slow_hosts_hold_up_so_many_and_no_more() {
    let (world, client) = published().await;
    let mut hanging = JoinSet::new();
    for number in 0..64 {
        let url = format!("https://slow{number}.example/client.json");
        world.web.hang(&url);
        let (stuck, mut browser) = (client_at(&world, &url), world.browser());
        hanging.spawn(async move { stuck.ask(&mut browser).await.status });
    }
    while world.web.calls() < 64 {
        tokio::task::yield_now().await;
    }
    assert_eq!(told(&world, &client).await.0, 503);
    assert_eq!(world.web.calls(), 64);
}

#[tokio::test]
async fn a_document_that_was_withdrawn_ends_its_client() {
    let (world, client) = published().await;
    let session = signed_in(&world, &client).await;
    world.web.fail(URL, 404);
    world.advance(2 * HOUR);
    session
        .refresh()
        .await
        .assert_refused(401, "invalid_client");
}

#[tokio::test]
async fn the_operator_says_whose_documents_are_believed() {
    let world = World::with(|config| config.client_document_hosts(["app.example"])).await;
    world.web.publish(URL, &document());
    assert_eq!(told(&world, &client_at(&world, URL)).await.0, 200);
    let stranger = client_at(&world, "https://app.test/client.json");
    let (status, description) = told(&world, &stranger).await;
    assert_eq!(
        (status, &*description),
        (400, "clients of that host are not taken here")
    );
    let page = world.browser().get(&stranger.authorize_url(&[])).await;
    assert!(page.page().html.contains("not welcome here"));
    assert_eq!(world.web.calls(), 1);

    let none: [&str; 0] = [];
    let world = world.replica_with(|config| config.client_document_hosts(none));
    let metadata = world.get("/.well-known/oauth-authorization-server").await;
    let supported = &metadata.json["client_id_metadata_document_supported"];
    assert_eq!(*supported, json!(false));
    assert_eq!(
        metadata.json["token_endpoint_auth_methods_supported"],
        json!(["none"])
    );
    assert_eq!(told(&world, &client_at(&world, URL)).await.0, 400);
    assert_eq!(world.web.calls(), 1);
}

#[tokio::test]
async fn the_operators_redirect_uris_hold_for_documents_too() {
    let world = World::with(|config| {
        config.allowed_client_redirect_uris(["https://other.example/callback"])
    })
    .await;
    world.web.publish(URL, &document());
    let (status, description) = told(&world, &client_at(&world, URL)).await;
    assert_eq!(status, 400);
    assert!(description.contains("redirect URI"), "{description}");
}

#[tokio::test]
async fn a_flood_of_unknown_clients_writes_nothing() {
    let (world, client) = published().await;
    client.ask(&mut world.browser()).await;
    // Everything in the store is out of date by then, and would be swept.
    let late = Timestamp::from_unix(u64::MAX);
    assert_eq!(world.store.sweep(late).await.unwrap(), 0);
}
