//! Routes in the configuration file, and applications among the callers.

use super::*;
use crate::upstream::identity::ForwardedIdentity;

const ROUTES: &str = r#"
body_limit = "1MiB"
upstream_scope = "https://graph.microsoft.com/Files.Read"
incremental_scopes = "https://graph.microsoft.com/Mail.Send"

[[route]]
path = "/mcp/mail"
upstream = "http://127.0.0.1:3001/mcp"
upstream_scope = "https://graph.microsoft.com/Mail.Read https://graph.microsoft.com/Mail.Send"
upstream_token_header = "X-Graph-Token"
upstream_timeout = "none"

[[route]]
path = "/mcp/orders"
upstream = "https://orders.example.com"
forward_identity = ["subject"]
"#;

/// What is read of `text`, a file, besides the least there must be.
pub(super) fn of_file(text: &str, least: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let file = file(text);
    let config = ("ENTRADA_CONFIG", file.path().to_str().unwrap());
    read(&[], &[least, &[config]].concat())
}

pub(super) fn problems_of_file(text: &str, least: &[(&str, &str)]) -> Vec<String> {
    let error = of_file(text, least).unwrap_err();
    error.problems().iter().map(told).collect()
}

/// A problem without the name of the file, which is another each time.
pub(super) fn told(problem: &Problem) -> String {
    let text = problem.to_string();
    match text.find(": ").filter(|_| text.starts_with('/')) {
        Some(end) => text[text[..end].rfind(':').unwrap()..].to_owned(),
        None => text,
    }
}

/// [`LEAST`], but for the upstream.
pub(super) fn without_upstream() -> Vec<(&'static str, &'static str)> {
    let others = LEAST.iter().filter(|(name, _)| *name != "ENTRADA_UPSTREAM");
    others.copied().collect()
}

#[test]
fn what_routes_have_from_one_line_is_told_once() {
    let text = "\
rate_limit_user = \"often\"

[[route]]
path = \"/mcp/mail\"
upstream = \"http://127.0.0.1:3001/mcp\"

[[route]]
path = \"/mcp/orders\"
upstream = \"http://127.0.0.1:3002/mcp\"
";
    let found = problems_of_file(text, &LEAST);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(":1: rate_limit_user: "), "{found:?}");
}

#[test]
fn problems_are_told_as_the_lines_stand_and_then_the_others() {
    let text = "\
[[route]]
path = \"/mcp/mail\"
body_limit = \"big\"
upstream = \"nowhere\"

[[route]]
path = \"/mcp/orders\"
upstream = \"http://127.0.0.1:3002/mcp\"
upstream_timeout = \"soon\"
tools = \"x\"
scope = \"x\"
log_level = \"loud\"
";
    let before = "drain_timeout = \"soon\"\n\ntenant_id = \"nobody\"\n";
    let least = without_upstream();
    let least: Vec<_> = least
        .into_iter()
        .filter(|(name, _)| *name != "ENTRADA_TENANT_ID")
        .collect();
    let found = problems_of_file(&format!("{before}{text}"), &least);
    let lines: Vec<_> = found
        .iter()
        .map(|it| it.split(' ').next().unwrap())
        .collect();
    let expected = [":1:", ":3:", ":6:", ":7:", ":12:", ":13:", ":14:", ":15:"];
    assert_eq!(lines, expected, "{found:#?}");

    let flag = ("ENTRADA_BODY_LIMIT", "big");
    let found = problems_of_file(
        "log_level = \"loud\"\nlog_format = \"x\"",
        &least_and(&[flag]),
    );
    let lines: Vec<_> = found
        .iter()
        .map(|it| it.split(' ').next().unwrap())
        .collect();
    assert_eq!(lines, [":1:", ":2:", "ENTRADA_BODY_LIMIT:"], "{found:#?}");
}

#[test]
fn a_problem_says_its_route_and_what_to_change_there() {
    let text = r#"
log_level = "loud"

[[route]]
path = "/mcp/mail"
upstream = "nowhere"
listen = "127.0.0.1:1"
scope = "x"
allowed_origins = ["x"]
[[route.rule]]
tools = "x"
[[route.rule]]
tools = ["x"]
roles = []

[[route]]
host = "Orders.example.com"
[[route.rule]]
tools = ["x"]
any_scope = ["orders.write"]

[[route]]
upstream = "http://127.0.0.1:3002/mcp"
"#;
    let error = of_file(text, &without_upstream()).unwrap_err();
    let problems = error.problems().iter();
    let found: Vec<_> = problems
        .map(|problem| (problem.route(), problem.setting().unwrap_or_default()))
        .collect();
    let (mail, orders) = (Some("/mcp/mail"), Some("orders.example.com/mcp"));
    let expected = [
        (None, "log_level"),
        (mail, "allowed_origins"),
        (mail, "upstream"),
        (mail, "listen"),
        (mail, "scope"),
        (mail, "tools"),
        (mail, "roles"),
        (orders, "upstream"),
        (orders, "scopes"),
        (Some(""), "path"),
    ];
    assert_eq!(found, expected, "{error}");

    let alone = "[[route]]\npath = \"/mcp/mail\"\nupstream = \"http://127.0.0.1:3002/mcp\"\n\
                 allowed_origins = [\"x\"]\n[[route.rule]]\ntools = [\"x\"]\nany_group = [\"GROUP\"]\n";
    let alone = alone.replace("GROUP", IDENTITY);
    let second = alone.replace("/mail", "/more");
    let settings = of_file(&format!("{alone}{second}"), &without_upstream()).unwrap();
    let about = |problem: &Problem| {
        let route = problem.route().unwrap_or_default().to_owned();
        (route, problem.setting().unwrap_or_default().to_owned())
    };
    let of = |route: &str, setting: &str| (route.to_owned(), setting.to_owned());
    let found: Vec<_> = settings.warnings.iter().map(about).collect();
    let expected = [of("/mcp/mail", "any_group"), of("/mcp/more", "any_group")];
    assert_eq!(found, expected);
    let found: Vec<_> = settings.provider.rehearse(&[]).iter().map(about).collect();
    let expected = ["/mcp/mail", "/mcp/more"].map(|route| of(route, "allowed_origins"));
    assert_eq!(found, expected);
}

#[test]
fn a_route_says_what_it_needs_and_shares_the_rest() {
    let settings = of_file(ROUTES, &LEAST).unwrap();
    let [outside, mail, orders] = &*settings.upstreams else {
        panic!("{:?}", settings.upstreams);
    };
    let paths = [outside, mail, orders].map(|server| &*server.resource_path);
    assert_eq!(paths, ["/mcp", "/mcp/mail", "/mcp/orders"]);
    let files = Exchange::new("https://graph.microsoft.com/Files.Read").unwrap();
    assert_eq!(outside.exchange, Some(files));
    let exchange = mail.exchange.as_ref().unwrap();
    let scope = "https://graph.microsoft.com/Mail.Read https://graph.microsoft.com/Mail.Send";
    let expected = Exchange::new(scope).unwrap();
    let expected = expected.header("x-graph-token".parse().unwrap());
    assert_eq!(exchange, &expected);
    // A token is for whom it is named, and for nobody else.
    assert_eq!(orders.exchange, None);
    assert_eq!(orders.transport.shown(), "https://orders.example.com");
    assert_eq!(mail.response_timeout, None);
    assert_eq!(orders.response_timeout, Some(table::UPSTREAM_TIMEOUT));
    for server in [outside, mail, orders] {
        assert_eq!(server.body_limit, 1 << 20);
    }
    assert_eq!(orders.forward_identity.plain.len(), 1);
    assert_eq!(mail.forward_identity, ForwardedIdentity::default());
    // Those that are to be asked for later are not asked for at the first login.
    assert_eq!(
        settings.provider.additional_scopes,
        [
            "https://graph.microsoft.com/Files.Read",
            "https://graph.microsoft.com/Mail.Read"
        ]
    );
}

#[test]
fn where_there_are_routes_there_need_not_be_a_server_besides() {
    let route = "[[route]]\npath = \"/mcp\"\nupstream = \"http://127.0.0.1:1/a\"";
    let settings = of_file(route, &without_upstream()).unwrap();
    assert_eq!(settings.upstreams.len(), 1);
    assert_eq!(settings.upstreams[0].resource_path, "/mcp");
}

#[test]
fn a_route_that_leads_nowhere_is_a_problem() {
    let route = |lines: &str| format!("[[route]]\n{lines}");
    let upstream = "upstream = \"http://127.0.0.1:1\"";
    let least = without_upstream();
    for (text, expected) in [
        (
            route(upstream),
            vec![":1: the route has no path, and no host"],
        ),
        (
            route("path = \"/mcp/a\""),
            vec![":1: the route has no upstream"],
        ),
        (
            route("path = 3\nupstream = 1.5"),
            vec![
                ":2: path: write a string",
                ":3: upstream: write a string, a number, true or false, or a list of strings",
            ],
        ),
        (
            route(&format!("host = \"https://h/\"\n{upstream}")),
            vec![
                ":2: host: write a host such as orders.example.com, with a port where it is not the \
                 usual one",
            ],
        ),
        (
            route(&format!("host = 3\n{upstream}")),
            vec![":2: host: write a string"],
        ),
        (
            route(&format!("path = \"/mcp/{{a}}\"\n{upstream}")),
            vec![":2: path: write a path such as /mcp, of letters, digits, and - . _ ~"],
        ),
        (
            route(&format!("path = \"/mcp/a\"\n{upstream}\ntenant_id = \"x\"")),
            vec![":4: tenant_id holds for all routes: write it before the first"],
        ),
        (
            route(&format!(
                "path = \"/mcp/a\"\n{upstream}\nupstrem_scope = \"x\""
            )),
            vec![":4: there is no setting \"upstrem_scope\": is upstream_scope meant?"],
        ),
        (
            route(&format!(
                "path = \"/mcp/a\"\n{upstream}\nupstream_token_header = \"x-a\""
            )),
            vec![":4: upstream_token_header: means nothing without upstream_scope"],
        ),
        (
            format!(
                "{}\n{}",
                route(&format!("path = \"/mcp/a\"\n{upstream}")),
                route(&format!("path = \"/mcp/a\"\n{upstream}"))
            ),
            vec![":5: path: another server has that path"],
        ),
        (
            format!("upstream_scope = \"api://a/b\"\n[[route]]\npath = \"/mcp/a\"\n{upstream}"),
            vec![":1: upstream_scope: means nothing without upstream"],
        ),
        (
            format!("[route]\n{upstream}"),
            vec![
                ":1: write [[route]] before the settings of each",
                "upstream is missing: give --upstream URLS, set ENTRADA_UPSTREAM, or write \
                 upstream = \"…\" in the configuration file",
            ],
        ),
    ] {
        assert_eq!(problems_of_file(&text, &least), expected, "{text}");
    }
    let taken = route(&format!("path = \"/mcp\"\n{upstream}"));
    assert_eq!(
        problems_of_file(&taken, &LEAST),
        [":2: path: another server has that path"]
    );
}

#[test]
fn routes_whose_paths_are_none_are_not_told_to_have_the_same() {
    let upstream = "upstream = \"http://127.0.0.1:1\"";
    let route = |path: &str| format!("[[route]]\npath = \"{path}\"\n{upstream}");
    let text = format!("{}\n{}", route("a"), route("b"));
    let what = "path: write a path such as /mcp, of letters, digits, and - . _ ~";
    assert_eq!(
        problems_of_file(&text, &without_upstream()),
        [format!(":2: {what}"), format!(":5: {what}")]
    );
}

#[test]
fn two_routes_have_no_place_in_common() {
    let upstream = "upstream = \"http://127.0.0.1:1\"";
    let own = format!("[[route]]\nhost = \"a.example\"\n{upstream}");
    let least = without_upstream();
    let both = format!("{own}\n{own}");
    assert_eq!(
        problems_of_file(&both, &least),
        [":4: path: another server has that path"]
    );
    let elsewhere = format!("{own}\npath = \"/a\"\n{own}\n{}", own.replace("a.", "b."));
    assert!(of_file(&elsewhere, &least).is_ok());
}

const SEVERAL: &str = r#"
base_url = "https://mcp.example.com/team"
required_scopes = "mcp.read"
allowed_origins = "https://inspector.example"

[[route]]
path = "/files"
upstream = "http://127.0.0.1:3001/mcp"
resource_name = "Files"

[[route]]
host = "Orders.example.com:8443"
upstream = "http://127.0.0.1:3002/mcp"
required_scopes = ["orders.read"]
optional_scopes = ["orders.write"]
allowed_applications = "30000000-0000-4000-8000-000000000004"
allowed_origins = "https://orders.example"
"#;

#[test]
fn each_route_is_a_protected_server_of_its_own() {
    let least: Vec<_> = without_upstream()
        .into_iter()
        .filter(|(name, _)| !["ENTRADA_BASE_URL", "ENTRADA_REQUIRED_SCOPES"].contains(name))
        .collect();
    let settings = of_file(SEVERAL, &least).unwrap();
    let provider = &settings.provider;
    let [files, orders] = &*provider.resources else {
        panic!("{:?}", provider.resources);
    };
    assert_eq!(
        files.url(&provider.base_url),
        "https://mcp.example.com/team/files"
    );
    assert_eq!(
        orders.url(&provider.base_url),
        "https://orders.example.com:8443/mcp"
    );
    assert_eq!(files.name.as_deref(), Some("Files"));
    assert_eq!(orders.name, None);
    assert_eq!(files.required_scopes, ["mcp.read"]);
    assert_eq!(orders.required_scopes, ["orders.read"]);
    assert_eq!(orders.optional_scopes, ["orders.write"]);
    assert!(files.allowed_applications.is_empty());
    assert_eq!(orders.allowed_applications.len(), 1);
    assert_eq!(files.allowed_origins, ["https://inspector.example"]);
    assert_eq!(orders.allowed_origins, ["https://orders.example"]);
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings;
    settings.provider.data_dir = folder.path().to_owned();
    let provider = settings.provider.provider().unwrap();
    assert_eq!(
        provider.resources().collect::<Vec<_>>(),
        [
            "https://mcp.example.com/team/files",
            "https://orders.example.com:8443/mcp"
        ]
    );
}

#[test]
fn what_is_wrong_with_a_further_route_is_told_with_its_place() {
    let route = |path: &str, more: &str| {
        format!("[[route]]\npath = \"{path}\"\nupstream = \"http://127.0.0.1:1\"\n{more}\n")
    };
    for (more, expected) in [
        (
            route("/token", ""),
            ":5: path: its path is one of the authorization server's own, choose another",
        ),
        (
            route("/b", "required_scopes = \"openid\""),
            ":5: required_scopes: at least one required scope must be a scope of your own API, such \
             as mcp.access",
        ),
        (
            route("/b", "allowed_applications = \"daemon\""),
            "allowed_applications: \"daemon\" is no Application (client) ID, a GUID",
        ),
    ] {
        let text = format!("{}{more}", route("/a", ""));
        let settings = of_file(&text, &without_upstream()).unwrap();
        let found = settings.provider.rehearse(&[]);
        let found: Vec<_> = found.iter().map(told).collect();
        assert_eq!(found, [expected], "{text}");
    }
}

#[test]
fn applications_that_are_let_in_and_then_refused_are_warned_of() {
    const DAEMON: &str = "allowed_applications = \"30000000-0000-4000-8000-000000000004\"\n";
    let route = |more: &str| {
        let upstream = "upstream = \"http://127.0.0.1:1\"";
        format!("[[route]]\npath = \"/mcp/a\"\n{upstream}\nupstream_scope = \"api://a/b\"\n{more}")
    };
    let warning = |place: &str| {
        format!(
            "{place}upstream_scope: applications are let in, and refused at this server, for there \
             is no user to get a token for: set upstream_app_only_fallback to true, or to false if \
             that is meant"
        )
    };
    let outside = "upstream_scope = \"api://c/d\"\n";
    for (text, expected) in [
        (route(""), vec![]),
        (format!("{DAEMON}{}", route("")), vec![warning(":5: ")]),
        (
            format!("{DAEMON}{outside}{}", route("")),
            vec![warning(":2: "), warning(":6: ")],
        ),
        (
            format!("{DAEMON}{}", route("upstream_app_only_fallback = true")),
            vec![],
        ),
        (
            format!("{DAEMON}{}", route("upstream_app_only_fallback = false")),
            vec![],
        ),
    ] {
        let settings = of_file(&text, &LEAST).unwrap();
        let told: Vec<_> = settings.warnings.iter().map(told).collect();
        assert_eq!(told, expected, "{text}");
    }
}

#[test]
fn applications_are_let_in_by_role_or_by_name() {
    const DAEMON: &str = "30000000-0000-4000-8000-000000000004";
    let scope = ("ENTRADA_UPSTREAM_SCOPE", "api://orders/.default");
    let fallback = ("ENTRADA_UPSTREAM_APP_ONLY_FALLBACK", "true");
    let named = ("ENTRADA_ALLOWED_APPLICATIONS", DAEMON);
    let roles = ("ENTRADA_REQUIRED_APP_ROLES", "Orders.Read");
    for applications in [&[named][..], &[roles], &[named, roles]] {
        let variables = [applications, &[scope, fallback]].concat();
        let settings = read(&[], &least_and(&variables)).unwrap();
        let exchange = Exchange::new(scope.1).unwrap().allow_app_only_fallback();
        assert_eq!(settings.upstreams[0].exchange, Some(exchange));
        assert!(settings.provider.rehearse(&[]).is_empty());
    }
    for (variables, expected) in [
        (
            vec![scope, fallback],
            vec![
                "ENTRADA_UPSTREAM_APP_ONLY_FALLBACK: means nothing without required_app_roles or \
                 allowed_applications",
            ],
        ),
        (
            vec![named, fallback],
            vec!["ENTRADA_UPSTREAM_APP_ONLY_FALLBACK: means nothing without upstream_scope"],
        ),
        (
            vec![("ENTRADA_ALLOWED_APPLICATIONS", "daemon")],
            vec!["ENTRADA_ALLOWED_APPLICATIONS: \"daemon\" is no Application (client) ID, a GUID"],
        ),
        (
            vec![roles, ("ENTRADA_TENANT_ID", "organizations")],
            vec![
                "ENTRADA_REQUIRED_APP_ROLES: every tenant's administrators give their applications your \
                 app roles: name the tenants (allowed_tenants), or the applications \
                 (allowed_applications)",
            ],
        ),
        (
            vec![
                roles,
                ("ENTRADA_TENANT_ID", "organizations"),
                (
                    "ENTRADA_ALLOWED_TENANTS",
                    "10000000-0000-4000-8000-000000000001",
                ),
            ],
            vec![],
        ),
        // What is wrong with both is told once.
        (
            vec![roles, ("ENTRADA_CLIENT_ID", "mcp")],
            vec![
                "ENTRADA_CLIENT_ID: take the Application (client) ID of the app registration, a GUID",
            ],
        ),
    ] {
        let overridden = |name| variables.iter().any(|(other, _)| other == name);
        let least = LEAST.iter().filter(|(name, _)| !overridden(name)).copied();
        let variables: Vec<_> = least.chain(variables.iter().copied()).collect();
        let found = match read(&[], &variables) {
            Ok(settings) => settings.provider.rehearse(&[]),
            Err(error) => error.problems().to_vec(),
        };
        let told: Vec<_> = found.iter().map(Problem::to_string).collect();
        assert_eq!(told, expected);
    }
}
