//! A form or query is refused, or each name in it has one value.
#![no_main]

use entrada::oauth::params::Params;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|encoded: &[u8]| {
    if let Ok(params) = Params::parse(encoded) {
        for name in ["client_id", "redirect_uri", "scope", "state"] {
            assert_ne!(
                params.get(name),
                Some(""),
                "an empty value counts as absent"
            );
        }
        assert_eq!(params.resources().next(), params.get("resource"));
    }
});
