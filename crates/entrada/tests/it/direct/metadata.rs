//! What clients are told that get tokens from Entra itself.

use entra_emulator::{Endpoint, Failure, builtin};
use entrada::AzureJwtConfig;
use serde_json::json;

use super::world::{Direct, config, good};

const METADATA: &str = "/.well-known/oauth-protected-resource/mcp";

#[tokio::test]
async fn metadata_names_entra_and_scopes_as_entra_knows_them() {
    let world = Direct::with(
        config().required_scopes(["mcp.read", "mcp.write"]),
        |remote, _| remote.resource_name("Contoso tools"),
    );
    let found = world.get(METADATA).await.ok();
    let uri = builtin::IDENTIFIER_URI;
    let expected = json!({
        "resource": "https://mcp.example.com/mcp",
        "authorization_servers": [format!("https://login.emulator.test/{}/v2.0", builtin::TENANT_ID)],
        "scopes_supported": [format!("{uri}/mcp.read"), format!("{uri}/mcp.write")],
        "bearer_methods_supported": ["header"],
        "resource_name": "Contoso tools",
    });
    assert_eq!(found, expected);
    // Nothing had to be asked for that.
    assert_eq!(world.wire.asked_for("/"), 0);
}

#[tokio::test]
async fn challenges_name_scopes_as_entra_knows_them() {
    let world = Direct::new(config());
    let scope = format!("scope=\"{}/mcp.read\"", builtin::IDENTIFIER_URI);
    let without = world.get("/mcp").await;
    let told = without.header("www-authenticate").unwrap();
    assert!(
        told.starts_with("Bearer scope=") && told.contains(&scope),
        "{told}"
    );
    let less = world
        .call(&world.entra.mint(&good().scopes(["mcp.write"])))
        .await;
    assert_eq!(less.status, 403);
    let told = less.header("www-authenticate").unwrap();
    assert!(
        told.contains("insufficient_scope") && told.contains(&scope),
        "{told}"
    );
}

#[tokio::test]
async fn where_the_issuer_must_be_discovered_metadata_waits_for_it() {
    let domain = AzureJwtConfig::new(builtin::TENANT_DOMAIN, builtin::CLIENT_ID)
        .authority_host("login.emulator.test")
        .required_scopes(["mcp.read"]);
    let customers = AzureJwtConfig::external_id("contosocustomers", builtin::CUSTOMERS_CLIENT_ID)
        .required_scopes(["mcp.read"]);
    let customers_issuer = format!(
        "https://{0}.ciamlogin.com/{0}/v2.0",
        builtin::CUSTOMERS_TENANT_ID
    );
    let own_issuer = format!("https://login.emulator.test/{}/v2.0", builtin::TENANT_ID);
    for (config, guess, issuer) in [
        (
            domain,
            "https://login.emulator.test/contoso.onmicrosoft.com/v2.0",
            own_issuer,
        ),
        (
            customers,
            "https://contosocustomers.ciamlogin.com/contosocustomers.onmicrosoft.com/v2.0",
            customers_issuer,
        ),
    ] {
        let world = Direct::new(config);
        world
            .entra
            .fail_next(Endpoint::Discovery, 1, Failure::Status(503));
        let before = world.get(METADATA).await.ok();
        assert_eq!(before["authorization_servers"], json!([guess]));
        world.advance(std::time::Duration::from_secs(5));
        let after = world.get(METADATA).await.ok();
        assert_eq!(after["authorization_servers"], json!([issuer]));
    }
}

#[tokio::test]
async fn each_allowed_tenant_is_an_authorization_server() {
    let tenants = [builtin::TENANT_ID, builtin::FABRIKAM_TENANT_ID];
    let config = AzureJwtConfig::new("organizations", builtin::MULTI_TENANT_CLIENT_ID)
        .allowed_tenants(tenants)
        .required_scopes(["mcp.read"]);
    let found = Direct::new(config).get(METADATA).await.ok();
    let issuer = |tenant| format!("https://login.microsoftonline.com/{tenant}/v2.0");
    assert_eq!(found["authorization_servers"], json!(tenants.map(issuer)));
}
