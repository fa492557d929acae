//! Clients that come back for the scopes one route needs.

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use entra_emulator::builtin;
use entrada::policy::Requirement;
use entrada::resource_server::RequireLayer;
use http::Request;
use serde_json::json;
use tower::ServiceExt as _;

use crate::browser::Browser;
use crate::client::{Answer, Client, Session};
use crate::world::World;

/// A server one reads with `mcp.read`, and deletes from with a scope clients may ask for.
async fn world() -> World {
    World::with(|config| config.optional_scopes(["mcp.write"])).await
}

/// Calls the route that needs more.
async fn delete(world: &World, session: &Session) -> Answer {
    let needs = RequireLayer::new(Requirement::scopes(["mcp.write"]));
    let routes = Router::new().route("/mcp/delete", post(async || "deleted").layer(needs));
    let bearer = format!("Bearer {}", session.access_token);
    let request = Request::post("/mcp/delete").header("authorization", bearer);
    let request = request.body(Body::empty()).unwrap();
    let answer = world.provider.protect(routes).oneshot(request).await;
    Answer::read(answer.unwrap()).await
}

/// Signs alice in with the scopes asked for; none are named where `scope` is empty.
async fn log_in(client: &Client, browser: &mut Browser, scope: &str) -> Session {
    let url = client.authorize_url(&[("scope", scope)]);
    let consent = browser.get(&url).await.page();
    let location = browser.approve(&consent, "alice").await.left();
    let code = crate::client::parameter(&location, "code").unwrap();
    client.session(client.redeem(&code).await.ok())
}

#[tokio::test]
async fn one_step_up_is_enough() {
    let world = world().await;
    let (client, mut browser) = (world.client().await, world.browser());
    let session = log_in(&client, &mut browser, "").await;
    assert_eq!(session.tokens["scope"], json!("mcp.read"));

    let refused = delete(&world, &session).await;
    assert_eq!(refused.status, 403);
    let challenge = refused.header("www-authenticate").unwrap();
    let told = challenge.split("scope=\"").nth(1).unwrap();
    let told = told.split('"').next().unwrap();
    assert_eq!(told, "mcp.read mcp.write");

    let session = log_in(&client, &mut browser, told).await;
    let asked = world.entra.last_authorize_query().unwrap();
    let asked = &asked.iter().find(|(name, _)| name == "scope").unwrap().1;
    let spelled = format!("{}/mcp.write", builtin::IDENTIFIER_URI);
    assert!(asked.split(' ').any(|scope| scope == spelled), "{asked}");
    assert_eq!(session.tokens["scope"], json!(told));
    assert_eq!(delete(&world, &session).await.text, "deleted");
    assert_eq!(session.call_tool().await.status, 200);

    let session = session.refreshed().await;
    assert_eq!(delete(&world, &session).await.text, "deleted");
}

#[tokio::test]
async fn who_does_not_ask_for_more_gets_no_more() {
    let world = world().await;
    let (client, mut browser) = (world.client().await, world.browser());
    for scope in ["", "mcp.read", "openid offline_access"] {
        let session = log_in(&client, &mut browser, scope).await;
        assert_eq!(session.tokens["scope"], json!("mcp.read"), "{scope}");
        let asked = world.entra.last_authorize_query().unwrap();
        assert!(
            !asked.iter().any(|(_, value)| value.contains("mcp.write")),
            "{asked:?}"
        );
        let wider = [
            ("grant_type", "refresh_token"),
            ("client_id", &client.id),
            ("refresh_token", &session.refresh_token),
            ("scope", "mcp.read mcp.write"),
        ];
        client
            .token(&wider)
            .await
            .assert_refused(400, "invalid_scope");
    }
}

#[tokio::test]
async fn scopes_one_may_ask_for_are_listed_where_nobody_must_have_them() {
    let world = world().await;
    let server = world.get("/.well-known/oauth-authorization-server").await;
    assert_eq!(
        server.ok()["scopes_supported"],
        json!(["mcp.read", "mcp.write", "offline_access"])
    );
    let resource = world.get("/.well-known/oauth-protected-resource/mcp").await;
    assert_eq!(resource.ok()["scopes_supported"], json!(["mcp.read"]));
}
