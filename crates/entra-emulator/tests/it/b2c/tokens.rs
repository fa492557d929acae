use std::time::Duration;

use entra_emulator::builtin::*;
use entra_emulator::{MintError, TokenOrder};
use serde_json::{Value, json};

use crate::b2c::{base, redeem, scope, sign_in, verified};
use crate::world::{NOW, World, peek};

fn names(value: &Value) -> Vec<&str> {
    let members = value.as_object().unwrap();
    let mut names: Vec<&str> = members.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn an_answer_and_its_tokens_claim_by_claim() {
    let world = World::new();
    let code = sign_in(&world, &base(B2C_POLICY), &[]).await;
    let asked = [("client_info", "1")];
    let body = redeem(&world, &base(B2C_POLICY), &code, &asked).await.ok();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["not_before"], NOW);
    assert_eq!(body["expires_in"], 3600);
    assert_eq!(body["expires_on"], NOW + 3600);
    assert_eq!(body["id_token_expires_in"], 3600);
    assert_eq!(body["resource"], B2C_CLIENT_ID);
    assert_eq!(body["scope"], scope());
    let (info, _) = peek(&format!("{}.", body["client_info"].as_str().unwrap()));
    assert_eq!(info["uid"], format!("{BELLA_B2C_OID}-b2c_1_signin"));
    assert_eq!(info["utid"], B2C_TENANT_ID);
    let (info, _) = peek(&format!("{}.", body["profile_info"].as_str().unwrap()));
    assert_eq!(info["tid"], B2C_TENANT_ID);

    let token = body["access_token"].as_str().unwrap();
    let (header, _) = peek(token);
    assert_eq!(names(&header), ["alg", "kid", "typ"]);
    let claims = verified(&world, token).await.unwrap();
    let wanted = json!({
        "iss": format!("https://{B2C_LOGIN_HOST}/{B2C_TENANT_ID}/v2.0/"),
        "exp": NOW + 3600, "nbf": NOW, "iat": NOW,
        "aud": B2C_CLIENT_ID, "azp": B2C_CLIENT_ID,
        "oid": BELLA_B2C_OID, "sub": BELLA_B2C_OID,
        "given_name": "Bella", "family_name": "Buyer", "name": "Bella Buyer",
        "emails": [BELLA_B2C], "tfp": "B2C_1_signin", "nonce": "n-1",
        "scp": "mcp.read", "ver": "1.0",
    });
    assert_eq!(claims, wanted);
    assert!(world.verified(B2C_TENANT_ID, token).await.is_none());

    let token = body["id_token"].as_str().unwrap();
    let claims = verified(&world, token).await.unwrap();
    assert_eq!(
        names(&claims),
        [
            "at_hash",
            "aud",
            "auth_time",
            "emails",
            "exp",
            "family_name",
            "given_name",
            "iat",
            "iss",
            "name",
            "nbf",
            "nonce",
            "oid",
            "sub",
            "tfp",
            "ver"
        ]
    );
}

#[tokio::test]
async fn a_user_flow_names_itself_as_it_is_told_to() {
    let world = World::new();
    let host = format!("https://{B2C_LOGIN_HOST}");
    for (policy, issuer, claim, name) in [
        (
            B2C_TFP_POLICY,
            format!("{host}/tfp/{B2C_TENANT_ID}/b2c_1_strict/v2.0/"),
            "tfp",
            "B2C_1_strict",
        ),
        (
            "b2c_1a_CUSTOM",
            format!("{host}/{B2C_TENANT_ID}/v2.0/"),
            "acr",
            "b2c_1a_custom",
        ),
    ] {
        let code = sign_in(&world, &base(policy), &[]).await;
        let body = redeem(&world, &base(policy), &code, &[]).await.ok();
        for token in ["access_token", "id_token"] {
            let (_, claims) = peek(body[token].as_str().unwrap());
            assert_eq!(claims["iss"], issuer);
            assert_eq!(claims[claim], name);
            let other = if claim == "tfp" { "acr" } else { "tfp" };
            assert!(claims.get(other).is_none() && claims.get("tid").is_none());
        }
    }
}

#[tokio::test]
async fn only_what_was_asked_for_is_issued() {
    let world = World::new();
    for (scope, members, answered) in [
        ("openid profile", vec!["id_token"], ""),
        (
            "openid offline_access",
            vec!["id_token", "refresh_token"],
            "",
        ),
        (B2C_CLIENT_ID, vec!["access_token"], B2C_CLIENT_ID),
    ] {
        let change = [("scope", scope)];
        let code = sign_in(&world, &base(B2C_POLICY), &change).await;
        let body = redeem(&world, &base(B2C_POLICY), &code, &[]).await.ok();
        for member in ["access_token", "id_token", "refresh_token"] {
            assert_eq!(
                body.get(member).is_some(),
                members.contains(&member),
                "{scope}"
            );
        }
        assert_eq!(body["scope"], answered);
        if let Some(token) = body["access_token"].as_str() {
            let (_, claims) = peek(token);
            assert_eq!(claims["aud"], B2C_CLIENT_ID);
            assert!(claims.get("scp").is_none());
        }
    }
}

#[tokio::test]
async fn lifetimes_can_be_fixed() {
    let world = World::new();
    world.control.set_token_lifetime(Duration::from_secs(300));
    let code = sign_in(&world, &base(B2C_POLICY), &[]).await;
    let body = redeem(&world, &base(B2C_POLICY), &code, &[]).await.ok();
    assert_eq!(body["expires_in"], 300);
}

#[tokio::test]
async fn tokens_of_a_user_flow_are_minted_on_order() {
    let world = World::new();
    let order = TokenOrder::delegated(BELLA_B2C, B2C_CLIENT_ID, B2C_CLIENT_ID);
    let token = world.control.mint(&order.clone().scopes(["mcp.read"]));
    let claims = verified(&world, &token).await.unwrap();
    assert_eq!(
        claims["iss"],
        format!("https://{B2C_LOGIN_HOST}/{B2C_TENANT_ID}/v2.0/")
    );
    assert_eq!(claims["scp"], "mcp.read");
    assert_eq!(claims["tfp"], B2C_POLICY);

    let elsewhere = order
        .clone()
        .policy("b2c_1_strict")
        .base_url("https://h.example/");
    let (_, claims) = peek(&world.control.mint(&elsewhere));
    let issuer = format!("https://h.example/tfp/{B2C_TENANT_ID}/b2c_1_strict/v2.0/");
    assert_eq!(claims["iss"], issuer);

    let id_token = TokenOrder::id_token(BELLA_B2C, B2C_CLIENT_ID).policy(B2C_ACR_POLICY);
    let claims = verified(&world, &world.control.mint(&id_token))
        .await
        .unwrap();
    assert_eq!(claims["acr"], "b2c_1a_custom");
    assert!(claims["nonce"].is_string());

    let unknown = MintError::UnknownPolicy("x".to_owned());
    assert_eq!(
        world.control.try_mint(&order.policy("x")),
        Err(unknown.clone())
    );
    let workforce = TokenOrder::delegated(ALICE, CLIENT_ID, CLIENT_ID).policy("x");
    assert_eq!(world.control.try_mint(&workforce), Err(unknown));
}
