//! What a token says of its caller.

use entra_emulator::{TokenOrder, builtin};
use entrada::access_token::{PrincipalKind, VerifiedToken};
use entrada::entra::verifier::AppOnlyTokens;
use serde_json::json;

use super::tenants::multi;
use crate::direct::world::{Direct, config, good};

#[tokio::test]
async fn what_a_token_says_is_told_in_types_and_whole() {
    let world = Direct::new(config());
    let order = good()
        .claim("xms_cc", json!(["cp1"]))
        .claim("groups", json!(["g"]));
    let token: VerifiedToken = world.verdict(&order).await.unwrap();
    let principal = &token.principal;
    assert_eq!(token.client_id.as_str(), builtin::PUBLIC_CLIENT_ID);
    assert_eq!(principal.tenant_id, builtin::TENANT_ID);
    assert_eq!(principal.object_id.as_deref(), Some(builtin::ALICE_OID));
    assert_eq!(
        principal.preferred_username.as_deref(),
        Some(builtin::ALICE)
    );
    assert_eq!(principal.kind, PrincipalKind::User);
    assert_eq!(principal.groups, ["g"]);
    assert!(!principal.is_guest && !principal.is_personal_account());
    assert!(principal.agent.is_none());
    assert_eq!(token.claims.get("xms_cc"), Some(json!(["cp1"])));
    assert_eq!(token.claims.get("ver"), Some(json!("2.0")));
    let nameless = world.verdict(&good().without_profile()).await.unwrap();
    assert_eq!(
        (&nameless.principal.object_id, &nameless.principal.name),
        (&None, &None)
    );
    let shown = format!("{token:?}");
    assert!(!shown.contains("cp1"), "{shown}");
}

#[tokio::test]
async fn guests_personal_accounts_and_agents_are_recognized() {
    let world = Direct::new(config());
    let guest = TokenOrder::delegated(
        builtin::DANA_GUEST,
        builtin::PUBLIC_CLIENT_ID,
        builtin::CLIENT_ID,
    )
    .tenant(builtin::TENANT_ID);
    let guest = world.verdict(&guest).await.unwrap();
    assert!(guest.principal.is_guest);
    assert_eq!(
        guest.principal.object_id.as_deref(),
        Some(builtin::DANA_GUEST_OID)
    );
    let home = format!("https://sts.windows.net/{}/", builtin::FABRIKAM_TENANT_ID);
    assert_eq!(guest.principal.identity_provider, Some(home));
    let world = Direct::new(multi("common"));
    let order = TokenOrder::delegated(
        builtin::PAT_PERSONAL,
        builtin::PUBLIC_CLIENT_ID,
        builtin::MULTI_TENANT_CLIENT_ID,
    );
    assert!(
        world
            .verdict(&order)
            .await
            .unwrap()
            .principal
            .is_personal_account()
    );
    let config = config()
        .app_only(AppOnlyTokens::Allow)
        .allowed_clients([builtin::AGENT_CLIENT_ID, builtin::PUBLIC_CLIENT_ID]);
    let world = Direct::new(config);
    let order = TokenOrder::app_only(builtin::AGENT_CLIENT_ID, builtin::CLIENT_ID);
    let agent = world.verdict(&order).await.unwrap().principal.clone();
    assert_eq!(agent.kind, PrincipalKind::Application);
    let agent = agent.agent.unwrap();
    assert_eq!(
        agent.blueprint.as_deref(),
        Some(builtin::AGENT_BLUEPRINT_CLIENT_ID)
    );
    assert!(!agent.is_user);
}
