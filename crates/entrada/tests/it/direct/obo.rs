//! Callers who come with Entra's own tokens, and the APIs that are called as them.

use entra_emulator::{Endpoint, GrantRefusal, GrantType, TokenOrder, builtin};
use entrada::entra::verifier::AppOnlyTokens;
use entrada::oauth::claims_request::ClaimsRequest;
use entrada::on_behalf_of::{DownstreamRequest, DownstreamScopeError, OboError};
use entrada::{AzureJwtConfig, VerifiedToken};
use http::Method;
use serde_json::{Value, json};

use super::world::{Direct, config, good};
use crate::mcp_server::DOWNSTREAM;
use crate::world::SECOND;

const USER_READ: &str = "https://graph.microsoft.com/User.Read";
const EXCHANGE: Endpoint = Endpoint::TokenGrant(GrantType::OnBehalfOf);
const CLIENT_CREDENTIALS: Endpoint = Endpoint::TokenGrant(GrantType::ClientCredentials);

/// A server whose app registration has a secret.
fn exchanging() -> AzureJwtConfig {
    config().client_secret(builtin::CLIENT_SECRET)
}

async fn caller(world: &Direct, order: &TokenOrder) -> VerifiedToken {
    world.verdict(order).await.unwrap()
}

#[tokio::test]
async fn the_token_that_was_verified_is_exchanged() {
    let world = Direct::new(exchanging());
    let token = world.entra.mint(&good());
    for _ in 0..3 {
        let answer = world.call_with(&token, &[(DOWNSTREAM, USER_READ)]).await;
        let claims = answer.ok();
        assert_eq!(claims["oid"], json!(builtin::ALICE_OID));
        assert_eq!(claims["appid"], json!(builtin::CLIENT_ID));
    }
    assert_eq!(world.entra.calls(EXCHANGE), 1);
    let form = world.entra.last_token_form().unwrap();
    assert!(form.contains(&("assertion".to_owned(), token)));
    // Another token of the same user's is another assertion: it may have been got with more.
    let other = world.entra.mint(&good());
    world
        .call_with(&other, &[(DOWNSTREAM, USER_READ)])
        .await
        .ok();
    assert_eq!(world.entra.calls(EXCHANGE), 2);
}

#[tokio::test]
async fn clients_are_told_which_claims_to_bring() {
    let world = Direct::new(exchanging());
    let token = world.entra.mint(&good());
    world
        .entra
        .refuse_obo(builtin::ALICE, GrantRefusal::MfaRequired);
    let answer = world.call_with(&token, &[(DOWNSTREAM, USER_READ)]).await;
    answer.assert_unauthorized("insufficient_claims");
    let claims = ClaimsRequest::of_challenge(&answer.headers).unwrap();
    let claims: Value = serde_json::from_str(claims.as_str()).unwrap();
    assert_eq!(claims["access_token"]["capolids"]["essential"], json!(true));
    // What is about the server alone still goes on.
    assert_eq!(world.call(&token).await.status, 200);
}

#[tokio::test]
async fn each_refusal_is_told_as_what_it_is() {
    use GrantRefusal as R;
    for (refusal, status, error) in [
        (R::DeviceNotCompliant, 401, "insufficient_claims"),
        (R::MfaEnrolmentRequired, 401, "insufficient_claims"),
        (R::Blocked, 401, "insufficient_claims"),
        (R::Revoked, 401, "invalid_token"),
        (R::UserDisabled, 401, "invalid_token"),
        // Nobody but an administrator can be asked: the client is not ours to send anywhere.
        (R::ConsentRequired, 403, "access_denied"),
    ] {
        let world = Direct::new(exchanging());
        let token = world.entra.mint(&good());
        world.entra.refuse_obo(builtin::ALICE, refusal);
        let answer = world.call_with(&token, &[(DOWNSTREAM, USER_READ)]).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{refusal:?}: {}",
            answer.text
        );
        if status == 401 {
            answer.assert_unauthorized(error);
        }
        assert!(!answer.text.contains("AADSTS"), "{}", answer.text);
    }
}

#[tokio::test]
async fn an_administrator_is_told_where_to_consent() {
    let world = Direct::new(exchanging());
    let scope = "https://graph.microsoft.com/Directory.Read.All";
    let caller = caller(&world, &good()).await;
    let refused = caller.downstream_token(scope).await;
    let Err(OboError::AskAdmin(ask)) = refused else {
        panic!("{refused:?}");
    };
    let expected = format!("/{}/v2.0/adminconsent?client_id=", builtin::TENANT_ID);
    assert!(ask.admin_consent_url.contains(&expected), "{ask:?}");
    assert!(ask.admin_consent_url.contains("Directory.Read.All"));
}

#[tokio::test]
async fn an_application_has_nobody_to_act_for() {
    let app_only = exchanging()
        .app_only(AppOnlyTokens::Allow)
        .allowed_clients([builtin::DAEMON_CLIENT_ID]);
    let world = Direct::new(app_only);
    let order = TokenOrder::app_only(builtin::DAEMON_CLIENT_ID, builtin::CLIENT_ID);
    let caller = caller(&world, &order).await;
    let refused = caller.downstream_token(USER_READ).await;
    assert!(
        matches!(refused, Err(OboError::AppOnlyCaller)),
        "{refused:?}"
    );
    assert_eq!(world.entra.calls(Endpoint::Token), 0);

    let request = DownstreamRequest::new(USER_READ).allow_app_only_fallback();
    for _ in 0..2 {
        let token = caller.downstream_token(request).await.unwrap();
        let claims = crate::mcp_server::claims_of(token.expose());
        assert_eq!(claims["appid"], json!(builtin::CLIENT_ID));
        assert_eq!(claims["idtyp"], json!("app"));
        assert!(claims.get("scp").is_none());
    }
    assert_eq!(world.entra.calls(CLIENT_CREDENTIALS), 1);
    let form = world.entra.last_token_form().unwrap();
    let default = "https://graph.microsoft.com/.default".to_owned();
    assert!(form.contains(&("scope".to_owned(), default)));
}

/// A user is never answered with what the app may do.
#[tokio::test]
async fn the_fallback_is_for_applications_alone() {
    let world = Direct::new(exchanging());
    let caller = caller(&world, &good()).await;
    world
        .entra
        .refuse_obo(builtin::ALICE, GrantRefusal::MfaRequired);
    let request = DownstreamRequest::new(USER_READ).allow_app_only_fallback();
    let refused = caller.downstream_token(request).await;
    assert!(
        matches!(refused, Err(OboError::InteractionRequired(_))),
        "{refused:?}"
    );
    assert_eq!(world.entra.calls(CLIENT_CREDENTIALS), 0);
}

#[tokio::test]
async fn without_a_credential_nothing_is_exchanged() {
    let world = Direct::new(config());
    let caller = caller(&world, &good()).await;
    let refused = caller.downstream_token(USER_READ).await;
    assert!(
        matches!(refused, Err(OboError::NoCredential)),
        "{refused:?}"
    );
    let token = world.entra.mint(&good());
    let answer = world.call_with(&token, &[(DOWNSTREAM, USER_READ)]).await;
    assert_eq!(answer.status, 500);
}

#[tokio::test]
async fn mistakes_in_a_scope_are_told_before_entra_is_asked() {
    let world = Direct::new(exchanging());
    let caller = caller(&world, &good()).await;
    for (scope, expected) in [
        ("", DownstreamScopeError::NotAScope),
        ("openid", DownstreamScopeError::OpenIdConnect),
        ("api://a/x api://b/x", DownstreamScopeError::SeveralApis),
    ] {
        let refused = caller.downstream_token(scope).await;
        let Err(OboError::Scope(error)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(error, expected);
    }
    assert_eq!(world.entra.calls(Endpoint::Token), 0);
}

/// A challenge of Graph's reaches the client as one of ours.
#[tokio::test]
async fn continuous_access_evaluation_reaches_the_client() {
    let world = Direct::new(exchanging().continuous_access_evaluation());
    let token = world.entra.mint(&good());
    let caller = world.verify(&token).await.unwrap();
    let before = caller.downstream_token(USER_READ).await.unwrap();
    world.advance(60 * SECOND);
    world.entra.revoke_sessions(builtin::ALICE);
    let refused = world
        .wire
        .ask(Method::GET, "/graph/v1.0/me", before.expose())
        .await;
    assert_eq!(refused.status, 401);
    let claims = ClaimsRequest::of_challenge(&refused.headers).unwrap();
    let headers = [
        (DOWNSTREAM, USER_READ),
        (crate::mcp_server::DOWNSTREAM_CLAIMS, claims.as_str()),
    ];
    let answer = world.call_with(&token, &headers).await;
    answer.assert_unauthorized("insufficient_claims");
    let told = ClaimsRequest::of_challenge(&answer.headers).unwrap();
    let (told, asked): (Value, Value) = (
        serde_json::from_str(told.as_str()).unwrap(),
        serde_json::from_str(claims.as_str()).unwrap(),
    );
    assert_eq!(told["access_token"]["nbf"], asked["access_token"]["nbf"]);
}
