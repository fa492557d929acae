use super::super::authority::{AuthoritySettings, Directory};
use super::*;
use crate::authorization_server::PreregisteredClient;
use crate::dpop::Dpop;
use crate::entra::cloud::Cloud;
use crate::entra::credential::{ClientCredential, ManagedIdentity};
use crate::entra::verifier::AzureJwtVerifier;
use crate::keys::{KeyRing, Keys};
use crate::platform::{SystemRandom, Timestamp};
use crate::policy::Requirement;
use crate::provider::{AzureJwtConfig, ProtectedResource};
use crate::store::MemoryStore;

const CLIENT_ID: &str = "11111111-2222-3333-4444-555555555555";

fn least() -> AzureConfig {
    let now = Timestamp::from_unix(0);
    let ring = KeyRing::generate(Algorithm::Es256, &SystemRandom::default(), now).unwrap();
    AzureConfig::new("contoso.com", CLIENT_ID, "https://mcp.example.com")
        .client_secret("secret")
        .required_scopes(["mcp.read"])
        .store(Arc::new(MemoryStore::default()))
        .keys(Keys::new(ring))
}

fn check(config: AzureConfig) -> Result<Checked, Vec<String>> {
    config
        .check(None, &Platform::system().unwrap())
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn what_is_not_given_follows_from_what_is() {
    let checked = check(least()).unwrap();
    assert_eq!(checked.server.issuer.as_str(), "https://mcp.example.com");
    assert_eq!(
        checked.server.resources.first().indicator.as_str(),
        "https://mcp.example.com/mcp"
    );
    assert_eq!(checked.server.resources.first().name, "mcp.example.com");
    assert_eq!(
        checked.app.redirect_uri,
        "https://mcp.example.com/auth/callback"
    );
    let read = checked
        .app
        .names
        .to_entra(checked.server.resources.first().scopes.required());
    assert_eq!(read.to_string(), format!("api://{CLIENT_ID}/mcp.read"));
    let slash = check(AzureConfig {
        base_url: "https://h/team/".to_owned(),
        ..least()
    })
    .unwrap();
    assert_eq!(slash.server.issuer.as_str(), "https://h/team/");
    assert_eq!(
        slash.server.resources.first().indicator.as_str(),
        "https://h/team/mcp"
    );
    assert_eq!(slash.app.redirect_uri, "https://h/team/auth/callback");
}

#[test]
fn each_mistake_says_what_to_change() {
    type Change = fn(AzureConfig) -> AzureConfig;
    let cases: [(Change, &str); 15] = [
        (
            |c| AzureConfig {
                authority: AuthoritySettings::new(Directory::EntraId("contoso".to_owned())),
                ..c
            },
            "tenant_id: ",
        ),
        (
            |c| AzureConfig {
                client_id: "app".to_owned(),
                ..c
            },
            "client_id: ",
        ),
        (
            |c| AzureConfig {
                credential: None,
                ..c
            },
            "client_secret: add one",
        ),
        (|c| c.client_secret(""), "client_secret: add one"),
        (
            |c| c.client_secret(CLIENT_ID),
            "client_secret: this is the id",
        ),
        (
            |c| AzureConfig {
                base_url: "http://h".to_owned(),
                ..c
            },
            "base_url: ",
        ),
        (|c| c.issuer_url("https://h?x"), "issuer_url: "),
        (
            |c| c.resource_url("https://mcp.example.com/token"),
            "resource_url: its path",
        ),
        (|c| c.redirect_path("callback"), "redirect_path: "),
        (|c| c.identifier_uri("api://app/"), "identifier_uri: "),
        (
            |c| c.groups_from_graph().graph_url("ftp://x"),
            "graph_url: ",
        ),
        (
            |c| c.requirement(Requirement::any_scope(["mcp.read", "mcp.write"])),
            "requirement: nobody can meet it: mcp.write is among neither",
        ),
        (
            |c| c.authority_host("https://login.microsoftonline.com"),
            "authority_host: ",
        ),
        (
            |c| c.allowed_client_redirect_uris(["javascript:x"]),
            "allowed_client_redirect",
        ),
        (|c| c.access_token_lifetime(Duration::ZERO), "lifetimes: "),
    ];
    for (change, expected) in cases {
        assert_mistake(change(least()), expected);
    }
}

#[test]
fn each_mistake_in_a_further_server_says_what_to_change() {
    let server = |url: &str| ProtectedResource::new(url);
    let at = "https://mcp.example.com/files";
    for (server, expected) in [
        (
            server("https://mcp.example.com/mcp/"),
            "resource_url: another",
        ),
        (server("http://tools.example.com/mcp"), "resource_url: "),
        (
            server("https://mcp.example.com/token"),
            "resource_url: its path",
        ),
        (
            server("https://mcp.example.com/auth/callback"),
            "resource_url: its path",
        ),
        (server("https://a.example/:x"), "resource_url: its path"),
        (
            server("https://a.example/.well-known/x"),
            "resource_url: its path",
        ),
        (server(at).required_scopes(["openid"]), "required_scopes: "),
        (server(at).optional_scopes(["a\"b"]), "scopes: "),
        (server(at).allowed_origins(["x"]), "allowed_origin"),
        (
            server(at).requirement(Requirement::scopes(["mcp.write"])),
            "requirement: nobody can meet it: mcp.write is among neither",
        ),
    ] {
        let expected = format!("{}: {expected}", server.url());
        assert_mistake(least().resource(server), &expected);
    }
    let elsewhere = "https://orders.example.com/token";
    assert!(check(least().resource_url(elsewhere)).is_ok());
    for fine in [at, "https://mcp.example.com/", elsewhere] {
        let config = least().resource(server(fine));
        assert!(check(config).is_ok(), "{fine}");
    }
}

#[test]
fn each_mistake_in_a_client_says_what_to_change() {
    let known = |id: &str| PreregisteredClient::new(id, ["https://client.example/cb"]);
    for (client, expected) in [
        (known("a b"), "client \"a b\": its id"),
        (
            known("https://a.example/c"),
            "client \"https://a.example/c\": its id",
        ),
        (known("taken"), "client \"taken\": another client"),
        (known("a").secret("short"), "client \"a\": its secret"),
        (known("a").private_key_jwt("{}"), "client \"a\": its keys"),
        (
            known("a").private_key_jwt(r#"{"keys":[]}"#),
            "client \"a\": its keys",
        ),
        (
            PreregisteredClient::new("a", ["http://client.example/cb"]),
            "client \"a\": ",
        ),
        (
            PreregisteredClient::new("a", Vec::<String>::new()),
            "client \"a\": redirect_uris is missing",
        ),
    ] {
        let config = least().client(known("taken")).client(client);
        assert_mistake(config, expected);
    }
}

#[test]
fn each_mistake_in_a_scope_says_what_to_change() {
    type Change = fn(AzureConfig) -> AzureConfig;
    let cases: [(Change, &str); 7] = [
        (|c| c.required_scopes(["openid"]), "required_scopes: "),
        (|c| c.required_scopes(["a\"b"]), "scopes: "),
        (|c| c.optional_scopes(["a\"b"]), "scopes: "),
        (|c| c.optional_scopes([".default"]), "optional_scopes: "),
        (
            |c| c.incremental_scopes(["User.Read"]),
            "incremental_scopes: ",
        ),
        (
            |c| c.incremental_scopes(["api://x/.default"]),
            "incremental_scopes: ",
        ),
        (
            |c| c.additional_scopes(["User.Read"]),
            "additional_scopes: ",
        ),
    ];
    for (change, expected) in cases {
        assert_mistake(change(least()), expected);
    }
}

fn assert_mistake(config: AzureConfig, expected: &str) {
    let errors = check(config).map(drop).unwrap_err();
    assert!(
        errors.len() == 1 && errors[0].starts_with(expected),
        "{expected}: {errors:?}"
    );
}

#[test]
fn a_credential_is_looked_at_before_anything_is_served() {
    let certificate = ClientCredential::certificate_file;
    let token_file = ClientCredential::federated_token_file;
    let imds = || ManagedIdentity::imds_at("here");
    let bleu = least().cloud(Cloud::Bleu);
    for (config, expected) in [
        (
            least().credential(certificate("/nowhere/at/all")),
            "/nowhere/at/all cannot be read: ",
        ),
        (
            least().credential(certificate("Cargo.toml")),
            "Cargo.toml holds no certificate that can be used: neither a PEM",
        ),
        (
            least().credential(token_file("/nowhere/at/all")),
            "/nowhere/at/all cannot be read: ",
        ),
        (
            least().credential(token_file("Cargo.toml")),
            "Cargo.toml holds no token",
        ),
        (
            least().credential(imds()),
            "the endpoint of the managed identity",
        ),
        (
            bleu.credential(ManagedIdentity::imds()),
            "the audience of assertions in this cloud",
        ),
    ] {
        let errors = check(config).map(drop).unwrap_err();
        let told = errors[0].strip_prefix("credential: ").unwrap_or_default();
        assert!(
            errors.len() == 1 && told.starts_with(expected),
            "{errors:?}"
        );
    }
}

#[test]
fn scopes_that_would_be_required_nowhere_are_told() {
    let at_entra = || {
        let config = AzureJwtConfig::new("contoso.com", CLIENT_ID).required_scopes(["x"]);
        AzureJwtVerifier::new(config, Platform::system().unwrap()).unwrap()
    };
    let all = least().tokens_of_entra(at_entra());
    let told = "required_scopes: what the verifier";
    assert_mistake(all.clone(), told);
    assert_mistake(all.required_scopes([""; 0]).optional_scopes(["y"]), told);
    let ours = ProtectedResource::new("https://mcp.example.com/ours");
    for good in [
        least().required_scopes([""; 0]).tokens_of_entra(at_entra()),
        // Of those that we issue tokens for.
        least().tokens_of_entra(at_entra()).resource(ours),
    ] {
        assert!(check(good).is_ok());
    }
}

#[test]
fn proofs_are_not_asked_for_and_turned_away_at_once() {
    let client = PreregisteredClient::new("agents", ["https://agents.example/callback"]);
    let bound = client.clone().dpop_bound_access_tokens();
    let machines = || {
        let config = AzureJwtConfig::new("contoso.com", CLIENT_ID).required_scopes(["x"]);
        AzureJwtVerifier::new(config, Platform::system().unwrap()).unwrap()
    };
    let off = || least().dpop(Dpop::Off);
    assert_mistake(off().dpop_nonce(), "dpop_nonce: ");
    assert_mistake(off().client(bound.clone()), "client \"agents\": ");
    let required = || least().dpop(Dpop::Required);
    assert_mistake(required().also_accept(machines()), "dpop: ");
    for good in [
        off().client(client),
        least().client(bound).dpop_nonce(),
        least().also_accept(machines()),
        off().also_accept(machines()),
        required().dpop_nonce(),
    ] {
        assert!(check(good).is_ok());
    }
}

#[test]
fn the_last_credential_counts() {
    let lost = || ClientCredential::certificate_file("/nowhere/at/all");
    assert!(check(least().credential(lost())).is_err());
    assert!(check(least().credential(lost()).client_secret("secret")).is_ok());
}

#[test]
fn all_mistakes_are_told_at_once() {
    let config = AzureConfig::new("x", "y", "z").allowed_origins(["nowhere"]);
    let errors = check(config).map(drop).unwrap_err();
    let topics: Vec<_> = errors
        .iter()
        .filter_map(|error| error.split(':').next())
        .collect();
    assert_eq!(
        topics,
        [
            "tenant_id",
            "client_id",
            "client_secret",
            "base_url",
            "required_scopes",
            "allowed_origins"
        ]
    );
}
