use super::*;

const CONFIG: &str = r#"
client_id = 'not looked at'
required_scopes = ["mcp.read"]
optional_scopes = ["orders.write"]
upstream = "http://127.0.0.1:1/mcp"

[[rule]]
tools = ["read_*"]

[[rule]]
tools = ["delete_*"]
scopes = ["orders.write"]
"#;

const CASES: &str = r#"
[[case]]
caller = {}
call = "tools/call read_order"
expect = "allow"

[[case]]
caller = {}
call = "tools/call delete_order"
expect = "deny"

[[case]]
caller = {}
call = "tools/call new_tool"
expect = "allow"
"#;

fn run(cases: &str, json: bool) -> (Result<(), CommandError>, String) {
    let folder = tempfile::tempdir().unwrap();
    let (config, file) = (
        folder.path().join("c.toml"),
        folder.path().join("cases.toml"),
    );
    std::fs::write(&config, CONFIG).unwrap();
    std::fs::write(&file, cases).unwrap();
    let config = Some(config.display().to_string());
    let options = Options {
        action: Action::Test(Test { file, config, json }),
    };
    let mut out = Vec::new();
    let outcome = options.run(&Environment::default(), &mut out);
    let folder = folder.path().display().to_string();
    (
        outcome,
        String::from_utf8(out).unwrap().replace(&folder, ""),
    )
}

#[test]
fn what_is_not_as_expected_is_told_and_is_a_failure() {
    let (outcome, told) = run(CASES, false);
    let error = outcome.unwrap_err();
    assert_eq!(error.to_string(), "1 of 3 cases are not as expected");
    assert!(!error.is_configuration());
    assert_eq!(
        told,
        "FAIL /cases.toml:12: tools/call \"new_tool\": deny, expected allow\n     \
         tools/call \"new_tool\": no rule names it\n2 of 3 cases are as expected\n"
    );
    let good = CASES
        .replace("expect = \"allow\"\n", "")
        .replace("new_tool\"", "new_tool\"\nexpect = \"deny\"");
    let good = good.replace("read_order\"", "read_order\"\nexpect = \"allow\"");
    let (outcome, told) = run(&good, false);
    assert!(outcome.is_ok(), "{told}");
    assert_eq!(told, "3 of 3 cases are as expected\n");
}

#[test]
fn every_case_is_a_line_of_json_where_that_is_wanted() {
    let (_, told) = run(CASES, true);
    let lines: Vec<serde_json::Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1]["passed"], true);
    assert_eq!(lines[1]["got"], "step-up to orders.write");
    assert_eq!(lines[1]["rule"], "/c.toml:10");
    assert_eq!(lines[2]["passed"], false);
}

#[test]
fn what_cannot_be_read_is_an_error_of_configuration() {
    let (outcome, _) = run("[[case]]", false);
    let error = outcome.unwrap_err();
    assert!(error.is_configuration());
    let said = error.to_string();
    assert!(
        said.starts_with("the cases cannot be used:\n  - "),
        "{said}"
    );
    let error = policies(None, &Environment::default()).unwrap_err();
    assert!(error.to_string().contains("--config"), "{error}");
}
