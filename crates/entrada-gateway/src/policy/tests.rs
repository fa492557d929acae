use entrada::access_token::{Lack, PrincipalKind};
use entrada::oauth::client::ClientId;
use entrada::platform::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::message::Messages;

pub(in crate::policy) fn caller(scopes: &str) -> TokenFacts {
    let client = ClientId::parse("c1").unwrap();
    let never = Timestamp::from_unix(u64::MAX);
    let mut facts = TokenFacts::new("https://i".into(), "s".into(), client, never);
    facts.scope = Scope::parse(scopes).unwrap();
    facts.principal.roles = vec!["Reader".to_owned()];
    facts.principal.groups = vec!["g1".to_owned()];
    facts
}

fn patterns(names: &[&str]) -> Vec<Pattern> {
    let names = names.iter().map(|name| Pattern::parse(name).unwrap());
    names.collect()
}

fn tools(place: &str, names: &[&str], requirement: Requirement) -> Rule {
    let mut rule = Rule::new(place);
    rule.tools = patterns(names);
    rule.requirement = requirement;
    rule
}

fn policy(rules: Vec<Rule>) -> Policy {
    Policy {
        rules,
        ..Policy::default()
    }
}

/// Orders that are read with one scope, written with another, and an administrator's besides.
fn orders() -> Policy {
    let mut denied = tools("r4", &["*_secret"], Requirement::nothing());
    denied.denies = true;
    let mut methods = Rule::new("r5");
    methods.methods = patterns(&["logging/*", "com.example/*"]);
    methods.requirement = Requirement::roles(["Operator"]);
    let mut resources = Rule::new("r6");
    resources.resources = patterns(&["file:///public/*"]);
    policy(vec![
        tools("r1", &["read_*", "open"], Requirement::nothing()),
        tools("r2", &["*_order"], Requirement::scopes(["orders"])),
        tools("r3", &["delete_*"], Requirement::scopes(["delete"])),
        denied,
        methods,
        resources,
        tools("r7", &["admin"], Requirement::roles(["Admin"])),
        tools("r8", &["staff"], Requirement::any_group(["g2"])),
    ])
}

/// What `policy` makes of `body`, in words.
fn decided(policy: &Policy, body: &str, caller: &TokenFacts) -> String {
    let read = Messages::read(body.as_bytes()).unwrap();
    let decision = policy.decide(&read, caller);
    let rule = decision.rule.as_deref().unwrap_or("-");
    format!("{} [{rule}]", decision.outcome)
}

fn call(name: &str) -> String {
    format!(r#"{{"id":1,"method":"tools/call","params":{{"name":"{name}"}}}}"#)
}

#[test]
fn all_rules_that_name_a_tool_must_be_met() {
    let policy = orders();
    for (name, scopes, expected) in [
        ("open", "", "allowed [r1]"),
        ("read_x", "", "allowed [r1]"),
        ("read_order", "", "it needs the scopes orders [r2]"),
        ("read_order", "orders", "allowed [r1]"),
        // In one challenge, and what is there already with it.
        ("delete_order", "", "it needs the scopes orders delete [r2]"),
        (
            "delete_order",
            "orders",
            "it needs the scopes orders delete [r3]",
        ),
        ("delete_order", "orders delete", "allowed [r2]"),
        (
            "read_secret",
            "orders delete",
            "a rule denies it to everybody [r4]",
        ),
        ("admin", "", "the caller needs the app roles Admin [r7]"),
        ("staff", "", "the caller is in none of the groups g2 [r8]"),
        ("unknown", "orders delete", "no rule names it [-]"),
        // The server may take it for the other: what holds for that holds for this, and allows nothing.
        ("Open", "", "no rule names it [-]"),
        (
            "DELETE_order",
            "orders",
            "it needs the scopes orders delete [r3]",
        ),
        (
            "read_\u{17f}ecret",
            "orders delete",
            "a rule denies it to everybody [r4]",
        ),
        ("DELETE_order", "orders delete", "allowed [r2]"),
    ] {
        let got = decided(&policy, &call(name), &caller(scopes));
        // What is not named is denied, whatever scopes would do.
        assert_eq!(got, expected, "{name} {scopes}");
    }
}

#[test]
fn what_no_rule_names_is_denied_unless_it_is_said() {
    let mut policy = orders();
    for (body, denied, allowed) in [
        (call("unknown"), "no rule names it [-]", "allowed [-]"),
        (
            r#"{"method":"prompts/get","params":{"name":"open"}}"#.to_owned(),
            "no rule names it [-]",
            "allowed [-]",
        ),
        (
            r#"{"method":"com.other/x"}"#.to_owned(),
            "no rule names it [-]",
            "allowed [-]",
        ),
        (
            call("ADMIN"),
            "the caller needs the app roles Admin [r7]",
            "the caller needs the app roles Admin [r7]",
        ),
    ] {
        policy.without_rule = WithoutRule::Deny;
        assert_eq!(decided(&policy, &body, &caller("")), denied, "{body}");
        policy.without_rule = WithoutRule::Allow;
        assert_eq!(decided(&policy, &body, &caller("")), allowed, "{body}");
    }
}

#[test]
fn methods_need_no_rule_and_obey_one() {
    let policy = orders();
    for (body, expected) in [
        (r#"{"method":"ping"}"#, "allowed [-]"),
        (r#"{"method":"initialize"}"#, "allowed [-]"),
        (r#"{"method":"tools/list"}"#, "allowed [-]"),
        (r#"{"method":"notifications/cancelled"}"#, "allowed [-]"),
        (
            r#"{"method":"tasks/get","params":{"taskId":"1"}}"#,
            "allowed [-]",
        ),
        (r#"{"result":{},"id":1}"#, "allowed [-]"),
        (
            r#"{"method":"logging/setLevel"}"#,
            "the caller needs the app roles Operator [r5]",
        ),
        (
            r#"{"method":"com.example/x"}"#,
            "the caller needs the app roles Operator [r5]",
        ),
        (
            r#"{"method":"COM.example/x"}"#,
            "the caller needs the app roles Operator [r5]",
        ),
    ] {
        assert_eq!(decided(&policy, body, &caller("")), expected, "{body}");
    }
    // A rule about methods is a condition, and names no tool.
    let mut every = Rule::new("m");
    every.methods = patterns(&["*"]);
    every.requirement = Requirement::any_client(["c1"]);
    let policy = Policy {
        rules: vec![every.clone()],
        ..Policy::default()
    };
    assert_eq!(
        decided(&policy, &call("x"), &caller("")),
        "no rule names it [-]"
    );
    assert_eq!(
        decided(&policy, r#"{"method":"com.x/y"}"#, &caller("")),
        "allowed [m]"
    );
    every.requirement = Requirement::any_client(["c2"]);
    let policy = Policy {
        rules: vec![every],
        ..Policy::default()
    };
    let get = Call {
        method: "GET",
        item: None,
    };
    let decision = policy.decide_on(&[get], &caller(""));
    assert!(matches!(
        decision.outcome,
        Outcome::Denied(Denial::Lacks(Lack::Clients(_)))
    ));
}

#[test]
fn a_batch_is_allowed_as_a_whole() {
    let policy = orders();
    let batch = |names: &[&str]| {
        let calls: Vec<String> = names.iter().map(|name| call(name)).collect();
        format!("[{}]", calls.join(","))
    };
    for (names, scopes, expected) in [
        (&["open", "read_x"][..], "", "allowed [r1]"),
        (
            &["open", "read_order", "delete_x"],
            "",
            "it needs the scopes orders delete [r2]",
        ),
        // No scope is worth asking for where something else is refused.
        (
            &["read_order", "admin"],
            "",
            "the caller needs the app roles Admin [r7]",
        ),
        (&["open", "unknown"], "", "no rule names it [-]"),
    ] {
        assert_eq!(decided(&policy, &batch(names), &caller(scopes)), expected);
    }
}

#[test]
fn a_uri_that_may_lead_elsewhere_is_not_what_a_rule_says() {
    let policy = orders();
    for (uri, expected) in [
        ("file:///public/a/b.txt", "allowed [r6]"),
        ("file:///secret", "no rule names it [-]"),
        (
            "file:///public/../secret",
            "the URI may be read as one that leads upwards [-]",
        ),
        (
            "file:///public/%2e%2e/secret",
            "the URI may be read as one that leads upwards [-]",
        ),
        (
            "file:///public/..%5csecret",
            "the URI may be read as one that leads upwards [-]",
        ),
        (
            "file:///public/..;x/secret",
            "the URI may be read as one that leads upwards [-]",
        ),
    ] {
        let body = format!(r#"{{"method":"resources/read","params":{{"uri":"{uri}"}}}}"#);
        assert_eq!(decided(&policy, &body, &caller("")), expected, "{uri}");
    }
}

#[test]
fn a_rule_binds_a_uri_however_it_is_written() {
    let resources = |place: &str, names: &[&str]| {
        let mut rule = Rule::new(place);
        rule.resources = patterns(names);
        rule
    };
    let mut denied = resources(
        "r2",
        &["file:///secret/*", "repo://a%20b/*", "file:///one.txt"],
    );
    denied.denies = true;
    let policy = policy(vec![resources("r1", &["*"]), denied]);
    let bound = "a rule denies it to everybody [r2]";
    for (uri, expected) in [
        ("file:///secret/x", bound),
        ("FILE:///Secret/x", bound),
        ("file:///%73ecret/x", bound),
        ("file:///secret%2fx", bound),
        ("file:///secret%5Cx", bound),
        (r"file:///secret\\x", bound),
        ("file:////secret//x", bound),
        ("file:/secret/x", bound),
        (r"file:///\u017fecret/x", bound),
        ("file:///one.txt", bound),
        ("file:///one.txt?x", bound),
        ("file:///one%2etxt%23x", bound),
        ("repo://a b/x", bound),
        ("repo://a%20b/x", bound),
        ("file:///public/secret/x", "allowed [r1]"),
        ("file:///secrets", "allowed [r1]"),
        ("https://x/?q=file:///secret/x", "allowed [r1]"),
    ] {
        let body = format!(r#"{{"method":"resources/read","params":{{"uri":"{uri}"}}}}"#);
        assert_eq!(decided(&policy, &body, &caller("")), expected, "{uri}");
    }
    // None of that allows anything.
    let policy = self::policy(vec![resources("r1", &["file:///public/*"])]);
    for uri in ["file:///%70ublic/x", "file:/public/x", "FILE:///public/x"] {
        let body = format!(r#"{{"method":"resources/read","params":{{"uri":"{uri}"}}}}"#);
        let got = decided(&policy, &body, &caller(""));
        assert_eq!(got, "no rule names it [-]", "{uri}");
    }
}

#[test]
fn groups_that_nobody_looked_up_let_nobody_call() {
    let mut many = caller("");
    many.principal.groups.clear();
    many.principal.groups_overage = true;
    let got = decided(&orders(), &call("staff"), &many);
    let expected =
        "the caller's groups are too many for a token, and nothing looks them up: g2 [r8]";
    assert_eq!(got, expected);
}

#[test]
fn an_application_is_told_of_no_scope() {
    let mut program = caller("");
    program.principal.kind = PrincipalKind::Application;
    let got = decided(&orders(), &call("read_order"), &program);
    assert!(got.contains("application"), "{got}");
}

#[test]
fn lists_show_what_may_be_called() {
    let mut policy = orders();
    let shown = |policy: &Policy, name: &str| {
        policy.shows(&Item::new(ItemKind::Tool, name), &caller("orders"))
    };
    policy.filter_lists = FilterLists::Allowed;
    let names = ["open", "read_order", "delete_order", "admin", "unknown"];
    assert_eq!(
        names.map(|name| shown(&policy, name)),
        [true, true, false, false, false]
    );
    policy.filter_lists = FilterLists::Reachable;
    assert_eq!(
        names.map(|name| shown(&policy, name)),
        [true, true, true, false, false]
    );
}

#[test]
fn nothing_said_is_nothing_read() {
    assert!(Policy::default().is_empty());
    assert!(!orders().is_empty());
}

proptest! {
    /// Whoever comes back with exactly the scopes that were told gets in.
    #[test]
    fn one_step_up_is_enough(
        names in proptest::collection::vec(
            proptest::sample::select(vec!["open", "read_order", "delete_x", "delete_order"]),
            1..4,
        ),
        held in proptest::sample::subsequence(vec!["orders", "delete"], 0..=2),
    ) {
        let policy = orders();
        let items: Vec<Item> = names.iter().map(|name| Item::new(ItemKind::Tool, *name)).collect();
        let calls: Vec<_> = items
            .iter()
            .map(|item| Call { method: "tools/call", item: Some(item) })
            .collect();
        let mut caller = caller(&held.join(" "));
        if let Outcome::InsufficientScope(scope) = policy.decide_on(&calls, &caller).outcome {
            caller.scope = scope;
            prop_assert_eq!(policy.decide_on(&calls, &caller).outcome, Outcome::Allowed);
        }
    }

    /// More rules never allow somebody a tool that one of them names already.
    #[test]
    fn a_further_rule_takes_away(at in 0..8_usize, name in "(open|read_order|admin|delete_order)") {
        let all = orders();
        let mut fewer = all.clone();
        fewer.rules.remove(at);
        let item = Item::new(ItemKind::Tool, name);
        let calls = [Call { method: "tools/call", item: Some(&item) }];
        let is_named = fewer.rules.iter().any(|rule| rule.names("tools/call", Some(&item)) == Named::Exactly);
        let allowed = |policy: &Policy| policy.decide_on(&calls, &caller("orders")).outcome == Outcome::Allowed;
        prop_assert!(!is_named || !allowed(&all) || allowed(&fewer));
    }
}
