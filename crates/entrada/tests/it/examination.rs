//! What Entra says of the app registration before anybody signs in.

use std::sync::Arc;

use entra_emulator::{Endpoint, Failure, builtin};
use entrada::admin_site::AdminSettings;
use entrada::entra::examination::{Examined, Finding, Verdict};
use entrada::store::MemoryStore;
use entrada::{AzureConfig, AzureJwtConfig, AzureJwtVerifier, AzureProvider};

use crate::world::{BASE_URL, World};

fn registered() -> AzureConfig {
    AzureConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID, BASE_URL)
        .client_secret(builtin::CLIENT_SECRET)
        .required_scopes(["mcp.read"])
}

fn provider(world: &World, config: AzureConfig) -> AzureProvider {
    let config = config
        .authority_host("login.emulator.test")
        .store(Arc::new(MemoryStore::default()))
        .keys(world.keys.clone());
    AzureProvider::new(config, world.platform()).unwrap()
}

async fn examined(world: &World, config: AzureConfig) -> Vec<Finding> {
    provider(world, config).examine(None).await
}

fn login() -> Examined {
    let redirect_uri = format!("{BASE_URL}/auth/callback");
    Examined::Login { redirect_uri }
}

/// The only finding that is not good: what it is about, and the number in what was seen.
fn only_wrong(findings: Vec<Finding>) -> (Examined, String) {
    let wrong = findings.into_iter().filter(|finding| !finding.is_good());
    let wrong: Vec<_> = wrong.collect();
    let [Finding { of, verdict, .. }] = &*wrong else {
        panic!("{wrong:?}");
    };
    let Verdict::Wrong { what, .. } = verdict else {
        panic!("{verdict:?}");
    };
    let number = what.split("AADSTS").nth(1).unwrap_or(what);
    let number = number.chars().take_while(char::is_ascii_digit).collect();
    (of.clone(), number)
}

#[tokio::test]
async fn nothing_is_wrong_with_what_works() {
    let world = World::new().await;
    let findings = examined(&world, registered()).await;
    let good = [Examined::Tenant, Examined::Credential, login()];
    assert!(findings.iter().all(Finding::is_good), "{findings:?}");
    assert_eq!(
        findings.into_iter().map(|it| it.of).collect::<Vec<_>>(),
        good
    );
    // Nobody was signed in by it.
    assert_eq!(world.entra.calls(Endpoint::Token), 1);
}

#[tokio::test]
async fn each_mistake_is_found_where_it_is() {
    let world = World::new().await;
    let nowhere = "00000000-0000-0000-0000-000000000001";
    let of_tenant = |tenant| {
        AzureConfig::new(tenant, builtin::CLIENT_ID, BASE_URL)
            .client_secret(builtin::CLIENT_SECRET)
            .required_scopes(["mcp.read"])
    };
    for (config, of, number) in [
        (of_tenant(nowhere), Examined::Tenant, "90002"),
        (
            registered().client_secret("another"),
            Examined::Credential,
            "7000215",
        ),
        (
            registered().redirect_path("/auth/elsewhere"),
            Examined::Login {
                redirect_uri: format!("{BASE_URL}/auth/elsewhere"),
            },
            "50011",
        ),
        (
            registered().identifier_uri("api://another"),
            login(),
            "500011",
        ),
        (
            registered().required_scopes(["mcp.unheard-of"]),
            login(),
            "650053",
        ),
    ] {
        let found = only_wrong(examined(&world, config).await);
        assert_eq!(found, (of, number.to_owned()));
    }
}

#[tokio::test]
async fn an_app_registration_that_is_not_there_is_noticed_twice() {
    let world = World::new().await;
    let config = AzureConfig::new(
        builtin::TENANT_ID,
        "00000000-0000-0000-0000-000000000002",
        BASE_URL,
    )
    .client_secret(builtin::CLIENT_SECRET)
    .required_scopes(["mcp.read"]);
    let findings = examined(&world, config).await;
    let wrong = findings.iter().filter(|finding| {
        matches!(&finding.verdict, Verdict::Wrong { what, .. } if what.contains("AADSTS700016"))
    });
    let of: Vec<_> = wrong.map(|finding| finding.of.clone()).collect();
    assert_eq!(of, [Examined::Credential, login()]);
}

#[tokio::test]
async fn nothing_more_is_asked_of_what_is_not_entra() {
    let world = World::new().await;
    world
        .entra
        .fail_next(Endpoint::Discovery, 1, Failure::Garbage);
    let findings = examined(&world, registered()).await;
    assert_eq!(findings.len(), 1);
    assert!(
        matches!(&findings[0].verdict, Verdict::Wrong { advice, .. } if advice.starts_with("something else"))
    );
    assert_eq!(world.entra.calls(Endpoint::Token), 0);
}

#[tokio::test]
async fn many_tenants_are_none_to_sign_in_to() {
    let world = World::new().await;
    let config = AzureConfig::new("organizations", builtin::CLIENT_ID, BASE_URL)
        .client_secret(builtin::CLIENT_SECRET)
        .required_scopes(["mcp.read"]);
    let findings = examined(&world, config).await;
    let credential = findings
        .iter()
        .find(|finding| finding.of == Examined::Credential);
    assert!(matches!(credential.unwrap().verdict, Verdict::Unclear(_)));
}

#[tokio::test]
async fn who_verifies_entras_tokens_alone_has_no_credential_to_examine() {
    let world = World::new().await;
    let verifier = AzureJwtConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID)
        .authority_host("login.emulator.test")
        .required_scopes(["mcp.read"]);
    let verifier = AzureJwtVerifier::new(verifier, world.platform()).unwrap();
    let config = AzureConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID, BASE_URL);
    let findings = examined(&world, config.tokens_of_entra(verifier)).await;
    let of: Vec<_> = findings.into_iter().map(|finding| finding.of).collect();
    assert_eq!(of, [Examined::Tenant]);
}

#[tokio::test]
async fn operators_need_a_redirect_uri_of_their_own() {
    let world = World::new().await;
    let provider = provider(&world, registered());
    let operators = AdminSettings::new("https://nobody.example.com", "Entrada.Admin");
    let found = only_wrong(provider.examine(Some(&operators)).await);
    let redirect_uri = operators.redirect_uri().unwrap();
    assert_eq!(
        found,
        (Examined::Login { redirect_uri }, "50011".to_owned())
    );
}
