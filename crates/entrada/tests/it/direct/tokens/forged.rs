//! Tokens with another header or signature, and tokens that were changed.

use entra_emulator::Signer;
use serde_json::json;

use super::*;
use crate::direct::world::{config, good};

#[tokio::test]
async fn tokens_with_another_header_or_signature() {
    let rows = rows! {
        "no algorithm": good().header("alg", "none").signed_by(Signer::Nobody) => ALGORITHM;
        "no signature": good().signed_by(Signer::Nobody) => SIGNATURE;
        "no signature, by the name of one": good().header("alg", "RS256").signed_by(Signer::Nobody) => SIGNATURE;
        "signed with a secret": good().signed_by(Signer::SecretOf("public key".into())) => ALGORITHM;
        "signed with a secret, called RSA": good().header("alg", "RS256").signed_by(Signer::SecretOf("x".into())) => SIGNATURE;
        "another algorithm of the key's": good().header("alg", "RS512") => ALGORITHM;
        "PSS": good().header("alg", "PS256") => ALGORITHM;
        "an elliptic curve": good().header("alg", "ES256") => ALGORITHM;
        "lower case": good().header("alg", "rs256") => ALGORITHM;
        "a key nobody publishes": good().signed_by(Signer::Unpublished) => SIGNATURE;
        "a key nobody has heard of": good().header("kid", "x") => UNKNOWN_KEY;
        "a key that is a path": good().header("kid", "../../etc/passwd") => UNKNOWN_KEY;
        "no key": good().without_header("kid") => UNKNOWN_KEY;
        "a key of personal accounts": good().signed_by(Signer::Personal) => UNKNOWN_KEY;
        "a key in the token": good().header("jwk", json!({"kty": "RSA"})).signed_by(Signer::Unpublished) => SIGNATURE;
        "a key at a URL": good().header("jku", "https://evil.example/keys").signed_by(Signer::Unpublished) => SIGNATURE;
        "an extension that must be understood": good().header("crit", json!(["exp"])) => "the token's header demands an extension";
        "an access token of ours": good().header("typ", "at+jwt") => KIND;
        "a client's assertion": good().header("typ", "client-authentication+jwt") => KIND;
        "without a type": good().without_header("typ") => GOOD;
        "its type in lower case": good().header("typ", "jwt") => GOOD;
        "with the thumbprint of v1.0": good().header("x5t", "x") => GOOD;
    };
    judge(config(), rows).await;
}

/// Changes one character of the payload or header, as JSON, and signs nothing anew.
#[tokio::test]
async fn no_token_is_accepted_that_was_changed_after_it_was_signed() {
    let world = Direct::new(config());
    let token = world.entra.mint(&good());
    assert!(world.verify(&token).await.is_ok());
    for at in 0..token.len() {
        for to in ["A", "_", ".", ""] {
            let mut changed = token.clone();
            changed.replace_range(at..=at, to);
            if changed != token {
                assert!(world.verify(&changed).await.is_err(), "{at} {to}");
            }
        }
    }
}
