//! Groups that a token had no room for.

use std::time::Duration;

use entra_emulator::directory::user::AppRoleAssignment;
use entra_emulator::{Endpoint, Failure, TokenOrder, builtin};
use entrada::AzureJwtConfig;
use entrada::entra::credential::ClientCredential;
use entrada::entra::verifier::AppOnlyTokens;
use entrada::policy::Requirement;
use entrada::provider::GraphGroups;
use serde_json::json;

use super::world::{Direct, config, good};
use crate::credential::Certificate;
use crate::world::World;

const GRAPH: &str = "https://login.emulator.test/graph";
const MINUTE: Duration = Duration::from_secs(60);

/// A user in 251 groups.
fn grace() -> TokenOrder {
    TokenOrder::delegated(
        builtin::GRACE_MANY_GROUPS,
        builtin::PUBLIC_CLIENT_ID,
        builtin::CLIENT_ID,
    )
}

/// One of the groups.
fn her_group(world: &Direct) -> String {
    let mut group = None;
    world.entra.change_directory(|directory| {
        let user = directory.user(builtin::GRACE_MANY_GROUPS).unwrap();
        group = user.all_groups().last().cloned();
    });
    group.unwrap()
}

fn on_behalf_of() -> GraphGroups {
    GraphGroups::on_behalf_of(builtin::CLIENT_SECRET).graph_url(GRAPH)
}

fn app_only() -> GraphGroups {
    GraphGroups::app_only(builtin::CLIENT_SECRET).graph_url(GRAPH)
}

/// A server that asks in its own name, which an administrator allowed.
fn allowed(config: AzureJwtConfig) -> Direct {
    allowed_by(config, app_only())
}

fn allowed_by(config: AzureJwtConfig, how: GraphGroups) -> Direct {
    let world = Direct::new(config.groups_from_graph(how));
    world.entra.change_directory(|directory| {
        let app = directory.app_mut(builtin::CLIENT_ID).unwrap();
        let mut role = AppRoleAssignment::default();
        builtin::GRAPH_APP_ID.clone_into(&mut role.resource);
        "Directory.Read.All".clone_into(&mut role.role);
        app.app_role_assignments.push(role);
    });
    world
}

async fn groups(world: &Direct) -> usize {
    world
        .verdict(&grace())
        .await
        .unwrap()
        .principal
        .groups
        .len()
}

#[tokio::test]
async fn too_many_groups_are_known_to_be_unknown() {
    let world = Direct::new(config());
    let token = world.verdict(&grace()).await.unwrap();
    assert!(token.principal.groups_overage && token.principal.groups.is_empty());
    let group = her_group(&world);
    let world = Direct::new(config().requirement(Requirement::any_group([group])));
    assert_eq!(world.call(&world.entra.mint(&grace())).await.status, 403);
}

#[tokio::test]
async fn groups_are_looked_up_in_the_callers_name_or_in_our_own() {
    let on_behalf_of = Direct::new(config().groups_from_graph(on_behalf_of()));
    for world in [on_behalf_of, allowed(config())] {
        let token = world.verdict(&grace()).await.unwrap();
        assert!(token.principal.groups.len() > 200 && !token.principal.groups_overage);
        assert!(token.principal.groups.contains(&her_group(&world)));
    }
}

#[tokio::test]
async fn a_certificate_asks_for_groups_as_well_as_a_secret() {
    let certificate = Certificate::new();
    let credential = || ClientCredential::certificate_file(certificate.path());
    let on_behalf_of = GraphGroups::on_behalf_of(credential()).graph_url(GRAPH);
    let app_only = GraphGroups::app_only(credential()).graph_url(GRAPH);
    let worlds = [
        Direct::new(config().groups_from_graph(on_behalf_of)),
        allowed_by(config(), app_only),
    ];
    for world in worlds {
        assert!(groups(&world).await > 200);
        let form = world.entra.last_token_form().unwrap();
        assert!(form.iter().any(|(name, _)| name == "client_assertion"));
    }
}

#[tokio::test]
async fn membership_decides_who_gets_in() {
    let world = Direct::new(config());
    let (group, other) = (her_group(&world), "40000000-0000-4000-8000-999999999999");
    for (group, status) in [(group.as_str(), 200), (other, 403)] {
        let requirement = Requirement::any_group([group]);
        let config = config()
            .groups_from_graph(on_behalf_of())
            .requirement(requirement);
        let world = Direct::new(config);
        assert_eq!(world.call(&world.entra.mint(&grace())).await.status, status);
    }
}

#[tokio::test]
async fn every_page_is_read() {
    let world = allowed(config());
    world.entra.set_graph_page_size(100);
    assert!(groups(&world).await > 250);
    assert!(world.entra.calls(Endpoint::Graph) >= 3);
}

#[tokio::test]
async fn memberships_are_remembered_for_five_minutes() {
    let world = allowed(config());
    for _ in 0..3 {
        groups(&world).await;
    }
    assert_eq!(world.entra.calls(Endpoint::Graph), 1);
    assert_eq!(world.entra.calls(Endpoint::Token), 1);
    world.advance(5 * MINUTE);
    groups(&world).await;
    assert_eq!(world.entra.calls(Endpoint::Graph), 2);
    // Our own token for Graph is good for longer.
    assert_eq!(world.entra.calls(Endpoint::Token), 1);
}

#[tokio::test]
async fn a_hundred_tokens_of_one_user_cause_one_question() {
    let world = std::sync::Arc::new(Direct::new(config().groups_from_graph(on_behalf_of())));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let world = std::sync::Arc::clone(&world);
        calls.spawn(async move { groups(&world).await });
    }
    assert!(calls.join_all().await.into_iter().all(|count| count > 200));
    assert_eq!(world.entra.calls(Endpoint::Graph), 1);
}

#[tokio::test]
async fn while_nobody_can_tell_nobody_gets_in_and_nobody_is_told_off() {
    for (endpoint, failure) in [
        (Endpoint::Graph, Failure::Status(503)),
        (Endpoint::Graph, Failure::Garbage),
        (Endpoint::Graph, Failure::Drop),
        (Endpoint::Graph, Failure::Throttle { retry_after: 9 }),
        (Endpoint::Token, Failure::Status(500)),
    ] {
        let world = allowed(config());
        world.entra.fail_next(endpoint, 1, failure.clone());
        for _ in 0..3 {
            let answer = world.call(&world.entra.mint(&grace())).await;
            assert_eq!(answer.status, 503, "{failure:?}");
        }
        assert!(world.entra.calls(Endpoint::Graph) <= 1, "{failure:?}");
        // Who is in few groups is not concerned.
        assert_eq!(world.call(&world.entra.mint(&good())).await.status, 200);
        world.advance(Duration::from_secs(5));
        assert!(groups(&world).await > 200, "{failure:?}");
    }
}

#[tokio::test]
async fn a_user_entra_gives_no_token_for_gets_in_nowhere() {
    let world = Direct::new(config().groups_from_graph(on_behalf_of()));
    world
        .entra
        .demand_mfa_at_obo(builtin::GRACE_MANY_GROUPS, true);
    assert_eq!(world.call(&world.entra.mint(&grace())).await.status, 503);
}

#[tokio::test]
async fn applications_have_groups_that_only_we_can_ask_for() {
    let app = || {
        TokenOrder::app_only(builtin::DAEMON_CLIENT_ID, builtin::CLIENT_ID)
            .claim("roles", json!(["Reader"]))
            .claim("_claim_names", json!({"groups": "src1"}))
    };
    let config = || {
        let config = config().app_only(AppOnlyTokens::Allow);
        config.required_app_roles(["Reader"])
    };
    assert!(allowed(config()).verdict(&app()).await.is_ok());
    let world = Direct::new(config().groups_from_graph(on_behalf_of()));
    assert_eq!(world.call(&world.entra.mint(&app())).await.status, 503);
}

#[tokio::test]
async fn our_token_for_graph_goes_nowhere_else() {
    let world = allowed(config());
    // Warm: the next answer is Graph's.
    groups(&world).await;
    world.advance(5 * MINUTE);
    let evil = json!({"value": [], "@odata.nextLink": "https://evil.example/graph/v1.0/x"});
    let instead = super::world::Instead::Body(evil.to_string());
    world.wire.answer_next(instead);
    assert_eq!(world.call(&world.entra.mint(&grace())).await.status, 503);
    assert_eq!(world.wire.asked_for("evil.example"), 0);
}

#[tokio::test]
async fn in_proxy_mode_groups_are_looked_up_in_the_name_of_the_grant() {
    let direct = Direct::new(config());
    let group = her_group(&direct);
    let other = "40000000-0000-4000-8000-999999999999".to_owned();
    for (group, status) in [(group, 200), (other, 403)] {
        let world = World::with(|config| {
            let requirement = Requirement::any_group([group]);
            config
                .groups_from_graph()
                .graph_url(GRAPH)
                .requirement(requirement)
        })
        .await;
        let session = world.log_in("grace").await;
        for _ in 0..3 {
            assert_eq!(session.call_tool().await.status, status);
        }
        assert_eq!(world.entra.calls(Endpoint::Graph), 1);
        world.advance(11 * crate::world::SECOND);
        assert_eq!(session.call_tool().await.status, status);
        assert_eq!(world.entra.calls(Endpoint::Graph), 1);
    }
}

#[test]
fn how_groups_are_looked_up_is_checked_with_the_rest() {
    let platform = || entrada::Platform::system().unwrap();
    for (how, expected) in [
        (GraphGroups::app_only(""), "client_secret: "),
        (
            GraphGroups::app_only("s").graph_url("http://graph.example"),
            "graph_url: ",
        ),
    ] {
        let config: AzureJwtConfig = config().groups_from_graph(how);
        let errors = entrada::AzureJwtVerifier::new(config, platform()).unwrap_err();
        assert!(errors.to_string().contains(expected), "{errors}");
    }
}
