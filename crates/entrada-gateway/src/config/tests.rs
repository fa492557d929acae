use clap::{Args as _, Command, FromArgMatches as _};

use super::*;
use crate::config::flags::secret_tip;
use crate::config::table::Setting;
use crate::telemetry::LogLevel;

mod acme;
mod admin;
mod clients;
mod consent;
mod documents;
mod dpop;
mod findings;
mod keys;
mod limits;
mod meant;
mod readmes;
mod routes;
mod rules;
mod stdio;
mod store;
mod tls;
mod tokens;
mod upstream;
mod upstream_token;
mod websocket;

/// The least one must say.
const LEAST: [(&str, &str); 6] = [
    ("ENTRADA_CLIENT_SECRET", "hush-hush"),
    ("ENTRADA_REQUIRED_SCOPES", "mcp.read"),
    ("ENTRADA_UPSTREAM", "http://127.0.0.1:3000/mcp"),
    ("ENTRADA_TENANT_ID", "contoso.onmicrosoft.com"),
    ("ENTRADA_CLIENT_ID", "30000000-0000-4000-8000-000000000001"),
    ("ENTRADA_BASE_URL", "https://mcp.example.com"),
];

/// A managed identity.
const IDENTITY: &str = "40000000-0000-4000-8000-000000000001";

fn flags(line: &[&str]) -> Flags {
    let command = Flags::augment_args(Command::new("serve").no_binary_name(true));
    Flags::from_arg_matches(&command.try_get_matches_from(line).unwrap()).unwrap()
}

fn read(line: &[&str], variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    Settings::read(&flags(line), &Environment::from_pairs(variables))
}

fn problems(line: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    let error = read(line, variables).unwrap_err();
    error.problems().iter().map(Problem::to_string).collect()
}

fn least_and<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [more, &LEAST].concat()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let file = file("resource_path = \"/file\"");
    let file = ("ENTRADA_CONFIG", file.path().to_str().unwrap());
    let variable = ("ENTRADA_RESOURCE_PATH", "/variable");
    let line: &[&str] = &["--resource-path", "/flag"];
    for (line, variables, expected) in [
        (line, vec![file, variable], "/flag"),
        (&[], vec![file, variable], "/variable"),
        (&[], vec![file], "/file"),
        (&[], vec![file, ("ENTRADA_RESOURCE_PATH", "")], "/file"),
        (&[], vec![], "/mcp"),
    ] {
        let settings = read(line, &least_and(&variables)).unwrap();
        assert_eq!(settings.provider.resources[0].path, expected);
        assert_eq!(settings.upstreams[0].resource_path, expected);
    }
}

#[test]
fn every_setting_can_be_a_flag_a_variable_or_a_key() {
    let file = file(
        r#"
        upstream = "http://127.0.0.1:3000/mcp"
        base_url = "https://mcp.example.com"
        tenant_id = "contoso.onmicrosoft.com"
        client_id = "30000000-0000-4000-8000-000000000001"
        required_scopes = ["mcp.read", "mcp.write"]
        optional_scopes = ["mcp.delete"]
        access_token_lifetime = 900
        insecure_http_authority = true
        host_header = "preserve"
        "#,
    );
    let line = ["--config", file.path().to_str().unwrap()];
    let settings = read(&line, &LEAST[..1]).unwrap();
    let provider = settings.provider;
    assert_eq!(
        provider.resources[0].required_scopes,
        ["mcp.read", "mcp.write"]
    );
    assert_eq!(provider.resources[0].optional_scopes, ["mcp.delete"]);
    assert_eq!(
        provider.access_token_lifetime,
        Some(Duration::from_secs(900))
    );
    assert!(provider.insecure_http_authority);
    assert_eq!(settings.upstreams[0].host_header, HostHeader::Preserve);
    assert_eq!(settings.server.listen, table::LISTEN);
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_types() {
    let settings = read(&[], &LEAST).unwrap();
    let Transport::Http(places) = settings.upstreams[0].transport.clone() else {
        panic!("{:?}", settings.upstreams);
    };
    let plain = UpstreamSettings::new(places[0].url.clone());
    assert_eq!(settings.upstreams[0].session_grace, plain.session_grace);
    assert_eq!(settings.upstreams[0].body_limit, plain.body_limit);
    assert_eq!(
        settings.upstreams[0].response_timeout,
        plain.response_timeout
    );
    assert_eq!(
        settings.upstreams[0].forward_identity,
        plain.forward_identity
    );
    assert_eq!(settings.upstreams[0].host_header, plain.host_header);
    assert_eq!(settings.log.level, LogLevel::default());
}

#[test]
fn everything_wrong_is_told_at_once() {
    let file =
        file("tenant_id = 1.5\ntenent_id = \"x\"\n\nclient_secret = \"s3cret\"\nconfig = \"a\"");
    let name = file.path().to_str().unwrap();
    let found = problems(
        &["--listen", "8000", "--log-level", "loud", "--config", name],
        &[
            ("ENTRADA_UPSTREAM", "ftp://user:s3cret@host"),
            ("ENTRADA_BODY_LIMIT", "big"),
            ("ENTRADA_CLIENT_SECRET_FILE", "/nowhere/at/all"),
            ("ENTRADA_REQUIRED_SCOPES", "mcp.read"),
            ("ENTRADA_IDENTIFIER_URI", "api://mcp"),
            ("ENTRADA_ADDITIONAL_SCOPES", "User.Read"),
        ],
    );
    let expected = [
        format!(
            "{name}:1: tenant_id: write a string, a number, true or false, or a list of strings"
        ),
        format!("{name}:2: there is no setting \"tenent_id\": is tenant_id meant?"),
        format!(
            "{name}:4: client_secret does not belong in a configuration file: write \
             client_secret_file, or set ENTRADA_CLIENT_SECRET"
        ),
        format!(
            "{name}:5: config cannot be set in a file: give --config, or set ENTRADA_CONFIG"
        ),
        "ENTRADA_UPSTREAM: neither http:// nor https://: write a URL such as \
         http://127.0.0.1:3000/mcp"
            .to_owned(),
        "ENTRADA_BODY_LIMIT: write a size such as 512KiB or 4MiB".to_owned(),
        "client_id is missing: give --client-id ID, set ENTRADA_CLIENT_ID, or write client_id = \
         \"…\" in the configuration file"
            .to_owned(),
        "ENTRADA_CLIENT_SECRET_FILE: the file cannot be read: No such file or directory (os error \
         2)"
        .to_owned(),
        "base_url is missing: give --base-url URL, set ENTRADA_BASE_URL, or write base_url = \"…\" \
         in the configuration file"
            .to_owned(),
        "--log-level: write error, warn, info, debug, trace or off, or by part: info,entrada=debug"
            .to_owned(),
        "--listen: write an IP address and a port, such as 127.0.0.1:8000".to_owned(),
        // The library's own finding.
        "ENTRADA_ADDITIONAL_SCOPES: write \"User.Read\" with its API, https://graph.microsoft.com/User.Read"
            .to_owned(),
    ];
    let mut sorted = found.clone();
    sorted.sort();
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(sorted, expected);
    assert!(!found.concat().contains("s3cret"));
}

#[test]
fn a_file_that_is_not_toml_names_the_line_and_nothing_that_follows() {
    let file = file("upstream = \"http://127.0.0.1:3000\"\nbase_url = \n");
    let name = file.path().to_str().unwrap();
    let found = problems(&["--config", name], &[]);
    let there = |problem: &String| problem.starts_with(&format!("{name}:2: "));
    assert!(!found.is_empty() && found.iter().all(there), "{found:?}");
}

#[test]
fn a_file_that_is_not_there_is_the_one_problem() {
    let found = problems(&["--config", "/nowhere/at/all"], &[]);
    assert_eq!(
        found,
        ["/nowhere/at/all: the file cannot be read: No such file or directory (os error 2)"]
    );
}

#[test]
fn localhost_is_the_loopback_address() {
    for (text, expected) in [
        ("localhost:9000", Some("127.0.0.1:9000")),
        ("LOCALHOST:0", Some("127.0.0.1:0")),
        ("[::1]:9000", Some("[::1]:9000")),
        ("localhost", None),
        ("localhost:99999", None),
        ("host:9000", None),
        ("9000", None),
    ] {
        let expected = expected.map(|address| address.parse().unwrap());
        assert_eq!(address(text).ok(), expected, "{text}");
    }
}

#[test]
fn the_secret_comes_from_the_environment_or_from_a_file() {
    let file = file("s3cret\n");
    let path = file.path().to_str().unwrap();
    for (variable, expected) in [
        (("ENTRADA_CLIENT_SECRET", "hush-hush"), "hush-hush"),
        (("ENTRADA_CLIENT_SECRET_FILE", path), "s3cret"),
    ] {
        let variables = [&[variable], &LEAST[1..]].concat();
        let (flags, environment) = (flags(&[]), Environment::from_pairs(&variables));
        let mut sources = Sources::open(&flags, &environment).ok().unwrap();
        let secret = sources.secret("client_secret", "client_secret_file");
        assert_eq!(secret.unwrap().expose(), expected);
        let shown = format!("{:?}", read(&[], &variables).unwrap());
        assert!(shown.contains("Secret(ClientSecret(…))"), "{shown}");
        assert!(!shown.contains("s3cret") && !shown.contains("hush-hush"));
    }
    let found = problems(&[], &LEAST[1..]);
    assert_eq!(
        found,
        [
            "client_secret is missing: set ENTRADA_CLIENT_SECRET, or name a file with \
             --client-secret-file; or use client_certificate, federated_token_file or \
             managed_identity"
        ]
    );
    let both = [
        ("ENTRADA_CLIENT_SECRET", "hush-hush"),
        ("ENTRADA_CLIENT_SECRET_FILE", path),
    ];
    let found = problems(&[], &least_and(&both));
    assert_eq!(
        found,
        ["client_secret and client_secret_file are both set: take one away"]
    );
}

#[test]
fn a_credential_may_be_other_than_a_secret() {
    let token = file("a.b.c");
    let token = token.path().to_str().unwrap();
    let password = file("s3cret\n");
    let password = password.path().to_str().unwrap();
    let certificate = ("ENTRADA_CLIENT_CERTIFICATE", "/run/app.pfx");
    let app_service = [
        ("ENTRADA_MANAGED_IDENTITY", IDENTITY),
        ("IDENTITY_ENDPOINT", "http://127.0.0.1:41/msi/token"),
        ("IDENTITY_HEADER", "s3cret"),
    ];
    let emulated = [
        ("ENTRADA_MANAGED_IDENTITY", IDENTITY),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:42"),
    ];
    for (variables, expected) in [
        (&[certificate][..], "path: \"/run/app.pfx\", password: None"),
        (
            &[
                certificate,
                ("ENTRADA_CLIENT_CERTIFICATE_PASSWORD", "s3cret"),
            ],
            "password: Some(CertificatePassword(…))",
        ),
        (
            &[
                certificate,
                ("ENTRADA_CLIENT_CERTIFICATE_PASSWORD_FILE", password),
            ],
            "password: Some(CertificatePassword(…))",
        ),
        (
            &[("ENTRADA_FEDERATED_TOKEN_FILE", token)],
            "FederatedTokenFile(",
        ),
        (
            &[("AZURE_FEDERATED_TOKEN_FILE", token)],
            "FederatedTokenFile(",
        ),
        (
            &[certificate, ("AZURE_FEDERATED_TOKEN_FILE", "/another")],
            "/run/app.pfx",
        ),
        (&app_service[..1], "http://169.254.169.254"),
        (&app_service, "http://127.0.0.1:41/msi/token"),
        (&emulated, "Imds { authority: \"http://127.0.0.1:42\" }"),
    ] {
        let settings = read(&[], &[variables, &LEAST[1..]].concat()).unwrap();
        let shown = format!("{:?}", settings.provider.credential.unwrap());
        assert!(shown.contains(expected), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn there_is_one_credential() {
    let certificate = ("ENTRADA_CLIENT_CERTIFICATE", "/run/app.pfx");
    let token = ("ENTRADA_FEDERATED_TOKEN_FILE", "/run/token");
    let identity = ("ENTRADA_MANAGED_IDENTITY", IDENTITY);
    let password = ("ENTRADA_CLIENT_CERTIFICATE_PASSWORD", "s3cret");
    for (variables, expected) in [
        (
            vec![LEAST[0], certificate],
            "client_secret and client_certificate are both set: take one away",
        ),
        (
            vec![certificate, token],
            "client_certificate and federated_token_file are both set: take one away",
        ),
        (
            vec![token, identity, certificate],
            "client_certificate and managed_identity are both set: take one away",
        ),
        (
            vec![LEAST[0], password],
            "ENTRADA_CLIENT_CERTIFICATE_PASSWORD: means nothing without client_certificate",
        ),
    ] {
        let found = problems(&[], &[&variables, &LEAST[1..]].concat());
        assert_eq!(found, [expected]);
    }
    let missing = [certificate, password];
    let settings = read(&[], &[&missing[..], &LEAST[1..]].concat()).unwrap();
    let found = settings.provider.rehearse(&[]);
    assert_eq!(found.len(), 1, "{found:?}");
    let told = found[0].to_string();
    assert!(
        told.starts_with("ENTRADA_CLIENT_CERTIFICATE: /run/app.pfx cannot be read: No such"),
        "{told}"
    );
}

#[test]
fn a_secret_is_never_a_flag() {
    let command = Flags::augment_args(Command::new("serve").no_binary_name(true));
    let mut command = refusing_secrets(command);
    let help = command.render_help().to_string();
    for name in ["client_secret", "client_certificate_password"] {
        let setting = Setting::named(name).unwrap();
        let flag = format!("--{}", setting.flag());
        for line in [
            &[flag.clone(), "hush-hush".to_owned()][..],
            &[format!("{flag}=hush-hush")],
            std::slice::from_ref(&flag),
        ] {
            let error = command.clone().try_get_matches_from(line).unwrap_err();
            let said = error.to_string();
            assert!(said.contains(&secret_tip(setting)), "{said}");
            assert!(!said.contains("hush-hush"), "{said}");
        }
        assert!(!help.contains(&format!("{flag} <")), "{help}");
    }
}

#[test]
fn values_are_read_as_people_write_them() {
    for (text, seconds) in [
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("8h", 28800),
        ("2d", 172_800),
    ] {
        assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
    }
    for text in ["", "0", "-1", "1.5h", "h", "15 m", "99999999999999999999d"] {
        assert!(duration(text).is_err(), "{text}");
    }
    for (text, bytes) in [("1", 1), ("512", 512), ("64KiB", 65536), ("4MiB", 4 << 20)] {
        assert_eq!(value::size(text), Ok(bytes));
    }
    for text in ["", "0", "0KiB", "4MB", "MiB", "99999999999999999999"] {
        assert!(value::size(text).is_err(), "{text}");
    }
    assert_eq!(value::timeout("none"), Ok(None));
    assert!(value::upstream("http://user@host/mcp").is_err());
    assert!(value::upstream("http://host/mcp#top").is_err());
}

#[test]
fn a_path_that_is_taken_is_refused() {
    for (setting, path) in [
        ("ENTRADA_RESOURCE_PATH", "/healthz"),
        ("ENTRADA_RESOURCE_PATH", "/token"),
        ("ENTRADA_RESOURCE_PATH", "/auth/callback"),
        ("ENTRADA_RESOURCE_PATH", "/{all}"),
        ("ENTRADA_RESOURCE_PATH", "mcp"),
        ("ENTRADA_REDIRECT_PATH", "/readyz"),
        ("ENTRADA_REDIRECT_PATH", "/consent"),
    ] {
        let variables = least_and(&[(setting, path)]);
        let found = match read(&[], &variables) {
            Ok(settings) => settings.provider.rehearse(&[]).len(),
            Err(error) => error.problems().len(),
        };
        assert_eq!(found, 1, "{setting} {path}");
    }
}

#[test]
fn a_base_url_that_is_wrong_is_told_once() {
    let base = [("ENTRADA_BASE_URL", "ftp://mcp.example.com")];
    let settings = read(&[], &[&LEAST[..5], &base].concat()).unwrap();
    let found = settings.provider.rehearse(&[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].to_string().starts_with("ENTRADA_BASE_URL: "));
}

#[test]
fn tenants_and_clouds_are_checked_with_the_rest() {
    let tenant = "22222222-2222-3333-4444-555555555555";
    for (variables, expected) in [
        (
            vec![("ENTRADA_CLOUD", "moon")],
            "write one of public, us-gov",
        ),
        (
            vec![("ENTRADA_ALLOWED_TENANTS", tenant)],
            "ENTRADA_ALLOWED_TENANTS: only organizations",
        ),
        (
            vec![
                ("ENTRADA_TENANT_ID", "organizations"),
                ("ENTRADA_ALLOWED_TENANTS", "contoso.com"),
            ],
            "ENTRADA_ALLOWED_TENANTS: \"contoso.com\"",
        ),
        (
            vec![("ENTRADA_GROUPS_FROM_GRAPH", "1")],
            "write true or false",
        ),
    ] {
        let variables = [&LEAST[..], &variables].concat();
        let found = match read(&[], &variables) {
            Ok(settings) => settings.provider.rehearse(&[]),
            Err(error) => error.problems().to_vec(),
        };
        let told = found.first().map(ToString::to_string).unwrap_or_default();
        assert!(found.len() == 1 && told.contains(expected), "{found:?}");
    }
    let good = [
        ("ENTRADA_TENANT_ID", "organizations"),
        ("ENTRADA_ALLOWED_TENANTS", tenant),
        ("ENTRADA_CLOUD", "us-government"),
        ("ENTRADA_GROUPS_FROM_GRAPH", "true"),
    ];
    let settings = read(&[], &[&LEAST[..], &good].concat()).unwrap();
    assert_eq!(settings.provider.rehearse(&[]), []);
}

#[test]
fn a_data_directory_that_cannot_be_used_says_why() {
    let file = file("not a directory");
    let path = ("ENTRADA_DATA_DIR", file.path().to_str().unwrap());
    let settings = read(&[], &least_and(&[path])).unwrap();
    let error = settings.provider.provider().unwrap_err().to_string();
    assert!(error.contains("ENTRADA_DATA_DIR: "), "{error}");
    assert!(error.contains("(os error "), "{error}");
}

#[test]
fn a_variable_that_is_nearly_a_setting_is_a_slip() {
    let variables = least_and(&[
        ("ENTRADA_TENENT_ID", "x"),
        ("ENTRADA_TENENT", "x"),
        ("ENTRADA_SERVICE_HOST", "10.0.0.1"),
        ("ENTRADA_PORT", "tcp://10.0.0.1:8000"),
        ("OTHER_UPSTREAMS", "x"),
    ]);
    let expected = ["ENTRADA_TENENT_ID", "ENTRADA_TENENT"].map(|variable| {
        format!("{variable}: there is no such setting: is ENTRADA_TENANT_ID meant?")
    });
    assert_eq!(problems(&[], &variables), expected);
}
