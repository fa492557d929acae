//! A registration is refused, or the client it makes is trusted with its own redirect URIs and with no others.
#![no_main]

use entrada::oauth::client::{Client, ClientId, UnverifiedClientMetadata};
use entrada::oauth::redirect_uri::AllowedRedirects;
use entrada::platform::Timestamp;
use libfuzzer_sys::fuzz_target;

const STRANGERS: &[&str] = &[
    "https://stranger.example/callback",
    "http://127.0.0.2:1/stranger",
    "stranger.example:/callback",
];

fuzz_target!(|json: &[u8]| {
    let Ok(unverified) = serde_json::from_slice::<UnverifiedClientMetadata>(json) else {
        return;
    };
    let Ok(metadata) = unverified.check(&AllowedRedirects::Registered) else {
        return;
    };
    assert!(
        metadata
            .unverified_name()
            .is_none_or(|name| !name.contains(char::is_control))
    );
    let uris = metadata.redirect_uris().to_vec();
    let id = ClientId::parse("fuzzed").expect("a client id");
    let client = Client::register(id, metadata, Timestamp::from_unix(0));
    for uri in &uris {
        let trusted = client
            .trusted_redirect(Some(uri.as_str()))
            .expect("its own redirect URI");
        assert_eq!(trusted.uri(), uri);
    }
    for stranger in STRANGERS {
        let known = uris.iter().any(|uri| uri.as_str().contains("stranger"));
        assert!(known || client.trusted_redirect(Some(stranger)).is_none());
    }
});
