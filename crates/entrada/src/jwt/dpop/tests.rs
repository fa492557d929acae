use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};

use super::*;
use crate::jwt::sign::SigningKey;

const NOW: u64 = 1_800_000_000;
const TOKEN: &str = "a.b.c";
/// The SHA-256 of `a.b.c`.
const ATH: &str = "hF4wRIgJ4ryJWOsCW_x5UjXROwd6U9DDq70jhRcNybg";

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::Es256).unwrap()
}

fn header(key: &SigningKey) -> Value {
    let mut jwk = serde_json::to_value(key.jwk()).unwrap();
    for name in ["kid", "use", "alg"] {
        jwk.as_object_mut().unwrap().remove(name);
    }
    json!({ "alg": key.algorithm().as_str(), "typ": "dpop+jwt", "jwk": jwk })
}

fn claims() -> Value {
    json!({
        "htm": "POST", "htu": "https://mcp.example.com/mcp", "iat": NOW, "jti": "1", "ath": ATH,
    })
}

/// `good` with these members in place of its own; `null` takes one away.
fn changed(good: &Value, changes: &Value) -> Value {
    let mut members: Map<_, _> = good.as_object().unwrap().clone();
    for (name, value) in changes.as_object().unwrap() {
        members.insert(name.clone(), value.clone());
    }
    members.retain(|_, value| !value.is_null());
    members.into()
}

fn judged(key: &SigningKey, proof: &str) -> Result<VerifiedProof, DpopError> {
    let target = ProofTarget::parse("https://mcp.example.com/mcp").unwrap();
    let expected = ExpectedProof::new("POST", &target);
    let expected = expected.with_token(TOKEN, thumbprint(key));
    verify(proof, &expected, Timestamp::from_unix(NOW))
}

fn thumbprint(key: &SigningKey) -> JwkThumbprint {
    JwkThumbprint::of(key.jwk()).unwrap()
}

#[test]
fn a_proof_is_for_one_request_and_for_now() {
    use DpopError as E;
    let malformed: E = JwtError::Claims.into();
    for (changes, expected) in [
        (json!({}), Ok(())),
        (
            json!({ "htu": "HTTPS://mcp.example.com:443/mcp?x#y" }),
            Ok(()),
        ),
        (json!({ "nonce": "n", "unknown": [1] }), Ok(())),
        (json!({ "jti": "x".repeat(256) }), Ok(())),
        (json!({ "iat": NOW - 300 }), Ok(())),
        (json!({ "iat": NOW + 300 }), Ok(())),
        (json!({ "iat": NOW - 301 }), Err(E::Time)),
        (json!({ "iat": NOW + 301 }), Err(E::Time)),
        (json!({ "iat": 0 }), Err(E::Time)),
        (json!({ "iat": u64::MAX }), Err(E::Time)),
        (json!({ "iat": null }), Err(malformed)),
        (json!({ "iat": "1800000000" }), Err(malformed)),
        (json!({ "htm": "GET" }), Err(E::Method)),
        (json!({ "htm": "post" }), Err(E::Method)),
        (json!({ "htm": null }), Err(malformed)),
        (
            json!({ "htu": "https://mcp.example.com/token" }),
            Err(E::Target),
        ),
        (
            json!({ "htu": "http://mcp.example.com/mcp" }),
            Err(E::Target),
        ),
        (json!({ "htu": "/mcp" }), Err(E::Target)),
        (json!({ "htu": null }), Err(malformed)),
        (json!({ "jti": null }), Err(E::NoId)),
        (json!({ "jti": "" }), Err(E::NoId)),
        (json!({ "jti": 7 }), Err(malformed)),
        (json!({ "jti": "x".repeat(257) }), Err(E::NoId)),
        (json!({ "ath": null }), Err(E::OtherToken)),
        (json!({ "ath": "" }), Err(E::OtherToken)),
        (json!({ "ath": format!("{ATH}=") }), Err(E::OtherToken)),
    ] {
        let key = key();
        let proof = key.sign_under(&header(&key), &changed(&claims(), &changes));
        let judged = judged(&key, &proof.unwrap());
        assert_eq!(judged.map(|_| ()), expected, "{changes}");
    }
}

#[test]
fn a_proof_holds_the_public_key_it_was_made_with() {
    use DpopError as E;
    let key = key();
    let jwk = header(&key)["jwk"].clone();
    let other = header(&self::key())["jwk"].clone();
    let with = |member: &str| json!({ "jwk": changed(&jwk, &json!({ member: "AQ" })) });
    for (changes, expected) in [
        (json!({}), Ok(())),
        (json!({ "typ": "DPoP+JWT" }), Ok(())),
        (json!({ "typ": "application/dpop+jwt" }), Ok(())),
        (json!({ "kid": "x" }), Ok(())),
        (
            json!({ "jwk": changed(&jwk, &json!({ "kid": "x", "use": "sig" })) }),
            Ok(()),
        ),
        (json!({ "jwk": other }), Err(E::OtherKey)),
        (json!({ "typ": "JWT" }), Err(JwtError::Type.into())),
        (json!({ "typ": "at+jwt" }), Err(JwtError::Type.into())),
        (json!({ "typ": null }), Err(JwtError::Type.into())),
        (json!({ "alg": "none" }), Err(JwtError::Algorithm.into())),
        (json!({ "alg": "HS256" }), Err(JwtError::Algorithm.into())),
        (json!({ "alg": "RS256" }), Err(JwtError::Algorithm.into())),
        (json!({ "alg": null }), Err(MalformedJwt::Header.into())),
        (json!({ "crit": ["x"] }), Err(MalformedJwt::Critical.into())),
        (json!({ "jwk": null }), Err(E::Key)),
        (json!({ "jwk": "x" }), Err(E::Key)),
        (
            json!({ "jwk": { "kty": "oct", "k": "AQ" } }),
            Err(E::PrivateKey),
        ),
        (json!({ "jwk": { "kty": "oct" } }), Err(E::Key)),
        (
            json!({ "jwk": changed(&jwk, &json!({ "use": "enc" })) }),
            Err(E::Key),
        ),
        (
            json!({ "jwk": changed(&jwk, &json!({ "crv": "P-384" })) }),
            Err(E::Key),
        ),
        (
            json!({ "jwk": changed(&jwk, &json!({ "y": null })) }),
            Err(E::Key),
        ),
        (
            json!({ "jwk": changed(&jwk, &json!({ "x": jwk["y"] })) }),
            Err(E::Key),
        ),
        (with("d"), Err(E::PrivateKey)),
        (with("p"), Err(E::PrivateKey)),
        (with("q"), Err(E::PrivateKey)),
        (with("dp"), Err(E::PrivateKey)),
        (with("dq"), Err(E::PrivateKey)),
        (with("qi"), Err(E::PrivateKey)),
        (with("oth"), Err(E::PrivateKey)),
        (with("k"), Err(E::PrivateKey)),
    ] {
        let proof = key.sign_under(&changed(&header(&key), &changes), &claims());
        let judged = judged(&key, &proof.unwrap());
        assert_eq!(judged.map(|_| ()), expected, "{changes}");
    }
}

#[test]
fn the_signature_is_that_of_the_key() {
    let (key, other) = (key(), key());
    let proof = other.sign_under(&header(&key), &claims()).unwrap();
    assert_eq!(judged(&key, &proof), Err(JwtError::Signature.into()));
    let (message, _) = proof.rsplit_once('.').unwrap();
    let unsigned = judged(&key, &format!("{message}."));
    assert_eq!(unsigned, Err(JwtError::Signature.into()));
    for text in ["", "x", "a.b", "e30.e30.AA"] {
        assert!(judged(&key, text).is_err(), "{text}");
    }
    let long = "x".repeat(LONGEST_PROOF + 1);
    assert_eq!(judged(&key, &long), Err(DpopError::TooLong));
}

#[test]
fn keys_of_every_kind_prove_themselves() {
    let target = ProofTarget::parse("https://mcp.example.com/mcp").unwrap();
    let expected = ExpectedProof::new("POST", &target);
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let key = SigningKey::generate(algorithm).unwrap();
        let claims = changed(&claims(), &json!({ "ath": null, "nonce": "n" }));
        let proof = key.prove(&claims).unwrap();
        let verified = verify(&proof, &expected, Timestamp::from_unix(NOW));
        let proven = VerifiedProof {
            key: thumbprint(&key),
            id: "1".to_owned(),
            nonce: Some("n".to_owned()),
        };
        assert_eq!(verified, Ok(proven));
    }
}

proptest! {
    #[test]
    fn no_mutation_of_a_proof_is_accepted(at: Index, to in "[A-Za-z0-9_.=-]?") {
        let key = key();
        let good = key.prove(&claims()).unwrap();
        let at = at.index(good.len());
        let mut changed = good.clone();
        changed.replace_range(at..=at, &to);
        prop_assume!(changed != good);
        prop_assert!(judged(&key, &changed).is_err());
    }
}
