//! Keys are rotated.

use entrada::jwt::jwks::Algorithm;
use entrada::keys::PUBLISH_AHEAD;
use entrada::platform::SystemRandom;

use crate::world::World;

async fn kids(world: &World) -> Vec<String> {
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
