//! Where grants are kept.

use entrada::store::StoreKind;

use super::*;

fn kind(variables: &[(&str, &str)]) -> Option<StoreKind> {
    let settings = read(&[], &least_and(variables)).unwrap();
    settings.provider.store.url.map(|store| store.kind())
}

#[test]
fn grants_are_kept_in_the_data_directory_unless_a_store_is_named() {
    for (variables, expected) in [
        (vec![], None),
        (vec![("ENTRADA_STORE", "")], None),
        (vec![("ENTRADA_STORE", "memory:")], Some(StoreKind::Memory)),
        (
            vec![("ENTRADA_STORE", "file:/var/lib/entrada/grants.redb")],
            Some(StoreKind::File),
        ),
    ] {
        assert_eq!(kind(&variables), expected, "{variables:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (data, store) = (folder.path().join("data"), folder.path().join("store.redb"));
    let line = [
        "--data-dir",
        data.to_str().unwrap(),
        "--store",
        &format!("file:{}", store.display()),
    ];
    let settings = read(&line, &LEAST).unwrap();
    let provider = settings.provider.provider().unwrap();
    assert!(store.exists() && !data.join("grants.redb").exists());
    // It is open, and says so by the name of the setting.
    let told = settings.provider.provider().unwrap_err().to_string();
    assert!(
        told.contains("--store: ") && told.contains("is in use"),
        "{told}"
    );
    drop(provider);
}

#[test]
fn what_is_to_be_known_of_a_store_is_warned_of() {
    let warned = |store| {
        let settings = read(&[], &least_and(&[("ENTRADA_STORE", store)])).unwrap();
        settings
            .warnings
            .iter()
            .map(Problem::to_string)
            .collect::<Vec<_>>()
    };
    let [warning] = &*warned("memory:") else {
        panic!()
    };
    assert!(warning.starts_with("ENTRADA_STORE: nothing outlives the process"));
    let in_clear = |url| {
        let warnings = warned(url);
        let mut warnings = warnings.iter();
        warnings.any(|warning| warning.contains("redis:// is not encrypted"))
    };
    assert!(in_clear("redis://redis.example"));
    assert!(!in_clear("rediss://redis.example"));
    assert_eq!(warned("file:/grants.redb"), Vec::<String>::new());
}

#[test]
fn a_url_that_names_no_store_is_a_problem_that_shows_nothing_of_it() {
    for url in [
        "hush",
        "mysql://user:hush@db/hush",
        "file:hush",
        "memory:hush",
    ] {
        let found = problems(&[], &least_and(&[("ENTRADA_STORE", url)]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("ENTRADA_STORE: "), "{found:?}");
        assert!(!found[0].contains("hush"), "{found:?}");
    }
}

#[test]
#[cfg(feature = "redis")]
fn a_password_stands_in_the_variable_or_in_a_file_of_its_own() {
    let (bare, whole) = ("redis://redis.example", "redis://:hush@redis.example");
    let secret = file("hush\n");
    let secret = secret.path().to_str().unwrap();
    let told = file(&format!("store = {whole:?}"));
    let told = told.path().to_str().unwrap();
    let from_file = ["--store-password-file", secret];
    let variable = |url| least_and(&[("ENTRADA_STORE", url)]);
    for (line, variables) in [
        (vec![], variable(whole)),
        (from_file.to_vec(), variable(bare)),
    ] {
        let settings = read(&line, &variables).unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
        assert!(settings.provider.store.url.unwrap().has_password());
    }
    let seen = "and flags and files are seen by others";
    for (line, variables, expected) in [
        (vec!["--store", whole], least_and(&[]), seen),
        (vec!["--config", told], least_and(&[]), seen),
        (from_file.to_vec(), variable(whole), "in the URL already"),
        (
            from_file.to_vec(),
            variable("memory:"),
            "asks for no password",
        ),
        (
            from_file.to_vec(),
            least_and(&[]),
            "means nothing without store",
        ),
    ] {
        let found = problems(&line, &variables);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
        assert!(!found[0].contains("hush"), "{found:?}");
    }
}

#[test]
#[cfg(not(feature = "redis"))]
fn a_store_that_is_not_built_in_is_a_problem() {
    let found = problems(
        &[],
        &least_and(&[("ENTRADA_STORE", "redis://redis.example")]),
    );
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("build it with the feature `redis`"),
        "{found:?}"
    );
}

#[test]
fn grants_move_from_the_store_before_or_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let url = |name: &str| format!("file:{}", folder.path().join(name).display());
    let (one, two) = (url("one.redb"), url("two.redb"));
    let data = folder.path().to_str().unwrap();
    let open = |variables: &[(&str, &str)]| {
        let variables = [&[("ENTRADA_DATA_DIR", data)], variables].concat();
        let settings = read(&[], &least_and(&variables)).unwrap();
        settings.provider.open_store().unwrap()
    };
    let is_moving = |opened: &OpenStore| format!("{:?}", opened.store).contains("Moving");
    for (variables, expected, moves_itself) in [
        (vec![], false, false),
        (vec![("ENTRADA_STORE", &*one)], false, false),
        (vec![("ENTRADA_STORE_NEXT", &*two)], true, false),
        (
            vec![("ENTRADA_STORE", &one), ("ENTRADA_STORE_NEXT", &two)],
            true,
            false,
        ),
        (
            vec![("ENTRADA_STORE", &two), ("ENTRADA_STORE_BEFORE", &one)],
            true,
            true,
        ),
    ] {
        let opened = open(&variables);
        let found = (is_moving(&opened), opened.to_move.is_some());
        assert_eq!(found, (expected, moves_itself), "{variables:?}");
    }
    assert!(folder.path().join("grants.redb").exists());
    for (variables, expected) in [
        (
            vec![("ENTRADA_STORE_BEFORE", &*one)],
            "means nothing without store",
        ),
        (
            vec![("ENTRADA_STORE", &one), ("ENTRADA_STORE_BEFORE", &one)],
            "is the store itself",
        ),
        (
            vec![
                ("ENTRADA_STORE", &one),
                ("ENTRADA_STORE_BEFORE", &two),
                ("ENTRADA_STORE_NEXT", "memory:"),
            ],
            "store_next and store_before are both set",
        ),
    ] {
        let found = problems(&[], &least_and(&variables));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    }
}

#[cfg(all(feature = "redis", feature = "postgres"))]
#[test]
fn where_all_is_kept_is_told_without_what_logs_in_there() {
    let random = entrada::platform::SystemRandom::default();
    let key = entrada::keys::KeyEncryptionKeys::generate(&random).to_string();
    let data = ("ENTRADA_DATA_DIR", "/data");
    for (variables, store, keys) in [
        (vec![data], "file:/data/grants.redb", "file:/data/keys.json"),
        (
            vec![
                data,
                ("ENTRADA_STORE", "rediss://u:hush@redis.example/3"),
                ("ENTRADA_KEY_ENCRYPTION_KEY", &*key),
            ],
            "rediss://redis.example:6379",
            "in the store, shared",
        ),
        (
            vec![
                data,
                ("ENTRADA_STORE", "postgres://u:hush@db.example/d"),
                ("ENTRADA_STORE_BEFORE", "file:/old.redb"),
                ("ENTRADA_KEY_ENCRYPTION_KEY", &*key),
            ],
            "postgres://db.example:5432/d, after file:/old.redb",
            "in the store, shared",
        ),
        (
            vec![data, ("ENTRADA_STORE_NEXT", "file:/new.redb")],
            "file:/data/grants.redb, later file:/new.redb",
            "file:/data/keys.json",
        ),
    ] {
        let settings = read(&[], &least_and(&variables)).unwrap();
        let expected = (store.to_owned(), keys.to_owned());
        assert_eq!(settings.provider.places(), expected);
    }
}
