//! What becomes of a store when its server restarts, hangs, forgets, or was never there.

use std::time::Duration;

use entrada::store::{Lease, LeaseHolder, RedisSettings, RedisStore, Store as _, Taken, Written};
use tokio::time::Instant;

use super::server::{Family, Server, for_each_family};
use super::{entry, later, new_key, open, told, works_again};

for_each_family!(
    what_was_acknowledged_survives_a_kill,
    a_store_opens_before_its_server_and_works_once_it_is_there,
    a_server_that_hangs_keeps_nobody_longer_than_the_timeout,
    a_connection_that_was_closed_while_idle_costs_nobody_an_error,
    scripts_that_were_flushed_are_sent_again,
    a_wrong_password_is_told_and_not_repeated,
    an_expiry_in_the_past_and_one_never_are_both_kept_to,
    a_server_that_still_loads_is_waited_for,
    a_replica_is_not_taken_for_one_that_never_had_a_record,
);

async fn what_was_acknowledged_survives_a_kill(family: Family) {
    let mut server = Server::start(family);
    let store = open(&server.url(""));
    let (spent, revoked, versioned) = (new_key(), new_key(), new_key());
    for round in 0..3 {
        store.put_new(&new_key(), entry("code")).await.unwrap();
        if round == 0 {
            store.put_new(&spent, entry("code")).await.unwrap();
            store.take(&spent).await.unwrap();
            store.revoke(&revoked, later()).await.unwrap();
        }
        let written = store
            .put_version(&versioned, round + 1, entry("grant"))
            .await;
        assert_eq!(written.unwrap(), Written::Yes);
        server.kill();
        assert!(store.read(&versioned).await.is_err());
        server.restart();
        let took = works_again(&store).await;
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert_eq!(store.take(&spent).await.unwrap(), Taken::Spent(None));
        let written = store.put_version(&revoked, 1, entry("grant")).await;
        assert_eq!(written.unwrap(), Written::Revoked);
        let stored = store.read(&versioned).await.unwrap();
        assert_eq!(stored.map(|it| it.version), Some(round + 1));
    }
}

async fn a_store_opens_before_its_server_and_works_once_it_is_there(family: Family) {
    let mut server = Server::start(family);
    server.kill();
    let store = open(&server.url(""));
    let begun = Instant::now();
    for _ in 0..200 {
        let error = store.read(&new_key()).await.unwrap_err();
        assert!(told(&error).contains("127.0.0.1"), "{}", told(&error));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "they fail at once"
    );
    server.restart();
    let took = works_again(&store).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
}

async fn a_server_that_hangs_keeps_nobody_longer_than_the_timeout(family: Family) {
    let server = Server::start(family);
    let store = open(&server.url("timeout=400ms"));
    works_again(&store).await;
    server.suspend();
    let begun = Instant::now();
    let error = store.take(&new_key()).await.unwrap_err();
    let took = begun.elapsed();
    assert!(told(&error).contains("400ms"), "{}", told(&error));
    assert!((350..800).contains(&took.as_millis()), "{took:?}");
    // A new connection comes to nothing either; from then on nobody waits.
    assert!(store.read(&new_key()).await.is_err());
    let begun = Instant::now();
    for _ in 0..5 {
        assert!(store.read(&new_key()).await.is_err());
    }
    assert!(
        begun.elapsed() < Duration::from_millis(600),
        "{:?}",
        begun.elapsed()
    );
    server.resume();
    let took = works_again(&store).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
}

async fn a_connection_that_was_closed_while_idle_costs_nobody_an_error(family: Family) {
    let server = Server::start(family);
    let store = open(&server.url(""));
    for _ in 0..20 {
        assert!(store.put_new(&new_key(), entry("code")).await.is_ok());
        server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        // The news of it must have come.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn scripts_that_were_flushed_are_sent_again(family: Family) {
    let server = Server::start(family);
    let store = open(&server.url(""));
    let (key, flight) = (new_key(), new_key());
    let holder = LeaseHolder::generate(&entrada::platform::SystemRandom::default());
    for version in 1..=3 {
        let flush = || server.ask(&["SCRIPT", "FLUSH"]);
        flush();
        let written = store.put_version(&key, version, entry("grant")).await;
        assert_eq!(written.unwrap(), Written::Yes);
        flush();
        let term = Duration::from_secs(9);
        let leased = store.lease(&flight, holder, term, later()).await;
        assert_eq!(leased.unwrap(), Lease::Held);
        flush();
        let settled = store.settle(&flight, holder, None).await;
        assert_eq!(settled.unwrap(), Written::Yes);
    }
    server.ask(&["SCRIPT", "FLUSH"]);
    store.revoke(&key, later()).await.unwrap();
    server.ask(&["SCRIPT", "FLUSH"]);
    assert_eq!(store.take(&key).await.unwrap(), Taken::Spent(None));
}

async fn a_wrong_password_is_told_and_not_repeated(family: Family) {
    let server = Server::start_with(family, "requirepass correct\n");
    let url = server.url("");
    let wrong = RedisSettings::from_url(&url)
        .unwrap()
        .with_password("hunter2");
    let store = RedisStore::open(wrong).unwrap();
    let error = store.read(&new_key()).await.unwrap_err();
    let all = format!("{} {error:?} {store:?}", told(&error));
    assert!(all.contains("are user and password right?"), "{all}");
    assert!(!all.contains("hunter2"), "{all}");
    let none = open(&url);
    let error = none.read(&new_key()).await.unwrap_err();
    assert!(
        told(&error).contains("asks for a password"),
        "{}",
        told(&error)
    );
    let right = RedisSettings::from_url(&url)
        .unwrap()
        .with_password("correct");
    let store = RedisStore::open(right).unwrap();
    store.put(&new_key(), entry("in")).await.unwrap();
}

async fn an_expiry_in_the_past_and_one_never_are_both_kept_to(family: Family) {
    let server = Server::start(family);
    let store = open(&server.url("prefix=x:"));
    let (never, past) = (new_key(), new_key());
    let entry = |unix| {
        let at = entrada::platform::Timestamp::from_unix(unix);
        entrada::store::Entry::new(entrada::store::Sealed::from_stored("record"), at)
    };
    store.put(&never, entry(u64::MAX)).await.unwrap();
    store.put_version(&past, 1, entry(0)).await.unwrap();
    store.put(&past, entry(1)).await.unwrap();
    assert!(store.read(&never).await.unwrap().is_some());
    assert!(store.read(&past).await.unwrap().is_none());
    store.revoke(&never, later()).await.unwrap();
    assert!(
        server
            .ask(&["INFO", "keyspace"])
            .contains("keys=1,expires=1")
    );
}

async fn a_server_that_still_loads_is_waited_for(family: Family) {
    let lines = "key-load-delay 10000\nloading-process-events-interval-bytes 1024\n";
    let mut server = Server::start_with(family, lines);
    let store = open(&server.url(""));
    for _ in 0..100 {
        let record = entry(vec![7; 1500]);
        store.put(&new_key(), record).await.unwrap();
    }
    // While it reads its log it answers nobody, but while it reads what that was rewritten to.
    server.wait_for(&["BGREWRITEAOF"], "Background");
    server.wait_for(&["INFO", "persistence"], "aof_rewrite_in_progress:0");
    server.wait_for(&["INFO", "persistence"], "aof_base_size");
    server.kill();
    server.begin_to_restart();
    let mut loading = 0;
    let begun = Instant::now();
    while let Err(error) = store.put(&new_key(), entry("anew")).await {
        assert!(begun.elapsed() < Duration::from_secs(10));
        loading += u32::from(told(&error).contains("oading"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(loading > 0, "it was never seen to load");
}

async fn a_replica_is_not_taken_for_one_that_never_had_a_record(family: Family) {
    let server = Server::start(family);
    let store = open(&server.url(""));
    let key = new_key();
    store.put_new(&key, entry("code")).await.unwrap();
    server.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    for key in [&key, &new_key()] {
        let error = store.take(key).await.unwrap_err();
        assert!(told(&error).contains("ReadOnly"), "{}", told(&error));
    }
    server.ask(&["REPLICAOF", "NO", "ONE"]);
    assert!(matches!(store.take(&key).await.unwrap(), Taken::Fresh(_)));
}
