//! A configuration that changes while requests are served.

use entrada::AzureConfig;
use entrada::provider::ConfigError;

use crate::client::parameter;
use crate::world::{CALLBACK, SECOND, World};

const GRAPH: &str = "https://graph.microsoft.com/User.Read";

#[tokio::test]
async fn nobody_notices_that_the_configuration_was_read_again() {
    let before = World::new().await;
    let session = before.log_in("alice").await;
    session.client.call_with(&session.access_token).await.ok();
    let after = before.renewed(|config| config).unwrap();

    let session = session.at(&after);
    session.client.call_with(&session.access_token).await.ok();
    let session = session.refreshed().await;
    session.client.call_with(&session.access_token).await.ok();
    // What the first answers still, it answers as before.
    let late = session.at(&before);
    late.client.call_with(&late.access_token).await.ok();
    late.refreshed().await;
}

#[tokio::test]
async fn a_sign_in_that_began_before_ends_after() {
    let before = World::new().await;
    let client = before.client().await;
    let mut browser = before.browser();
    let back = client.authorize(&mut browser, "alice").await;
    let code = parameter(&back, "code").unwrap();
    assert!(back.as_str().starts_with(CALLBACK));

    let after = before.renewed(|config| config).unwrap();
    let client = client.at(&after);
    let session = client.session(client.redeem(&code).await.ok());
    client.call_with(&session.access_token).await.ok();
}

#[tokio::test]
async fn what_is_new_holds_from_the_next_request_on() {
    let before = World::new().await;
    let named = |config: AzureConfig| config.resource_name("Contoso tools, new");
    let after = before.renewed(named).unwrap();
    let page = after.client().await.ask(&mut after.browser()).await;
    assert!(page.html.contains("Contoso tools, new"), "{}", page.html);
}

/// What Entra refused for the sake of the old one is asked of it again.
#[tokio::test]
async fn a_credential_is_rolled_while_requests_are_served() {
    let world = World::new().await;
    let session = world.log_in("alice").await;
    let wrong = |config: AzureConfig| config.client_secret("another, which Entra does not know");
    let wrong = world.renewed(wrong).unwrap();
    let refused = session.at(&wrong).call_downstream(GRAPH).await;
    assert!(refused.status.is_server_error(), "{}", refused.status);
    let right = wrong.renewed(|config| config).unwrap();
    session.at(&right).call_downstream(GRAPH).await.ok();
}

#[tokio::test]
async fn everything_that_cannot_change_is_told_at_once_and_nothing_has_changed() {
    let world = World::new().await;
    let tenant = "99999999-9999-4999-8999-999999999999";
    let other = AzureConfig::new(tenant, tenant, "https://other.example.com")
        .client_secret("secret")
        .required_scopes(["mcp.read"])
        .redirect_path("/elsewhere");
    let errors = world.renewed(|_| other).map(drop).unwrap_err();
    let named = errors.iter().filter_map(|error| {
        let ConfigError::NotWhileRunning(name) = error else {
            return None;
        };
        Some(*name)
    });
    let named: Vec<_> = named.collect();
    let all = [
        "issuer_url",
        "base_url",
        "redirect_path",
        "tenant_id",
        "client_id",
    ];
    assert_eq!(named, all);
    assert_eq!(errors.iter().count(), all.len());

    let errors = world.renewed(|config| config.required_scopes(["not a scope\""]));
    assert!(errors.is_err());
    world.log_in("alice").await;
}

#[tokio::test]
async fn tokens_for_other_apis_are_kept() {
    let before = World::new().await;
    let session = before.log_in("alice").await;
    let got = session.call_downstream(GRAPH).await.ok();
    let after = before.renewed(|config| config).unwrap();
    after.advance(SECOND);
    let kept = session.at(&after).call_downstream(GRAPH).await.ok();
    assert!(got["downstream"].is_object(), "{got}");
    assert_eq!(kept["downstream"], got["downstream"]);
}
