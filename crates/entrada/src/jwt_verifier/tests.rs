use serde_json::{Value, json};

use super::*;
use crate::access_token::Shortfall;
use crate::jwt::sign::SigningKey;

const NOW: Timestamp = Timestamp::from_unix(1000);

fn verifier(key: &SigningKey) -> Result<JwtVerifier, JwtVerifierError> {
    let config = JwtVerifierConfig::inline("https://i", json!({"keys": [key.jwk()]}).to_string())
        .audience(["https://mcp"])
        .requirement(Requirement::scopes(["read"]));
    JwtVerifier::new(config, Platform::system().unwrap())
}

async fn verdict(token: &str, verifier: &JwtVerifier) -> Result<VerifiedToken, VerifyError> {
    verifier.verify(PresentedToken::new(token), NOW).await
}

/// A good token, but for what `change` does to its claims.
fn token(key: &SigningKey, name: &str, value: Value) -> String {
    let mut claims = json!({
        "iss": "https://i", "aud": ["https://mcp", "x"], "exp": 2000, "iat": 900, "sub": "s",
        "client_id": "c", "scope": "read write",
    });
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    key.sign("at+jwt", &claims).unwrap()
}

#[tokio::test]
async fn every_claim_is_held_against_what_is_expected() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let verifier = verifier(&key).unwrap();
    for (name, value, expected) in [
        ("sub", json!("s"), "good"),
        ("aud", json!("https://mcp"), "good"),
        ("scope", json!(["read"]), "good"),
        ("exp", json!(941), "good"),
        ("nbf", json!(1060), "good"),
        (
            "iss",
            json!("https://j"),
            "the token is from another issuer",
        ),
        (
            "aud",
            json!("https://other"),
            "the token is for another audience",
        ),
        ("aud", Value::Null, "the token's claims are not understood"),
        ("exp", json!(940), "the token has expired"),
        ("exp", Value::Null, "the token's claims are not understood"),
        ("nbf", json!(1061), "the token is not valid yet"),
        ("sub", Value::Null, "the token's claims are not understood"),
        (
            "client_id",
            Value::Null,
            "the token's claims are not understood",
        ),
        (
            "client_id",
            json!("\u{7}"),
            "the token's claims are not understood",
        ),
        (
            "scope",
            json!("write"),
            "the token does not allow this: it needs the scopes read",
        ),
        (
            "scope",
            Value::Null,
            "the token does not allow this: it needs the scopes read",
        ),
        (
            "scope",
            json!("a\"b"),
            "the token's claims are not understood",
        ),
        ("nonce", json!("n"), "this is an ID token"),
        ("at_hash", json!("h"), "this is an ID token"),
        ("c_hash", json!("h"), "this is an ID token"),
        ("cnf", json!({"jkt": "k"}), "the token is bound to a key"),
    ] {
        let found = verdict(&token(&key, name, value.clone()), &verifier).await;
        let found = found.map_or_else(|error| error.to_string(), |_| "good".to_owned());
        assert!(found.starts_with(expected), "{name} {value}: {found}");
    }
}

#[tokio::test]
async fn a_verdict_is_remembered() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let verifier = verifier(&key).unwrap();
    let token = token(&key, "azp", json!("c"));
    let presented = PresentedToken::new(&token);
    assert!(verifier.recall(presented, NOW).is_none());
    let facts = verdict(&token, &verifier).await.unwrap();
    assert_eq!(
        (facts.subject.as_str(), facts.client_id.as_str()),
        ("s", "c")
    );
    assert_eq!(facts.claims.get("iat"), Some(json!(900)));
    assert!(verifier.recall(presented, NOW).is_some());
}

#[tokio::test]
async fn tokens_of_other_keys_are_not_taken() {
    let (ours, theirs) = (
        SigningKey::generate(Algorithm::Es256),
        SigningKey::generate(Algorithm::Es256),
    );
    let verifier = verifier(&ours.unwrap()).unwrap();
    let found = verdict(&token(&theirs.unwrap(), "sub", json!("s")), &verifier).await;
    assert!(matches!(
        found,
        Err(VerifyError::Token(JwtError::UnknownKey))
    ));
}

#[tokio::test]
async fn what_a_token_lacks_is_said() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let found = verdict(&token(&key, "scope", json!("x")), &verifier(&key).unwrap()).await;
    let Err(VerifyError::Forbidden(caller, Shortfall::Scope(scope))) = found else {
        panic!("{found:?}");
    };
    assert_eq!(
        (caller.subject.as_str(), scope.to_string().as_str()),
        ("s", "read")
    );
}

#[test]
fn each_mistake_says_what_to_change() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let jwks = json!({"keys": [key.jwk()]}).to_string();
    let audience = ["https://mcp"];
    let of = |config: JwtVerifierConfig| {
        let error = JwtVerifier::new(config, Platform::system().unwrap()).unwrap_err();
        error.to_string()
    };
    for (config, expected) in [
        (
            JwtVerifierConfig::inline("i", &*jwks).audience(audience),
            "issuer: ",
        ),
        (JwtVerifierConfig::inline("https://i", &*jwks), "audience: "),
        (
            JwtVerifierConfig::inline("https://i", "{}").audience(audience),
            "keys: ",
        ),
        (
            JwtVerifierConfig::inline("https://i", r#"{"keys":[]}"#).audience(audience),
            "keys: none",
        ),
        (
            JwtVerifierConfig::published("https://i", "http://i/keys").audience(audience),
            "jwks_uri: ",
        ),
        (
            JwtVerifierConfig::inline("https://i", &*jwks)
                .audience(audience)
                .requirement(Requirement::scopes([""])),
            "requirement: ",
        ),
    ] {
        let error = of(config);
        assert!(error.starts_with(expected), "{expected}: {error}");
    }
}
