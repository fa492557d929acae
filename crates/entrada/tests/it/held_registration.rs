//! Clients that hold what they registered themselves.

use std::sync::Arc;

use entrada::AzureConfig;
use entrada::authorization_server::ClientRegistrations;
use entrada::store::Collection;
use serde_json::json;

use crate::client::Client;
use crate::outage::Outage;
use crate::world::{CALLBACK, World};

fn holding(config: AzureConfig) -> AzureConfig {
    config.client_registrations(ClientRegistrations::Held)
}

pub(crate) async fn world() -> World {
    World::with(holding).await
}

#[tokio::test]
async fn registering_costs_no_write_and_signing_in_works() {
    let outage = Arc::new(Outage::default());
    let world = World::on(outage.clone(), holding).await;
    outage.begin();
    let client = world.client().await;
    outage.end();
    assert!(client.id.starts_with("held."), "{}", client.id);
    assert!(client.id.len() < 500, "{}", client.id.len());
    let session = client.log_in(&mut world.browser(), "alice").await;
    let seen = session.refreshed().await.call_tool().await.ok();
    assert_eq!(seen["client_id"], *client.id);
    // A code that comes later costs no look at the store for its client either.
    outage.begin_at("read", Collection::Clients);
    client
        .at(&world)
        .log_in(&mut world.browser(), "alice")
        .await;
    // Another replica knows it, too, whether it makes such ids or not.
    let replica = world.replica();
    let client = client.at(&replica);
    client.log_in(&mut replica.browser(), "alice").await;
}

#[tokio::test]
async fn what_was_registered_holds() {
    let world = world().await;
    let metadata = json!({
        "client_name": "VS Code",
        "application_type": "native",
        "grant_types": ["authorization_code"],
        "redirect_uris": [
            "https://insiders.vscode.dev/redirect",
            "https://vscode.dev/redirect",
            "http://localhost/",
            "http://127.0.0.1/",
            "http://localhost:33418/",
            "http://127.0.0.1:33418/",
        ],
    });
    let registered = world.register(&metadata).await.ok();
    let client = Client::registered(world.hosts.clone(), &registered);
    let page = client.ask(&mut world.browser()).await;
    assert!(page.html.contains("VS Code"), "{}", page.html);
    let other = client.authorize_url(&[("redirect_uri", "https://evil.example/")]);
    let page = world.browser().get(&other).await.page();
    assert_eq!(page.status, 400);
    let code = client.code(&mut world.browser(), "alice").await;
    let tokens = client.redeem(&code).await.ok();
    assert!(tokens.get("refresh_token").is_none(), "{tokens}");
}

#[tokio::test]
async fn what_is_too_long_for_an_id_is_stored() {
    let world = world().await;
    let long = format!("{CALLBACK}/{}", "x".repeat(450));
    let metadata = json!({ "redirect_uris": [long, format!("{long}y"), CALLBACK] });
    let registered = world.register(&metadata).await.ok();
    let id = registered["client_id"].as_str().unwrap();
    assert!(!id.starts_with("held."), "{id}");
    let client = Client::registered(world.hosts.clone(), &registered);
    client.log_in(&mut world.browser(), "alice").await;
}

#[tokio::test]
async fn without_the_option_registrations_are_stored() {
    let world = World::new().await;
    assert!(!world.client().await.id.starts_with("held."));
    for id in ["held.", "held.AAAA"] {
        let url = world.client().await.authorize_url(&[("client_id", id)]);
        world.get(&url).await.assert_refused(400, "invalid_request");
        let page = world.browser().get(&url).await.page();
        assert!(page.html.contains("not known"), "{}", page.html);
    }
}
