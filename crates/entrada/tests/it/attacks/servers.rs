//! Several protected servers: one is no way into another.

use http::Method;
use serde_json::json;

use crate::client::{Session, parameter};
use crate::remembered_consent::{is_asked, opened, remembering};
use crate::resources::{
    FILES, MACHINES, ORDERS, call, call_with_entras, log_in_for, three, with_entras,
};
use crate::world::{RESOURCE, World};

#[tokio::test]
async fn token_of_one_server_is_refused_by_the_others() {
    let world = World::with(three).await;
    let files = log_in_for(&world, FILES, "mcp.read").await;
    let orders = log_in_for(&world, ORDERS, "mcp.write").await;
    for (session, server) in [
        (&files, RESOURCE),
        (&files, ORDERS),
        (&orders, RESOURCE),
        (&orders, FILES),
    ] {
        let answer = call(&world, server, session).await;
        answer.assert_unauthorized("invalid_token");
    }
}

#[tokio::test]
async fn token_of_ours_is_nothing_where_entra_issues_them() {
    let world = with_entras().await;
    let session = log_in_for(&world, RESOURCE, "mcp.read").await;
    let answer = call(&world, MACHINES, &session).await;
    answer.assert_unauthorized("invalid_token");
    let answer = call_with_entras(&world, RESOURCE).await;
    answer.assert_unauthorized("invalid_token");
}

#[tokio::test]
async fn grant_of_one_server_gives_no_token_for_another() {
    let world = World::with(three).await;
    let session = log_in_for(&world, FILES, "mcp.read").await;
    for other in [RESOURCE, ORDERS] {
        let refused = session.refresh_with(&[("resource", other)]).await;
        refused.assert_refused(400, "invalid_target");
    }
    // Whatever it leaves unsaid, it is the server the user was asked about.
    let refreshed = session.refreshed().await;
    assert_eq!(refreshed.claims()["aud"], FILES);
}

#[tokio::test]
async fn host_of_one_server_is_no_way_to_another() {
    let world = World::with(three).await;
    let orders = log_in_for(&world, ORDERS, "mcp.write").await;
    let bearer = format!("Bearer {}", orders.access_token);
    for (path, host) in [
        ("/mcp", "mcp.example.com"),
        ("/files", "mcp.example.com"),
        ("/files", "orders.example.com"),
        ("/mcp", "orders.example.com.evil.example"),
        ("/mcp", "orders.example.com@mcp.example.com"),
    ] {
        let url = format!("https://mcp.example.com{path}");
        let headers = [("authorization", &*bearer), ("host", host)];
        let answer = world.ask(Method::POST, &url, &headers, "{}").await;
        answer.assert_unauthorized("invalid_token");
    }
}

#[tokio::test]
async fn session_of_one_server_is_nothing_at_another() {
    let world = World::with(three).await;
    // The same user, through the same client, has tokens for both.
    let files = log_in_for(&world, FILES, "mcp.read").await;
    let id = call(&world, FILES, &files).await;
    let id = id.header("mcp-session-id").unwrap().to_owned();
    let client = &files.client;
    let url = client.authorize_url(&[]);
    let mut browser = world.browser();
    let page = browser.get(&url).await.page();
    let location = browser.approve(&page, "alice").await.left();
    let code = parameter(&location, "code").unwrap();
    let main = client.session(client.redeem(&code).await.ok());
    let resume = async |server: &str, session: &Session| {
        let bearer = format!("Bearer {}", session.access_token);
        let headers = [("authorization", &*bearer), ("mcp-session-id", &*id)];
        world.ask(Method::GET, server, &headers, "").await
    };
    assert_eq!(resume(FILES, &files).await.ok()["session"], json!("s-1"));
    assert_eq!(resume(RESOURCE, &main).await.status, 404);
}

#[tokio::test]
async fn consent_for_one_server_is_none_for_another() {
    let world = World::with(|config| three(remembering(config))).await;
    let client = world.client().await;
    let mut browser = opened(&world);
    client.log_in(&mut browser, "alice").await;
    assert!(!is_asked(&mut browser, &client.authorize_url(&[])).await);
    let other = client.authorize_url(&[("resource", FILES)]);
    assert!(is_asked(&mut browser, &other).await);
}
