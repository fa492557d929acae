//! What a key ring is sealed with where it lies in a store that others can read.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::document::key_in;
use super::sealing::{Purpose, SealingKey, SealingKeys, Unopened};
use crate::platform::SecureRandom;

/// What such a ring is sealed for: for its server, and for nothing else.
const COLLECTION: &str = "key ring";

/// Key-encryption keys: the first seals the key ring that replicas share in their store, and each
/// opens it.
///
/// # Security
///
/// Whoever has one of them and can read the store has the ring: they can make access tokens, and open
/// every record.
#[derive(Clone)]
pub struct KeyEncryptionKeys(SealingKeys);

/// Why there are no key-encryption keys in a text. It repeats nothing of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyEncryptionKeyError {
    /// There is none.
    #[error("there is no key: `entrada keys new-encryption-key` makes one")]
    None,
    /// One is none.
    #[error(
        "key {number} is none: it is 32 bytes in base64, and `entrada keys new-encryption-key` makes one"
    )]
    Malformed {
        /// Which of them, counted from one.
        number: usize,
    },
    /// One is the same byte again and again, as an example would be.
    #[error(
        "key {number} was not drawn at random: `entrada keys new-encryption-key` makes one that is"
    )]
    Guessable {
        /// Which of them, counted from one.
        number: usize,
    },
}

impl KeyEncryptionKeys {
    /// Reads keys, the newest first, each 32 random bytes in base64, on lines of their own or apart by
    /// spaces.
    ///
    /// # Errors
    ///
    /// [`KeyEncryptionKeyError`] says which of them to mend.
    pub fn parse(text: &str) -> Result<Self, KeyEncryptionKeyError> {
        let mut keys = Vec::new();
        for (at, text) in text.split_whitespace().enumerate() {
            let number = at + 1;
            let key = key_in(text).ok_or(KeyEncryptionKeyError::Malformed { number })?;
            if key.iter().all(|byte| Some(byte) == key.first()) {
                return Err(KeyEncryptionKeyError::Guessable { number });
            }
            keys.push(SealingKey::new(*key));
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(KeyEncryptionKeyError::None)?;
        let older = keys.collect();
        Ok(Self(SealingKeys::opening_too(first, older, Vec::new())))
    }

    /// Draws a new key, in the form that [`parse`](Self::parse) reads.
    pub fn generate(random: &dyn SecureRandom) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; 32]);
        random.fill(&mut *bytes);
        Zeroizing::new(STANDARD.encode(*bytes))
    }

    /// What they may be called, the first first.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.0.names()
    }

    /// Seals the ring of the server with this digest.
    pub(crate) fn seal(
        &self,
        server: &[u8],
        ring: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, Unopened> {
        self.0.seal(Purpose::new(COLLECTION, server), ring, random)
    }

    /// Opens the ring of the server with this digest.
    pub(crate) fn open(
        &self,
        server: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        self.0.open(Purpose::new(COLLECTION, server), sealed)
    }

    /// Whether `sealed` was sealed with the first of them, by its own word.
    pub(crate) fn is_by_first(&self, sealed: &[u8]) -> bool {
        self.0.is_by_newest(sealed)
    }
}

impl fmt::Debug for KeyEncryptionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::SystemRandom;

    fn key() -> Zeroizing<String> {
        KeyEncryptionKeys::generate(&SystemRandom::default())
    }

    #[test]
    fn the_first_seals_and_each_opens() {
        let random = SystemRandom::default();
        let (old, new) = (key(), key());
        let before = KeyEncryptionKeys::parse(&old).unwrap();
        let text = format!("\n{}\r\n  {} \n\n", *new, *old);
        let both = KeyEncryptionKeys::parse(&text).unwrap();
        let after = KeyEncryptionKeys::parse(&new).unwrap();
        let by_old = before.seal(b"server", b"ring", &random).unwrap();
        let by_new = both.seal(b"server", b"ring", &random).unwrap();
        assert_eq!(&**both.open(b"server", &by_old).unwrap(), b"ring");
        assert!(both.is_by_first(&by_new) && !both.is_by_first(&by_old));
        assert!(after.open(b"server", &by_new).is_ok());
        assert!(after.open(b"server", &by_old).is_err());
        assert!(both.open(b"sibling", &by_new).is_err());
        assert_eq!(both.names().next(), after.names().next());
    }

    #[test]
    fn what_is_no_key_is_told_by_its_place_alone() {
        let good = key();
        let short = STANDARD.encode([7; 31]);
        let example = STANDARD.encode([7; 32]);
        for (text, expected) in [
            (String::new(), KeyEncryptionKeyError::None),
            (" \n".to_owned(), KeyEncryptionKeyError::None),
            (
                short.clone(),
                KeyEncryptionKeyError::Malformed { number: 1 },
            ),
            (
                format!("{}\n{short}", *good),
                KeyEncryptionKeyError::Malformed { number: 2 },
            ),
            (
                format!("{}\n\n{example}", *good),
                KeyEncryptionKeyError::Guessable { number: 2 },
            ),
            (
                "change-me".to_owned(),
                KeyEncryptionKeyError::Malformed { number: 1 },
            ),
        ] {
            let error = KeyEncryptionKeys::parse(&text).unwrap_err();
            assert_eq!(error, expected, "{text}");
        }
    }

    #[test]
    fn no_key_is_shown() {
        let key = key();
        let keys = KeyEncryptionKeys::parse(&key).unwrap();
        let shown = format!("{keys:?}");
        let bytes = key_in(&key).unwrap();
        let numbers = format!("{:?}", &bytes[..4]);
        assert!(!shown.contains(&key[..8]) && !shown.contains(numbers.trim_matches(['[', ']'])));
        assert!(shown.contains(&keys.names().next().unwrap()));
    }
}
