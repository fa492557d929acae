//! When keys are replaced, and where they are.

use std::path::Path;

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
        let found = data_dir(config, &Environment::from_pairs(&variables)).ok();
        assert_eq!(found.as_deref(), expected.map(Path::new), "{config:?}");
    }
}
