//! MCP servers over HTTP.

use super::routes::{of_file, told, without_upstream};
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
        (
            https,
            &["--upstream-certificate", "/x"][..],
            &["--upstream-certificate: means nothing without upstream_key"][..],
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

#[test]
fn files_that_cannot_be_used_are_told_with_all_else_and_where_they_are_named() {
    let made = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (ours, another, empty) = (made(), made(), file(""));
    let (certificate, key) = (
        file(&ours.cert.pem()),
        file(&another.signing_key.serialize_pem()),
    );
    let [certificate, key, empty] = [&certificate, &key, &empty].map(|it| it.path().display());
    let text = format!(
        r#"log_level = "loud"
tls_certificate = "/nowhere.pem"
tls_key = "{empty}"

[[route]]
path = "/mcp/mail"
upstream = "https://127.0.0.1:3001/mcp"
upstream_ca_file = "{empty}"
upstream_certificate = "{certificate}"
upstream_key = "{key}"

[[route]]
path = "/mcp/orders"
upstream = "nowhere"
upstream_ca_file = "/nowhere.pem"
upstream_certificate = "{empty}"
upstream_key = "/nowhere.pem"
"#
    );
    let error = of_file(&text, &without_upstream()).unwrap_err();
    let problems = error.problems().iter();
    let found: Vec<_> = problems
        .map(|problem| {
            let told = told(problem);
            let line = told.split(':').nth(1).unwrap().to_owned();
            (line, problem.setting().unwrap().to_owned())
        })
        .collect();
    let expected = [
        ("1", "log_level"),
        ("2", "tls_certificate"),
        ("3", "tls_key"),
        ("8", "upstream_ca_file"),
        ("9", "upstream_certificate"),
        ("14", "upstream"),
        ("15", "upstream_ca_file"),
        ("16", "upstream_certificate"),
        ("17", "upstream_key"),
    ];
    let expected = expected.map(|(line, name)| (line.to_owned(), name.to_owned()));
    assert_eq!(found, expected, "{error}");
}
