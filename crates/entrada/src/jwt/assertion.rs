//! What all assertions have in common (RFC 7521 §5.2, RFC 7523 §3).

use std::time::Duration;

use super::jwks::Algorithm;
use crate::platform::Timestamp;

/// What may sign one; the key decides which it was.
pub(crate) const ALGORITHMS: [Algorithm; 3] =
    [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

/// By how much the clock of whoever made one may differ.
pub(super) const LEEWAY: Duration = Duration::from_secs(60);

/// How long its identifier, and other names in it, may be.
const LONGEST_NAME: usize = 256;

/// Whether a name is there, and not too long to be remembered.
#[expect(clippy::ptr_arg, reason = "it filters what is a String in an Option")]
pub(super) fn is_name(name: &String) -> bool {
    !name.is_empty() && name.len() <= LONGEST_NAME
}

/// Until when one must not be taken again that ends at `exp`.
pub(super) fn remembered_until(exp: Timestamp) -> Timestamp {
    // Twice: the clock of who forgets it may be ahead of the clock of who takes it.
    exp + 2 * LEEWAY
}
