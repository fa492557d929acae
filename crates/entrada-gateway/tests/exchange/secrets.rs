//! No token leaves by the log.

use entra_emulator::{GrantRefusal, builtin};
use entrada_gateway::upstream::exchange::Exchange;

use crate::log::Log;
use crate::stage::{Stage, USER_READ, header};

#[tokio::test]
async fn no_token_is_logged_whatever_the_level() {
    let (log, _guard) = Log::begin();
    let stage = Stage::new(Exchange::new(USER_READ).unwrap()).await;
    let sent = header(&stage.post().await, "authorization");
    stage
        .world
        .entra
        .refuse_obo(builtin::ALICE, GrantRefusal::MfaRequired);
    stage.world.advance(std::time::Duration::from_secs(7200));
    stage.post().await;
    let log = log.text();
    assert!(log.contains("grant issued"), "{log}");
    let token = sent.strip_prefix("Bearer ").unwrap();
    for secret in [
        token,
        &stage.session.access_token,
        &stage.session.refresh_token,
    ] {
        assert!(!log.contains(secret), "{log}");
    }
}
