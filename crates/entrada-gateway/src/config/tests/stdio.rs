//! MCP servers that are child processes.

use super::*;
use crate::upstream::stdio::ChildMode;
use crate::upstream::stdio::StdioSettings;

/// The least one must say but for the upstream, with a program that is there.
fn least<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let others = LEAST.iter().filter(|(name, _)| *name != "ENTRADA_UPSTREAM");
    let path = ("PATH", "/nowhere:/bin:/usr/bin");
    [more, &others.copied().collect::<Vec<_>>(), &[path]].concat()
}

fn stdio(settings: &Settings) -> &StdioSettings {
    match &settings.upstreams[0].transport {
        Transport::Stdio(stdio) => stdio,
        Transport::Http(places) => panic!("{places:?}"),
    }
}

#[test]
fn a_command_is_written_in_any_place() {
    let file = file("command = [\"sh\", \"-c\", \"a  b\"]");
    let config = ["--config", file.path().to_str().unwrap()];
    for (line, variable, expected) in [
        (&["--command", "sh -c x"][..], "", &["-c", "x"][..]),
        (&["--command", "[\"sh\", \"a b\"]"], "", &["a b"]),
        (
            &["--", "sh", "-c", "a b", "--listen"],
            "",
            &["-c", "a b", "--listen"],
        ),
        (&config, "", &["-c", "a  b"]),
        (&[], "sh\t-x", &["-x"]),
    ] {
        let settings = read(line, &least(&[("ENTRADA_COMMAND", variable)])).unwrap();
        let command = &stdio(&settings).command;
        assert_eq!(command.program, "sh", "{line:?}");
        assert_eq!(command.arguments, expected, "{line:?}");
        assert_eq!(settings.upstreams[0].transport.shown(), "command sh");
    }
}

#[test]
fn a_child_gets_what_it_is_to_have_and_no_more() {
    let variables = [
        ("ENTRADA_COMMAND", "sh"),
        ("ENTRADA_ENVIRONMENT", "API_KEY,MODE=fast ABSENT"),
        ("API_KEY", "k 1"),
        ("OTHER", "x"),
        ("HOME", "/root"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/x"),
    ];
    let settings = read(&[], &least(&variables)).unwrap();
    let stdio = stdio(&settings);
    let found = stdio.command.environment.iter();
    let found: Vec<_> = found
        .map(|(name, value)| (&**name, value.to_str().unwrap()))
        .collect();
    assert_eq!(
        found,
        [
            ("HOME", "/root"),
            ("PATH", "/nowhere:/bin:/usr/bin"),
            ("API_KEY", "k 1"),
            ("MODE", "fast")
        ]
    );
    assert_eq!(stdio.mode, ChildMode::PerSession);
    assert_eq!(stdio.max_children, 32);
    assert!(!format!("{settings:?}").contains("k 1"));
    let defaults = StdioSettings::new(stdio.command.clone());
    assert_eq!(
        (stdio.idle_timeout, stdio.max_sessions, stdio.message_limit),
        (
            defaults.idle_timeout,
            defaults.max_sessions,
            defaults.message_limit
        )
    );
    assert_eq!(
        (defaults.max_children, defaults.mode),
        (stdio.max_children, stdio.mode)
    );
}

#[test]
fn everything_that_is_wrong_with_a_command_is_told_at_once() {
    let text = r#"
[[route]]
path = "/mcp/a"
command = ["no-such-program"]
working_directory = "/nowhere/at/all"
environment = ["ENTRADA_CLIENT_SECRET"]
child_mode = "one"
child_idle_timeout = "soon"
max_children = 0
max_sessions_per_user = "many"
message_limit = "big"
upstream_scope = "https://graph.microsoft.com/User.Read"

[[route]]
path = "/mcp/b"
upstream = "http://127.0.0.1:3001/mcp"
command = ["sh"]

[[route]]
path = "/mcp/c"
upstream = "http://127.0.0.1:3001/mcp"
environment = ["A"]

[[route]]
path = "/mcp/d"
command = []
"#;
    let file = file(text);
    let config = ["--config", file.path().to_str().unwrap()];
    let problems = problems(&config, &least(&[]));
    let expected = [
        ":13: upstream_scope: a process",
        ":6: working_directory: there is no such directory",
        ":5: command: there is no program \"no-such-program\" that can be run",
        ":7: environment: ENTRADA_CLIENT_SECRET is the gateway's own",
        ":8: child_mode: write per_session or shared",
        ":9: child_idle_timeout: write a time",
        ":10: max_children: write a number from 1",
        ":11: max_sessions_per_user: write a number",
        ":12: message_limit: write a size",
        ":18: command: upstream names a server, too: take one away",
        ":23: environment: means nothing without command",
        ":27: command: write a program and its arguments",
    ];
    // Lines count from the one after the quotation mark.
    for expected in expected {
        let (line, what) = expected[1..].split_once(':').unwrap();
        let line = line.parse::<usize>().unwrap() - 1;
        let expected = format!(":{line}:{what}");
        assert!(
            problems.iter().any(|problem| problem.contains(&expected)),
            "{expected}: {problems:#?}"
        );
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}

#[test]
fn what_is_said_of_children_is_warned_of_where_there_are_none() {
    let variables = [("ENTRADA_MAX_CHILDREN", "50")];
    let told = |least: &[(&str, &str)]| {
        let settings = read(&[], least).unwrap();
        let warnings = settings.warnings.iter().map(Problem::to_string);
        warnings.collect::<Vec<_>>()
    };
    assert_eq!(
        told(&least_and(&variables)),
        ["ENTRADA_MAX_CHILDREN: means nothing without command"]
    );
    let with_command = [("ENTRADA_COMMAND", "sh"), variables[0]];
    assert!(told(&least(&with_command)).is_empty());
}
