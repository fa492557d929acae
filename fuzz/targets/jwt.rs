//! No stranger's token is accepted, and of our own only one whose claims all hold.
#![no_main]

use std::sync::LazyLock;

use entrada::jwt::jwks::Algorithm;
use entrada::jwt::sign::SigningKey;
use entrada::jwt::unverified::UnverifiedJwt;
use entrada::jwt::verify::{Expected, ExpectedType, verify};
use entrada::platform::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::generate(Algorithm::EdDsa).expect("a key"));
const ISSUER: &str = "https://mcp.contoso.com";
const RESOURCE: &str = "https://mcp.contoso.com/mcp";
const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

fn expected() -> Expected<'static> {
    Expected::new(
        ISSUER,
        &[RESOURCE],
        &[Algorithm::EdDsa],
        ExpectedType::AccessToken,
    )
}

fn accept(token: &str) -> Option<entrada::jwt::verify::VerifiedClaims> {
    let jwt = UnverifiedJwt::parse(token).ok()?;
    verify(&jwt, &KEY.verification_key(), &expected(), NOW).ok()
}

fuzz_target!(|text: &str| {
    assert!(accept(text).is_none(), "a signature was forged");
    let Ok(claims) = serde_json::from_str::<&RawValue>(text) else {
        return;
    };
    let token = KEY.sign("at+jwt", &claims).expect("a signature");
    if let Some(verified) = accept(&token) {
        let claims = verified.claims();
        assert_eq!(claims.iss, ISSUER);
        assert!(claims.aud.contains(RESOURCE));
        assert!(claims.exp > NOW);
    }
});
