//! Callers as credentials of the Azure SDK.

use std::time::Duration;

use azure_core::credentials::TokenCredential as _;
use azure_core::error::{Error, ErrorKind};
use entra_emulator::{Endpoint, GrantRefusal, TokenOrder, builtin};
use entrada::access_token::Shortfall;
use entrada::entra::verifier::AppOnlyTokens;
use entrada::on_behalf_of::{OboError, OnBehalfOfCredential, create_obo_credential};
use serde_json::json;

use crate::direct::world::{Direct, config, good};
use crate::mcp_server::claims_of;
use crate::obo::{EXCHANGE, USER_READ, caller};
use crate::world::World;

#[tokio::test]
async fn a_credential_gives_the_callers_token_and_its_end() {
    let world = World::new().await;
    world.entra.set_token_lifetime(Duration::from_secs(3600));
    let caller = caller(&world, &world.log_in("alice").await).await;
    let credential = create_obo_credential(&caller);
    for _ in 0..2 {
        let token = credential.get_token(&[USER_READ], None).await.unwrap();
        let claims = claims_of(token.token.secret());
        assert_eq!(claims["oid"], json!(builtin::ALICE_OID));
        let ends = claims["exp"].as_i64().unwrap();
        assert_eq!(token.expires_on.unix_timestamp(), ends);
        let secret = token.token.secret();
        assert!(!format!("{credential:?} {token:?}").contains(secret));
    }
    assert_eq!(world.entra.calls(EXCHANGE), 1);
}

#[tokio::test]
async fn scopes_of_one_api_are_one_token() {
    let world = World::new().await;
    let caller = caller(&world, &world.log_in("alice").await).await;
    let credential = create_obo_credential(&caller);
    let scopes = [USER_READ, "https://graph.microsoft.com/Mail.Read"];
    let token = credential.get_token(&scopes, None).await.unwrap();
    let granted = claims_of(token.token.secret())["scp"].clone();
    assert!(granted.as_str().unwrap().contains("Mail.Read"), "{granted}");
    let several = [USER_READ, "api://orders/read"];
    let refused = credential.get_token(&several, None).await.unwrap_err();
    assert!(matches!(
        OboError::among_causes(&refused),
        Some(OboError::Scope(_))
    ));
}

/// As a client of the SDK does, whose own error is what a tool sees.
#[tokio::test]
async fn what_is_wrong_is_found_behind_a_clients_error() {
    let world = World::new().await;
    let caller = caller(&world, &world.log_in("alice").await).await;
    world
        .entra
        .refuse_obo(builtin::ALICE, GrantRefusal::MfaRequired);
    let credential = create_obo_credential(&caller);
    let refused = credential.get_token(&[USER_READ], None).await.unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Credential));
    let wrapped = Error::with_error(ErrorKind::Other, refused, "the vault cannot be asked");
    let found = OboError::among_causes(&wrapped).and_then(OboError::shortfall);
    assert!(
        matches!(found, Some(Shortfall::Interaction(_))),
        "{found:?}"
    );
    assert!(OboError::among_causes(&Error::with_message(ErrorKind::Other, "x")).is_none());
}

#[tokio::test]
async fn an_application_gets_our_own_token_where_that_is_allowed() {
    let verifier = config()
        .client_secret(builtin::CLIENT_SECRET)
        .app_only(AppOnlyTokens::Allow)
        .allowed_clients([builtin::DAEMON_CLIENT_ID, builtin::PUBLIC_CLIENT_ID]);
    let world = Direct::new(verifier);
    let order = TokenOrder::app_only(builtin::DAEMON_CLIENT_ID, builtin::CLIENT_ID);
    let caller = world.verdict(&order).await.unwrap();
    let credential = OnBehalfOfCredential::new(caller);
    let refused = credential.get_token(&[USER_READ], None).await.unwrap_err();
    assert!(matches!(
        OboError::among_causes(&refused),
        Some(OboError::AppOnlyCaller)
    ));
    let credential = credential.allow_app_only_fallback();
    let token = credential.get_token(&[USER_READ], None).await.unwrap();
    assert_eq!(claims_of(token.token.secret())["idtyp"], json!("app"));
    let user = OnBehalfOfCredential::new(world.verdict(&good()).await.unwrap());
    let user = user.allow_app_only_fallback();
    let token = user.get_token(&[USER_READ], None).await.unwrap();
    assert_eq!(
        claims_of(token.token.secret())["oid"],
        json!(builtin::ALICE_OID)
    );
    assert_eq!(world.entra.calls(Endpoint::Token), 2);
}
