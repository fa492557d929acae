//! A published key set is refused, or every key in it can be found by its name.
#![no_main]

use entrada::jwt::jwks::Jwks;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &[u8]| {
    if let Ok(keys) = Jwks::parse(json) {
        for kid in keys.iter().filter_map(|key| key.kid()) {
            assert!(keys.key(kid).is_some());
        }
    }
});
