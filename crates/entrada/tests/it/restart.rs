//! The server stops and starts again, with what it kept on disk.

use std::path::Path;

use entra_emulator::builtin;
use entrada::AzureConfig;
use serde_json::json;

use crate::client::parameter;
use crate::world::{BASE_URL, World};

/// A configuration that says nothing of keys and store: both come from the data directory.
pub(crate) fn on_disk(directory: &Path) -> AzureConfig {
    AzureConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID, BASE_URL)
        .client_secret(builtin::CLIENT_SECRET)
        .required_scopes(["mcp.read"])
        .authority_host("login.emulator.test")
        .data_dir(directory)
}

#[tokio::test]
async fn sessions_go_on_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    // The Entra and the time of both servers.
    let world = World::new().await;
    let server = world.replica_with(|_| on_disk(directory.path()));
    let mut session = server.log_in("alice").await;
    let opened = session.call_tool().await;
    let id = opened.header("mcp-session-id").unwrap().to_owned();
    let keys = server.get("/.well-known/jwks.json").await.ok();
    session = session.at(&world);
    drop(server);

    let server = world.replica_with(|_| on_disk(directory.path()));
    assert_eq!(server.get("/.well-known/jwks.json").await.ok(), keys);
    let session = session.at(&server);
    let bearer = format!("Bearer {}", session.access_token);
    let headers = [("authorization", &*bearer), ("mcp-session-id", &*id)];
    let answer = session.client.call(http::Method::POST, &headers).await.ok();
    assert_eq!(answer["oid"], json!(builtin::ALICE_OID));
    let next = session.refreshed().await;
    assert_eq!(next.claims()["sid"], session.claims()["sid"]);
    // The client is known, too.
    session.client.log_in(&mut server.browser(), "bob").await;
}

#[tokio::test]
async fn a_login_under_way_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new().await;
    let server = world.replica_with(|_| on_disk(directory.path()));
    let mut client = server.client().await;
    let mut browser = server.browser();
    let consent = client.ask(&mut browser).await;
    browser.stop_before = Some("/auth/callback");
    let back = browser.approve(&consent, "alice").await.left();
    (client, browser) = (client.at(&world), browser.at(&world));
    drop(server);

    let server = world.replica_with(|_| on_disk(directory.path()));
    (client, browser) = (client.at(&server), browser.at(&server));
    browser.stop_before = None;
    let location = browser.get(back.as_str()).await.left();
    let code = parameter(&location, "code").unwrap();
    client.redeem(&code).await.ok();
    // A spent code stays spent over the next restart.
    client = client.at(&world);
    drop((server, browser));
    let server = world.replica_with(|_| on_disk(directory.path()));
    let client = client.at(&server);
    client
        .redeem(&code)
        .await
        .assert_refused(400, "invalid_grant");
}

#[tokio::test]
async fn a_revocation_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new().await;
    let server = world.replica_with(|_| on_disk(directory.path()));
    let mut session = server.log_in("alice").await;
    session.client.revoke(&session.refresh_token).await;
    session = session.at(&world);
    drop(server);
    let server = world.replica_with(|_| on_disk(directory.path()));
    let session = session.at(&server);
    session
        .call_tool()
        .await
        .assert_unauthorized("invalid_token");
    session.refresh().await.assert_refused(400, "invalid_grant");
}

#[tokio::test]
async fn rotated_keys_outlive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new().await;
    let server = world.replica_with(|_| on_disk(directory.path()));
    let mut session = server.log_in("alice").await;
    server.provider.rotate_keys().await.unwrap();
    let published = server.get("/.well-known/jwks.json").await.ok();
    assert_eq!(published["keys"].as_array().unwrap().len(), 2);
    let kid = session.refreshed().await.kid();
    assert_eq!(json!(kid), published["keys"][0]["kid"]);
    session = session.at(&world);
    drop(server);

    let server = world.replica_with(|_| on_disk(directory.path()));
    assert_eq!(server.get("/.well-known/jwks.json").await.ok(), published);
    world.advance(entrada::keys::PUBLISH_AHEAD);
    let session = session.at(&server);
    assert_eq!(session.call_tool().await.status, 200);
    let other = server.log_in("bob").await;
    assert_eq!(json!(other.kid()), published["keys"][1]["kid"]);
    assert_eq!(other.call_tool().await.status, 200);
}
