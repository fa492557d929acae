//! Scopes behave as the sets they are.
#![no_main]

use entrada::oauth::scope::Scope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|lines: &str| {
    let Some((first, second)) = lines.split_once('\n') else {
        return;
    };
    let (Ok(one), Ok(other)) = (Scope::parse(first), Scope::parse(second)) else {
        return;
    };
    let both = one.intersection(&other);
    assert!(one.covers(&both) && other.covers(&both));
    assert!(one.union(&other).covers(&one) && one.union(&other).covers(&other));
    assert!(
        one.without(&other)
            .iter()
            .all(|token| !other.contains(token))
    );
    let again = Scope::parse(&one.to_string()).expect("what was printed can be read");
    assert!(again.covers(&one) && one.covers(&again));
});
