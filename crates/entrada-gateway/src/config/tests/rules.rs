//! Rules of who may call what.

use entrada::policy::Requirement;

use super::routes::{of_file, problems_of_file, told, without_upstream};
use super::*;
use crate::message::{Item, ItemKind};
use crate::policy::{FilterLists, Named, Policy, WithoutRule};

const RULES: &str = r#"
optional_scopes = ["orders.write"]
filter_lists = "reachable"

[[rule]]
tools = ["read_*", "list_orders"]
prompts = ["*"]

[[rule]]
tools = ["delete_*"]
scopes = ["orders.write"]
any_group = ["11111111-2222-3333-4444-555555555555"]

[[rule]]
methods = ["logging/setLevel"]
any = [
  { caller = "user", any_role = ["Operator", "Admin"] },
  { caller = "application", any_client = ["nightly-jobs"] },
]

[[route]]
path = "/mcp/mail"
upstream = "http://127.0.0.1:3001/mcp"
without_rule = "allow"
filter_lists = false

[[route.rule]]
tools = ["admin"]
deny = true
"#;

#[test]
fn rules_stand_at_the_server_they_are_for() {
    let settings = of_file(RULES, &LEAST).unwrap();
    let [outside, mail] = &*settings.upstreams else {
        panic!("{:?}", settings.upstreams);
    };
    let Policy {
        route,
        rules,
        without_rule,
        filter_lists,
        ..
    } = &outside.policy;
    assert_eq!((&**route, *without_rule), ("/mcp", WithoutRule::Deny));
    assert_eq!(*filter_lists, FilterLists::Reachable);
    let requirements: Vec<_> = rules.iter().map(|rule| rule.requirement.clone()).collect();
    let group = "11111111-2222-3333-4444-555555555555";
    let expected = [
        Requirement::nothing(),
        Requirement::all([
            Requirement::scopes(["orders.write"]),
            Requirement::any_group([group]),
        ]),
        Requirement::all([Requirement::any([
            Requirement::all([
                Requirement::user(),
                Requirement::any_role(["Operator", "Admin"]),
            ]),
            Requirement::all([
                Requirement::application(),
                Requirement::any_client(["nightly-jobs"]),
            ]),
        ])]),
    ];
    assert_eq!(requirements, expected);
    let item = Item::new(ItemKind::Tool, "list_orders");
    assert_eq!(rules[0].names("tools/call", Some(&item)), Named::Exactly);
    assert!(rules[1].place.ends_with(":9"), "{}", rules[1].place);

    assert_eq!(mail.policy.route, "/mcp/mail");
    assert_eq!(mail.policy.without_rule, WithoutRule::Allow);
    assert_eq!(mail.policy.filter_lists, FilterLists::Off);
    assert!(mail.policy.rules[0].denies);
    assert_eq!(mail.policy.rules.len(), 1);
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn what_is_wrong_with_rules_is_told_with_its_line() {
    let id = "write ids, such as 11111111-2222-3333-4444-555555555555";
    let list = "write a list of strings, which may not be empty";
    for (text, expected) in [
        (
            "rule = 1",
            ":1: write [[rule]], or [[route.rule]], before each".to_owned(),
        ),
        (
            "[[rule]]\nscopes = ['mcp.read']",
            ":1: the rule names nothing: write tools, prompts, resources or methods".to_owned(),
        ),
        ("[[rule]]\ntools = 'a'", format!(":2: tools: {list}")),
        ("[[rule]]\ntools = []", format!(":2: tools: {list}")),
        (
            "[[rule]]\ntools = ['']",
            ":2: tools: write names, such as read_file or delete_*".to_owned(),
        ),
        (
            "[[rule]]\ntools = ['a']\nscope = ['b']",
            ":3: there is no setting \"scope\": is scopes meant?".to_owned(),
        ),
        (
            "[[rule]]\ntools = ['a']\nroles = []",
            format!(":3: roles: {list}"),
        ),
        (
            "[[rule]]\ntools = ['a']\nroles = ['']",
            ":3: roles: it names no app role".to_owned(),
        ),
        (
            "[[rule]]\ntools = ['a']\nscopes = ['\"']",
            ":3: scopes: \"\\\"\" is no scope".to_owned(),
        ),
        (
            "[[rule]]\ntools = ['a']\nany_group = ['Administrators']",
            format!(":3: any_group: {id}"),
        ),
        (
            "[[rule]]\ntools = ['a']\nany_tenant = ['contoso.com']",
            format!(":3: any_tenant: {id}"),
        ),
        (
            "[[rule]]\ntools = ['a']\ncaller = 'robot'",
            ":3: caller: write \"user\" or \"application\"".to_owned(),
        ),
        (
            "[[rule]]\ntools = ['a']\nany = []",
            ":3: any: write a list of tables, such as [{ scopes = [\"a\"] }, { roles = [\"B\"] }]"
                .to_owned(),
        ),
        (
            "[[rule]]\ntools = ['a']\nany = [{}, { roles = ['B'] }]",
            ":3: any: one of the ways requires nothing".to_owned(),
        ),
        (
            "[[rule]]\ntools = ['a']\ndeny = true\nroles = ['B']",
            ":1: deny: nobody may, whatever they have: take deny away, or what callers must have"
                .to_owned(),
        ),
        (
            "[[rule]]\ntools = ['a']\nscopes = ['orders.write']",
            ":1: no client is given orders.write: name it among the optional_scopes, or the \
             required_scopes"
                .to_owned(),
        ),
        (
            "[[rule]]\ntools = ['a']\nany = [{ any_scope = ['orders.write'] }]",
            ":1: no client is given orders.write: name it among the optional_scopes, or the \
             required_scopes"
                .to_owned(),
        ),
        (
            "filter_lists = true",
            ":1: filter_lists: means nothing without [[rule]], [[route.rule]] or policy_file"
                .to_owned(),
        ),
        (
            "without_rule = 'maybe'\n[[rule]]\ntools = ['a']",
            ":1: without_rule: write deny or allow".to_owned(),
        ),
    ] {
        assert_eq!(problems_of_file(text, &LEAST), [expected], "{text}");
    }
}

#[test]
fn a_rule_that_holds_for_no_server_is_refused() {
    let text =
        "[[rule]]\ntools = ['a']\n[[route]]\npath = '/mcp/x'\nupstream = 'http://127.0.0.1:1/'";
    let expected = ":1: [[rule]] is for the server of upstream, which is not set: write [[route.rule]] \
                    below a route";
    let found = problems_of_file(text, &without_upstream());
    assert_eq!(found, [expected]);
}

#[test]
fn policies_are_read_with_the_rest() {
    let policies = file("permit (principal, action, resource);");
    let path = policies.path().display().to_string();
    let read = of_file(&format!("policy_file = '{path}'"), &LEAST);
    if cfg!(feature = "cedar") {
        assert!(read.unwrap().upstreams[0].policy.cedar.is_some());
        let wrong = file("\npermit (principal, action, resource) when { principal.x };");
        let path = wrong.path().display().to_string();
        let found = problems_of_file(&format!("policy_file = '{path}'"), &LEAST);
        assert!(
            found[0].starts_with(&format!(":1: policy_file: {path}:2: ")),
            "{found:?}"
        );
        let found = problems_of_file("policy_file = '/nowhere.cedar'", &LEAST);
        assert!(
            found[0].contains("/nowhere.cedar: the file cannot be read"),
            "{found:?}"
        );
    } else {
        let found = read.unwrap_err().to_string();
        assert!(found.contains("--features cedar"), "{found}");
    }
}

#[test]
fn who_is_in_many_groups_is_warned_of() {
    let group = "11111111-2222-3333-4444-555555555555";
    let rule = |requirement: &str| format!("[[rule]]\ntools = [\"a\"]\n{requirement}\n");
    let plain = rule(&format!("any_group = [\"{group}\"]"));
    let nested = rule(&format!(
        "any = [{{ any_group = [\"{group}\"] }}, {{ roles = [\"A\"] }}]"
    ));
    for (text, expected) in [
        (plain.clone(), true),
        (nested, true),
        (rule("roles = [\"A\"]"), false),
        (format!("groups_from_graph = true\n{plain}"), false),
    ] {
        let warnings = of_file(&text, &LEAST).unwrap().warnings;
        let warnings = warnings.iter().map(Problem::to_string);
        let is_warned = warnings
            .clone()
            .any(|it| it.contains(": any_group: groups of who"));
        assert_eq!(
            is_warned,
            expected,
            "{text} {:?}",
            warnings.collect::<Vec<_>>()
        );
    }
}

#[test]
fn roles_count_whichever_tenant_gave_them_and_that_is_warned_of() {
    let id = "11111111-2222-3333-4444-555555555555";
    let of_several = [("ENTRADA_TENANT_ID", "organizations")];
    let of_one = [
        ("ENTRADA_TENANT_ID", "organizations"),
        ("ENTRADA_ALLOWED_TENANTS", id),
    ];
    let any_tenant = format!("any_tenant = ['{id}']");
    for (rule, tenants, warned) in [
        ("roles = ['Admin']", &of_several[..], true),
        ("any_role = ['Admin']", &of_several, true),
        (
            "any = [{ scopes = ['mcp.read'] }, { roles = ['Admin'] }]",
            &of_several,
            true,
        ),
        ("roles = ['Admin']", &of_one, false),
        ("roles = ['Admin']", &[], false),
        (
            &*format!("roles = ['Admin']\n{any_tenant}"),
            &of_several,
            false,
        ),
        (
            &*format!("any = [{{ scopes = ['mcp.read'] }}, {{ roles = ['Admin'], {any_tenant} }}]"),
            &of_several,
            false,
        ),
        (
            &*format!("{any_tenant}\nany = [{{ roles = ['Admin'] }}, {{ any_role = ['A'] }}]"),
            &of_several,
            false,
        ),
        ("scopes = ['mcp.read']", &of_several, false),
    ] {
        let given = |name: &str| tenants.iter().any(|(given, _)| *given == name);
        let least = LEAST.iter().filter(|(name, _)| !given(name)).copied();
        let least: Vec<_> = least.chain(tenants.iter().copied()).collect();
        let text = format!("[[rule]]\ntools = ['a']\n{rule}\n");
        let settings = of_file(&text, &least).unwrap();
        let mut warnings = settings.warnings.iter();
        let warning = warnings.find(|it| it.setting() == Some("roles")).map(told);
        let warning = warning.unwrap_or_default();
        assert_eq!(
            warning.starts_with(":1: roles: "),
            warned,
            "{rule}: {warning}"
        );
    }
}

#[test]
fn a_broken_rule_hides_nothing_that_comes_after_it() {
    let text = "\
without_rule = 'allow'

[[rule]]
tools = ''

[[rule]]
tools = ['a']
scopes = ['orders.write']

[[route]]
path = '/mcp/mail'

[[route.rule]]
tools = 1
scopes = ['mail.send']

[[route.rule]]
prompts = ['p']
scopes = ['mail.read']
";
    let found = problems_of_file(text, &LEAST);
    let begin = [
        ":4: tools: write a list",
        ":6: no client is given orders.write",
        ":10: the route has no upstream",
        ":13: no client is given mail.send",
        ":14: tools: write a list",
        ":17: no client is given mail.read",
    ];
    assert_eq!(found.len(), begin.len(), "{found:?}");
    for (told, begin) in found.iter().zip(begin) {
        assert!(told.starts_with(begin), "{told}: {begin}");
    }
}
