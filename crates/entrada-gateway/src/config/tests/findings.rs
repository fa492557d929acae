//! What the library finds wrong is told with our names, and with where it was set.

use super::routes::{of_file, told, without_upstream};
use super::*;

#[test]
fn what_the_library_finds_is_told_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let (path, secret) = (
        folder.path().join("entrada.toml"),
        folder.path().join("secret"),
    );
    std::fs::write(&secret, "10000000-0000-4000-8000-000000000001").unwrap();
    let secret_file = format!("client_secret_file = {secret:?}");
    for (line, expected) in [
        ("tenant_id = \"contoso\"", "tenant_id: not a tenant id"),
        ("base_url = \"ftp://mcp.example.com\"", "base_url: "),
        ("issuer_url = \"mcp\"", "issuer_url: "),
        (
            "client_id = \"mcp\"",
            "client_id: take the Application (client) ID",
        ),
        // The identifier URI is made of it, and nobody set that.
        (
            "client_id = \"my app\"",
            "client_id: take the Application (client) ID",
        ),
        (
            "redirect_path = \"/token\"",
            "redirect_path: must begin with a slash",
        ),
        (
            "resource_path = \"/token\"",
            "resource_path: its path is one of",
        ),
        (
            "optional_scopes = [\"a\", \"b\\\\c\"]",
            "optional_scopes: \"b\\\\c\" is no scope",
        ),
        (
            "additional_scopes = \"User.Read\"",
            "additional_scopes: write \"User.Read\" with its API",
        ),
        (
            "access_token_lifetime = \"2d\"",
            "access_token_lifetime: access tokens live one second to",
        ),
        (
            "refresh_token_lifetime = \"1m\"",
            "refresh_token_lifetime: access tokens live one second to",
        ),
        (
            &secret_file,
            "client_secret_file: this is the id of a secret",
        ),
        (
            "client_certificate = \"/nowhere\"",
            "client_certificate: /nowhere cannot be read",
        ),
        (
            "identifier_uri = \"mcp\"",
            "identifier_uri: must be absolute",
        ),
    ] {
        std::fs::write(&path, format!("\n{line}\n")).unwrap();
        let name = line.split_once(' ').unwrap().0;
        let credential = name.starts_with("client_secret") || name == "client_certificate";
        let overridden = |variable: &str| {
            let variable = variable.trim_start_matches("ENTRADA_").to_lowercase();
            variable == name || (credential && variable == "client_secret")
        };
        let least = LEAST.iter().filter(|(variable, _)| !overridden(variable));
        let least: Vec<_> = least.copied().collect();
        let settings = read(&["--config", path.to_str().unwrap()], &least).unwrap();
        let told: Vec<_> = settings.provider.rehearse(&[]);
        let told: Vec<_> = told.iter().map(Problem::to_string).collect();
        let expected = format!("{}:2: {expected}", path.display());
        assert!(
            told.len() == 1 && told[0].starts_with(&expected),
            "{told:?}"
        );
    }
}

#[test]
fn what_the_library_finds_is_told_with_flag_and_variable() {
    let told = |line: &[&str], variables: &[(&str, &str)]| {
        let settings = read(line, &least_and(variables)).unwrap();
        let found = settings.provider.rehearse(&[]);
        found.iter().map(Problem::to_string).collect::<Vec<_>>()
    };
    let origin = "\"nowhere\": ";
    let by_flag = told(&["--allowed-origins", "nowhere"], &[]);
    assert!(
        by_flag[0].starts_with(&format!("--allowed-origins: {origin}")),
        "{by_flag:?}"
    );
    let by_variable = told(&[], &[("ENTRADA_ALLOWED_ORIGINS", "nowhere")]);
    let expected = format!("ENTRADA_ALLOWED_ORIGINS: {origin}");
    assert!(by_variable[0].starts_with(&expected), "{by_variable:?}");
}

#[test]
fn authorities_that_are_no_certificates_are_refused() {
    let file = file("no certificate");
    let path = file.path().to_str().unwrap();
    let error = read(&["--ca-file", path], LEAST.as_slice()).unwrap_err();
    let told: Vec<_> = error.problems().iter().map(Problem::to_string).collect();
    assert_eq!(told, ["--ca-file: the file has no certificate in PEM"]);
}

#[test]
fn a_file_that_is_not_found_says_where_its_path_begins() {
    let told = |name: &str| {
        let error = read(&["--ca-file", name], LEAST.as_slice()).unwrap_err();
        error.problems()[0].to_string()
    };
    let begins = "begins in the directory this is started in";
    assert!(told("nowhere.pem").ends_with(begins));
    assert!(!told("/nowhere.pem").contains(begins));
}

#[test]
fn what_the_library_finds_of_the_first_route_is_told_of_it() {
    for (path, more, expected) in [
        ("/token", "", ":1: path: its path is one of"),
        ("/a", "allowed_origins = 'x'", ":1: allowed_origins: "),
    ] {
        let text = format!("[[route]]\npath = '{path}'\nupstream = 'http://127.0.0.1:1'\n{more}\n");
        let settings = of_file(&text, &without_upstream()).unwrap();
        let found = settings.provider.rehearse(&[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(told(&found[0]).starts_with(expected), "{found:?}");
        assert_eq!(found[0].route(), Some(path));
    }
}
