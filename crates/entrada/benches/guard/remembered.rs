//! A guard whose verifier knows its one token already, before a service that does nothing.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use entrada::VerifiedToken;
use entrada::access_token::{AccessTokenVerifier, PresentedToken, TokenFacts, VerifyError};
use entrada::jwt::jwks::Algorithm;
use entrada::jwt::verify::JwtError;
use entrada::keys::{KeyRing, Keys};
use entrada::oauth::client::ClientId;
use entrada::oauth::scope::Scope;
use entrada::platform::{SystemClock, SystemRandom, Timestamp};
use entrada::resource_server::{Protection, RequireBearer, RequireBearerLayer};
use http::Request;
use tower::{Layer as _, Service as _};
use url::Url;

#[path = "../inner/no_op.rs"]
mod no_op;

pub(crate) use no_op::NoOp;

/// As long as an ES256 access token.
const TOKEN_LENGTH: usize = 700;

/// Knows one token.
#[derive(Debug)]
struct Remembered {
    presented: String,
    token: VerifiedToken,
}

#[async_trait]
impl AccessTokenVerifier for Remembered {
    fn recall(&self, presented: PresentedToken<'_>, _: Timestamp) -> Option<VerifiedToken> {
        (presented.expose() == self.presented).then(|| self.token.clone())
    }

    async fn verify(
        &self,
        _: PresentedToken<'_>,
        _: Timestamp,
    ) -> Result<VerifiedToken, VerifyError> {
        Err(VerifyError::Token(JwtError::Signature))
    }
}

/// What the verifier says of its token.
pub(crate) fn token() -> VerifiedToken {
    let client_id = ClientId::parse("client").expect("a client id");
    let mut facts = TokenFacts::new(
        "https://mcp.example".to_owned(),
        "b6f0a6f1-91f6-4f6c-a7d4-1f4b3b1a2c3d".to_owned(),
        client_id,
        Timestamp::from_unix(u64::MAX),
    );
    facts.scope = Scope::parse("mcp.read mcp.write").expect("a scope");
    VerifiedToken::assertion(facts)
}

/// The guarded service.
pub(crate) fn guarded() -> RequireBearer<NoOp> {
    let metadata = "https://mcp.example/.well-known/oauth-protected-resource/mcp";
    let mut protection = Protection::new(Url::parse(metadata).expect("a URL"));
    protection.required_scope = Scope::parse("mcp.read").expect("a scope");
    let ring = KeyRing::generate(
        Algorithm::EdDsa,
        &SystemRandom::default(),
        Timestamp::from_unix(0),
    );
    protection.session_keys = Some(Keys::new(ring.expect("a key ring")));
    let verifier = Remembered {
        presented: presented(),
        token: token(),
    };
    let clock = Arc::new(SystemClock::default());
    RequireBearerLayer::new(Arc::new(verifier), clock, protection).layer(NoOp)
}

/// A request as MCP clients send it, with the token the verifier knows.
pub(crate) fn request() -> Request<()> {
    Request::post("https://mcp.example/mcp")
        .header("accept", "application/json, text/event-stream")
        .header("authorization", format!("Bearer {}", presented()))
        .header("content-type", "application/json")
        .header("mcp-protocol-version", "2025-11-25")
        .body(())
        .expect("a request")
}

/// Sends `request`, whose answer must come at once.
pub(crate) fn call(service: &mut RequireBearer<NoOp>, request: Request<()>) {
    let response = pin!(service.call(request));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(response)) = response.poll(&mut cx) else {
        unreachable!("a remembered token needs no work");
    };
    assert!(response.status().is_success());
}

fn presented() -> String {
    "x".repeat(TOKEN_LENGTH)
}
