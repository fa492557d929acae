//! What a server gives clients to put into their proofs (RFC 9449 §8).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::keys::Keys;
use crate::platform::Timestamp;

/// How long one is good. Until then a proof can be made ahead by somebody who has the key for a moment.
const LIFETIME: Duration = Duration::from_secs(5 * 60);

/// By how much two clocks of our own may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// What tags are for: they prove nothing else.
const COLLECTION: &str = "dpop-nonce";

const TIME_LEN: usize = 8;
const TAG_LEN: usize = 16;
const LENGTH: usize = TIME_LEN + TAG_LEN;

/// Nonces: `time ‖ tag` in base64url. Nothing is stored, so every replica knows those of all, and
/// they outlive a restart.
#[derive(Debug)]
pub(super) struct Nonces(Keys);

impl Nonces {
    pub(super) fn new(keys: Keys) -> Self {
        Self(keys)
    }

    /// One that is good from now on.
    pub(super) fn fresh(&self, now: Timestamp) -> String {
        let time = now.as_unix().to_be_bytes();
        let ring = self.0.current();
        let tag = ring.sealing().authenticate(COLLECTION, &time);
        URL_SAFE_NO_PAD.encode([&time[..], &tag].concat())
    }

    /// Whether `nonce` is one of ours, and young.
    pub(super) fn are_fresh(&self, nonce: &str, now: Timestamp) -> bool {
        let mut bytes = [0; LENGTH];
        if URL_SAFE_NO_PAD.decode_slice(nonce, &mut bytes) != Ok(LENGTH) {
            return false;
        }
        let Some((time, tag)) = bytes.split_first_chunk::<TIME_LEN>() else {
            return false;
        };
        let made = Timestamp::from_unix(u64::from_be_bytes(*time));
        let ring = self.0.current();
        now.since(made) <= LIFETIME
            && made.since(now) <= CLOCK_SKEW
            && ring.sealing().is_authentic(COLLECTION, time, tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::jwks::Algorithm;
    use crate::keys::KeyRing;
    use crate::platform::SystemRandom;

    fn nonces() -> Nonces {
        let random = SystemRandom::default();
        let ring = KeyRing::generate(Algorithm::EdDsa, &random, Timestamp::from_unix(0));
        Nonces::new(Keys::new(ring.unwrap()))
    }

    #[test]
    fn a_nonce_is_ours_and_good_for_five_minutes() {
        let nonces = nonces();
        let at = Timestamp::from_unix;
        let nonce = nonces.fresh(at(1000));
        for (now, fresh) in [
            (939, false),
            (940, true),
            (1000, true),
            (1300, true),
            (1301, false),
        ] {
            assert_eq!(nonces.are_fresh(&nonce, at(now)), fresh, "{now}");
        }
        assert!(!self::nonces().are_fresh(&nonce, at(1000)));
        for at_byte in 0..nonce.len() {
            let mut changed = nonce.clone();
            let other = if nonce.as_bytes()[at_byte] == b'A' {
                "B"
            } else {
                "A"
            };
            changed.replace_range(at_byte..=at_byte, other);
            assert!(!nonces.are_fresh(&changed, at(1000)), "{changed}");
            assert!(!nonces.are_fresh(&nonce[..at_byte], at(1000)));
        }
        assert!(!nonces.are_fresh(&format!("{nonce}AA"), at(1000)));
    }
}
