//! The same between real servers, there and back.

use std::sync::Arc;

use entrada::platform::{Clock as _, SystemClock};
use entrada::store::{Moving, RedisSettings, RedisStore, Store};

use super::{Replicas, later, new_grant};
use crate::redis::server::Family;
use crate::{postgres, redis};
use entrada::store::{Entry, Sealed};

entrada::store_conformance!(together keeps_every_promise);

/// Keeps every promise at each step, and loses nothing.
async fn moves(from: Arc<dyn Store>, to: Arc<dyn Store>) {
    let mut keys = Vec::new();
    for number in 0..700_u32 {
        let (key, entry) = (
            new_grant(),
            Entry::new(Sealed::from_stored(number.to_string()), later()),
        );
        from.put_version(&key, 1, entry).await.unwrap();
        keys.push(key);
    }
    let announced = || Arc::new(Moving::announced(Arc::clone(&from), Arc::clone(&to)));
    let under_way = || Arc::new(Moving::under_way(Arc::clone(&from), Arc::clone(&to)));
    keeps_every_promise(Replicas::by_turns(vec![Arc::clone(&from), announced()])).await;
    keeps_every_promise(Replicas::by_turns(vec![announced(), under_way()])).await;
    let now = SystemClock::default().now();
    let moved = under_way().move_all(now, drop).await.unwrap();
    assert!(moved.moved >= 700, "{moved:?}");
    keeps_every_promise(Replicas::by_turns(vec![Arc::clone(&to), under_way()])).await;
    for (number, key) in keys.iter().enumerate() {
        let stored = to.read(key).await.unwrap().unwrap();
        assert_eq!(stored.sealed, Sealed::from_stored(number.to_string()));
    }
    assert_eq!(under_way().move_all(now, drop).await.unwrap().moved, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_moves_between_redis_and_a_database() {
    let cache = redis::server::Server::start(Family::Redis);
    let database = postgres::server::Server::started().await;
    let settings = RedisSettings::from_url(&cache.url("")).unwrap();
    let redis: Arc<dyn Store> = Arc::new(RedisStore::open(settings).unwrap());
    let postgres: Arc<dyn Store> = Arc::new(database.store(""));
    moves(Arc::clone(&redis), Arc::clone(&postgres)).await;
    // And back, over the marks that the first move left.
    moves(postgres, redis).await;
}
