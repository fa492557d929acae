//! When keys are replaced, and where they are.

use std::path::Path;

use entrada::keys::KeyEncryptionKeys;
use entrada::platform::SystemRandom;

use super::*;

#[test]
fn keys_are_replaced_after_ninety_days_unless_another_time_or_none_is_said() {
    let days = |days: u64| Some(Duration::from_secs(days * 86_400));
    for (line, expected) in [
        (vec![], days(90)),
        (vec!["--key-rotation", "30d"], days(30)),
        (vec!["--key-rotation", "none"], None),
    ] {
        let settings = read(&line, &least_and(&[])).unwrap();
        assert_eq!(settings.server.key_rotation, expected, "{line:?}");
    }
    for wrong in ["0", "never", "30 days", "90", "23h"] {
        let found = problems(&[], &least_and(&[("ENTRADA_KEY_ROTATION", wrong)]));
        assert_eq!(found.len(), 1, "{wrong}");
        assert!(found[0].contains("or none"), "{found:?}");
    }
}

#[test]
fn the_place_of_the_keys_is_known_without_the_rest() {
    let one = file("data_dir = \"one\"");
    let broken = file("data_dir = \"one\"\ndata_dri = \"two\"");
    let path = |file: &tempfile::NamedTempFile| file.path().to_str().unwrap().to_owned();
    let (one, broken) = (path(&one), path(&broken));
    let variable = ("ENTRADA_DATA_DIR", "variable");
    for (config, variables, expected) in [
        (None, vec![], Some("entrada-data")),
        (None, vec![("ENTRADA_CONFIG", &*one)], Some("one")),
        (Some(&*one), vec![("ENTRADA_CONFIG", &*broken)], Some("one")),
        (Some(&*one), vec![variable], Some("variable")),
        (Some(&*one), vec![("ENTRADA_DATA_DIR", "")], Some("one")),
        (Some(&*broken), vec![], None),
        (Some("/none.toml"), vec![], None),
    ] {
        let found = match key_place(config, &Environment::from_pairs(&variables)) {
            Ok(KeyPlace::Directory(directory)) => Some(directory),
            Ok(KeyPlace::Store(_)) | Err(_) => None,
        };
        assert_eq!(found.as_deref(), expected.map(Path::new), "{config:?}");
    }
}

fn new_key() -> String {
    KeyEncryptionKeys::generate(&SystemRandom::default()).to_string()
}

#[test]
fn keys_are_in_the_store_where_there_is_what_seals_them() {
    let (one, two) = (new_key(), new_key());
    let both = file(&format!("{two}\n{one}\n"));
    let both = both.path().to_str().unwrap();
    let names = |line: &[&str], variables: &[(&str, &str)]| {
        let settings = read(line, &least_and(variables)).unwrap();
        assert!(!format!("{settings:?}").contains(&one[..8]));
        let keys = settings.provider.key_encryption_keys;
        keys.map(|keys| keys.names().count())
    };
    let variable = [("ENTRADA_KEY_ENCRYPTION_KEY", &*one)];
    let two_of_them = format!("{two} {one}");
    assert_eq!(names(&[], &[]), None);
    assert_eq!(names(&[], &variable), Some(1));
    assert_eq!(
        names(&[], &[("ENTRADA_KEY_ENCRYPTION_KEY", &two_of_them)]),
        Some(2)
    );
    assert_eq!(names(&["--key-encryption-key-file", both], &[]), Some(2));
    let found = problems(&["--key-encryption-key-file", both], &least_and(&variable));
    assert!(found[0].contains("key_encryption_key"), "{found:?}");
    for (wrong, expected) in [
        ("hush-hush-hush", "key 1 is none"),
        (&one[1..], "key 1 is none"),
    ] {
        let found = problems(&[], &least_and(&[("ENTRADA_KEY_ENCRYPTION_KEY", wrong)]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("ENTRADA_KEY_ENCRYPTION_KEY: "),
            "{found:?}"
        );
        assert!(
            found[0].contains(expected) && !found[0].contains(wrong),
            "{found:?}"
        );
    }
    // It is no flag, and belongs in no file that is shown about.
    let config = file(&format!("key_encryption_key = {one:?}"));
    let found = problems(&["--config", config.path().to_str().unwrap()], &LEAST);
    assert!(
        !found.is_empty() && !found[0].contains(&one[..8]),
        "{found:?}"
    );
    // The command needs to know which server's they are, and nothing else.
    let place = |variables: &[(&str, &str)]| key_place(None, &Environment::from_pairs(variables));
    assert!(place(&variable).is_err());
    for name in ["ENTRADA_BASE_URL", "ENTRADA_ISSUER_URL"] {
        let found = place(&[variable[0], (name, "https://mcp.example.com")]);
        assert!(matches!(found, Ok(KeyPlace::Store(_))), "{name}");
    }
}

#[test]
#[cfg(feature = "redis")]
fn keys_that_are_here_while_the_store_is_elsewhere_are_warned_of() {
    let store = ("ENTRADA_STORE", "redis://redis.example");
    let key = new_key();
    for (variables, warned) in [
        (vec![store], true),
        (vec![store, ("ENTRADA_KEY_ENCRYPTION_KEY", &*key)], false),
        (
            vec![("ENTRADA_STORE", "file:/var/lib/entrada/grants.redb")],
            false,
        ),
        (vec![], false),
    ] {
        let settings = read(&[], &least_and(&variables)).unwrap();
        let warnings = settings.warnings.iter().map(Problem::to_string);
        let of_keys = warnings.filter(|it| it.contains("set key_encryption_key_file"));
        assert_eq!(of_keys.count() == 1, warned, "{variables:?}");
    }
}

#[test]
#[cfg(unix)]
fn a_key_encryption_key_that_others_may_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let key = file(&new_key());
    for (mode, warned) in [(0o644, 1), (0o640, 1), (0o600, 0)] {
        std::fs::set_permissions(key.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let line = ["--key-encryption-key-file", key.path().to_str().unwrap()];
        let settings = read(&line, &LEAST).unwrap();
        let warnings = settings.warnings.iter().map(Problem::to_string);
        let exposed = warnings.filter(|it| it.starts_with("--key-encryption-key-file: others"));
        assert_eq!(exposed.count(), warned, "{mode:o}");
    }
}

#[test]
fn whose_keys_are_meant_of_those_in_a_store_must_be_said() {
    let key = new_key();
    let variables = Environment::from_pairs(&[("ENTRADA_KEY_ENCRYPTION_KEY", &key)]);
    let told = key_place(None, &variables).unwrap_err().to_string();
    assert!(
        told.contains("set ENTRADA_BASE_URL") && told.contains("whose keys are meant"),
        "{told}"
    );
}

#[test]
fn keys_in_a_file_that_a_gateway_has_are_seen_another_way() {
    let (folder, key) = (tempfile::tempdir().unwrap(), new_key());
    let data = folder.path().to_str().unwrap();
    let url = |name: &str| format!("file:{}", folder.path().join(name).display());
    let (used, new) = (url("grants.redb"), url("new.redb"));
    let least = [
        ("ENTRADA_KEY_ENCRYPTION_KEY", &*key),
        ("ENTRADA_BASE_URL", "https://mcp.example.com"),
        ("ENTRADA_DATA_DIR", data),
    ];
    let _gateway = used.parse::<entrada::store::StoreUrl>().unwrap().open();
    for (more, says) in [
        (vec![], "with the same settings as that gateway"),
        (
            vec![("ENTRADA_STORE", &*used)],
            "with the same settings as that gateway",
        ),
        (
            vec![("ENTRADA_STORE", &*new), ("ENTRADA_STORE_BEFORE", &used)],
            "ask again once its log says that all grants are in the new store",
        ),
    ] {
        let variables = Environment::from_pairs(&[&least[..], &more].concat());
        let Ok(KeyPlace::Store(place)) = key_place(None, &variables) else {
            panic!("{more:?}");
        };
        let told = place.open().unwrap_err().to_string();
        assert!(told.contains(says), "{told}");
    }
}
