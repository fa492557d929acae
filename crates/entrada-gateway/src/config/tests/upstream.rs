//! MCP servers over HTTP.

use super::*;

#[test]
fn replicas_are_written_in_any_place() {
    let list = file("upstream = [\"http://a:1/mcp\", \"http://b:1/mcp\"]");
    let config = ["--config", list.path().to_str().unwrap()];
    let flag = ["--upstream", "http://a:1/mcp,http://b:1/mcp"];
    let variable = ("ENTRADA_UPSTREAM", "http://a:1/mcp http://b:1/mcp");
    let others = LEAST.iter().filter(|(name, _)| *name != "ENTRADA_UPSTREAM");
    let others: Vec<_> = others.copied().collect();
    for (line, more) in [
        (&config[..], None),
        (&flag[..], None),
        (&[][..], Some(variable)),
    ] {
        let variables: Vec<_> = others.iter().copied().chain(more).collect();
        let settings = read(line, &variables).unwrap();
        let shown = settings.upstreams[0].transport.shown();
        assert_eq!(shown, "http://a:1, http://b:1", "{line:?}");
    }
}

#[test]
fn a_replica_is_not_the_gateway() {
    let line = [
        "--upstream",
        "http://127.0.0.1:3000/mcp http://127.0.0.1:8000/mcp",
    ];
    let found = problems(&line, &LEAST);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("the gateway itself"), "{found:?}");
}

#[test]
fn a_certificate_has_a_key_and_both_have_a_server_with_tls() {
    let https = "https://a/mcp";
    for (upstream, more, expected) in [
        (https, &["--upstream-ca-file", "/x"][..], &[][..]),
        (
            https,
            &["--upstream-certificate", "/x"],
            &["--upstream-certificate: means nothing without upstream_key"],
        ),
        (
            https,
            &["--upstream-key", "/x"],
            &["--upstream-key: means nothing without upstream_certificate"],
        ),
        (
            "http://a/mcp",
            &["--upstream-ca-file", "/x"],
            &["--upstream-ca-file: means nothing where upstream is not https"],
        ),
    ] {
        let line = [&["--upstream", upstream], more].concat();
        let found = match read(&line, &LEAST) {
            Ok(_) => Vec::new(),
            Err(error) => error.problems().iter().map(Problem::to_string).collect(),
        };
        assert_eq!(found, expected, "{line:?}");
    }
}
