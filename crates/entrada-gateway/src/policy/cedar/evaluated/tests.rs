use super::*;
use crate::policy::tests::caller;

const POLICIES: &str = r#"
@id("readers")
permit (principal is User, action == Action::"tools/call", resource in Route::"/mcp")
when { resource.name like "read_*" && principal.scopes.contains("orders") };

@id("files")
permit (principal, action == Action::"resources/read", resource is Resource)
when { resource.name like "file:///public/*" };

@id("vendor")
permit (principal, action == Action::"other", resource == Route::"/mcp")
when { context.method == "com.example/x" };

@id("no-guests")
forbid (principal, action, resource) when { principal.guest };
"#;

fn decided(policies: &str, call: Call<'_>, route: &str, caller: &TokenFacts) -> String {
    let policies = CedarPolicies::parse("p.cedar", policies).unwrap();
    match policies.decide(call, route, caller) {
        Ok(()) => "allowed".to_owned(),
        Err(denial) => denial.to_string(),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn policies_permit_and_forbid() {
    let tool = |name| Item::new(ItemKind::Tool, name);
    let file = |name| Item::new(ItemKind::Resource, name);
    let mut guest = caller("orders");
    guest.principal.is_guest = true;
    let mut program = caller("orders");
    program.principal.kind = PrincipalKind::Application;
    for (method, item, route, who, expected) in [
        (
            "tools/call",
            Some(tool("read_x")),
            "/mcp",
            caller("orders"),
            "allowed",
        ),
        (
            "tools/call",
            Some(tool("read_x")),
            "/mcp/b",
            caller("orders"),
            "no policy permits it",
        ),
        (
            "tools/call",
            Some(tool("read_x")),
            "/mcp",
            caller(""),
            "no policy permits it",
        ),
        (
            "tools/call",
            Some(tool("write_x")),
            "/mcp",
            caller("orders"),
            "no policy permits it",
        ),
        (
            "tools/call",
            Some(tool("read_x")),
            "/mcp",
            program,
            "no policy permits it",
        ),
        (
            "tools/call",
            Some(tool("read_x")),
            "/mcp",
            guest,
            "forbidden by the policies no-guests",
        ),
        (
            "resources/read",
            Some(file("file:///public/a")),
            "/mcp",
            caller(""),
            "allowed",
        ),
        (
            "resources/subscribe",
            Some(file("file:///public/a")),
            "/mcp",
            caller(""),
            "no policy permits it",
        ),
        (
            "prompts/get",
            Some(Item::new(ItemKind::Prompt, "read_x")),
            "/mcp",
            caller("orders"),
            "no policy permits it",
        ),
        ("com.example/x", None, "/mcp", caller(""), "allowed"),
        (
            "com.example/y",
            None,
            "/mcp",
            caller(""),
            "no policy permits it",
        ),
    ] {
        let call = Call {
            method,
            item: item.as_ref(),
        };
        assert_eq!(
            decided(POLICIES, call, route, &who),
            expected,
            "{method} {item:?} {route}"
        );
    }
}

#[test]
fn groups_that_nobody_looked_up_permit_nothing() {
    let policies = r#"
permit (principal, action, resource);
forbid (principal, action, resource) when { principal.groups.contains("banned") };
"#;
    let item = Item::new(ItemKind::Tool, "x");
    let call = Call {
        method: "tools/call",
        item: Some(&item),
    };
    let mut who = caller("");
    assert_eq!(decided(policies, call, "/mcp", &who), "allowed");
    who.principal.groups = vec!["BANNED".to_owned()];
    assert!(decided(policies, call, "/mcp", &who).starts_with("forbidden"));
    who.principal.groups.clear();
    who.principal.groups_overage = true;
    assert!(decided(policies, call, "/mcp", &who).starts_with("the policies cannot be evaluated"));
    assert_eq!(
        decided("permit (principal, action, resource);", call, "/mcp", &who),
        "allowed"
    );
}

#[test]
fn a_policy_that_fails_forbids() {
    let policies = r"
permit (principal, action, resource);
forbid (principal, action, resource) when { 9223372036854775807 + 1 == 0 };
";
    let item = Item::new(ItemKind::Tool, "x");
    let call = Call {
        method: "tools/call",
        item: Some(&item),
    };
    let got = decided(policies, call, "/mcp", &caller(""));
    assert!(got.starts_with("the policies cannot be evaluated"), "{got}");
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let wrong = |text: &str| match CedarPolicies::parse("p.cedar", text) {
        Err(CedarError::Wrong(all)) => all,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        wrong(""),
        ["p.cedar: write policies, at least one, and no templates"]
    );
    let found = wrong("\npermit (principal, action, resource)\nwhen { principal. };");
    assert!(found[0].starts_with("p.cedar:3: "), "{found:?}");
    let found = wrong(
        "permit (principal, action, resource);\npermit (principal, action, resource)\n\
         when { principal.groupz.contains(\"a\") };\npermit (principal, action == Action::\"tools/cal\", resource);",
    );
    assert!(
        found.iter().any(|what| what.starts_with("p.cedar:3: ")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|what| what.starts_with("p.cedar:4: ")),
        "{found:?}"
    );
}

/// A server may take for one what differs in case or in how it is written.
#[test]
fn what_is_forbidden_is_so_however_it_is_spelled() {
    let policies = r#"
        permit (principal, action, resource);
        forbid (principal, action, resource is Tool) when { resource.folded like "delete_*" };
        forbid (principal, action, resource is Prompt) when { resource.folded like "delete_*" };
        forbid (principal, action, resource is Resource)
        when { resource.folded == "file:/etc/shadow" };
    "#;
    let decide = |method, kind, name: &str| {
        let item = Item::new(kind, name);
        let call = Call {
            method,
            item: Some(&item),
        };
        decided(policies, call, "/mcp", &caller("")) == "allowed"
    };
    for (name, expected) in [
        ("delete_order", false),
        ("Delete_Order", false),
        ("DELETE_\u{17f}", false),
        ("undelete_order", true),
    ] {
        let tool = decide("tools/call", ItemKind::Tool, name);
        let prompt = decide("prompts/get", ItemKind::Prompt, name);
        assert_eq!([tool, prompt], [expected; 2], "{name}");
    }
    for (uri, expected) in [
        ("file:///etc/shadow", false),
        ("file:\\\\etc/shadow", false),
        ("FILE:///etc//Sh%61dow", false),
        ("file:///etc/hosts", true),
    ] {
        let read = decide("resources/read", ItemKind::Resource, uri);
        assert_eq!(read, expected, "{uri}");
    }
}
