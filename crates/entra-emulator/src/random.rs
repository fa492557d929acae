//! Opaque values, and the one number that is random on purpose.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// `n` random bytes, base64url.
pub(crate) fn opaque(bytes: usize) -> String {
    URL_SAFE_NO_PAD.encode(fill(bytes))
}

/// A random GUID.
pub(crate) fn guid() -> String {
    let hex = crate::keys::hex(&fill(16)).to_lowercase();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    format!(
        "{}-{}-4{}-8{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}

/// A code or refresh token: two parts, the first beginning `1.A`, about a kilobyte.
pub(crate) fn artifact() -> String {
    format!("1.A{}", opaque(760))
}

/// A code people can type: nine capital letters and digits, none of them easily confused.
pub(crate) fn user_code() -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let letters = fill(9).into_iter().map(|byte| byte % 32);
    letters
        .filter_map(|index| ALPHABET.get(usize::from(index)))
        .map(|letter| char::from(*letter))
        .collect()
}

fn fill(bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut buffer).expect("the operating system's randomness does not fail");
    buffer
}

/// A token lifetime between 60 and 90 minutes, the `n`th of `seed`.
pub(crate) fn token_lifetime(seed: u64, n: u64) -> u64 {
    3600 + drawn(seed, n) % 1801
}

/// The same between 20 and 28 hours, for tokens that can be ended before.
pub(crate) fn evaluated_lifetime(seed: u64, n: u64) -> u64 {
    72_000 + drawn(seed, n) % 28_801
}

fn drawn(seed: u64, n: u64) -> u64 {
    let mut input = [0; 16];
    let (left, right) = input.split_at_mut(8);
    left.copy_from_slice(&seed.to_be_bytes());
    right.copy_from_slice(&n.to_be_bytes());
    let hash = digest(&SHA256, &input);
    hash.as_ref()
        .iter()
        .take(4)
        .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::is_guid;

    #[test]
    fn a_guid_is_one() {
        assert!(is_guid(&guid()));
    }

    #[test]
    fn lifetimes_lie_between_60_and_90_minutes_and_repeat_with_the_seed() {
        let drawn: Vec<u64> = (0..100).map(|n| token_lifetime(7, n)).collect();
        assert!(drawn.iter().all(|seconds| (3600..=5400).contains(seconds)));
        assert_eq!(
            drawn,
            (0..100).map(|n| token_lifetime(7, n)).collect::<Vec<_>>()
        );
        assert_ne!(drawn.first(), drawn.last());
    }

    #[test]
    fn tokens_that_can_be_ended_live_between_20_and_28_hours() {
        let mut drawn = (0..100).map(|n| evaluated_lifetime(7, n));
        assert!(drawn.all(|lifetime| (72_000..=100_800).contains(&lifetime)));
    }
}
