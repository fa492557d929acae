//! `docs/ATTACKS.md` and the tests beside this one say the same.

use std::collections::BTreeSet;

const TABLES: &str = include_str!("../../../../../docs/ATTACKS.md");

const TESTS: [&str; 15] = [
    include_str!("codes.rs"),
    include_str!("consent.rs"),
    include_str!("direct.rs"),
    include_str!("documents.rs"),
    include_str!("dpop.rs"),
    include_str!("guard.rs"),
    include_str!("login.rs"),
    include_str!("on_behalf_of.rs"),
    include_str!("public_web.rs"),
    include_str!("redirects.rs"),
    include_str!("refresh.rs"),
    include_str!("server.rs"),
    include_str!("sessions.rs"),
    include_str!("storage.rs"),
    include_str!("upstream.rs"),
];

/// The last cell of each row.
fn listed() -> Vec<&'static str> {
    let rows = TABLES.lines().filter(|line| line.starts_with("| "));
    rows.filter_map(|row| row.trim_end_matches([' ', '|']).rsplit("| ").next())
        .filter_map(|cell| cell.strip_prefix('`')?.strip_suffix('`'))
        .collect()
}

/// The functions that stand under a test attribute.
fn written() -> Vec<&'static str> {
    let tests = TESTS.iter().flat_map(|file| {
        let attributes = file
            .split("#[test]\n")
            .flat_map(|part| part.split("#[tokio::test"));
        attributes.skip(1)
    });
    let names = tests.filter_map(|test| test.split_once("fn ")?.1.split('(').next());
    names.collect()
}

#[test]
fn every_attack_has_its_test_and_every_test_its_attack() {
    let as_set = |names: &[&'static str]| names.iter().copied().collect::<BTreeSet<_>>();
    let (listed, written) = (listed(), written());
    assert_eq!(as_set(&listed), as_set(&written));
    assert_eq!(listed.len(), written.len(), "a test stands for one attack");
    assert!(listed.len() > 60);
}
