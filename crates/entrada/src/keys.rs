//! The key ring: what signs our tokens and what seals our records.
//!
//! Neither has anything to do with the client secret Entra gave: rolling that one ends nobody's
//! session.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::jwt::jwks::{Algorithm, Jwk, VerificationKey};
use crate::jwt::sign::{SigningKey, SigningKeyError};
use crate::platform::{SecureRandom, Timestamp};

mod file;
mod sealing;

pub use file::{KeyFile, KeyFileError};
pub use sealing::{Purpose, SealingKey, SealingKeys, Unopened};

/// How long a new signing key is published before it signs, so that every replica and every
/// verifier that caches our key set has seen it.
pub const PUBLISH_AHEAD: Duration = Duration::from_secs(10 * 60);

/// How long a signing key that no longer signs is still honoured: longer than any access token.
pub const HONOUR_AFTER: Duration = Duration::from_secs(25 * 60 * 60);

/// A signing key and when it began to sign.
#[derive(Clone, Debug)]
pub(crate) struct TimedKey {
    pub(crate) key: SigningKey,
    pub(crate) signs_from: Timestamp,
}

/// Keys, the newest last.
#[derive(Clone, Debug)]
pub struct KeyRing {
    signing: Vec<TimedKey>,
    sealing: SealingKeys,
}

impl KeyRing {
    /// Makes a ring with one new key of each kind, in use at once.
    ///
    /// # Errors
    ///
    /// [`SigningKeyError`] if `algorithm` is none we sign with.
    pub fn generate(
        algorithm: Algorithm,
        random: &dyn SecureRandom,
        now: Timestamp,
    ) -> Result<Self, SigningKeyError> {
        let key = SigningKey::generate(algorithm)?;
        Ok(Self {
            signing: vec![TimedKey {
                key,
                signs_from: now,
            }],
            sealing: SealingKeys::new(SealingKey::generate(random)),
        })
    }

    pub(crate) fn from_parts(signing: Vec<TimedKey>, sealing: SealingKeys) -> Option<Self> {
        (!signing.is_empty()).then_some(Self { signing, sealing })
    }

    pub(crate) fn signing(&self) -> &[TimedKey] {
        &self.signing
    }

    /// What seals records.
    pub(crate) fn sealing(&self) -> &SealingKeys {
        &self.sealing
    }

    /// The ring with a new key of each kind and without those that are over.
    ///
    /// The new signing key signs after [`PUBLISH_AHEAD`]; a replaced one is honoured for
    /// [`HONOUR_AFTER`]. Sealing keys are used at once, and kept, for records live long.
    ///
    /// # Errors
    ///
    /// [`SigningKeyError`] if `algorithm` is none we sign with.
    pub fn rotated(
        &self,
        algorithm: Algorithm,
        random: &dyn SecureRandom,
        now: Timestamp,
    ) -> Result<Self, SigningKeyError> {
        let mut signing: Vec<_> = self
            .signing
            .iter()
            .enumerate()
            .filter(|(at, _)| {
                let replaced = self.signing.get(at + 1).map(|next| next.signs_from);
                replaced.is_none_or(|replaced| now.since(replaced) <= HONOUR_AFTER)
            })
            .map(|(_, timed)| timed.clone())
            .collect();
        let key = SigningKey::generate(algorithm)?;
        signing.push(TimedKey {
            key,
            signs_from: now + PUBLISH_AHEAD,
        });
        Ok(Self {
            signing,
            sealing: self.sealing.with(SealingKey::generate(random)),
        })
    }

    /// The key that signs at `now`: the newest whose time has come, or the oldest there is.
    pub(crate) fn signer(&self, now: Timestamp) -> Option<&SigningKey> {
        let in_force = self
            .signing
            .iter()
            .rev()
            .find(|timed| timed.signs_from <= now);
        in_force
            .or_else(|| self.signing.first())
            .map(|timed| &timed.key)
    }

    /// The public half of the key named `kid`.
    pub(crate) fn verification_key(&self, kid: &str) -> Option<VerificationKey> {
        let found = self.signing.iter().find(|timed| timed.key.kid() == kid);
        found.map(|timed| timed.key.verification_key())
    }

    /// The public halves, to publish (RFC 7517 §5).
    pub(crate) fn published(&self) -> impl Iterator<Item = &Jwk> {
        self.signing.iter().map(|timed| timed.key.jwk())
    }
}

/// The ring in use, which may be replaced while the server runs.
#[derive(Clone, Debug)]
pub struct Keys(Arc<RwLock<Arc<KeyRing>>>);

impl Keys {
    /// Puts `ring` to use.
    pub fn new(ring: KeyRing) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(ring))))
    }

    /// The ring in use now.
    pub fn current(&self) -> Arc<KeyRing> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Uses `ring` from now on.
    pub fn replace(&self, ring: KeyRing) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::SystemRandom;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    #[test]
    fn a_rotated_key_is_published_before_it_signs_and_honoured_after() {
        let random = SystemRandom::default();
        let first = KeyRing::generate(Algorithm::Es256, &random, at(0)).unwrap();
        let old = first.signer(at(0)).unwrap().kid().to_owned();
        let second = first.rotated(Algorithm::EdDsa, &random, at(1000)).unwrap();
        assert_eq!(second.published().count(), 2);
        let signer = |ring: &KeyRing, now| ring.signer(at(now)).unwrap().kid().to_owned();
        assert_eq!(signer(&second, 1599), old);
        let new = signer(&second, 1600);
        assert_ne!(new, old);
        assert!(second.verification_key(&old).is_some());
        // 1600 replaced the first key; a day and an hour later a further rotation drops it.
        let third = second
            .rotated(Algorithm::Es256, &random, at(1600 + 90_000))
            .unwrap();
        assert!(third.verification_key(&old).is_some());
        let fourth = third
            .rotated(Algorithm::Es256, &random, at(1601 + 90_000))
            .unwrap();
        assert!(fourth.verification_key(&old).is_none());
        assert!(fourth.verification_key(&new).is_some());
    }
}
