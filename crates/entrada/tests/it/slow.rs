//! What is slow at Entra holds up nobody else.

use std::time::Duration;

use entra_emulator::{Endpoint, GrantType};
use tokio::task::JoinSet;

use crate::refresh::REFRESH_GRANT;
use crate::world::World;

/// Longer than any test: who waits for this is given up.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

/// Lets the others work until Entra was asked.
async fn until_asked(world: &World, endpoint: Endpoint) {
    while world.entra.calls(endpoint) == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_refresh_that_hangs_holds_up_no_other_session() {
    let world = World::new().await;
    let (slow, other) = (world.log_in("alice").await, world.log_in("alice").await);
    let bob = world.log_in("bob").await;
    world.entra.delay_next(REFRESH_GRANT, 1, FOREVER);
    let mut hanging = JoinSet::new();
    let session = slow.clone();
    hanging.spawn(async move { session.refresh().await });
    until_asked(&world, REFRESH_GRANT).await;
    assert_eq!(slow.call_tool().await.status, 200);
    for session in [other, bob] {
        let next = session.refreshed().await;
        assert_eq!(next.call_tool().await.status, 200);
    }
    world.log_in("grace").await;
    // Who gives up passes the turn on.
    hanging.shutdown().await;
    slow.refreshed().await;
}

#[tokio::test]
async fn a_login_that_hangs_holds_up_no_other() {
    let world = World::new().await;
    world.log_in("alice").await;
    world.entra.reset_calls();
    let code_grant = Endpoint::TokenGrant(GrantType::AuthorizationCode);
    world.entra.delay_next(code_grant, 1, FOREVER);
    let client = world.client().await;
    let mut browser = world.browser();
    let mut hanging = JoinSet::new();
    hanging.spawn(async move { client.authorize(&mut browser, "alice").await });
    until_asked(&world, code_grant).await;
    let bob = world.log_in("bob").await;
    assert_eq!(bob.call_tool().await.status, 200);
    bob.refreshed().await;
}

/// The keys known so far are good, even if there may be newer ones.
#[tokio::test]
async fn a_fetch_of_keys_that_hangs_holds_up_no_login() {
    let world = World::new().await;
    world.log_in("alice").await;
    world.entra.reset_calls();
    world.advance(FOREVER);
    world.entra.delay_next(Endpoint::Keys, 1, FOREVER);
    let client = world.client().await;
    let mut browser = world.browser();
    let mut hanging = JoinSet::new();
    hanging.spawn(async move { client.authorize(&mut browser, "alice").await });
    until_asked(&world, Endpoint::Keys).await;
    let bob = world.log_in("bob").await;
    assert_eq!(bob.call_tool().await.status, 200);
}
