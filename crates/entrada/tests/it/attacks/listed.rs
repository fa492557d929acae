//! `docs/ATTACKS.md` and the tests beside this one say the same.

use std::collections::BTreeSet;

const DOCUMENT: &str = include_str!("../../../../../docs/ATTACKS.md");
const POLICY: &str = include_str!("../../../../../SECURITY.md");

/// Tests that carry out an attack each.
const ATTACKS: [&str; 24] = [
    include_str!("admin_site.rs"),
    include_str!("administration.rs"),
    include_str!("approvals.rs"),
    include_str!("codes.rs"),
    include_str!("consent.rs"),
    include_str!("direct.rs"),
    include_str!("documents.rs"),
    include_str!("dpop.rs"),
    include_str!("floods.rs"),
    include_str!("guard.rs"),
    include_str!("login.rs"),
    include_str!("offered.rs"),
    include_str!("on_behalf_of.rs"),
    include_str!("programs.rs"),
    include_str!("public_web.rs"),
    include_str!("redirects.rs"),
    include_str!("refresh.rs"),
    include_str!("reload.rs"),
    include_str!("server.rs"),
    include_str!("servers.rs"),
    include_str!("sessions.rs"),
    include_str!("shared_keys.rs"),
    include_str!("storage.rs"),
    include_str!("upstream.rs"),
];

/// Tests of the gateway, of tools, of credentials and of stores, some of which do.
const ELSEWHERE: [&str; 54] = [
    include_str!("../../../../entrada-gateway/src/acme/kept.rs"),
    include_str!("../../../../entrada-gateway/src/acme/order.rs"),
    include_str!("../../../../entrada-gateway/src/acme/tending/tests.rs"),
    include_str!("../../../../entrada-gateway/src/acme/transport.rs"),
    include_str!("../../../../entrada-gateway/src/config/tests/acme.rs"),
    include_str!("../../../../entrada-gateway/src/control/serving.rs"),
    include_str!("../../../../entrada-gateway/src/command/terminal.rs"),
    include_str!("../../../../entrada-gateway/src/config/prints.rs"),
    include_str!("../../../../entrada-gateway/src/config/tests/tokens.rs"),
    include_str!("../../../../entrada-gateway/src/config/tests/websocket.rs"),
    include_str!("../../../../entrada-gateway/src/reload/tests.rs"),
    include_str!("../../../../entrada-gateway/src/websocket/tunnel.rs"),
    include_str!("../../../../entrada-gateway/src/telemetry.rs"),
    include_str!("../../../../entrada-gateway/src/telemetry/text_lines.rs"),
    include_str!("../credential.rs"),
    include_str!("../../store/moving.rs"),
    include_str!("../../store/postgres/login.rs"),
    include_str!("../../store/postgres/pooler.rs"),
    include_str!("../../store/redis/certificates.rs"),
    include_str!("../../../src/store/moving/tests/interleaved.rs"),
    include_str!("../../../src/store/moving/tests/one_by_one.rs"),
    include_str!("../../../src/caller_assertion.rs"),
    include_str!("../../../src/provider/config/check/tests.rs"),
    include_str!("../../../../entrada-gateway/tests/exchange/identity.rs"),
    include_str!("../../../../entrada-gateway/src/upstream/content.rs"),
    include_str!("../../../../entrada-gateway/src/upstream/stdio/lines.rs"),
    include_str!("../../../../entrada-gateway/tests/exchange/routes.rs"),
    include_str!("../../../../entrada-gateway/tests/exchange/tokens.rs"),
    include_str!("../../../../entrada-gateway/tests/it/cedar.rs"),
    include_str!("../../../../entrada-gateway/tests/it/counted.rs"),
    include_str!("../../../../entrada-gateway/tests/it/endpoints.rs"),
    include_str!("../../../../entrada-gateway/tests/it/hostile.rs"),
    include_str!("../../../../entrada-gateway/tests/it/http2.rs"),
    include_str!("../../../../entrada-gateway/tests/it/limits.rs"),
    include_str!("../../../../entrada-gateway/tests/it/listener_tls.rs"),
    include_str!("../../../../entrada-gateway/tests/it/lists.rs"),
    include_str!("../../../../entrada-gateway/tests/it/observed.rs"),
    include_str!("../../../../entrada-gateway/tests/it/passing.rs"),
    include_str!("../../../../entrada-gateway/tests/it/policy.rs"),
    include_str!("../../../../entrada-gateway/tests/it/refusing.rs"),
    include_str!("../../../../entrada-gateway/tests/it/replicas.rs"),
    include_str!("../../../../entrada-gateway/tests/it/stdio/attacks.rs"),
    include_str!("../../../../entrada-gateway/tests/it/stdio/sessions.rs"),
    include_str!("../../../../entrada-gateway/tests/it/stdio/sharing.rs"),
    include_str!("../../../../entrada-gateway/tests/it/tls.rs"),
    include_str!("../../../../entrada-gateway/tests/it/traces.rs"),
    include_str!("../../../../entrada-gateway/tests/it/upstream_http2.rs"),
    include_str!("../../../../entrada-gateway/tests/websocket/ending.rs"),
    include_str!("../../../../entrada-gateway/tests/websocket/passing.rs"),
    include_str!("../../../../entrada-gateway/tests/websocket/refusing.rs"),
    include_str!("../../../../entrada-rmcp/tests/it/bodies.rs"),
    include_str!("../../../../entrada-rmcp/tests/it/guarded_server.rs"),
    include_str!("../../../../entrada-rmcp/tests/it/handler.rs"),
    include_str!("../../../../entrada-rmcp/tests/it/tool_list.rs"),
];

/// The parts of the document: the attacks, those elsewhere, and the index.
fn parts() -> [&'static str; 3] {
    let (attacks, rest) = DOCUMENT.split_once("\n## The gateway").unwrap();
    let (elsewhere, index) = rest.split_once("\n## Index").unwrap();
    [attacks, elsewhere, index]
}

/// The cells of each row of the tables in `part`, but for their headers.
fn rows(part: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = part.lines().filter(|line| line.starts_with("| "));
    let cells = lines.map(|line| line.trim_matches(['|', ' ']).split(" | ").collect());
    cells.filter(|cells: &Vec<_>| !matches!(cells.last(), Some(&("Test" | "Shown by"))))
}

/// What stands alone in the last cell of a row.
fn listed(part: &'static str) -> Vec<&'static str> {
    let last = rows(part).filter_map(|cells| cells.last().copied());
    last.filter_map(|cell| cell.strip_prefix('`')?.strip_suffix('`'))
        .filter(|name| !name.contains('`'))
        .collect()
}

/// The functions that stand under a test attribute.
fn written(files: &[&'static str]) -> Vec<&'static str> {
    let tests = files.iter().flat_map(|file| {
        let attributes = file
            .split("#[test]\n")
            .flat_map(|part| part.split("#[tokio::test"));
        attributes.skip(1)
    });
    let names = tests.filter_map(|test| test.split_once("fn ")?.1.split('(').next());
    names.collect()
}

/// What stands between backticks.
fn quoted(text: &'static str) -> Vec<&'static str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn as_set(names: &[&'static str]) -> BTreeSet<&'static str> {
    names.iter().copied().collect()
}

#[test]
fn every_attack_has_its_test_and_every_test_its_attack() {
    let [attacks, _, _] = parts();
    let (listed, written) = (listed(attacks), written(&ATTACKS));
    assert_eq!(as_set(&listed), as_set(&written));
    assert_eq!(listed.len(), written.len(), "a test stands for one attack");
    assert!(listed.len() > 60);
}

#[test]
fn attacks_elsewhere_have_their_tests() {
    let [_, elsewhere, _] = parts();
    let (listed, written) = (listed(elsewhere), as_set(&written(&ELSEWHERE)));
    assert_eq!(listed.len(), rows(elsewhere).count());
    assert!(listed.len() > 10);
    let missing: Vec<_> = as_set(&listed).difference(&written).copied().collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn index_names_tests_that_are_there_and_leaves_no_section_out() {
    let [_, _, index] = parts();
    let written = as_set(&[written(&ATTACKS), written(&ELSEWHERE)].concat());
    let mut sections = BTreeSet::new();
    for cells in rows(index) {
        let [what, shown_by] = cells[..] else {
            panic!("{cells:?}");
        };
        let names = quoted(shown_by);
        assert!(!names.is_empty(), "nothing shows {what}");
        for name in names {
            assert!(written.contains(name), "{what}: {name}");
        }
        sections.extend(what.split(' ').next());
    }
    let of = |chapter: u8, last: u8| (1..=last).map(move |at| format!("§{chapter}.{at}"));
    for section in of(2, 6).chain(of(4, 17)) {
        let below = format!("{section}.");
        let is_there = |known: &&str| **known == section || known.starts_with(&below);
        assert!(sections.iter().any(is_there), "{section}");
    }
}

#[test]
fn every_promise_has_its_tests() {
    let written = as_set(&[written(&ATTACKS), written(&ELSEWHERE)].concat());
    let (_, policy) = POLICY.split_once("\n## What is promised\n").unwrap();
    let (section, _) = policy.split_once("\n## ").unwrap();
    let promises = section.split("\n- ").skip(1);
    // The compiler sees to this one.
    for promise in promises.filter(|promise| !promise.starts_with("There is no `unsafe`")) {
        let is_test = |name: &&str| written.contains(*name);
        assert!(quoted(promise).iter().any(is_test), "{promise}");
    }
    let names = quoted(section).into_iter();
    let missing: Vec<_> = names
        .filter(|name| name.contains('_') && !written.contains(name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
