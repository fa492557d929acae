//! What the guard turns away.

use std::sync::Arc;

use http::Method;

use super::Surface;
use crate::client::Answer;
use crate::outage::Outage;
use crate::world::{RESOURCE, SECOND, World};

pub(super) async fn rows(surface: &mut Surface) {
    surface.section("the protected server (Refusal, VerifyError)");
    let store = Arc::new(Outage::default());
    let world = World::on(store.clone(), |config| config).await;
    let session = world.log_in("alice").await;
    let bearer = format!("Bearer {}", session.access_token);
    let call = async |headers: &[(&str, &str)]| -> Answer {
        world.ask(Method::POST, RESOURCE, headers, "{}").await
    };
    let good = ("authorization", &*bearer);
    let session_id = ("mcp-session-id", "s-1");
    for (error, headers) in [
        ("Origin", vec![good, ("origin", "https://evil.example")]),
        ("NoCredentials", vec![]),
        ("SeveralCredentials", vec![good, good]),
        ("NotBearer", vec![("authorization", "Basic YTpi")]),
        ("Unverified(Token)", vec![("authorization", "Bearer x")]),
        ("ForeignSession", vec![good, session_id]),
        ("SeveralSessions", vec![good, session_id, session_id]),
    ] {
        surface.answer(error, &call(&headers).await);
    }
    store.begin();
    world.advance(61 * SECOND);
    surface.answer("Unverified(Unavailable)", &call(&[good]).await);
    store.end();
    session.client.revoke(&session.access_token).await;
    surface.answer("Unverified(GrantEnded)", &call(&[good]).await);
    let two = World::with(|config| config.required_scopes(["mcp.read", "mcp.write"])).await;
    let answer = two.log_in("alice").await.call_tool().await;
    surface.answer("Forbidden(Scope)", &answer);
}
