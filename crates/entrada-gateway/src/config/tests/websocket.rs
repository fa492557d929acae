//! Whether WebSockets are passed through, and what does not go with them.

use super::routes::{of_file, problems_of_file};
use super::*;

#[test]
fn a_route_says_whether_it_has_some_or_takes_what_holds_for_all() {
    let text = "websocket = true\n[[route]]\npath = \"/a\"\nupstream = \"http://127.0.0.1:3001\"\n\
                [[route]]\npath = \"/b\"\nupstream = \"http://127.0.0.1:3002\"\nwebsocket = false\n";
    let settings = of_file(text, &LEAST).unwrap();
    let read: Vec<_> = settings
        .upstreams
        .iter()
        .map(|server| server.websocket)
        .collect();
    assert_eq!(read, [true, true, false]);
    let settings = read_least();
    assert!(!settings.upstreams[0].websocket);
}

fn read_least() -> Settings {
    read(&[], &LEAST).unwrap()
}

#[test]
fn what_needs_to_know_what_is_said_goes_with_none() {
    let unread = "what is said in a WebSocket is not read, and";
    for (line, expected) in [
        (
            "[[rule]]\ntools = [\"open\"]\nscopes = [\"mcp.read\"]\n",
            "rules decide by what is called: let required_scopes, required_app_roles and the like say \
             who gets to the server at all",
        ),
        (
            "rate_limit_tool = \"9/1m\"",
            "rate_limit_tool counts what is called: write rate_limit_tool = \"none\" beside it",
        ),
        (
            "audit_log = \"stdout\"\naudit_required = true",
            "with audit_required nothing may be called that is not written: take one of them out",
        ),
        (
            "audit_log = \"stdout\"\naudit_arguments = true",
            "audit_arguments is to tell what tools are called with: take one of them out",
        ),
    ] {
        let text = format!("websocket = true\n{line}");
        let found = problems_of_file(&text, &LEAST);
        assert_eq!(
            found,
            [format!(":1: websocket: {unread} {expected}")],
            "{line}"
        );
        let without = format!("websocket = false\n{line}");
        assert!(of_file(&without, &LEAST).is_ok(), "{line}");
    }
}

#[cfg(feature = "cedar")]
#[test]
fn policies_go_with_none() {
    use std::io::Write as _;
    let mut policies = tempfile::NamedTempFile::new().unwrap();
    policies
        .write_all(b"permit (principal, action, resource);")
        .unwrap();
    let policies = format!("policy_file = '{}'", policies.path().display());
    let found = problems_of_file(&format!("websocket = true\n{policies}"), &LEAST);
    let expected = ":1: websocket: what is said in a WebSocket is not read, and policy_file decides by what is \
                    called: name policy_file in the routes it is for alone";
    assert_eq!(found, [expected]);
    assert!(of_file(&format!("websocket = false\n{policies}"), &LEAST).is_ok());
}

#[test]
fn what_asks_nothing_of_messages_goes_with_some() {
    for line in [
        "rate_limit_user = \"9/1m\"\nrate_limit_tool = \"none\"",
        "audit_log = \"stdout\"",
        "required_app_roles = \"Mcp.Use\"\nallowed_origins = \"https://app.example.com\"",
        "filter_lists = true\nwithout_rule = \"deny\"\n[[route]]\npath = \"/a\"\nwebsocket = false\n\
         upstream = \"http://127.0.0.1:3001\"\n[[route.rule]]\ntools = [\"open\"]",
    ] {
        let read = of_file(&format!("websocket = true\n{line}"), &LEAST);
        let read = read.map(|settings| settings.upstreams[0].websocket);
        assert!(matches!(read, Ok(true)), "{line}: {read:?}");
    }
}

#[test]
fn a_program_has_none() {
    let least: Vec<_> = LEAST
        .into_iter()
        .filter(|(name, _)| *name != "ENTRADA_UPSTREAM")
        .collect();
    let found = problems_of_file("websocket = true\ncommand = \"/bin/sh\"", &least);
    let what = "a server that speaks stdio has none: write websocket = false in its route";
    assert_eq!(found, [format!(":1: websocket: {what}")]);
}
