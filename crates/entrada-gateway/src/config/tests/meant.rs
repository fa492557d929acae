//! Settings that nobody can mean, and those that somebody may.

use super::*;

#[test]
fn what_nobody_can_mean_is_a_problem() {
    let empty = "the list is empty, which is neither all nor none: leave it out, or name one";
    for (line, expected) in [
        (
            "body_limit = 0",
            "body_limit: lets no request in: write a size such as 512KiB or 4MiB".to_owned(),
        ),
        (
            "body_limit = \"0MiB\"",
            "body_limit: lets no request in: write a size such as 512KiB or 4MiB".to_owned(),
        ),
        (
            "client_document_hosts = [\"claude.ai\", \"none\"]",
            "client_document_hosts: none stands alone: take it out, or the hosts".to_owned(),
        ),
        (
            "listen = \"127.0.0.1:3000\"",
            "ENTRADA_UPSTREAM: the gateway itself listens there: write where the MCP server does"
                .to_owned(),
        ),
        (
            "upstream_scope = \"api://orders\"",
            "upstream_scope: write the scope's name behind its api, such as \
             https://graph.microsoft.com/Mail.Read or api://orders/.default"
                .to_owned(),
        ),
        (
            "client_document_hosts = []",
            format!("client_document_hosts: {empty}"),
        ),
        ("allowed_tenants = []", format!("allowed_tenants: {empty}")),
        (
            "allowed_applications = \"\"",
            format!("allowed_applications: {empty}"),
        ),
        (
            "allowed_client_redirect_uris = []",
            format!("allowed_client_redirect_uris: {empty}"),
        ),
    ] {
        let file = file(line);
        let name = file.path().to_str().unwrap();
        let found = problems(&["--config", name], &LEAST);
        let expected = if expected.starts_with("ENTRADA") {
            expected
        } else {
            format!("{name}:1: {expected}")
        };
        assert_eq!(found, [expected], "{line}");
    }
    // An empty variable is one that is not set.
    let settings = read(&[], &least_and(&[("ENTRADA_ALLOWED_TENANTS", "")])).unwrap();
    assert!(settings.provider.allowed_tenants.is_empty());
    let identity = [&[("ENTRADA_MANAGED_IDENTITY", "entrada")], &LEAST[1..]].concat();
    assert_eq!(
        problems(&[], &identity),
        ["ENTRADA_MANAGED_IDENTITY: write the identity's client id, a GUID"]
    );
    let own = [("ENTRADA_UPSTREAM", "https://mcp.example.com/mcp")];
    let others = LEAST.iter().filter(|(name, _)| *name != own[0].0).copied();
    let variables: Vec<_> = own.into_iter().chain(others).collect();
    assert_eq!(
        problems(&[], &variables),
        [
            "ENTRADA_UPSTREAM: that is the gateway's own public URL: write where the MCP server \
             itself is"
        ]
    );
}

#[test]
fn what_somebody_may_mean_is_warned_of() {
    let base = |url| vec![("ENTRADA_BASE_URL", url)];
    let repeats = "ENTRADA_BASE_URL: ends with the path of a server, which is put behind it once more: \
                   take it out, unless that is meant";
    let groups = ("ENTRADA_GROUPS_FROM_GRAPH", "true");
    let scopes = |scopes| vec![groups, ("ENTRADA_ADDITIONAL_SCOPES", scopes)];
    let unasked = |graph: &str| {
        format!(
            "ENTRADA_GROUPS_FROM_GRAPH: users are not asked to consent to it: put \
             https://{graph}/User.Read among the additional_scopes, unless an administrator \
             consented for everybody"
        )
    };
    for (variables, expected) in [
        (
            base("https://mcp.example.com/mcp"),
            Some(repeats.to_owned()),
        ),
        (
            base("https://mcp.example.com/a/mcp/"),
            Some(repeats.to_owned()),
        ),
        (base("https://mcp.example.com/amcp"), None),
        (base("https://mcp.example.com/mcp/a"), None),
        (vec![groups], Some(unasked("graph.microsoft.com"))),
        (
            vec![groups, ("ENTRADA_CLOUD", "us-government")],
            Some(unasked("graph.microsoft.us")),
        ),
        (
            scopes("https://graph.microsoft.com/Mail.Read api://orders/User.Read"),
            Some(unasked("graph.microsoft.com")),
        ),
        (scopes("https://graph.microsoft.com/User.Read"), None),
        (
            scopes("https://graph.microsoft.com/groupmember.read.all"),
            None,
        ),
        (
            vec![
                groups,
                (
                    "ENTRADA_INCREMENTAL_SCOPES",
                    "https://graph.microsoft.com/User.Read",
                ),
            ],
            None,
        ),
        (
            vec![
                groups,
                (
                    "ENTRADA_UPSTREAM_SCOPE",
                    "https://graph.microsoft.com/User.Read",
                ),
            ],
            None,
        ),
    ] {
        let overridden = |name| variables.iter().any(|(other, _)| other == name);
        let least = LEAST.iter().filter(|(name, _)| !overridden(name)).copied();
        let all: Vec<_> = least.chain(variables.iter().copied()).collect();
        let settings = read(&[], &all).unwrap();
        let told: Vec<_> = settings.warnings.iter().map(Problem::to_string).collect();
        assert_eq!(told, Vec::from_iter(expected), "{variables:?}");
    }
}

#[test]
fn a_switch_is_none_but_where_one_is_meant() {
    for (text, expected) in [
        (
            "required_scopes = true",
            Some(":1: required_scopes: true and false say nothing here"),
        ),
        (
            "path = \"/a\"\nupstream = \"http://127.0.0.1:1\"\nrequired_scopes = false",
            Some(":4: required_scopes: true and false say nothing here"),
        ),
        ("dpop_nonce = true", None),
        ("dpop_nonce = \"true\"", None),
    ] {
        let text = if text.starts_with("path") {
            format!("[[route]]\n{text}")
        } else {
            text.to_owned()
        };
        let file = file(&text);
        let config = ("ENTRADA_CONFIG", file.path().to_str().unwrap());
        let found = read(&[], &[&LEAST[..], &[config]].concat()).err();
        let found = found.map(|error| error.problems().first().map(ToString::to_string));
        let found = found.flatten();
        match expected {
            Some(expected) => assert!(found.unwrap().ends_with(expected), "{text}"),
            None => assert_eq!(found, None, "{text}"),
        }
    }
}
