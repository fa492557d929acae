//! The guard before the server.

use std::sync::Arc;

use async_trait::async_trait;
use entrada::VerifiedToken;
use entrada::access_token::{AccessTokenVerifier, PresentedToken, TokenFacts, VerifyError};
use entrada::jwt::jwks::Algorithm;
use entrada::jwt::verify::JwtError;
use entrada::keys::{KeyRing, Keys};
use entrada::oauth::client::ClientId;
use entrada::platform::{Clock, SystemRandom, Timestamp};
use entrada::resource_server::{Protection, RequireBearerLayer};
use url::Url;

/// A token is the name of its subject.
#[derive(Debug)]
struct Names;

#[async_trait]
impl AccessTokenVerifier for Names {
    async fn verify(
        &self,
        presented: PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<VerifiedToken, VerifyError> {
        let name = presented.expose();
        if !["alice", "bob"].contains(&name) {
            return Err(VerifyError::Token(JwtError::Signature));
        }
        let client_id = ClientId::parse("client").unwrap();
        let facts = TokenFacts::new("https://i".into(), name.into(), client_id, now);
        Ok(VerifiedToken::assertion(facts))
    }
}

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(43_200)
    }
}

pub(crate) fn guard() -> RequireBearerLayer {
    let metadata = "http://localhost/.well-known/oauth-protected-resource/mcp";
    let mut protection = Protection::new(Url::parse(metadata).unwrap());
    let random = SystemRandom::default();
    let ring = KeyRing::generate(Algorithm::EdDsa, &random, Timestamp::from_unix(0));
    protection.session_keys = Some(Keys::new(ring.unwrap()));
    RequireBearerLayer::new(Arc::new(Names), Arc::new(Noon), protection)
}
