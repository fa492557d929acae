//! Keys are rotated.

use std::sync::Arc;
use std::time::Duration;

use entrada::jwt::jwks::Algorithm;
use entrada::keys::{KeyFile, KeysError, PUBLISH_AHEAD};
use entrada::platform::SystemRandom;

use crate::restart::on_disk;
use crate::world::{SECOND, World};

pub(crate) async fn kids(world: &World) -> Vec<String> {
    let keys = world.get("/.well-known/jwks.json").await.ok();
    let keys = keys["keys"].as_array().unwrap().clone();
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_new_key_is_published_before_it_signs_and_old_tokens_stay_good() {
    let world = World::new().await;
    let old = world.log_in("alice").await;
    let first = kids(&world).await;
    let (random, now) = (SystemRandom::default(), world.now());
    let ring = world.keys.current().rotated(Algorithm::EdDsa, &random, now);
    world.keys.replace(ring.unwrap());
    let both = kids(&world).await;
    assert_eq!((both.len(), &both[0]), (2, &first[0]));
    assert_eq!(world.log_in("alice").await.kid(), both[0]);
    world.advance(PUBLISH_AHEAD);
    let new = old.refreshed().await;
    assert_eq!(new.kid(), both[1]);
    for session in [&old, &new] {
        assert_eq!(session.call_tool().await.status, 200);
    }
}

/// Somebody read the keys.
#[tokio::test]
async fn revoked_keys_end_every_access_token_and_no_login() {
    let world = World::new().await;
    let (alice, bob) = (world.log_in("alice").await, world.log_in("bob").await);
    let (random, now) = (SystemRandom::default(), world.now());
    let ring = world.keys.current().revoked(Algorithm::Es256, &random, now);
    world.keys.replace(ring.unwrap());
    world.advance(10 * SECOND);
    for session in [&alice, &bob] {
        session
            .call_tool()
            .await
            .assert_unauthorized("invalid_token");
        assert_eq!(session.refreshed().await.call_tool().await.status, 200);
    }
    assert_eq!(kids(&world).await.len(), 1);
    assert_eq!(world.log_in("alice").await.kid(), kids(&world).await[0]);
}

#[tokio::test]
async fn replicas_that_share_a_file_rotate_once_when_it_is_time() {
    const EVERY: Duration = Duration::from_secs(90 * 86_400);
    const ALMOST: Duration = Duration::from_secs(90 * 86_400 - 1);
    let folder = tempfile::tempdir().unwrap();
    let world = World::new().await;
    let replica = || {
        let config = on_disk(folder.path()).store(Arc::clone(&world.store));
        world.replica_with(|_| config)
    };
    let replicas = [replica(), replica()];
    let published = async || {
        for replica in &replicas {
            replica.provider.tend_keys(Some(EVERY)).await.unwrap();
        }
        // The first looks again at what the second did.
        replicas[0].provider.tend_keys(Some(EVERY)).await.unwrap();
        let (one, other) = (kids(&replicas[0]).await, kids(&replicas[1]).await);
        assert_eq!(one, other);
        one.len()
    };
    assert_eq!(published().await, 1);
    world.advance(ALMOST);
    assert_eq!(published().await, 1);
    world.advance(SECOND);
    assert_eq!(published().await, 2);
    world.advance(EVERY);
    assert_eq!(published().await, 2);
    world.advance(PUBLISH_AHEAD);
    assert_eq!(published().await, 2, "the first is over, the third is new");
}

/// A key file that is mounted read-only: somebody else changes it.
#[tokio::test]
async fn a_replica_that_cannot_write_the_key_file_takes_over_what_others_do_to_it() {
    const EVERY: Duration = Duration::from_secs(90 * 86_400);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let world = World::new().await;
    let replica = world.replica_with(|_| on_disk(folder.path()).store(Arc::clone(&world.store)));
    // Nobody gets the lock, as on a file system that takes no writes.
    std::fs::create_dir(folder.path().join("keys.lock")).unwrap();
    world.advance(EVERY);
    let first = kids(&replica).await;
    for _ in 0..2 {
        let tended = replica.provider.tend_keys(Some(EVERY)).await;
        assert!(matches!(tended, Err(KeysError::File(_))));
        assert!(replica.provider.rotate_keys().await.is_err());
        assert_eq!(kids(&replica).await, first);
    }
    let (file, random, now) = (KeyFile::new(&path), SystemRandom::default(), world.now());
    let elsewhere = file.load(now).unwrap();
    let rotated = elsewhere.rotated(Algorithm::Es256, &random, now).unwrap();
    file.save(&rotated).unwrap();
    replica.provider.tend_keys(Some(EVERY)).await.unwrap();
    assert_eq!(kids(&replica).await.len(), 2);
    world.advance(PUBLISH_AHEAD);
    replica.provider.tend_keys(Some(EVERY)).await.unwrap();
    assert_ne!(replica.log_in("alice").await.kid(), first[0]);
    // Revoked keys are known before anybody looks for them by the clock.
    let revoked = rotated.revoked(Algorithm::Es256, &random, world.now());
    file.save(&revoked.unwrap()).unwrap();
    let other = world.replica_with(|_| on_disk(folder.path()).store(Arc::clone(&world.store)));
    let session = other.log_in("bob").await.at(&replica);
    assert_eq!(session.call_tool().await.status, 200);
}
