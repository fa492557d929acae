//! Replicas that do the same thing at the same moment, each with connections of its own.

use std::sync::Arc;
use std::time::Duration;

use entrada::platform::{SystemRandom, Timestamp};
use entrada::store::{
    Entry, Lease, LeaseHolder, PostgresStore, RecordKey, Sealed, Store as _, Taken, Written,
};
use tokio::task::JoinSet;

use super::server::Server;
use super::{entry, new_key};

const ROUNDS: usize = 150;

const UNTIL: Timestamp = Timestamp::from_unix(10_000_000_000);

async fn replicas(server: &Server) -> [Arc<PostgresStore>; 2] {
    let stores = [server.store(""), server.store("")].map(Arc::new);
    for store in &stores {
        store.read(&new_key()).await.unwrap();
    }
    stores
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_races_a_revocation_stands_or_is_told_of_it() {
    let server = Server::started().await;
    let [one, other] = replicas(&server).await;
    for version in [1, 2] {
        let mut revoked_first = 0;
        for round in 0..ROUNDS {
            let key = new_key();
            if version == 2 {
                one.put_version(&key, 1, entry("x")).await.unwrap();
            }
            let put = one.put_version(&key, version, entry("x"));
            let revoke = other.revoke(&key, UNTIL);
            let (written, revoked) = if round % 2 == 0 {
                tokio::join!(put, revoke)
            } else {
                let (revoked, written) = tokio::join!(revoke, put);
                (written, revoked)
            };
            revoked.unwrap();
            let written = written.unwrap();
            assert_ne!(written, Written::Conflict);
            revoked_first += usize::from(written == Written::Revoked);
            assert_eq!(one.read(&key).await.unwrap(), None);
            let next = one.put_version(&key, version + 1, entry("x")).await;
            assert_eq!(next.unwrap(), Written::Revoked);
        }
        // Both come first at times, or this shows nothing.
        assert!((1..ROUNDS).contains(&revoked_first), "{revoked_first}");
    }
}

/// The server is kept from answering until both have asked: they meet every time.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_for_one_another_decide_on_what_they_find() {
    let server = Server::started().await;
    let [one, other] = replicas(&server).await;
    let mut admin = server.admin().await;

    // A first version that waits for a revocation it could not see when it began.
    let key = new_key();
    let transaction = admin.client.transaction().await.unwrap();
    let revoke = "INSERT INTO entrada.slots VALUES ($1, 10000000000, 0, NULL, NULL)";
    transaction
        .execute(revoke, &[&key.as_bytes()])
        .await
        .unwrap();
    let (store, theirs) = (Arc::clone(&one), key.clone());
    let mut putting = JoinSet::new();
    putting.spawn(async move { store.put_version(&theirs, 1, entry("x")).await.unwrap() });
    server.until_waiting(1).await;
    transaction.commit().await.unwrap();
    assert_eq!(
        putting.join_next().await.unwrap().unwrap(),
        Written::Revoked
    );

    // Two who take a record that is locked, and then replaced.
    let key = new_key();
    one.put(&key, entry("old")).await.unwrap();
    let transaction = admin.client.transaction().await.unwrap();
    let replace = "UPDATE entrada.slots SET sealed = $2 WHERE key = $1";
    let new = entry("new").sealed;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
        [&key.as_bytes(), &new.as_bytes().as_ref()];
    transaction.execute(replace, &parameters).await.unwrap();
    let mut taking = JoinSet::new();
    for store in [&one, &other] {
        let (store, key) = (Arc::clone(store), key.clone());
        taking.spawn(async move { store.take(&key).await.unwrap() });
    }
    server.until_waiting(2).await;
    transaction.commit().await.unwrap();
    let taken = taking.join_all().await;
    assert!(taken.contains(&Taken::Fresh(new)), "{taken:?}");
    assert!(taken.contains(&Taken::Spent(None)), "{taken:?}");

    // A second version that waits for another second version.
    let key = new_key();
    one.put_version(&key, 1, entry("x")).await.unwrap();
    let transaction = admin.client.transaction().await.unwrap();
    let next = "UPDATE entrada.slots SET version = 2 WHERE key = $1";
    transaction.execute(next, &[&key.as_bytes()]).await.unwrap();
    let (store, theirs) = (Arc::clone(&one), key.clone());
    let mut putting = JoinSet::new();
    putting.spawn(async move { store.put_version(&theirs, 2, entry("x")).await.unwrap() });
    server.until_waiting(1).await;
    transaction.commit().await.unwrap();
    assert_eq!(
        putting.join_next().await.unwrap().unwrap(),
        Written::Conflict
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_sweep_at_once_share_the_work_and_wait_for_nobody() {
    let server = Server::started().await;
    let [one, other] = replicas(&server).await;
    let fill = "INSERT INTO entrada.slots
        SELECT 'o' || sha256(n::text::bytea), n % 5000, 1, NULL, 'x' FROM generate_series(1, 10000) n";
    server.sql(fill).await;
    let now = Timestamp::from_unix(4000);
    let (first, second) = tokio::join!(one.sweep(now), other.sweep(now));
    let rest = one.sweep(now).await.unwrap();
    assert_eq!(first.unwrap() + second.unwrap() + rest, 8000);
    assert_eq!(server.count("entrada.slots").await, 2000);

    // One row is being written by somebody who is in no hurry.
    let mut admin = server.admin().await;
    let transaction = admin.client.transaction().await.unwrap();
    let lock = "SELECT 1 FROM entrada.slots WHERE expires_at = 4500 LIMIT 1 FOR UPDATE";
    transaction.execute(lock, &[]).await.unwrap();
    let now = Timestamp::from_unix(5000);
    assert_eq!(one.sweep(now).await.unwrap(), 1999);
    transaction.rollback().await.unwrap();
    assert_eq!(one.sweep(now).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_replicas_tell_each_other_by_a_flight_is_swept_when_it_ends() {
    let server = Server::started().await;
    let [one, other] = replicas(&server).await;
    let holders = [(); 2].map(|()| LeaseHolder::generate(&SystemRandom::default()));
    let (flights, now) = ([new_key(), new_key(), new_key()], Timestamp::default());
    let lease = async |store: &PostgresStore, flight: &RecordKey, holder, milliseconds| {
        let term = Duration::from_millis(milliseconds);
        store.lease(flight, holder, term, now).await.unwrap()
    };
    for flight in &flights {
        assert_eq!(lease(&one, flight, holders[0], 60_000).await, Lease::Held);
        assert_eq!(lease(&other, flight, holders[1], 60_000).await, Lease::Busy);
    }
    // A term that is asked for again is not made shorter.
    assert_eq!(lease(&one, &flights[0], holders[0], 1).await, Lease::Held);
    assert_eq!(lease(&other, &flights[0], holders[1], 1).await, Lease::Busy);
    let over = Entry::new(Sealed::from_stored("over"), Timestamp::from_unix(9));
    let settled = one.settle(&flights[1], holders[0], Some(over)).await;
    assert_eq!(settled.unwrap(), Written::Yes);
    let never_over = Entry::new(Sealed::from_stored("good"), Timestamp::from_unix(u64::MAX));
    let good = Lease::Answered(never_over.sealed.clone());
    let settled = one.settle(&flights[2], holders[0], Some(never_over)).await;
    assert_eq!(settled.unwrap(), Written::Yes);
    // By the server's clock, whatever the replica's is.
    assert_eq!(one.sweep(Timestamp::default()).await.unwrap(), 1);
    assert_eq!(server.count("entrada.leases").await, 2);
    assert_eq!(lease(&other, &flights[2], holders[1], 1).await, good);
    let longest = Duration::MAX;
    let held = other.lease(&flights[1], holders[1], longest, now).await;
    assert_eq!(held.unwrap(), Lease::Held);
    assert_eq!(lease(&one, &flights[1], holders[0], 1).await, Lease::Busy);
}
