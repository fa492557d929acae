//! No stranger's proof is taken, and of whoever has the key only one whose claims all hold. A URL has one
//! spelling.
#![no_main]

use std::sync::LazyLock;

use entrada::jwt::dpop::{ExpectedProof, ProofTarget, TOLERANCE, VerifiedProof, verify};
use entrada::jwt::jwks::Algorithm;
use entrada::jwt::sign::SigningKey;
use entrada::jwt::thumbprint::JwkThumbprint;
use entrada::platform::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::generate(Algorithm::EdDsa).expect("a key"));
static TARGET: LazyLock<ProofTarget> =
    LazyLock::new(|| ProofTarget::of(&Url::parse("https://mcp.contoso.com/mcp").expect("a url")));
const TOKEN: &str = "a.b.c";
/// The SHA-256 of the token.
const ATH: &str = "hF4wRIgJ4ryJWOsCW_x5UjXROwd6U9DDq70jhRcNybg";
const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

fn accept(proof: &str) -> Option<VerifiedProof> {
    let key = JwkThumbprint::parse(KEY.kid()).expect("a thumbprint");
    let expected = ExpectedProof::new("POST", &TARGET).with_token(TOKEN, key);
    verify(proof, &expected, NOW).ok()
}

fuzz_target!(|text: &str| {
    assert!(accept(text).is_none(), "a signature was forged");
    if let Some(url) = Url::parse(text).ok().filter(Url::has_host) {
        let once = ProofTarget::of(&url);
        let mut longer = url.clone();
        longer.set_query(Some("x"));
        longer.set_fragment(Some("x"));
        assert_eq!(once, ProofTarget::of(&longer));
    }
    let Ok(claims) = serde_json::from_str::<&RawValue>(text) else {
        return;
    };
    let proof = KEY.prove(&claims).expect("a signature");
    let Some(verified) = accept(&proof) else {
        return;
    };
    let claims: Value = serde_json::from_str(text).expect("json");
    assert_eq!(verified.id, claims["jti"]);
    assert_eq!(verified.key.to_string(), KEY.kid());
    assert_eq!(
        (&claims["htm"], &claims["ath"]),
        (&"POST".into(), &ATH.into())
    );
    let iat = claims["iat"].as_u64().expect("a time");
    assert!(iat.abs_diff(NOW.as_unix()) <= TOLERANCE.as_secs());
    let htu = Url::parse(claims["htu"].as_str().expect("text")).expect("a url");
    assert_eq!(ProofTarget::of(&htu), *TARGET);
});
