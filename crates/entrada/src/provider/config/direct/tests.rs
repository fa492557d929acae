use super::*;

const CLIENT_ID: &str = "11111111-2222-3333-4444-555555555555";

fn least() -> AzureJwtConfig {
    AzureJwtConfig::new("contoso.com", CLIENT_ID).required_scopes(["mcp.read"])
}

fn platform() -> Platform {
    Platform::system().unwrap()
}

fn errors(config: AzureJwtConfig) -> Vec<String> {
    let errors = config.check(&platform()).map(drop).err();
    errors
        .iter()
        .flat_map(ConfigErrors::iter)
        .map(ToString::to_string)
        .collect()
}

#[test]
fn what_is_not_given_follows_from_what_is() {
    let checked = least().check(&platform()).unwrap();
    assert_eq!(checked.identifier_uris, [format!("api://{CLIENT_ID}")]);
    assert_eq!(checked.leeway, LEEWAY);
    let b2c = AzureJwtConfig::b2c("contoso", "B2C_1_in", CLIENT_ID).required_scopes(["read"]);
    let uri = format!("https://contoso.onmicrosoft.com/{CLIENT_ID}");
    assert_eq!(b2c.check(&platform()).unwrap().identifier_uris, [uri]);
}

#[test]
fn scopes_may_be_written_short_or_long() {
    let long = format!("api://{CLIENT_ID}/mcp.read");
    let checked = least().required_scopes([long]).check(&platform()).unwrap();
    assert_eq!(checked.required_scope.to_string(), "mcp.read");
}

#[test]
fn each_mistake_says_what_to_change() {
    use AppOnlyTokens::{Allow, Require};
    let tenant = "22222222-2222-3333-4444-555555555555";
    let long = format!("api://{CLIENT_ID}/mcp.write");
    let of = |tenant: &str| AzureJwtConfig::new(tenant, CLIENT_ID).required_scopes(["a"]);
    for (config, expected) in [
        (of("contoso"), "tenant_id: "),
        (
            AzureJwtConfig::new("c.com", "app")
                .required_scopes(["a"])
                .identifier_uris(["api://a"]),
            "client_id: ",
        ),
        (least().required_scopes(["openid"]), "required_scopes: "),
        (
            least().required_scopes(["a/.default"]),
            "required_scopes: .default",
        ),
        (
            least().required_scopes(["https://graph.microsoft.com/User.Read"]),
            "required_scopes: a scope of another",
        ),
        (least().required_scopes(["a\"b"]), "scopes: "),
        (least().identifier_uris(["api://a/"]), "identifier_uri: "),
        (
            of("common").identifier_uris(["api://mcp"]),
            "identifier_uris: ",
        ),
        (
            least().required_app_roles(["Admin"]),
            "required_app_roles: ",
        ),
        (
            least().requirement(Requirement::scopes([&long])),
            "requirement: nobody can meet it: in tokens api://",
        ),
        (
            of("common").app_only(Allow).required_app_roles(["Admin"]),
            "app_only: every tenant",
        ),
        (least().authority_host("https://h"), "authority_host: "),
        (
            least().authority_host("h").insecure_http_authority(),
            "authority_host: ",
        ),
        (least().allowed_tenants([tenant]), "allowed_tenants: only"),
        (
            of("common").allowed_tenants(["contoso.com"]),
            "allowed_tenants: \"contoso.com\"",
        ),
        (least().app_only(Allow), "app_only: "),
        (least().app_only(Require), "app_only: "),
        (
            least().allowed_clients(["daemon"]),
            "allowed_clients: \"daemon\"",
        ),
        (
            least().app_only(Allow).required_app_roles([""]),
            "requirement: ",
        ),
        (
            least().requirement(Requirement::any_group([""])),
            "requirement: ",
        ),
        (least().leeway(Duration::from_secs(301)), "leeway: "),
        (least().client_secret(""), "client_secret: "),
    ] {
        assert_mistake(config, expected);
    }
}

#[test]
fn each_mistake_with_customers_says_what_to_change() {
    let b2c = |policy: &str| AzureJwtConfig::b2c("c", policy, CLIENT_ID);
    let external_id = AzureJwtConfig::external_id("c.onmicrosoft.com", CLIENT_ID);
    for (config, expected) in [
        (
            b2c("B2C_1_in").client_secret("s"),
            "client_secret: Entra External ID",
        ),
        (external_id, "tenant: "),
        (b2c(""), "policy: "),
        (b2c("../x"), "policy: "),
    ] {
        assert_mistake(config.required_scopes(["a"]), expected);
    }
}

fn assert_mistake(config: AzureJwtConfig, expected: &str) {
    let found = errors(config);
    let told = found.len() == 1 && found[0].starts_with(expected);
    assert!(told, "{expected}: {found:?}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    assert_eq!(errors(AzureJwtConfig::new("x", "y")).len(), 3);
}

#[test]
fn applications_may_be_let_in_alone() {
    let config = AzureJwtConfig::new("contoso.com", CLIENT_ID)
        .app_only(AppOnlyTokens::Require)
        .allowed_clients([CLIENT_ID]);
    assert!(config.check(&platform()).unwrap().required_scope.is_empty());
}
