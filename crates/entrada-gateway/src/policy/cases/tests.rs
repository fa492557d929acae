use entrada::policy::Requirement;

use super::*;
use crate::policy::{Pattern, Rule};

fn policies() -> Vec<Policy> {
    let mut write = Rule::new("entrada.toml:7");
    write.tools = vec![Pattern::parse("write").unwrap()];
    write.requirement = Requirement::scopes(["w"]);
    let mut read = Rule::new("entrada.toml:4");
    read.tools = vec![Pattern::parse("read").unwrap()];
    let one = Policy {
        route: "/mcp".to_owned(),
        rules: vec![read, write],
        ..Policy::default()
    };
    let two = Policy {
        route: "/mcp/two".to_owned(),
        ..Policy::default()
    };
    vec![one, two]
}

/// The reports on `text`, a line for each; or what is wrong with it.
fn run(text: &str, policies: &[Policy]) -> Vec<String> {
    let cases = match Cases::parse("cases.toml", text) {
        Ok(cases) => cases,
        Err(wrong) => return wrong,
    };
    match cases.run(policies) {
        Ok(reports) => reports.iter().map(ToString::to_string).collect(),
        Err(wrong) => wrong,
    }
}

#[test]
fn each_case_is_what_is_expected_or_says_why_not() {
    let text = r#"
[caller.writer]
scopes = ["w"]

[[case]]
name = "writers write"
route = "/mcp"
caller = "writer"
call = "tools/call write"
expect = "allow"

[[case]]
route = "/mcp"
caller = {}
call = ["tools/call read", "tools/call write"]
expect = "step-up"
scopes = ["w"]

[[case]]
route = "/mcp"
caller = { kind = "application", roles = ["R"] }
call = "tools/call write"
expect = "allow"

[[case]]
route = "/mcp"
caller = "writer"
call = "tools/call erase"
expect = "deny"

[[case]]
route = "/mcp"
caller = {}
call = "tools/call write"
expect = "step-up"
scopes = ["x"]

[[case]]
route = "/mcp"
caller = {}
call = "tools/call write"
expect = "deny"

[[case]]
route = "/mcp/two"
caller = {}
call = "com.example/x"
expect = "deny"
"#;
    assert_eq!(
        run(text, &policies()),
        [
            "ok   cases.toml:5 writers write: \"tools/call write\": allow",
            "ok   cases.toml:12: \"tools/call read\", \"tools/call write\": step-up to w",
            "FAIL cases.toml:19: tools/call \"write\": deny, expected allow\n     tools/call \"write\": \
             the token is an application's own, and this takes a user's (entrada.toml:7)",
            "ok   cases.toml:25: tools/call \"erase\": deny",
            "FAIL cases.toml:31: tools/call \"write\": step-up to w, expected step-up to x\n     \
             tools/call \"write\": it needs the scopes w (entrada.toml:7)",
            "ok   cases.toml:38: tools/call \"write\": step-up to w",
            "FAIL cases.toml:44: \"com.example/x\": allow, expected deny\n     allowed",
        ]
        .map(|line| line.replace("\"tools/call read\"", "tools/call \"read\"").replace("\"tools/call write\"", "tools/call \"write\""))
    );
}

#[test]
fn what_is_wrong_with_cases_is_told_with_its_line() {
    for (text, expected) in [
        ("", "cases.toml: there is no [[case]]"),
        (
            "x = 1",
            "cases.toml:1: there is no \"x\" here: there are caller, case",
        ),
        (
            "[[case]]\ncaller = 'x'\ncall = 'ping'\nexpect = 'allow'",
            "cases.toml:1: there is no [caller.x]",
        ),
        (
            "\n[[case]]\ncaller = {}\ncall = 'tools/call'\nexpect = 'allow'",
            "cases.toml:2: \"tools/call\" names something: write \"tools/call NAME\"",
        ),
        (
            "[[case]]\ncaller = {}\ncall = 'ping x'\nexpect = 'allow'",
            "cases.toml:1: \"ping\" names nothing: write the method alone",
        ),
        (
            "[[case]]\nroute = '/mcp'\ncaller = {}\ncall = 'tools/cal x'\nexpect = 'allow'",
            "cases.toml:1: MCP has no method \"tools/cal\": is tools/call meant?",
        ),
        (
            "[[case]]\nroute = '/mcp'\ncaller = {}\ncall = 'tools/lists'\nexpect = 'allow'",
            "cases.toml:1: MCP has no method \"tools/lists\": is tools/list meant?",
        ),
        (
            "[caller.reader]\n[[case]]\ncaller = 'raeder'\ncall = 'ping'\nexpect = 'allow'",
            "cases.toml:2: there is no [caller.raeder]: is reader meant?",
        ),
        (
            "[[case]]\ncaller = {}\ncall = 'ping'\nexpect = 'allow'\nscopes = ['a']",
            "cases.toml:1: scopes are expected with expect = \"step-up\" alone",
        ),
        (
            "[[case]]\ncaller = {}\ncall = 'ping'\nexpect = 'allow'",
            "cases.toml:1: there are several servers: write route, with a path",
        ),
        (
            "[[case]]\nroute = '/x'\ncaller = {}\ncall = 'ping'\nexpect = 'allow'",
            "cases.toml:1: there is no server at /x",
        ),
    ] {
        assert_eq!(run(text, &policies()), [expected], "{text}");
    }
}

#[test]
fn all_that_is_wrong_with_cases_is_told_at_once_and_in_words() {
    let text = r#"caller.reader = { scope = ["r"], guest = "no", kind = "person" }
caller.writer = 7

[[case]]
caller = "reader"
call = 5
expect = "maybe"
rout = "/mcp"

[[case]]
name = 7
caller = ["reader"]
scopes = "w"

[[case]]
caller = { tenant = 1 }
call = ["ping", 5]
expect = "allow"
"#;
    assert_eq!(
        run(text, &policies()),
        [
            "1: there is no \"scope\" here: is scopes meant?",
            "1: guest: write true or false",
            "1: kind: write \"user\" or \"application\"",
            "2: writer: write a table, such as { scopes = [\"a\"] }",
            "6: call: write a call, or a list of calls",
            "7: expect: write \"allow\", \"deny\" or \"step-up\"",
            "8: there is no \"rout\" here: is route meant?",
            "10: the case has no call",
            "10: the case has no expect",
            "11: name: write a string",
            "12: caller: write the name of a [caller.NAME], or a table, such as { scopes = [\"a\"] }",
            "13: scopes: write a list of strings",
            "16: tenant: write a string",
            "17: call: write a call, or a list of calls",
        ]
        .map(|line| format!("cases.toml:{line}"))
    );
    let broken = run("[[case]]\ncaller = \n", &policies());
    assert!(broken[0].starts_with("cases.toml:2: "), "{broken:?}");
}

#[test]
fn a_method_that_a_rule_names_is_no_slip_of_the_keyboard() {
    let text = "[[case]]\nroute = '/mcp'\ncaller = {}\ncall = 'tool/list'\nexpect = 'allow'";
    let told = |method: &str| {
        let mut policies = policies();
        let mut own = Rule::new("entrada.toml:9");
        own.methods = vec![Pattern::parse(method).unwrap()];
        policies[0].rules.push(own);
        run(text, &policies)
    };
    assert_eq!(
        told("tool/list"),
        ["ok   cases.toml:1: \"tool/list\": allow"]
    );
    // A star says nothing of how it is spelled.
    let slip = "cases.toml:1: MCP has no method \"tool/list\": is tools/list meant?";
    assert_eq!(told("*"), [slip]);
}
