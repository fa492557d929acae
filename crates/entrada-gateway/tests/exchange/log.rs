//! No token leaves by the log.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use entra_emulator::{GrantRefusal, builtin};
use entrada_gateway::upstream::exchange::Exchange;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::stage::{Stage, USER_READ, header};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_token_is_logged_whatever_the_level() {
    let log = Log::default();
    let filter = EnvFilter::new("trace,entra_emulator=off");
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let stage = Stage::new(Exchange::new(USER_READ).unwrap()).await;
    let sent = header(&stage.post().await, "authorization");
    stage
        .world
        .entra
        .refuse_obo(builtin::ALICE, GrantRefusal::MfaRequired);
    stage.world.advance(std::time::Duration::from_secs(7200));
    stage.post().await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
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
