//! A redirect URI keeps its spelling, and its host is the host a browser would go to.
#![no_main]

use entrada::oauth::redirect_uri::RedirectUri;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(uri) = RedirectUri::parse(text) else {
        return;
    };
    assert_eq!(uri.as_str(), text);
    assert!(text.is_ascii() && !text.contains(['#', '\\', ' ', '"', '<']));
    if text.to_ascii_lowercase().starts_with("http:") {
        assert!(uri.is_loopback(), "plain http leaves the machine: {text}");
    }
    assert!(!uri.destination().is_empty());
});
