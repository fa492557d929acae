//! What the guard turns away.

use std::sync::Arc;

use http::Method;

use super::Surface;
use crate::client::Answer;
use crate::outage::Outage;
use crate::prover::Prover;
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
    bound(surface, &world, &bearer).await;
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

/// What is said of tokens that are bound to a key, and of those that are not.
async fn bound(surface: &mut Surface, world: &World, bearer: &str) {
    let (prover, thief) = (Prover::new(), Prover::new());
    let token = prover.log_in(world, "alice").await.access_token;
    let dpop = format!("DPoP {token}");
    let good = prover.for_call(world, &token);
    let nonces = world.replica_with(entrada::AzureConfig::dpop_nonce);
    for (error, at, headers) in [
        (
            "BoundToken",
            world,
            vec![("authorization", &*dpop.replace("DPoP", "Bearer"))],
        ),
        (
            "UnboundToken",
            world,
            vec![("authorization", &*bearer.replace("Bearer", "DPoP"))],
        ),
        ("Proof(Missing)", world, vec![("authorization", &*dpop)]),
        (
            "Proof(Wrong)",
            world,
            vec![("authorization", &*dpop), ("dpop", "x")],
        ),
        (
            "Proof(Wrong(OtherKey))",
            world,
            vec![
                ("authorization", &*dpop),
                ("dpop", &thief.for_call(world, &token)),
            ],
        ),
        (
            "Proof(Nonce)",
            &nonces,
            vec![("authorization", &*dpop), ("dpop", &good)],
        ),
    ] {
        let answer = at.ask(Method::POST, RESOURCE, &headers, "{}").await;
        surface.answer(error, &answer);
    }
}
