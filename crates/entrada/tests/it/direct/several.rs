//! Tokens from several sources at one guard.

use std::sync::Arc;

use async_trait::async_trait;
use entra_emulator::{TokenOrder, builtin};
use entrada::access_token::{
    AccessTokenVerifier, Claimed, PresentedToken, VerifiedToken, VerifyError,
};
use entrada::entra::verifier::AppOnlyTokens;
use entrada::jwt::jwks::Algorithm;
use entrada::jwt::sign::SigningKey;
use entrada::jwt::unverified::UnverifiedOrigin;
use entrada::jwt_verifier::{JwtVerifier, JwtVerifierConfig};
use entrada::platform::Timestamp;
use entrada::policy::Requirement;
use entrada::{AzureJwtConfig, AzureJwtVerifier};
use serde_json::json;

use super::world::{Direct, config, good};
use crate::world::{RESOURCE, World};

const PARTNER: &str = "https://partner.example";

/// A verifier of another issuer, and a token of it that has the scopes `scope`.
fn partner(platform: entrada::Platform, scope: &str) -> (JwtVerifier, String) {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let claims = json!({
        "iss": PARTNER, "aud": RESOURCE, "exp": 1_800_001_000, "sub": "robot", "client_id": "c",
        "scope": scope,
    });
    let token = key.sign("at+jwt", &claims).unwrap();
    let config = JwtVerifierConfig::inline(PARTNER, key.jwks().unwrap()).audience([RESOURCE]);
    (JwtVerifier::new(config, platform).unwrap(), token)
}

/// Machines, with tokens of Entra's own.
fn machines() -> AzureJwtConfig {
    config()
        .app_only(AppOnlyTokens::Require)
        .required_scopes(Vec::<String>::new())
        .required_app_roles(["Reader"])
}

fn machine() -> TokenOrder {
    TokenOrder::app_only(builtin::DAEMON_CLIENT_ID, builtin::CLIENT_ID)
        .claim("roles", json!(["Reader"]))
}

#[tokio::test]
async fn people_come_through_the_proxy_and_machines_with_entras_tokens() {
    let world = World::new().await;
    let verifier = AzureJwtVerifier::new(machines(), world.platform()).unwrap();
    let world = world.replica_with(|config| config.also_accept(verifier));
    let session = world.log_in("alice").await;
    let person = session.call_tool().await.ok();
    assert_eq!(person["oid"], json!(builtin::ALICE_OID));
    let robot = session
        .client
        .call_with(&world.entra.mint(&machine()))
        .await
        .ok();
    assert_eq!(robot["client_id"], json!(builtin::DAEMON_CLIENT_ID));
    assert_eq!(robot["scope"], json!(""));
    // A user's token of Entra's does not come in beside the proxy.
    let user = session.client.call_with(&world.entra.mint(&good())).await;
    assert_eq!(user.status, 403);
    let weak = machine().claim("roles", json!(["Writer"]));
    let weak = session.client.call_with(&world.entra.mint(&weak)).await;
    assert_eq!(weak.status, 403);
}

#[tokio::test]
async fn several_app_registrations_are_told_apart_by_audience() {
    let world = Direct::with(config(), |remote, platform| {
        let other = AzureJwtConfig::new(builtin::TENANT_ID, builtin::V1_CLIENT_ID)
            .authority_host("login.emulator.test")
            .required_scopes(["mcp.read"]);
        remote.also_accept(AzureJwtVerifier::new(other, platform).unwrap())
    });
    let v1 = TokenOrder::delegated(
        builtin::ALICE,
        builtin::PUBLIC_CLIENT_ID,
        builtin::V1_CLIENT_ID,
    );
    for (order, status) in [
        (good(), 200),
        (v1.clone(), 200),
        (v1.claim("aud", builtin::DOWNSTREAM_CLIENT_ID), 401),
        (
            good().claim("iss", "https://login.emulator.test/x/v2.0"),
            401,
        ),
    ] {
        let answer = world.call(&world.entra.mint(&order)).await;
        assert_eq!(answer.status, status, "{order:?}");
    }
}

#[tokio::test]
async fn another_issuer_is_trusted_by_its_keys_and_one_policy_is_over_all() {
    let mut tokens = Vec::new();
    let no_mallory = Requirement::any_client(["c", builtin::PUBLIC_CLIENT_ID]);
    let world = Direct::with(config(), |remote, platform| {
        let (verifier, token) = partner(platform, "mcp.read");
        tokens.push(token);
        remote.also_accept(verifier).requirement(no_mallory)
    });
    assert_eq!(world.call(&tokens[0]).await.text, "robot");
    assert_eq!(world.call(&world.entra.mint(&good())).await.status, 200);
    // The same key, unknown to this server.
    let (_, stranger) = partner(entrada::Platform::system().unwrap(), "mcp.read");
    world
        .call(&stranger)
        .await
        .assert_unauthorized("invalid_token");
    let other = good().claim("azp", builtin::SPA_CLIENT_ID);
    assert_eq!(world.call(&world.entra.mint(&other)).await.status, 403);
    // The server's own scopes are asked of everybody.
    let mut weak = Vec::new();
    let world = Direct::with(config(), |remote, platform| {
        let (verifier, token) = partner(platform, "other");
        weak.push(token);
        remote.also_accept(verifier)
    });
    assert_eq!(world.call(&weak[0]).await.status, 403);
}

/// Would let anybody in, and counts who comes.
#[derive(Debug, Default)]
struct Open(std::sync::atomic::AtomicUsize);

#[async_trait]
impl AccessTokenVerifier for Open {
    fn is_for(&self, origin: &UnverifiedOrigin) -> bool {
        origin.issuer == PARTNER
    }

    async fn verify(
        &self,
        _: PresentedToken<'_>,
        _: Timestamp,
    ) -> Result<VerifiedToken, VerifyError> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Err(VerifyError::GrantEnded)
    }
}

#[tokio::test]
async fn no_token_is_tried_on_one_verifier_after_the_other() {
    let open = Arc::new(Open::default());
    let shared = Arc::clone(&open);
    let world = Direct::with(config(), |remote, _| remote.also_accept(shared));
    let asked = || open.0.load(std::sync::atomic::Ordering::SeqCst);
    for order in [
        good().signed_by(entra_emulator::Signer::Unpublished),
        good().claim("aud", "https://nobody.example"),
        good().claim("iss", "https://nobody.example"),
        good().claim("exp", 1),
    ] {
        world
            .call(&world.entra.mint(&order))
            .await
            .assert_unauthorized("invalid_token");
    }
    assert_eq!(asked(), 0);
    let partner = good().claim("iss", PARTNER);
    world
        .call(&world.entra.mint(&partner))
        .await
        .assert_unauthorized("invalid_token");
    assert_eq!(asked(), 1);
}

#[tokio::test]
async fn the_log_says_where_a_token_nobody_is_for_comes_from() {
    let several = entrada::MultiAuth::new([Arc::new(Open::default()) as Arc<_>]);
    let world = Direct::new(config());
    let token = world.entra.mint(&good());
    let verdict = several
        .verify(PresentedToken::new(&token), Timestamp::from_unix(0))
        .await;
    let expected = Claimed::new(&format!(
        "https://login.emulator.test/{}/v2.0",
        builtin::TENANT_ID
    ));
    let found = verdict.unwrap_err();
    assert!(matches!(&found, VerifyError::UnknownOrigin { issuer, .. } if *issuer == expected));
    for nonsense in ["", "a.b.c", "e30.e30.AA"] {
        let verdict = several
            .verify(PresentedToken::new(nonsense), Timestamp::from_unix(0))
            .await;
        assert!(verdict.is_err());
    }
}
