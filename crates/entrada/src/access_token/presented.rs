//! Tokens as they come in, and what stands for them where verdicts are remembered.

use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::Equivalent;

use crate::jwt::unverified::{MalformedJwt, UnverifiedJwt};

/// A bearer token as it came in, unchecked.
#[derive(Clone, Copy)]
pub struct PresentedToken<'a> {
    token: &'a str,
    signed: Signed,
}

/// What the signature of a token is over: everything before its last dot.
#[derive(Clone, Copy)]
pub(crate) struct Signed {
    /// Its SHA-256, taken once for everybody who needs it.
    digest: [u8; 32],
    /// Where it ends.
    end: usize,
}

/// What a verdict on a token is remembered by: no other token has the same.
///
/// The signature is kept as it is, for a digest of it would cost every request more than the
/// comparison does.
#[derive(Clone)]
pub struct TokenKey {
    signed: [u8; 32],
    signature: Box<str>,
}

impl<'a> PresentedToken<'a> {
    /// Wraps what followed `Bearer`.
    pub fn new(token: &'a str) -> Self {
        let end = token.rfind('.').unwrap_or(token.len());
        let (signed, _) = token.split_at(end);
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, signed.as_bytes()).as_ref());
        let signed = Signed {
            digest: sha256,
            end,
        };
        Self { token, signed }
    }

    /// A token of which it is known what is signed.
    pub(crate) const fn with_signed(token: &'a str, signed: Signed) -> Self {
        Self { token, signed }
    }

    pub(crate) const fn signed(&self) -> Signed {
        self.signed
    }

    /// The SHA-256 of everything that is signed: where the signature held, it stands for the token.
    pub(crate) const fn digest(&self) -> [u8; 32] {
        self.signed.digest
    }

    /// Returns the bare token, to verify it and for nothing else.
    pub const fn expose(self) -> &'a str {
        self.token
    }

    /// What to remember a verdict on this token by.
    pub fn key(&self) -> TokenKey {
        TokenKey {
            signed: self.signed.digest,
            signature: self.signature().into(),
        }
    }

    /// The last dot and what follows it.
    fn signature(&self) -> &'a str {
        self.token.get(self.signed.end..).unwrap_or_default()
    }

    /// Takes the token apart.
    ///
    /// # Errors
    ///
    /// [`MalformedJwt`] if it is no compact JWS (`invalid_token`).
    pub(crate) fn jwt(self) -> Result<UnverifiedJwt<'a>, MalformedJwt> {
        let jwt = UnverifiedJwt::parse(self.token)?;
        Ok(jwt.with_message_digest(self.signed.digest))
    }
}

impl Debug for PresentedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentedToken(…)")
    }
}

impl Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

impl Hash for PresentedToken<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.signed.digest.hash(state);
    }
}

impl Hash for TokenKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.signed.hash(state);
    }
}

// In constant time: who knows what was signed must not find the signature byte by byte.
fn same(one: (&[u8; 32], &str), other: (&[u8; 32], &str)) -> bool {
    one.0 == other.0 && verify_slices_are_equal(one.1.as_bytes(), other.1.as_bytes()).is_ok()
}

impl PartialEq for TokenKey {
    fn eq(&self, other: &Self) -> bool {
        same(
            (&self.signed, &self.signature),
            (&other.signed, &other.signature),
        )
    }
}

impl Eq for TokenKey {}

impl Equivalent<TokenKey> for PresentedToken<'_> {
    fn equivalent(&self, key: &TokenKey) -> bool {
        same(
            (&self.signed.digest, self.signature()),
            (&key.signed, &key.signature),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_token_is_in_its_key_and_none_is_shown() {
        let tokens = [
            "", ".", "a", "a.", ".a", "a.b", "ab", "a.b.c", "a.b.d", "a.c.c", "ab.c",
        ];
        for (at, one) in tokens.iter().enumerate() {
            for (place, other) in tokens.iter().enumerate() {
                let key = PresentedToken::new(one).key();
                let presented = PresentedToken::new(other);
                assert_eq!(key == presented.key(), at == place, "{one} {other}");
                assert_eq!(presented.equivalent(&key), at == place, "{one} {other}");
            }
        }
        // FIPS 180-2, appendix B.1.
        let presented = PresentedToken::new("abc.signature");
        assert_eq!(presented.signed.digest[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(format!("{presented:?}"), "PresentedToken(…)");
        assert_eq!(format!("{:?}", presented.key()), "TokenKey(…)");
    }
}
