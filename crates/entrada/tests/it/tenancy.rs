//! Whose users may sign in.

use entra_emulator::{Endpoint, Failure, builtin};
use entrada::AzureConfig;
use entrada::entra::cloud::Cloud;
use serde_json::json;

use crate::client::{Session, parameter};
use crate::world::{BASE_URL, SECOND, World};

/// A server of the app that every tenant may use, for the users of `tenant`.
pub(crate) async fn multi_tenant(tenant: &str) -> World {
    let world = World::new().await;
    world.entra.change_directory(|directory| {
        let app = directory.app_mut(builtin::MULTI_TENANT_CLIENT_ID).unwrap();
        app.redirect_uris.web.push(builtin::REDIRECT_URI.to_owned());
    });
    let (store, keys) = (world.store.clone(), world.keys.clone());
    world.replica_with(|_| {
        AzureConfig::new(tenant, builtin::MULTI_TENANT_CLIENT_ID, BASE_URL)
            .client_secret(builtin::MULTI_TENANT_CLIENT_SECRET)
            .required_scopes(["mcp.read"])
            .authority_host("login.emulator.test")
            .store(store)
            .keys(keys)
    })
}

async fn assert_user(session: &Session, tenant_id: &str, object_id: Option<&str>) {
    let user = session.call_tool().await.ok();
    assert_eq!(user["tid"], json!(tenant_id));
    if let Some(object_id) = object_id {
        assert_eq!(user["oid"], json!(object_id));
    }
    let next = session.refreshed().await.call_tool().await.ok();
    assert_eq!((&next["tid"], &next["oid"]), (&user["tid"], &user["oid"]));
}

#[tokio::test]
async fn a_tenant_named_by_its_domain_learns_its_issuer_once() {
    let world = World::new().await;
    let world = world.replica_with(|_| {
        AzureConfig::new(builtin::TENANT_DOMAIN, builtin::CLIENT_ID, BASE_URL)
            .client_secret(builtin::CLIENT_SECRET)
            .required_scopes(["mcp.read"])
            .authority_host("login.emulator.test")
            .store(world.store.clone())
            .keys(world.keys.clone())
    });
    let failure = Failure::Status(503);
    world.entra.fail_next(Endpoint::Discovery, 1, failure);
    let client = world.client().await;
    let location = client.authorize(&mut world.browser(), "alice").await;
    let error = parameter(&location, "error");
    assert_eq!(error.as_deref(), Some("temporarily_unavailable"));
    world.advance(5 * SECOND);
    world.entra.reset_calls();
    for _ in 0..2 {
        let session = world.log_in("alice").await;
        assert_user(&session, builtin::TENANT_ID, Some(builtin::ALICE_OID)).await;
    }
    assert_eq!(world.entra.calls(Endpoint::Discovery), 1);
}

#[tokio::test]
async fn users_of_any_organisation_sign_in_where_that_is_wanted() {
    let world = multi_tenant("organizations").await;
    let frank = world.log_in(builtin::FRANK).await;
    assert_user(&frank, builtin::FABRIKAM_TENANT_ID, None).await;
    let alice = world.log_in("alice").await;
    assert_user(&alice, builtin::TENANT_ID, Some(builtin::ALICE_OID)).await;
}

#[tokio::test]
async fn personal_accounts_sign_in_where_that_is_wanted() {
    for tenant in ["common", "consumers"] {
        let world = multi_tenant(tenant).await;
        let pat = world.log_in(builtin::PAT_PERSONAL).await;
        assert_user(&pat, builtin::CONSUMERS_TENANT_ID, None).await;
    }
}

#[tokio::test]
async fn a_guest_is_known_by_the_object_it_has_here() {
    let world = World::new().await;
    let dana = world.log_in(builtin::DANA_GUEST).await;
    assert_user(&dana, builtin::TENANT_ID, Some(builtin::DANA_GUEST_OID)).await;
}

#[tokio::test]
async fn users_of_other_tenants_stay_on_entras_page() {
    let world = World::new().await;
    let client = world.client().await;
    let mut browser = world.browser();
    let consent = client.ask(&mut browser).await;
    let page = browser.approve(&consent, builtin::FRANK).await.page();
    assert_eq!(page.url.host_str(), Some("login.emulator.test"));
    assert_eq!(world.entra.calls(Endpoint::Token), 0);
}

/// The user owns the browser, and may send it to the sign-in of another tenant.
#[tokio::test]
async fn who_signs_in_at_another_tenant_does_not_get_in() {
    let world = multi_tenant(builtin::TENANT_ID).await;
    let client = world.client().await;
    for tenant in [builtin::FABRIKAM_TENANT_ID, "organizations"] {
        let mut browser = world.browser();
        let consent = client.ask(&mut browser).await;
        let authorize = format!("/{}/oauth2/v2.0/authorize", builtin::TENANT_ID);
        browser.stop_before = Some("/10000000-0000-4000-8000-000000000001/oauth2/v2.0/authorize");
        let upstream = browser
            .submit(&consent, &[("answer", "allow")])
            .await
            .left();
        assert_eq!(upstream.path(), authorize);
        let mut elsewhere = upstream.clone();
        elsewhere.set_path(&authorize.replace(builtin::TENANT_ID, tenant));
        let stop = browser.get(elsewhere.as_str()).await;
        let location = browser.sign_in(stop, builtin::FRANK).await.left();
        assert!(parameter(&location, "error").is_some(), "{location}");
        assert_eq!(parameter(&location, "code"), None);
    }
}

#[tokio::test]
async fn users_of_tenants_that_are_not_listed_are_told_so() {
    let world = multi_tenant("organizations").await;
    let world = world.replica_with(|_| {
        AzureConfig::new("organizations", builtin::MULTI_TENANT_CLIENT_ID, BASE_URL)
            .client_secret(builtin::MULTI_TENANT_CLIENT_SECRET)
            .required_scopes(["mcp.read"])
            .authority_host("login.emulator.test")
            .allowed_tenants([builtin::TENANT_ID])
            .store(world.store.clone())
            .keys(world.keys.clone())
    });
    let alice = world.log_in("alice").await;
    assert_user(&alice, builtin::TENANT_ID, Some(builtin::ALICE_OID)).await;
    let client = world.client().await;
    let location = client.authorize(&mut world.browser(), builtin::FRANK).await;
    assert_eq!(
        parameter(&location, "error").as_deref(),
        Some("access_denied")
    );
    let told = parameter(&location, "error_description");
    assert_eq!(
        told.as_deref(),
        Some("users of this organisation may not sign in here")
    );
}

#[tokio::test]
async fn customers_sign_in_to_an_external_id_tenant() {
    let world = World::new().await;
    world.entra.change_directory(|directory| {
        let app = directory.app_mut(builtin::CUSTOMERS_CLIENT_ID).unwrap();
        app.redirect_uris.web.push(builtin::REDIRECT_URI.to_owned());
    });
    let world = world.replica_with(|_| {
        AzureConfig::external_id("contosocustomers", builtin::CUSTOMERS_CLIENT_ID, BASE_URL)
            .client_secret(builtin::CUSTOMERS_CLIENT_SECRET)
            .required_scopes(["mcp.read"])
            .store(world.store.clone())
            .keys(world.keys.clone())
    });
    let carol = world.log_in(builtin::CAROL_CUSTOMER).await;
    assert_user(
        &carol,
        builtin::CUSTOMERS_TENANT_ID,
        Some(builtin::CAROL_CUSTOMER_OID),
    )
    .await;
}

#[tokio::test]
async fn users_sign_in_in_another_cloud() {
    let world = World::new().await;
    let world = world.replica_with(|_| {
        AzureConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID, BASE_URL)
            .client_secret(builtin::CLIENT_SECRET)
            .required_scopes(["mcp.read"])
            .cloud(Cloud::UsGovernment)
            .store(world.store.clone())
            .keys(world.keys.clone())
    });
    let alice = world.log_in("alice").await;
    assert_user(&alice, builtin::TENANT_ID, Some(builtin::ALICE_OID)).await;
}
