//! What is sealed opens for its purpose, and once it was touched it does not open at all.
#![no_main]

use std::sync::LazyLock;

use entrada::keys::{Purpose, SealingKey, SealingKeys};
use entrada::platform::SystemRandom;
use libfuzzer_sys::fuzz_target;

static KEYS: LazyLock<SealingKeys> =
    LazyLock::new(|| SealingKeys::new(SealingKey::generate(&SystemRandom::default())));

fuzz_target!(|input: (usize, u8, &[u8])| {
    let (place, change, bytes) = input;
    let purpose = Purpose::new("grant", b"key");
    assert!(
        KEYS.open(purpose, bytes).is_err(),
        "a stranger's bytes open"
    );

    let mut sealed = KEYS
        .seal(purpose, bytes, &SystemRandom::default())
        .expect("sealed");
    let opened = KEYS.open(purpose, &sealed).expect("what was sealed opens");
    assert_eq!(*opened, bytes);
    assert!(KEYS.open(Purpose::new("code", b"key"), &sealed).is_err());

    let place = place % sealed.len();
    sealed[place] ^= change.max(1);
    assert!(
        KEYS.open(purpose, &sealed).is_err(),
        "byte {place} may be changed"
    );
});
