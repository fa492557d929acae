//! The clients that need not register.

use entrada::authorization_server::PreregisteredClient;
use entrada::jwt::jwks::Algorithm;
use entrada::jwt::sign::SigningKey;

use super::routes::of_file;
use super::*;

const SECRET: &str = "t8sG2zO0xS1nVn3l9yW7r4Qk6cJ5bH0d";

/// What is wrong with a file that says this besides what it must.
fn told(folder: &tempfile::TempDir, clients: &str) -> Vec<String> {
    let file = folder.path().join("entrada.toml");
    std::fs::write(&file, clients).unwrap();
    let file = file.display().to_string();
    let found = match read(&[], &least_and(&[("ENTRADA_CONFIG", &file)])) {
        Ok(settings) => settings.provider.rehearse(&[]),
        Err(error) => error.problems().to_vec(),
    };
    let place = format!("{file}:");
    let problems = found.iter().map(Problem::to_string);
    problems.map(|text| text.replace(&place, "")).collect()
}

#[test]
fn clients_stand_in_the_file_and_their_secrets_in_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, keys) = (
        folder.path().join("secret"),
        folder.path().join("keys.json"),
    );
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    std::fs::write(&keys, key.jwks().unwrap()).unwrap();
    let clients = format!(
        r#"
        [[client]]
        client_id = "editor"
        client_name = "Our editor"
        redirect_uris = "http://127.0.0.1/callback"
        dpop_bound_access_tokens = true

        [[client]]
        client_id = "agents"
        redirect_uris = ["https://agents.example/callback", "https://agents.example/other"]
        secret_file = "{}"

        [[client]]
        client_id = "signer"
        redirect_uris = ["https://signer.example/callback"]
        jwks_file = "{}"
        "#,
        secret.display(),
        keys.display()
    );
    assert_eq!(told(&folder, &clients), Vec::<String>::new());
    let file = folder.path().join("entrada.toml").display().to_string();
    let settings = read(&[], &least_and(&[("ENTRADA_CONFIG", &file)])).unwrap();
    let ids = settings
        .provider
        .clients
        .iter()
        .map(PreregisteredClient::client_id);
    assert_eq!(ids.collect::<Vec<_>>(), ["editor", "agents", "signer"]);
    // Neither is shown by whoever shows the settings.
    assert!(!format!("{settings:?}").contains(SECRET));
}

#[test]
fn programs_need_no_redirect_uri_but_a_proof() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let secret = format!("secret_file = \"{}\"", secret.display());
    let program = |lines: &str| format!("[[client]]\nclient_id = \"jobs\"\n{lines}\n");
    for (told_of, expected) in [
        (
            program(&format!(
                "client_credentials = \"mcp.read\"\napp_roles = \"Jobs.Run\"\n{secret}"
            )),
            None,
        ),
        (
            program("client_credentials = \"mcp.read\""),
            Some(
                "1: client \"jobs\": give it a secret or keys: it acts without anybody signing in",
            ),
        ),
        (
            program(&format!("client_credentials = \"mcp.other\"\n{secret}")),
            Some(
                "1: client \"jobs\": its scopes must be among the required and optional ones, and hold \
                 all that are required",
            ),
        ),
        (
            program(&format!(
                "redirect_uris = \"https://a.example/\"\napp_roles = \"R\"\n{secret}"
            )),
            Some(
                "1: client \"jobs\": app roles are of clients that act for themselves \
                 (client_credentials)",
            ),
        ),
        (
            program(&format!("identity_assertions = \"maybe\"\n{secret}")),
            Some("3: identity_assertions: write true or false"),
        ),
    ] {
        let found = told(&folder, &told_of);
        assert_eq!(found, Vec::from_iter(expected), "{told_of}");
    }
}

#[test]
fn issuers_are_trusted_where_clients_bring_what_they_vouch_for() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let secret = format!("secret_file = \"{}\"", secret.display());
    let program = |lines: &str| format!("[[client]]\nclient_id = \"jobs\"\n{lines}\n");
    let issuer = "[[trusted_issuer]]\nissuer = \"https://idp.example\"\n\
                  jwks_uri = \"https://idp.example/keys\"\n";
    for (told_of, expected) in [
        (
            program(&format!("identity_assertions = true\n{secret}\n{issuer}")),
            None,
        ),
        (
            "[[trusted_issuer]]\nissuer = \"https://idp.example\"\n".to_owned(),
            Some("1: jwks_uri: each issuer has one: write it"),
        ),
        (
            program(&format!(
                "identity_assertions = true\n{secret}\n{issuer}{issuer}"
            )),
            Some("identity assertions of \"https://idp.example\": it is named twice: name it once"),
        ),
        (
            program(&format!("identity_assertions = true\n{secret}")),
            Some(
                "identity_assertions: a client may bring some, and no issuer is trusted to give them",
            ),
        ),
        (
            issuer.to_owned(),
            Some("trusted_issuer: no client has identity_assertions: nothing is taken from it"),
        ),
        (
            "trusted_issuer = 1".to_owned(),
            Some("1: write [[trusted_issuer]] before what is said of each"),
        ),
        (
            program(&format!(
                "identity_assertions = true\n{secret}\n{}",
                issuer.replace("https://idp.example/keys", "http://idp.example/keys")
            )),
            Some(
                "identity assertions of \"https://idp.example\": must be https, or http on a loopback host",
            ),
        ),
    ] {
        let found = told(&folder, &told_of);
        assert_eq!(found, Vec::from_iter(expected), "{told_of}");
    }
}

#[test]
fn what_is_wrong_with_a_client_is_said_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let short = folder.path().join("short");
    std::fs::write(&short, "short").unwrap();
    let short = short.display();
    for (clients, expected) in [
        (
            "client = 1",
            "1: write [[client]] before what is said of each",
        ),
        (
            "[[client]]\nclient_id = \"a\"",
            "1: redirect_uris: each client has one: write it",
        ),
        (
            "[[client]]\nredirect_uris = \"https://a.example/cb\"",
            "1: client_id: each client has one: write it",
        ),
        (
            "[[client]]\nclient_id = \"a\"\nredirect_uri = \"https://a.example/cb\"",
            "3: there is no setting \"redirect_uri\": is redirect_uris meant?",
        ),
        (
            "[[client]]\nclient_id = \"a\"\nredirect_uris = \"https://a.example/cb\"\nsecret = \"x\"",
            "4: there is no setting \"secret\"",
        ),
        (
            "[[client]]\nclient_id = \"a\"\nredirect_uris = \"https://a.example/cb\"\ndpop_bound_access_tokens = \"x\"",
            "4: dpop_bound_access_tokens: write true or false",
        ),
        (
            "[[client]]\nclient_id = \"a\"\nredirect_uris = 1.5",
            "3: redirect_uris: write a string or a list of strings",
        ),
        (
            "[[client]]\nclient_id = \"a\"\nredirect_uris = \"http://a.example/cb\"",
            "1: client \"a\": no member of redirect_uris is acceptable",
        ),
    ] {
        assert_eq!(told(&folder, clients), [expected], "{clients}");
    }
    let with_secret = format!(
        "[[client]]\nclient_id = \"a\"\nredirect_uris = \"https://a.example/cb\"\nsecret_file = \"{short}\""
    );
    assert_eq!(
        told(&folder, &with_secret),
        ["1: secret_file: client \"a\": its secret must have 32 characters at least"]
    );
    let with_both = format!("{with_secret}\njwks_file = \"{short}\"");
    assert_eq!(
        told(&folder, &with_both),
        ["5: jwks_file: secret_file is set, too"]
    );
    let absent = with_secret.replace("short", "absent");
    assert!(told(&folder, &absent)[0].contains("cannot be read"));
}

#[test]
fn all_that_is_wrong_with_clients_is_told_at_once_with_its_key() {
    let text = "\
[[client]]
client_name = 1.5
app_roles = 1.5

[[client]]
client_id = \"b\"
redirect_uris = \"https://b.example/cb\"
secret_file = \"/nowhere/secret\"

[[client]]
client_id = \"c\"
redirect_uris = \"http://c.example/cb\"
";
    let error = of_file(text, &LEAST).unwrap_err();
    let found = error.problems().iter();
    let found: Vec<_> = found
        .map(|problem| (problem.line().unwrap(), problem.setting().unwrap()))
        .collect();
    let expected = [
        (1, "client_id"),
        (1, "redirect_uris"),
        (2, "client_name"),
        (3, "app_roles"),
        (8, "secret_file"),
        // What the library finds.
        (10, "redirect_uris"),
    ];
    assert_eq!(found, expected, "{error}");
    assert!(
        error
            .problems()
            .iter()
            .all(|problem| problem.file().is_some())
    );
}
