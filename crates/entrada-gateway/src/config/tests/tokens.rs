//! Whose tokens let users in.

use super::routes::{of_file, problems_of_file, told, without_upstream};
use super::*;

#[test]
fn users_may_come_with_tokens_of_entras() {
    let route = |path: &str, more: &str| {
        format!("[[route]]\npath = \"{path}\"\nupstream = \"http://127.0.0.1:1\"\n{more}\n")
    };
    let outside = "allowed_applications = \"30000000-0000-4000-8000-000000000004\"\n";
    let own = "client_id = \"33333333-3333-3333-3333-333333333333\"";
    let entra = "tokens = \"entra\"\n";
    let text = [
        outside.to_owned(),
        route("/ours", ""),
        route("/entra", entra),
        route("/own", &format!("{entra}{own}")),
        route("/both", "tokens = \"both\""),
    ];
    let settings = of_file(&text.concat(), &without_upstream()).unwrap();
    let [ours, entras, another, both] = &settings.provider.resources[..] else {
        panic!("{:?}", settings.provider.resources);
    };
    let tokens = [ours, entras, another, both].map(|resource| resource.tokens);
    let (us, entra, both_of_us) = (TokensOf::Us, TokensOf::Entra, TokensOf::Both);
    assert_eq!(tokens, [us, entra, entra, both_of_us]);
    assert_eq!(ours.allowed_applications.len(), 1);
    assert!(entras.allowed_applications.is_empty());
    assert!(entras.registration.is_none() && another.registration.is_some());
    let warned = settings.warnings.iter().map(ToString::to_string);
    assert_eq!(
        warned
            .filter(|warning| warning.contains("one app registration"))
            .count(),
        1
    );
    assert_eq!(settings.provider.rehearse(&[]).len(), 0);
}

#[test]
fn what_entras_tokens_have_no_use_for_is_told() {
    let route = |more: &str| {
        format!("[[route]]\npath = \"/a\"\nupstream = \"http://127.0.0.1:1\"\n{more}\n")
    };
    let own = "client_id = \"33333333-3333-3333-3333-333333333333\"";
    for (more, expected) in [
        (own, "client_id: a route has one of its own only"),
        (
            "identifier_uri = \"api://a\"",
            "identifier_uri: a route has one",
        ),
        ("tokens = \"theirs\"", "tokens: write ours, entra or both"),
        (
            "tokens = \"entra\"\nclient_id = \"33333333-3333-3333-3333-333333333333\"\nupstream_scope = \"api://a/b\"",
            "upstream_scope: tokens for another app registration",
        ),
        (
            "tokens = \"both\"\nallowed_applications = \"30000000-0000-4000-8000-000000000004\"",
            "allowed_applications: where users come",
        ),
    ] {
        let told = problems_of_file(&route(more), &without_upstream());
        assert!(told.len() == 1 && told[0].contains(expected), "{told:?}");
    }
}

#[test]
fn who_is_not_among_the_only_applications_gets_in_at_no_route() {
    let only = "allowed_applications = \"30000000-0000-4000-8000-000000000004\"\n";
    let roles = "required_app_roles = \"Mcp.All\"\n";
    let route = "[[route]]\npath = \"/a\"\nupstream = \"http://127.0.0.1:1\"\n";
    for tokens in ["entra", "both"] {
        let tokens = format!("tokens = \"{tokens}\"\n");
        for (text, is_told) in [
            (format!("{only}{roles}{route}{tokens}"), true),
            (format!("{only}{route}{tokens}{roles}"), true),
            // Where no application gets in, or all that have the role are meant to.
            (format!("{only}{route}{tokens}"), false),
            (
                format!("{only}{roles}{route}{tokens}required_app_roles = []\n"),
                false,
            ),
            (format!("{roles}{route}{tokens}"), false),
        ] {
            let read = of_file(&text, &without_upstream());
            let problems = read
                .err()
                .map(|error| error.problems().iter().map(told).collect());
            let problems: Vec<String> = problems.unwrap_or_default();
            let expected = [":1: allowed_applications: holds for no server whose users come"];
            let expected = expected.iter().take(usize::from(is_told));
            assert_eq!(problems.len(), expected.len(), "{text}: {problems:?}");
            for (problem, expected) in problems.iter().zip(expected) {
                assert!(problem.starts_with(expected), "{problem}");
            }
        }
    }
}

#[test]
fn nothing_need_prove_us_where_entra_issues_all() {
    let text = "[[route]]\npath = \"/a\"\nupstream = \"http://127.0.0.1:1\"\ntokens = \"entra\"\n";
    let settings = without_upstream();
    let without: Vec<_> = settings
        .iter()
        .filter(|(name, _)| !name.contains("SECRET"))
        .copied()
        .collect();
    let read = of_file(text, &without).unwrap();
    assert!(read.provider.credential.is_none());
    let ours = text.replace("entra", "ours");
    assert!(of_file(&ours, &without).is_err());
}
