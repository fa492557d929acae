//! The guard before the server.

use std::sync::Arc;

use async_trait::async_trait;
use entrada::VerifiedToken;
use entrada::access_token::{
    AccessTokenVerifier, PresentedToken, PrincipalKind, TokenFacts, VerifyError,
};
use entrada::jwt::jwks::Algorithm;
use entrada::jwt::verify::JwtError;
use entrada::keys::{KeyRing, Keys};
use entrada::oauth::client::ClientId;
use entrada::oauth::scope::Scope;
use entrada::platform::{Clock, SystemRandom, Timestamp};
use entrada::resource_server::{Protection, RequireBearerLayer};
use url::Url;

/// A token is the name of its subject, with the scopes it has after it: `alice+files.read`.
#[derive(Debug)]
struct Names;

#[async_trait]
impl AccessTokenVerifier for Names {
    async fn verify(
        &self,
        presented: PresentedToken<'_>,
        _: Timestamp,
    ) -> Result<VerifiedToken, VerifyError> {
        let facts = facts(presented.expose());
        let facts = facts.ok_or(VerifyError::Token(JwtError::Signature))?;
        Ok(VerifiedToken::assertion(facts))
    }
}

/// What `token` says, if there is such a subject.
pub(crate) fn facts(token: &str) -> Option<TokenFacts> {
    let (name, scope) = token.split_once('+').unwrap_or((token, ""));
    let client_id = if name == "carol" { "trusted" } else { "client" };
    let client_id = ClientId::parse(client_id).unwrap();
    let noon = Timestamp::from_unix(43_200);
    let mut facts = TokenFacts::new("https://i".into(), name.into(), client_id, noon);
    facts.scope = Scope::parse(&scope.replace('+', " ")).unwrap();
    let tenant = if name == "guest" { "abroad" } else { "home" };
    tenant.clone_into(&mut facts.principal.tenant_id);
    match name {
        "alice" | "bob" | "carol" | "guest" => {}
        "administrator" => facts.principal.roles = vec!["Files.Admin".to_owned()],
        "member" => facts.principal.groups = vec!["staff".to_owned()],
        "program" => {
            facts.principal.kind = PrincipalKind::Application;
            facts.principal.roles = vec!["Files.Write.All".to_owned()];
        }
        _ => return None,
    }
    Some(facts)
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
