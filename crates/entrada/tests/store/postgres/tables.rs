//! How the tables come to be, and which are used.

use std::sync::Arc;

use entrada::store::{PostgresError, PostgresStore, Store as _, StoreError};
use tokio::task::JoinSet;

use super::server::{PASSWORD, Server};
use super::{entry, new_key, told};

fn reason(error: &StoreError) -> &PostgresError {
    error.source.downcast_ref().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_make_the_tables_at_the_same_time_make_them_once() {
    let server = Server::started().await;
    let mut puts = JoinSet::new();
    for _ in 0..12 {
        let store = Arc::new(server.store("pool=4&timeout=10s"));
        for _ in 0..3 {
            let store = Arc::clone(&store);
            puts.spawn(async move { store.put(&new_key(), entry("x")).await });
        }
        puts.spawn(async move { store.migrate().await.map_err(StoreError::new) });
    }
    for put in puts.join_all().await {
        put.unwrap();
    }
    assert_eq!(server.count("entrada.slots").await, 36);
    assert_eq!(server.count("entrada.migrations").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_finds_the_tables_made_meanwhile_has_the_server_say_nothing() {
    let server = Server::started().await;
    server
        .sql("ALTER SYSTEM SET log_min_messages = 'notice'")
        .await;
    server.sql("SELECT pg_reload_conf()").await;
    let admin = server.admin().await;
    let lock = format!("SELECT pg_advisory_lock({})", 0x656e_7472_6164_6100_u64);
    admin.client.batch_execute(&lock).await.unwrap();
    let mut reads = JoinSet::new();
    for _ in 0..2 {
        let store = server.store("timeout=10s");
        reads.spawn(async move { store.read(&new_key()).await });
    }
    server.until_waiting(2).await;
    let unlock = "DO $$ BEGIN RAISE NOTICE 'heard'; END $$; SELECT pg_advisory_unlock_all()";
    admin.client.batch_execute(unlock).await.unwrap();
    for read in reads.join_all().await {
        read.unwrap();
    }
    assert!(server.log().contains("heard"), "{}", server.log());
    assert!(!server.log().contains("already exists"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_another_release_are_brought_up_to_date_or_left_alone() {
    let server = Server::started().await;
    let key = new_key();
    server.store("").put(&key, entry("x")).await.unwrap();

    // Such as the first version was.
    let first = "DROP TABLE entrada.leases; DELETE FROM entrada.migrations WHERE version > 1";
    server.sql(first).await;
    let refused = server.store("migrate=false").read(&key).await.unwrap_err();
    let refused = reason(&refused);
    assert!(
        matches!(refused, PostgresError::Outdated { found: 1, .. }),
        "{refused}"
    );
    let stored = server.store("").read(&key).await.unwrap();
    assert_eq!(stored.unwrap().sealed, entry("x").sealed);
    assert_eq!(server.count("entrada.leases").await, 0);

    // Of a later release, which says that this one may go on.
    let store = server.store("");
    server
        .sql("INSERT INTO entrada.migrations VALUES (98, 2)")
        .await;
    assert!(store.read(&key).await.unwrap().is_some());
    store.migrate().await.unwrap();
    // And of one that says it may not.
    server
        .sql("INSERT INTO entrada.migrations VALUES (99, 3)")
        .await;
    for store in [server.store(""), server.store("migrate=false")] {
        let refused = store.read(&key).await.unwrap_err();
        let newer = PostgresError::Newer {
            found: 99,
            known: 2,
        };
        assert_eq!(reason(&refused).to_string(), newer.to_string());
        let refused = store.migrate().await.unwrap_err();
        assert_eq!(refused.to_string(), newer.to_string());
    }
    assert_eq!(server.count("entrada.migrations").await, 4);

    // Somebody takes them away from under a store that uses them.
    server
        .sql("DELETE FROM entrada.migrations WHERE version > 2")
        .await;
    let store = server.store("pool=1");
    store.put(&key, entry("x")).await.unwrap();
    server.sql("DROP SCHEMA entrada CASCADE").await;
    store.read(&key).await.unwrap_err();
    assert_eq!(store.read(&key).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_make_tables_uses_those_that_were_made_for_it() {
    let server = Server::started().await;
    server
        .sql(&format!("CREATE ROLE gateway LOGIN PASSWORD '{PASSWORD}'"))
        .await;
    let as_gateway = |options: &str| {
        let url = server.url(options).replace("//entrada:", "//gateway:");
        PostgresStore::open(url.parse().unwrap()).unwrap()
    };
    let refused = as_gateway("").read(&new_key()).await.unwrap_err();
    assert!(matches!(reason(&refused), PostgresError::Migration(_)));
    assert!(told(&refused).contains("permission denied for database"));
    let refused = as_gateway("migrate=false")
        .read(&new_key())
        .await
        .unwrap_err();
    assert!(matches!(
        reason(&refused),
        PostgresError::Outdated { found: 0, .. }
    ));

    let schema = server.settings("schema=user").schema_sql();
    server.sql(&schema).await;
    let grants = r#"
        GRANT USAGE ON SCHEMA "user" TO gateway;
        GRANT SELECT ON "user".migrations TO gateway;
        GRANT SELECT, INSERT, UPDATE, DELETE ON "user".slots, "user".leases TO gateway"#;
    server.sql(grants).await;
    for options in ["schema=user&migrate=false", "schema=user"] {
        let store = as_gateway(options);
        let key = new_key();
        store.put(&key, entry("x")).await.unwrap();
        store.take(&key).await.unwrap();
    }
    // Schemas have nothing to do with one another.
    assert_eq!(server.count(r#""user".slots"#).await, 2);
    let key = new_key();
    server
        .store("schema=other")
        .put(&key, entry("x"))
        .await
        .unwrap();
    assert_eq!(as_gateway("schema=user").read(&key).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_do_not_depend_on_what_the_database_has_as_its_own() {
    let server = Server::started().await;
    let strict = "
        ALTER ROLE entrada SET default_transaction_isolation = 'serializable';
        ALTER ROLE entrada SET synchronous_commit = off;
        ALTER ROLE entrada SET search_path = nowhere;
        ALTER ROLE entrada SET timezone = 'Asia/Kathmandu'";
    server.sql(strict).await;
    let store = Arc::new(server.store(""));
    let key = new_key();
    store.put(&key, entry("x")).await.unwrap();
    let mut taking = JoinSet::new();
    for _ in 0..50 {
        let (store, key) = (Arc::clone(&store), key.clone());
        taking.spawn(async move { store.take(&key).await.unwrap() });
    }
    let taken = taking.join_all().await;
    let fresh = entrada::store::Taken::Fresh(entry("x").sealed);
    assert_eq!(taken.iter().filter(|it| **it == fresh).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_goes_on_when_nobody_waits_for_it() {
    let server = Server::started().await;
    let store = server.store("timeout=200ms&pool=1");
    let admin = server.admin().await;
    let lock = format!("SELECT pg_advisory_lock({})", 0x656e_7472_6164_6100_u64);
    admin.client.batch_execute(&lock).await.unwrap();
    let error = store.read(&new_key()).await.unwrap_err();
    assert!(told(&error).contains("no answer within 200ms"));
    server.until_waiting(1).await;
    let waiting = server.sessions().await;
    let unlock = "SELECT pg_advisory_unlock_all()";
    admin.client.batch_execute(unlock).await.unwrap();
    while let Err(error) = store.read(&new_key()).await {
        assert!(told(&error).contains("no answer within 200ms"));
    }
    // Whoever came next got the connection that was made for the first.
    assert_eq!(server.sessions().await, waiting);
    assert_eq!(server.count("entrada.migrations").await, 2);
}
