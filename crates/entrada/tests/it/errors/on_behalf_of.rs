//! What a client gets whose call needs a token to a downstream API.

use entra_emulator::{Failure, GrantRefusal, TokenOrder, builtin};
use entrada::entra::verifier::AppOnlyTokens;

use super::Surface;
use crate::direct::world::{Direct, config, good};
use crate::mcp_server::DOWNSTREAM;
use crate::obo::{EXCHANGE, USER_READ};
use crate::world::{SECOND, World};

/// What is held against an exchange.
const REFUSALS: [(&str, GrantRefusal); 3] = [
    ("Remedy::StepUp", GrantRefusal::MfaRequired),
    ("Remedy::Consent", GrantRefusal::ConsentRequired),
    ("Remedy::SignInAgain", GrantRefusal::Revoked),
];

fn failures() -> [(&'static str, Failure); 3] {
    let wrong = Failure::Error {
        aadsts: 7_000_215,
        error: "invalid_client".to_owned(),
        suberror: None,
        claims: None,
    };
    [
        ("Remedy::Retry", Failure::Throttle { retry_after: 17 }),
        ("Remedy::Retry, in transport", Failure::Drop),
        ("Remedy::FixConfiguration", wrong),
    ]
}

pub(super) async fn rows(surface: &mut Surface) {
    surface.section("a call to a downstream API (OboError)");
    let world = World::new().await;
    let session = world.log_in("alice").await;
    for (error, refusal) in REFUSALS {
        world.entra.refuse_obo(builtin::ALICE, refusal);
        surface.answer(error, &session.call_downstream(USER_READ).await);
        world.advance(5 * SECOND);
    }
    world.entra.refuse_obo(builtin::ALICE, None);
    for (error, failure) in failures() {
        world.entra.fail_next(EXCHANGE, 1, failure);
        surface.answer(error, &session.call_downstream(USER_READ).await);
        world.advance(17 * SECOND);
    }
    let default = format!("{}/.default", builtin::UNCONSENTED_IDENTIFIER_URI);
    surface.answer("AskAdmin", &session.call_downstream(&default).await);
    surface.answer("Scope", &session.call_downstream("openid").await);

    surface.section("the same with Entra's own tokens");
    let verifier = config()
        .client_secret(builtin::CLIENT_SECRET)
        .app_only(AppOnlyTokens::Allow)
        .allowed_clients([builtin::DAEMON_CLIENT_ID, builtin::PUBLIC_CLIENT_ID]);
    let world = Direct::new(verifier);
    let token = world.entra.mint(&good());
    let call = async |token: &str| world.call_with(token, &[(DOWNSTREAM, USER_READ)]).await;
    for (error, refusal) in REFUSALS {
        world.entra.refuse_obo(builtin::ALICE, refusal);
        surface.answer(error, &call(&token).await);
        world.advance(5 * SECOND);
    }
    let order = TokenOrder::app_only(builtin::DAEMON_CLIENT_ID, builtin::CLIENT_ID);
    surface.answer("AppOnlyCaller", &call(&world.entra.mint(&order)).await);
    let world = Direct::new(config());
    let token = world.entra.mint(&good());
    let answer = world.call_with(&token, &[(DOWNSTREAM, USER_READ)]).await;
    surface.answer("NoCredential", &answer);
}
