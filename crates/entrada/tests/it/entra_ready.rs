//! Whether Entra is where the configuration says.

use std::sync::Arc;

use entra_emulator::{Endpoint, Failure, builtin};
use entrada::entra::error::{EntraError, Remedy};
use entrada::store::MemoryStore;
use entrada::{AzureConfig, AzureProvider};

use crate::world::{BASE_URL, World};

#[tokio::test]
async fn entra_is_asked_once_for_what_it_publishes() {
    let world = World::new().await;
    world.provider.entra_ready().await.unwrap();
    assert_eq!(world.entra.calls(Endpoint::Discovery), 1);
    assert_eq!(world.entra.calls(Endpoint::Token), 0);
}

/// What comes of asking for `tenant`.
async fn asked(world: &World, tenant: &str) -> Result<(), EntraError> {
    let config = AzureConfig::new(tenant, builtin::CLIENT_ID, BASE_URL)
        .client_secret(builtin::CLIENT_SECRET)
        .required_scopes(["mcp.read"])
        .authority_host("login.emulator.test")
        .store(Arc::new(MemoryStore::default()))
        .keys(world.keys.clone());
    let provider = AzureProvider::new(config, world.platform()).unwrap();
    provider.entra_ready().await
}

#[tokio::test]
async fn a_tenant_that_is_not_there_is_noticed() {
    let world = World::new().await;
    for tenant in ["00000000-0000-0000-0000-000000000001", "nobody.example"] {
        let error = asked(&world, tenant).await.unwrap_err();
        assert!(error.to_string().contains("AADSTS90002"), "{error}");
        assert_eq!(error.remedy(), Remedy::FixConfiguration);
        assert!(error.advice().starts_with("there is no such tenant"));
    }
    for tenant in [builtin::TENANT_ID, "contoso.onmicrosoft.com", "common"] {
        asked(&world, tenant).await.unwrap();
    }
}

#[tokio::test]
async fn something_else_than_entra_is_noticed() {
    let elsewhere = World::with(|config| config.authority_host("login.nowhere.test")).await;
    let error = elsewhere.provider.entra_ready().await.unwrap_err();
    assert!(matches!(error, EntraError::Transport(_)), "{error}");
    let world = World::new().await;
    world
        .entra
        .fail_next(Endpoint::Discovery, 1, Failure::Garbage);
    let error = world.provider.entra_ready().await.unwrap_err();
    assert!(matches!(error, EntraError::Malformed), "{error}");
    world.provider.entra_ready().await.unwrap();
}
