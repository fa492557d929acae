//! Records move from one store to another while people use the server.

use std::sync::Arc;

use entrada::store::{MemoryStore, Moving, Store};

use crate::client::Session;
use crate::world::{SECOND, World};

/// The replicas of a server at each step of a move, and the stores they are of.
struct Steps {
    world: World,
    from: Arc<dyn Store>,
    to: Arc<dyn Store>,
}

impl Steps {
    async fn new() -> Self {
        let (from, to) = (memory(), memory());
        let world = World::on(Arc::clone(&from), |config| config).await;
        Self { world, from, to }
    }

    fn on(&self, store: Arc<dyn Store>) -> World {
        self.world.replica_with(|config| config.store(store))
    }

    fn announced(&self) -> World {
        let stores = (Arc::clone(&self.from), Arc::clone(&self.to));
        self.on(Arc::new(Moving::announced(stores.0, stores.1)))
    }

    fn moving(&self) -> Moving {
        Moving::under_way(Arc::clone(&self.from), Arc::clone(&self.to))
    }

    fn under_way(&self) -> World {
        self.on(Arc::new(self.moving()))
    }
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

/// All go on, by turns at each of `replicas`.
async fn go_on(world: &World, sessions: &mut [Session], replicas: &[&World]) {
    for replica in replicas {
        world.advance(90 * SECOND);
        for session in &mut *sessions {
            let grant = session.claims()["sid"].clone();
            *session = session.at(replica).refreshed().await;
            assert_eq!(session.claims()["sid"], grant);
            session.call_tool().await.ok();
        }
    }
}

#[tokio::test]
async fn nobody_is_logged_out_while_records_move() {
    let steps = Steps::new().await;
    let world = &steps.world;
    let mut sessions = Vec::new();
    for name in ["alice", "bob", "alice"] {
        sessions.push(world.log_in(name).await);
    }
    // Some do nothing all through the move.
    let (idle, revoked) = (world.log_in("bob").await, world.log_in("alice").await);
    revoked.client.revoke(&revoked.refresh_token).await;
    let (announced, under_way) = (steps.announced(), steps.under_way());
    go_on(world, &mut sessions, &[world, &announced, world]).await;
    sessions.push(announced.log_in("bob").await);
    go_on(world, &mut sessions, &[&announced, &under_way, &announced]).await;
    sessions.push(under_way.log_in("alice").await);
    go_on(world, &mut sessions, &[&announced, &under_way]).await;

    let moving = steps.moving();
    let moved = moving.move_all(world.now(), drop).await.unwrap();
    assert!(moved.moved > 0);
    go_on(world, &mut sessions, &[&under_way]).await;
    let new = steps.on(Arc::clone(&steps.to));
    go_on(world, &mut sessions, &[&new, &under_way, &new]).await;
    let again = moving.move_all(world.now(), drop).await.unwrap();
    assert_eq!(again.moved, 0);

    drop(steps.from);
    sessions.push(idle);
    go_on(world, &mut sessions, &[&new]).await;
    let revoked = revoked.at(&new);
    revoked.refresh().await.assert_refused(400, "invalid_grant");
    // Clients that registered before are known.
    sessions[0]
        .client
        .at(&new)
        .log_in(&mut new.browser(), "bob")
        .await;
}

#[tokio::test]
async fn a_code_counts_once_at_replicas_on_both_sides_of_a_move() {
    let steps = Steps::new().await;
    let (announced, under_way) = (steps.announced(), steps.under_way());
    for (one, other) in [(&announced, &under_way), (&under_way, &announced)] {
        let mut browser = one.browser();
        let client = one.client().await;
        let consent = client.ask(&mut browser).await;
        let location = browser.approve(&consent, "alice").await.left();
        let code = crate::client::parameter(&location, "code").unwrap();
        let (here, there) = (client.at(one), client.at(other));
        let (first, second) = tokio::join!(here.redeem(&code), there.redeem(&code));
        let statuses = [first.status, second.status];
        assert!(statuses.contains(&200.try_into().unwrap()), "{statuses:?}");
        assert!(statuses.contains(&400.try_into().unwrap()), "{statuses:?}");
    }
}

#[tokio::test]
async fn a_revocation_holds_at_replicas_on_both_sides_of_a_move() {
    let steps = Steps::new().await;
    let (announced, under_way) = (steps.announced(), steps.under_way());
    for (one, other) in [(&announced, &under_way), (&under_way, &announced)] {
        let session = steps.world.log_in("alice").await;
        let session = session.at(other).refreshed().await;
        session.client.at(one).revoke(&session.refresh_token).await;
        for replica in [one, other] {
            let session = session.at(replica);
            session.refresh().await.assert_refused(400, "invalid_grant");
        }
    }
}
