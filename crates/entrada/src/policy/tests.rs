use proptest::prelude::*;

use super::*;
use crate::oauth::client::ClientId;
use crate::platform::Timestamp;

const TENANT: &str = "10000000-0000-4000-8000-00000000000a";

fn scope(text: &str) -> Scope {
    Scope::parse(text).unwrap()
}

/// A user of `TENANT` at the client `c1`, in the groups `g1`, with the role `R1`.
fn user(allowed: &str) -> TokenFacts {
    let client_id = ClientId::parse("c1").unwrap();
    let mut facts = TokenFacts::new("https://i".into(), "s".into(), client_id, NEVER);
    facts.scope = scope(allowed);
    facts.principal.tenant_id = TENANT.to_owned();
    facts.principal.roles = vec!["R1".to_owned()];
    facts.principal.groups = vec!["g1".to_owned()];
    facts
}

fn application(roles: &[&str]) -> TokenFacts {
    let mut facts = user("");
    facts.principal.kind = PrincipalKind::Application;
    facts.principal.roles = roles.iter().map(|&role| role.to_owned()).collect();
    facts
}

const NEVER: Timestamp = Timestamp::from_unix(u64::MAX);

/// What the decision comes to, in words.
fn verdict(requirement: &Requirement, facts: &TokenFacts) -> String {
    match requirement.decide(facts) {
        Ok(()) => "met".to_owned(),
        Err(Shortfall::Scope(scope)) => format!("scopes: {scope}"),
        Err(shortfall) => shortfall.to_string(),
    }
}

#[test]
fn each_requirement_is_met_by_what_it_names() {
    use Requirement as R;
    for (requirement, met) in [
        (R::nothing(), true),
        (R::scopes(["a", "b"]), true),
        (R::scopes(["a b"]), true),
        (R::scopes(["a", "x"]), false),
        (R::any_scope(["x", "b"]), true),
        (R::any_scope(["x", "y"]), false),
        (R::roles(["R1"]), true),
        (R::roles(["R1", "R2"]), false),
        (R::roles(["r1"]), false),
        (R::any_role(["R2", "R1"]), true),
        (R::any_group(["g2", "G1"]), true),
        (R::any_group(["g2"]), false),
        (R::any_tenant([TENANT.to_uppercase()]), true),
        (
            R::any_tenant(["10000000-0000-4000-8000-00000000000b"]),
            false,
        ),
        (R::any_client(["c0", "c1"]), true),
        (R::any_client(["c"]), false),
        (R::user(), true),
        (R::application(), false),
        (R::all([R::user(), R::scopes(["a"])]), true),
        (R::all([R::user(), R::scopes(["x"])]), false),
        (R::any([R::application(), R::scopes(["a"])]), true),
        (R::any([R::application(), R::scopes(["x"])]), false),
        (R::scopes(["a"]).and(R::roles(["R1"])), true),
        (R::scopes(["a"]).and(R::roles(["R2"])), false),
    ] {
        assert_eq!(
            requirement.decide(&user("a b")).is_ok(),
            met,
            "{requirement:?}"
        );
    }
}

#[test]
fn the_outcome_names_the_scopes_that_would_help_and_no_others() {
    use Requirement as R;
    for (requirement, facts, expected) in [
        (R::scopes(["a", "b"]), user("a"), "scopes: a b"),
        (
            R::any_scope(["narrow", "broad"]),
            user(""),
            "scopes: narrow",
        ),
        // One step-up is enough, and loses nothing that is needed.
        (
            R::all([R::scopes(["a"]), R::scopes(["b"]), R::any_scope(["c", "d"])]),
            user("b d"),
            "scopes: a b d",
        ),
        // The nearest of several ways.
        (
            R::any([R::scopes(["a", "b"]), R::scopes(["c"])]),
            user(""),
            "scopes: c",
        ),
        (
            R::any([R::scopes(["a", "b"]), R::scopes(["c", "d"])]),
            user("b"),
            "scopes: a b",
        ),
        // Where something else is missing, no scope is worth asking for.
        (
            R::all([R::scopes(["a"]), R::roles(["R2"])]),
            user(""),
            "the caller needs the app roles R2",
        ),
        (
            R::any([R::roles(["R2"]), R::scopes(["a"])]),
            user(""),
            "scopes: a",
        ),
        (
            R::any_group(["g2"]),
            user(""),
            "the caller is in none of the groups g2",
        ),
        (R::any_client(["c2"]), user(""), "the client is none of c2"),
        (
            R::any_tenant(["t2"]),
            user(""),
            "the caller is in none of the tenants t2",
        ),
        // An application never gets a scope.
        (
            R::scopes(["a"]),
            application(&["R1"]),
            "the token is an application's own, and this takes a user's",
        ),
        (
            R::any([
                R::user().and(R::scopes(["a"])),
                R::application().and(R::roles(["R9"])),
            ]),
            user(""),
            "scopes: a",
        ),
    ] {
        assert_eq!(verdict(&requirement, &facts), expected, "{requirement:?}");
    }
}

#[test]
fn people_and_programs_can_be_asked_for_different_things() {
    let requirement = Requirement::any([
        Requirement::all([Requirement::user(), Requirement::scopes(["a"])]),
        Requirement::all([Requirement::application(), Requirement::roles(["R1"])]),
    ]);
    assert!(requirement.decide(&user("a")).is_ok());
    assert!(requirement.decide(&application(&["R1"])).is_ok());
    // A user's role does not stand in for the scope, nor an application's for the role.
    assert_eq!(verdict(&requirement, &user("")), "scopes: a");
    assert!(matches!(
        requirement.decide(&application(&[])),
        Err(Shortfall::Other(_))
    ));
}

#[test]
fn groups_that_nobody_looked_up_let_nobody_in() {
    let mut facts = user("");
    facts.principal.groups.clear();
    facts.principal.groups_overage = true;
    let expected = "the caller's groups are too many for a token, and nothing looks them up: g1";
    assert_eq!(verdict(&Requirement::any_group(["g1"]), &facts), expected);
}

#[test]
fn a_requirement_written_wrongly_is_met_by_nobody() {
    use Requirement as R;
    let nothing: [&str; 0] = [];
    for requirement in [
        R::scopes(nothing),
        R::scopes([" "]),
        R::scopes(["a\"b"]),
        R::any_scope(nothing),
        R::roles(nothing),
        R::roles([""]),
        R::any_role(nothing),
        R::any_group(nothing),
        R::any_tenant(nothing),
        R::any_client(nothing),
        R::all([]),
        R::any([]),
        R::all([R::user(), R::roles(nothing)]),
    ] {
        assert!(requirement.mistake().is_some(), "{requirement:?}");
        let decided = requirement.decide(&user("a b"));
        assert!(
            matches!(decided, Err(Shortfall::Other(_))),
            "{requirement:?}"
        );
    }
}

#[test]
fn a_requirement_can_be_written_down_and_read_again() {
    let requirement = Requirement::scopes(["a"]).and(Requirement::any([
        Requirement::any_role(["R"]),
        Requirement::application(),
    ]));
    let text = serde_json::to_string(&requirement).unwrap();
    assert_eq!(
        serde_json::from_str::<Requirement>(&text).unwrap(),
        requirement
    );
}

#[test]
fn what_is_written_wrongly_in_a_file_is_met_by_nobody() {
    for text in [
        r#"{"roles":[]}"#,
        r#"{"any_role":[""]}"#,
        r#"{"scopes":""}"#,
        r#"{"any_scope":""}"#,
        r#"{"all":[]}"#,
        r#"{"any":[]}"#,
        r#"{"any_tenant":[""]}"#,
        r#"{"any_group":[]}"#,
        r#"{"any_client":[""]}"#,
        r#"{"any":[{"all":[{"roles":[]}]}]}"#,
    ] {
        let requirement: Requirement = serde_json::from_str(text).unwrap();
        assert!(requirement.mistake().is_some(), "{text}");
        let mut facts = user("");
        facts.principal.tenant_id = String::new();
        assert!(requirement.decide(&facts).is_err(), "{text}");
    }
}

/// Requirements of scopes, roles and their combinations, a few levels deep.
fn requirement() -> impl Strategy<Value = Requirement> {
    let leaf = prop_oneof![
        proptest::sample::subsequence(vec!["a", "b", "c"], 1..=3).prop_map(Requirement::scopes),
        proptest::sample::subsequence(vec!["a", "b", "c"], 1..=3).prop_map(Requirement::any_scope),
        proptest::sample::subsequence(vec!["R1", "R2"], 1..=2).prop_map(Requirement::roles),
        Just(Requirement::user()),
        Just(Requirement::application()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let some = proptest::collection::vec(inner, 1..=3);
        prop_oneof![
            some.clone().prop_map(Requirement::all),
            some.prop_map(Requirement::any),
        ]
    })
}

proptest! {
    #[test]
    fn one_step_up_is_enough_and_none_is_offered_in_vain(
        requirement in requirement(),
        held in proptest::sample::subsequence(vec!["a", "b", "c"], 0..=3),
    ) {
        let facts = user(&held.join(" "));
        let everything = user("a b c");
        match requirement.decide(&facts) {
            Ok(()) => prop_assert!(requirement.decide(&everything).is_ok()),
            Err(Shortfall::Scope(scope)) => {
                // A client may come back with what it was told to ask for, and no more.
                let mut stepped_up = facts;
                stepped_up.scope = scope;
                prop_assert!(requirement.decide(&stepped_up).is_ok());
            }
            Err(_) => prop_assert!(requirement.decide(&everything).is_err()),
        }
    }
}
