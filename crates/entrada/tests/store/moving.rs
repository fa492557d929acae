//! Replicas at different steps of a move between two stores are one store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use entrada::grant::GrantId;
use entrada::platform::{Clock as _, SystemClock, SystemRandom, Timestamp};
use entrada::store::{
    Cursor, Entry, Lease, LeaseHolder, MemoryStore, Moving, RecordKey, Sealed, Slot, SlotPage,
    Store, StoreError, Stored, Taken, Written,
};

#[cfg(all(unix, feature = "postgres", feature = "redis"))]
mod servers;

/// Replicas of which each verb reaches the next, but those of one lease the same.
#[derive(Debug)]
struct Replicas(Vec<Arc<dyn Store>>, AtomicUsize);

impl Replicas {
    fn by_turns(replicas: Vec<Arc<dyn Store>>) -> Arc<dyn Store> {
        Arc::new(Self(replicas, AtomicUsize::new(0)))
    }

    fn next(&self) -> &dyn Store {
        let next = self.1.fetch_add(1, Ordering::Relaxed);
        &*self.0[next % self.0.len()]
    }

    fn of(&self, holder: LeaseHolder) -> &dyn Store {
        &*self.0[usize::from(holder.as_bytes()[0]) % self.0.len()]
    }
}

#[async_trait]
impl Store for Replicas {
    async fn read(&self, key: &RecordKey) -> Result<Option<Stored>, StoreError> {
        self.next().read(key).await
    }

    async fn put(&self, key: &RecordKey, entry: Entry) -> Result<(), StoreError> {
        self.next().put(key, entry).await
    }

    async fn put_new(&self, key: &RecordKey, entry: Entry) -> Result<Written, StoreError> {
        self.next().put_new(key, entry).await
    }

    async fn put_version(
        &self,
        key: &RecordKey,
        version: u64,
        entry: Entry,
    ) -> Result<Written, StoreError> {
        self.next().put_version(key, version, entry).await
    }

    async fn take(&self, key: &RecordKey) -> Result<Taken, StoreError> {
        self.next().take(key).await
    }

    async fn revoke(&self, key: &RecordKey, until: Timestamp) -> Result<(), StoreError> {
        self.next().revoke(key, until).await
    }

    async fn lease(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        term: Duration,
        now: Timestamp,
    ) -> Result<Lease, StoreError> {
        self.of(holder).lease(flight, holder, term, now).await
    }

    async fn settle(
        &self,
        flight: &RecordKey,
        holder: LeaseHolder,
        answer: Option<Entry>,
    ) -> Result<Written, StoreError> {
        self.of(holder).settle(flight, holder, answer).await
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        // What one step forgets, the others do, too.
        let mut swept = 0;
        for replica in &self.0 {
            swept += replica.sweep(now).await?;
        }
        Ok(swept)
    }

    async fn export(&self, after: Option<&Cursor>, most: usize) -> Result<SlotPage, StoreError> {
        // Cursors are of one store: the last here knows of both.
        self.0[self.0.len() - 1].export(after, most).await
    }

    async fn slot(&self, key: &RecordKey) -> Result<Option<Slot>, StoreError> {
        self.next().slot(key).await
    }

    async fn replace(
        &self,
        key: &RecordKey,
        found: Option<&Slot>,
        slot: Slot,
    ) -> Result<Written, StoreError> {
        self.next().replace(key, found, slot).await
    }
}

fn new_grant() -> RecordKey {
    RecordKey::grant(&GrantId::generate(&SystemRandom::default()))
}

fn later() -> Timestamp {
    SystemClock::default().now() + Duration::from_secs(3600)
}

/// A store with records in it.
async fn used() -> Arc<dyn Store> {
    let store = MemoryStore::new();
    for number in 0..300_u32 {
        let key = new_grant();
        let entry = Entry::new(Sealed::from_stored(number.to_string()), later());
        store.put_version(&key, 1, entry).await.unwrap();
    }
    Arc::new(store)
}

fn new() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

/// Two stores, of which all of the first is in the second.
async fn moved() -> (Arc<dyn Store>, Arc<dyn Store>) {
    let (from, to) = (used().await, new());
    let moving = Moving::under_way(Arc::clone(&from), Arc::clone(&to));
    let moved = moving.move_all(SystemClock::default().now(), drop).await;
    assert_eq!(moved.unwrap().moved, 300);
    (from, to)
}

mod announced {
    use super::*;

    async fn from_used() -> Arc<dyn Store> {
        Arc::new(Moving::announced(used().await, new()))
    }

    entrada::store_conformance!(from_used);
}

mod under_way {
    use super::*;

    async fn from_used() -> Arc<dyn Store> {
        Arc::new(Moving::under_way(used().await, new()))
    }

    entrada::store_conformance!(from_used);
}

mod under_way_from_empty {
    use super::*;

    async fn from_empty() -> Arc<dyn Store> {
        Arc::new(Moving::under_way(new(), new()))
    }

    entrada::store_conformance!(from_empty);
}

mod old_beside_announced {
    use super::*;

    async fn replicas() -> Arc<dyn Store> {
        let (from, to) = (used().await, new());
        let announced = Moving::announced(Arc::clone(&from), to);
        Replicas::by_turns(vec![from, Arc::new(announced)])
    }

    entrada::store_conformance!(replicas);
}

mod announced_beside_under_way {
    use super::*;

    async fn replicas() -> Arc<dyn Store> {
        let (from, to) = (used().await, new());
        let announced = Moving::announced(Arc::clone(&from), Arc::clone(&to));
        let under_way = Moving::under_way(from, to);
        Replicas::by_turns(vec![Arc::new(announced), Arc::new(under_way)])
    }

    entrada::store_conformance!(replicas);
}

mod under_way_beside_new {
    use super::*;

    async fn replicas() -> Arc<dyn Store> {
        let (from, to) = moved().await;
        let under_way = Moving::under_way(from, Arc::clone(&to));
        Replicas::by_turns(vec![to, Arc::new(under_way)])
    }

    entrada::store_conformance!(replicas);
}

#[tokio::test]
async fn a_damaged_mark_is_an_error_and_no_record() {
    let (from, to) = (new(), new());
    let key = new_grant();
    let damaged = Entry::new(Sealed::from_stored(&b"\0moved\0\xff"[..]), later());
    from.put(&key, damaged).await.unwrap();
    for moving in [
        Moving::announced(Arc::clone(&from), Arc::clone(&to)),
        Moving::under_way(Arc::clone(&from), Arc::clone(&to)),
    ] {
        moving.read(&key).await.unwrap_err();
        moving.take(&key).await.unwrap_err();
        moving.revoke(&key, later()).await.unwrap_err();
    }
}

/// A thousand versions of a few grants, written by replicas at two steps while all is moved.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_version_is_written_once_while_all_is_moved() {
    let (from, to) = (used().await, new());
    let under_way = Moving::under_way(Arc::clone(&from), Arc::clone(&to));
    let replicas = Replicas::by_turns(vec![
        Arc::new(Moving::announced(from, Arc::clone(&to))),
        Arc::new(under_way.clone()),
    ]);
    let keys: Vec<_> = (0..8).map(|_| new_grant()).collect();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8_u32 {
        let (replicas, keys) = (Arc::clone(&replicas), keys.clone());
        writers.spawn(async move {
            let mut won = Vec::new();
            for round in 0..200_usize {
                let key = &keys[round % keys.len()];
                let stored = replicas.read(key).await.unwrap();
                let version = stored.map_or(0, |stored| stored.version) + 1;
                let entry = Entry::new(Sealed::from_stored(writer.to_string()), later());
                let written = replicas.put_version(key, version, entry).await.unwrap();
                if written == Written::Yes {
                    won.push((round % keys.len(), version));
                }
                tokio::task::yield_now().await;
            }
            won
        });
    }
    let now = SystemClock::default().now();
    let mut won = Vec::new();
    while let Some(written) = writers.join_next().await {
        under_way.move_all(now, drop).await.unwrap();
        won.extend(written.unwrap());
    }
    under_way.move_all(now, drop).await.unwrap();
    let all = won.len() as u64;
    won.sort_unstable();
    won.dedup();
    assert_eq!(won.len() as u64, all, "a version was written twice");
    let mut versions = 0;
    for key in &keys {
        versions += to.read(key).await.unwrap().unwrap().version;
    }
    assert_eq!(versions, all, "a version that was written is lost");
}

/// Whoever lost a lease to a replica one step apart has no answer to give.
#[tokio::test]
async fn a_lease_that_was_lost_is_not_settled_by_whoever_had_it() {
    let (from, to) = (new(), new());
    let under_way = Moving::under_way(Arc::clone(&from), Arc::clone(&to));
    let announced = Moving::announced(Arc::clone(&from), Arc::clone(&to));
    let others: [&dyn Store; 2] = [&announced, &*to];
    for other in others {
        let flight = new_grant();
        let [first, second] = [(); 2].map(|()| LeaseHolder::generate(&SystemRandom::default()));
        let (term, now) = (Duration::from_secs(5), SystemClock::default().now());
        let late = now + 2 * term;
        let held = under_way.lease(&flight, first, term, now).await.unwrap();
        assert_eq!(held, Lease::Held);
        assert_eq!(
            other.lease(&flight, second, term, now).await.unwrap(),
            Lease::Busy
        );
        assert_eq!(
            other.lease(&flight, second, term, late).await.unwrap(),
            Lease::Held
        );
        let answer = Entry::new(Sealed::from_stored("late"), later());
        let settled = under_way
            .settle(&flight, first, Some(answer))
            .await
            .unwrap();
        assert_eq!(settled, Written::Conflict);
        let asked = under_way.lease(&flight, first, term, late).await.unwrap();
        assert_eq!(asked, Lease::Busy);
        let answer = Entry::new(Sealed::from_stored("answer"), later());
        let settled = other.settle(&flight, second, Some(answer)).await.unwrap();
        assert_eq!(settled, Written::Yes);
        let asked = under_way.lease(&flight, first, term, late).await.unwrap();
        assert_eq!(asked, Lease::Answered(Sealed::from_stored("answer")));
    }
}
