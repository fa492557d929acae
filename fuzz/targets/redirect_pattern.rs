//! A pattern is matched by nothing on another host, and by itself if it is a URI.
#![no_main]

use entrada::oauth::redirect_pattern::RedirectPattern;
use entrada::oauth::redirect_uri::RedirectUri;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str)| {
    let (pattern, uri) = texts;
    let Ok(parsed) = RedirectPattern::parse(pattern) else {
        return;
    };
    if let (Ok(itself), false) = (RedirectUri::parse(pattern), pattern.contains('*')) {
        assert!(parsed.admits(&itself));
    }
    let Ok(uri) = RedirectUri::parse(uri) else {
        return;
    };
    if parsed.admits(&uri) {
        let scheme = |text: &str| text.split(':').next().map(str::to_ascii_lowercase);
        assert_eq!(scheme(pattern), scheme(uri.as_str()), "{pattern} {uri:?}");
    }
});
