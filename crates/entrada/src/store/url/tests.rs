use super::*;

fn read(url: &str) -> Result<StoreUrl, String> {
    url.parse()
        .map_err(|error: StoreUrlError| error.to_string())
}

fn refusal(url: &str) -> String {
    read(url).map(|_| ()).unwrap_err()
}

#[test]
fn a_url_names_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let file = |form: &str| format!("{form}{}/my%20grants.redb", folder.path().display());
    for (url, kind) in [
        ("memory:".to_owned(), StoreKind::Memory),
        ("MEMORY:".to_owned(), StoreKind::Memory),
        (file("file:"), StoreKind::File),
        (file("file://"), StoreKind::File),
        (file("file://localhost"), StoreKind::File),
    ] {
        let url = read(&url).unwrap();
        assert_eq!(url.kind(), kind);
        assert!(!url.has_password());
        drop(url.open().unwrap());
    }
    assert!(folder.path().join("my grants.redb").exists());
}

#[cfg(feature = "redis")]
#[test]
fn what_goes_to_another_machine_in_clear_is_known() {
    for (url, in_clear) in [
        ("redis://redis.example", true),
        ("valkey://u:p%40@redis.example:6379/0", true),
        ("redis+sentinel://localhost,redis.example/name", true),
        ("redis+cluster://10.0.0.1,10.0.0.2", true),
        ("redis://localhost:6379/0", false),
        ("redis://:secret@127.0.0.1", false),
        ("redis://[::1]:6379", false),
        ("redis+unix:///run/redis.sock", false),
        ("rediss://redis.example", false),
        ("rediss+cluster://one,two", false),
        ("memory:", false),
    ] {
        assert_eq!(read(url).unwrap().goes_in_clear(), in_clear, "{url}");
    }
}

#[test]
fn a_url_that_names_no_store_is_refused_with_what_to_write() {
    for (url, told) in [
        ("", "begins with memory:"),
        ("grants.redb", "begins with memory:"),
        ("/var/lib/grants.redb", "begins with memory:"),
        ("mysql://host/db", "begins with memory:"),
        ("memory://", "nothing behind it"),
        ("file:", "whole path"),
        ("file:grants.redb", "whole path"),
        ("file:/", "whole path"),
        ("file:/grants.redb?mode=ro", "whole path"),
        ("file:/grants.redb#1", "whole path"),
        ("file://elsewhere/grants.redb", "whole path"),
    ] {
        let refusal = refusal(url);
        assert!(refusal.contains(told), "{url}: {refusal}");
    }
}

#[test]
fn a_password_is_given_to_what_asks_for_one() {
    for url in ["memory:", "file:/grants.redb"] {
        let refused = read(url).unwrap().with_password("hush").unwrap_err();
        assert!(matches!(refused, StoreUrlError::NoPassword));
    }
}

#[test]
#[cfg(feature = "redis")]
fn a_url_of_a_redis_has_one_password_and_shows_none() {
    for (url, has_password) in [
        ("redis://redis.example", false),
        ("valkey://user@redis.example:6380/2", false),
        ("redis+sentinel://one.example,two.example/primary", false),
        ("redis+cluster://:hush@one.example", true),
    ] {
        let store = read(url).unwrap();
        assert_eq!(store.kind(), StoreKind::Redis);
        assert_eq!(store.has_password(), has_password);
        let given = store.with_password("hush");
        assert_eq!(given.is_err(), has_password);
        if let Ok(store) = given {
            assert!(store.has_password());
            assert!(!format!("{store:?}").contains("hush"));
            drop(store.open().unwrap());
        }
    }
    for url in [
        "redis://:hu/sh@host",
        "redis:hush",
        "redis+moon://:hush@host",
    ] {
        assert!(!refusal(url).contains("hu"), "{url}");
    }
}

#[test]
#[cfg(feature = "postgres")]
fn a_url_of_a_database_has_one_password_and_shows_none() {
    for (url, has_password) in [
        ("postgres://entrada@db.example/entrada", false),
        (
            "postgresql://entrada@one,two/entrada?sslmode=disable",
            false,
        ),
        ("postgres://entrada:hush@db.example/entrada", true),
    ] {
        let store = read(url).unwrap();
        assert_eq!(store.kind(), StoreKind::Postgres);
        assert_eq!(store.has_password(), has_password);
        assert!(
            store.place().starts_with("postgres://"),
            "{}",
            store.place()
        );
        assert!(!store.place().contains("hush"), "{}", store.place());
        assert_eq!(store.with_password("hush").is_err(), has_password);
    }
    for url in [
        "postgres://entrada:hu/sh@host/db",
        "postgres:hush",
        "postgres://:hush@",
    ] {
        assert!(!refusal(url).contains("hu"), "{url}");
    }
}

#[test]
fn a_store_that_was_not_built_in_says_so() {
    for (url, feature, is_built) in [
        ("file:/grants.redb", "embedded", cfg!(feature = "embedded")),
        ("rediss://redis.example", "redis", cfg!(feature = "redis")),
        ("postgres://u@db/d", "postgres", cfg!(feature = "postgres")),
    ] {
        let told = read(url).map(|_| ()).err();
        let expected =
            format!("this build has no {feature} store: build it with the feature `{feature}`");
        assert_eq!(told, (!is_built).then_some(expected));
    }
}

#[test]
fn a_password_is_seen_wherever_it_stands() {
    for (rest, expected) in [
        ("//host:6379/0", false),
        ("//user@host", false),
        ("//:hush@host", true),
        ("//user:hush@one,two/0", true),
        ("//host/?prefix=a:b@c", false),
        ("//host/?x=1&sentinel_password=hush", true),
        ("//host/?sentinel_password_file=/run/hush", false),
        ("/path@with:colon", false),
    ] {
        assert_eq!(has_password(rest), expected, "{rest}");
    }
}
