//! A resource indicator keeps its spelling, and naming the same resource is an equivalence.
#![no_main]

use entrada::oauth::resource::ResourceIndicator;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|lines: &str| {
    let Some((first, second)) = lines.split_once('\n') else {
        return;
    };
    let (Ok(one), Ok(other)) = (
        ResourceIndicator::parse(first),
        ResourceIndicator::parse(second),
    ) else {
        return;
    };
    assert_eq!(one.as_str(), first);
    assert!(one.names_same(&one));
    assert_eq!(one.names_same(&other), other.names_same(&one));
});
