//! Callers with Entra's own tokens.

use axum::Router;
use entra_emulator::{GrantRefusal, TokenOrder, builtin};
use entrada::entra::verifier::AppOnlyTokens;
use entrada::oauth::claims_request::ClaimsRequest;
use entrada::provider::RemoteAuthConfig;
use entrada::{AzureJwtConfig, AzureJwtVerifier, RemoteAuthProvider};

use crate::rpc::message;
use crate::server::{MODES, Mode, bare, service, text};
use crate::world::{RESOURCE, World};

fn provider(world: &World) -> RemoteAuthProvider {
    let config = AzureJwtConfig::new(builtin::TENANT_ID, builtin::CLIENT_ID)
        .authority_host("login.emulator.test")
        .required_scopes(["mcp.read"])
        .client_secret(builtin::CLIENT_SECRET)
        .app_only(AppOnlyTokens::Allow)
        .allowed_clients([builtin::DAEMON_CLIENT_ID, builtin::PUBLIC_CLIENT_ID]);
    let verifier = AzureJwtVerifier::new(config, world.platform()).unwrap();
    RemoteAuthProvider::new(RemoteAuthConfig::new(RESOURCE), verifier).unwrap()
}

fn alices(world: &World) -> String {
    let (user, client) = (builtin::ALICE, builtin::PUBLIC_CLIENT_ID);
    let order = TokenOrder::delegated(user, client, builtin::CLIENT_ID);
    world.entra.mint(&order)
}

fn app(world: &World, mode: Mode) -> Router {
    provider(world).protect(service(mode))
}

#[tokio::test]
async fn a_client_is_told_which_claims_to_bring() {
    for mode in MODES {
        let world = World::new().await;
        let (app, token) = (app(&world, mode), alices(&world));
        let answer = message(mode.call(&app, &token, "declared").await).await;
        assert_eq!(text(&answer), builtin::ALICE_OID, "{mode:?}");
        world
            .entra
            .refuse_obo(builtin::ALICE, GrantRefusal::MfaRequired);
        let other = alices(&world);
        let answer = mode.call(&app, &other, "declared").await;
        assert_eq!(answer.status(), 401, "{mode:?}");
        let claims = ClaimsRequest::of_challenge(answer.headers()).unwrap();
        assert!(claims.as_str().contains("capolids"), "{claims:?}");
        // Where nothing can be challenged, the error has them.
        let app = provider(&world).protect(bare(mode));
        let answer = message(mode.call(&app, &other, "declared").await).await;
        let data = &answer["error"]["data"];
        assert_eq!(data["error"], "insufficient_claims", "{answer}");
        assert_eq!(data["claims"], claims.encode());
    }
}

#[tokio::test]
async fn an_application_is_told_that_nothing_helps() {
    let world = World::new().await;
    let order = TokenOrder::app_only(builtin::DAEMON_CLIENT_ID, builtin::CLIENT_ID);
    let token = world.entra.mint(&order);
    let answer = Mode::Json
        .call(&app(&world, Mode::Json), &token, "declared")
        .await;
    assert_eq!(answer.status(), 403);
    assert_eq!(message(answer).await["error"], "access_denied");
}
