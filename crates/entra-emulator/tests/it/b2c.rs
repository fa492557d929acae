//! User flows of Azure AD B2C.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use entra_emulator::builtin::*;
use http::Method;
use serde_json::Value;

use crate::world::{Answer, Browser, CHALLENGE, Pairs, VERIFIER, World, callback, encode, peek};

mod client;
mod documents;
mod flow;
mod tokens;

pub(super) const REDIRECT: &str = "http://localhost:8123/auth/callback";

pub(super) fn scope() -> String {
    format!("{B2C_IDENTIFIER_URI}/mcp.read openid offline_access")
}

/// The tenant by its own host, and a user flow of it.
pub(super) fn base(policy: &str) -> String {
    format!("https://{B2C_LOGIN_HOST}/{B2C_TENANT_DOMAIN}/{policy}")
}

pub(super) fn secret() -> Pairs<'static> {
    &[
        ("client_id", B2C_CLIENT_ID),
        ("client_secret", B2C_CLIENT_SECRET),
    ]
}

/// A valid authorization request with some parameters changed.
pub(super) async fn ask(world: &World, base: &str, change: Pairs<'_>) -> Answer {
    let mut browser = Browser::default();
    browser
        .go(world, Method::GET, &request(base, change), "")
        .await
}

pub(super) fn request(base: &str, change: Pairs<'_>) -> String {
    let scope = scope();
    let mut query = vec![
        ("client_id", B2C_CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT),
        ("scope", scope.as_str()),
        ("nonce", "n-1"),
        ("state", "s-1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    query.retain(|(name, _)| change.iter().all(|(changed, _)| changed != name));
    query.extend(change.iter().filter(|(_, value)| !value.is_empty()));
    let (path, policy) = base.split_once('?').unwrap_or((base, ""));
    format!("{path}/oauth2/v2.0/authorize?{policy}&{}", encode(&query))
}

pub(super) async fn sign_in(world: &World, base: &str, change: Pairs<'_>) -> String {
    let mut browser = Browser::default();
    let page = browser
        .go(world, Method::GET, &request(base, change), "")
        .await;
    let end = browser.sign_in(world, page, BELLA_B2C).await;
    callback(&end)["code"].clone()
}

pub(super) async fn redeem(world: &World, base: &str, code: &str, change: Pairs<'_>) -> Answer {
    let mut form = [
        secret(),
        &[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ],
    ]
    .concat();
    form.retain(|(name, _)| change.iter().all(|(changed, _)| changed != name));
    form.extend(change.iter().filter(|(_, value)| !value.is_empty()));
    let (path, asked) = base.split_once('?').unwrap_or((base, ""));
    let url = format!("{path}/oauth2/v2.0/token?{asked}");
    world.post(&url, &form, &[]).await
}

/// `(error, AADB2C code)` of a failure, in a body or on the way back.
pub(super) fn failure(members: &BTreeMap<String, String>) -> (String, String) {
    let text = &members["error_description"];
    let code = text.split(':').next().unwrap().to_owned();
    assert!(text.contains("\r\nCorrelation ID: "), "{text}");
    assert!(text.contains("\r\nTimestamp: "), "{text}");
    (members["error"].clone(), code)
}

pub(super) fn refused(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 400, "{}", answer.text);
    let members: BTreeMap<String, String> = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(members.len(), 2);
    failure(&members)
}

/// Checks a token's signature against the keys of a user flow, and shows its claims.
pub(super) async fn verified(world: &World, token: &str) -> Option<Value> {
    let url = format!("{}/discovery/v2.0/keys", base(B2C_POLICY));
    let keys = world.get(&url).await.ok();
    let (header, claims) = peek(token);
    let keys = keys["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["kid"] == header["kid"])?;
    let part = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let key = RsaPublicKeyComponents {
        n: part("n"),
        e: part("e"),
    };
    key.verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &signature)
        .ok()?;
    Some(claims)
}
