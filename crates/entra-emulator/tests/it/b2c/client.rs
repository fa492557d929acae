use std::time::Duration;

use entra_emulator::builtin::*;

use crate::b2c::{base, redeem, refused, secret, sign_in};
use crate::world::{Answer, Pairs, World};

#[tokio::test]
async fn every_way_a_code_is_refused() {
    let world = World::new();
    let code = sign_in(&world, &base(B2C_POLICY), &[]).await;
    for (change, error, number) in [
        (("grant_type", ""), "invalid_request", "AADB2C90083"),
        (("code", ""), "invalid_request", "AADB2C90083"),
        (("client_id", ""), "invalid_request", "AADB2C90008"),
        (("client_id", CLIENT_ID), "invalid_client", "AADB2C90018"),
        (("client_secret", ""), "invalid_request", "AADB2C90079"),
        (("client_secret", "wrong"), "invalid_client", "AADB2C90081"),
        (("code", "nonsense"), "invalid_grant", "AADB2C90090"),
        (("code", "a.b.c.d.e"), "invalid_grant", "AADB2C90080"),
        (("redirect_uri", ""), "redirect_uri_mismatch", "AADB2C90006"),
        (
            ("redirect_uri", "http://localhost/x"),
            "redirect_uri_mismatch",
            "AADB2C90006",
        ),
        (("code_verifier", ""), "invalid_grant", "AADB2C90183"),
        (("code_verifier", "wrong"), "invalid_grant", "AADB2C90182"),
    ] {
        let answer = redeem(&world, &base(B2C_POLICY), &code, &[change]).await;
        let wanted = (error.to_owned(), number.to_owned());
        assert_eq!(refused(&answer), wanted, "{change:?}");
    }
    redeem(&world, &base(B2C_POLICY), &code, &[]).await.ok();
    let again = redeem(&world, &base(B2C_POLICY), &code, &[]).await;
    assert_eq!(refused(&again).1, "AADB2C90080");

    let code = sign_in(&world, &base(B2C_POLICY), &[]).await;
    world.control.advance(Duration::from_secs(600));
    let late = redeem(&world, &base(B2C_POLICY), &code, &[]).await;
    assert_eq!(refused(&late).1, "AADB2C90080");
}

#[tokio::test]
async fn user_flows_know_no_other_grant() {
    let world = World::new();
    for grant_type in [
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "client_credentials",
        "password",
        "nonsense",
    ] {
        let change = [("grant_type", grant_type), ("assertion", "x")];
        let answer = redeem(&world, &base(B2C_POLICY), "x", &change).await;
        let wanted = (
            "unsupported_grant_type".to_owned(),
            "AADB2C90086".to_owned(),
        );
        assert_eq!(refused(&answer), wanted, "{grant_type}");
        assert!(answer.text.contains(&format!("[{grant_type}]")));
    }
}

#[tokio::test]
async fn a_secret_may_come_in_the_header() {
    use base64::Engine;
    let world = World::new();
    let code = sign_in(&world, &base(B2C_POLICY), &[]).await;
    let pair = format!("{B2C_CLIENT_ID}:{B2C_CLIENT_SECRET}");
    let basic = base64::engine::general_purpose::STANDARD.encode(pair);
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", crate::b2c::REDIRECT),
        ("code_verifier", crate::world::VERIFIER),
    ];
    let url = format!("{}/oauth2/v2.0/token", base(B2C_POLICY));
    let header = [("authorization", format!("Basic {basic}"))];
    let header = [(header[0].0, header[0].1.as_str())];
    world.post(&url, &form, &header).await.ok();
}

#[tokio::test]
async fn a_public_client_shows_no_secret() {
    let world = World::new();
    let redirect = [("redirect_uri", "http://localhost:9/public/callback")];
    let code = sign_in(&world, &base(B2C_POLICY), &redirect).await;
    let answer = redeem(&world, &base(B2C_POLICY), &code, &redirect).await;
    assert_eq!(refused(&answer).1, "AADB2C90084");
    let change = [redirect[0], ("client_secret", "")];
    redeem(&world, &base(B2C_POLICY), &code, &change).await.ok();
}

async fn refresh(world: &World, token: &str, change: Pairs<'_>) -> Answer {
    let form = [
        secret(),
        &[("grant_type", "refresh_token"), ("refresh_token", token)],
        change,
    ];
    let url = format!("{}/oauth2/v2.0/token", base(B2C_POLICY));
    world.post(&url, &form.concat(), &[]).await
}

async fn refresh_token(world: &World) -> String {
    let code = sign_in(world, &base(B2C_POLICY), &[]).await;
    let body = redeem(world, &base(B2C_POLICY), &code, &[]).await.ok();
    assert_eq!(body["refresh_token_expires_in"], 1_209_600);
    body["refresh_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_way_a_refresh_token_is_refused() {
    let world = World::new();
    let token = refresh_token(&world).await;
    assert_eq!(refused(&refresh(&world, "x", &[]).await).1, "AADB2C90090");
    let admin = format!("{B2C_IDENTIFIER_URI}/mcp.admin");
    let answer = refresh(&world, &token, &[("scope", &admin)]).await;
    assert_eq!(refused(&answer).1, "AADB2C90205");
    // An old one stays good.
    refresh(&world, &token, &[]).await.ok();
    refresh(&world, &token, &[]).await.ok();
    world.control.disable_user(BELLA_B2C);
    assert_eq!(
        refused(&refresh(&world, &token, &[]).await).1,
        "AADB2C90128"
    );
    world.control.enable_user(BELLA_B2C);
    world.control.revoke_refresh_tokens(BELLA_B2C);
    assert_eq!(
        refused(&refresh(&world, &token, &[]).await).1,
        "AADB2C90129"
    );

    let token = refresh_token(&world).await;
    world.control.advance(Duration::from_secs(1_209_600));
    assert_eq!(
        refused(&refresh(&world, &token, &[]).await).1,
        "AADB2C90080"
    );
}
