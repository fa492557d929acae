//! The key ring: what signs our tokens and what seals our records.
//!
//! Neither has anything to do with the client secret Entra gave: rolling that one ends nobody's
//! session.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::jwt::jwks::{Algorithm, Jwk, VerificationKey};
use crate::jwt::sign::{SigningKey, SigningKeyError};
use crate::platform::{SecureRandom, Timestamp};
use crate::private_file;

mod document;
mod encryption;
mod file;
mod in_use;
mod sealing;

pub(crate) use document::{RingDocument, RingDocumentError};
pub use encryption::{KeyEncryptionKeyError, KeyEncryptionKeys};
pub use file::{KeyFile, KeyFileError};
pub(crate) use in_use::{Change, KeySource};
pub use in_use::{Keys, KeysError, KeysUnavailable};
pub use sealing::{Purpose, SealingKey, SealingKeys, Unopened};

/// How long a new signing key is published before it signs, so that every replica and every
/// verifier that caches our key set has seen it, even where clocks differ by a minute.
pub const PUBLISH_AHEAD: Duration = Duration::from_secs(10 * 60);

/// How long a signing key that no longer signs is still honoured: longer than any access token.
pub const HONOUR_AFTER: Duration = Duration::from_secs(25 * 60 * 60);

/// How long a sealing key that no longer seals is kept: longer than any record lies unread.
pub const KEEP_SEALING: Duration = Duration::from_secs(3 * 366 * 24 * 60 * 60);

/// Whether others than its owner may read or write the file of keys at `path`.
///
/// # Errors
///
/// [`io::Error`] if that cannot be seen.
pub fn is_exposed(path: &Path) -> io::Result<bool> {
    private_file::is_exposed(&File::open(path)?)
}

/// A signing key and when it begins to sign.
#[derive(Clone, Debug)]
pub(crate) struct TimedKey {
    pub(crate) key: SigningKey,
    pub(crate) signs_from: Timestamp,
}

/// A sealing key and when it begins to seal.
#[derive(Clone, Debug)]
pub(crate) struct TimedSealingKey {
    pub(crate) key: SealingKey,
    /// The beginning of time if it is of a file that did not say.
    pub(crate) seals_from: Timestamp,
    /// Whether somebody else may know it.
    pub(crate) is_revoked: bool,
}

/// Keys, the newest last.
#[derive(Clone, Debug)]
pub struct KeyRing {
    signing: Vec<TimedKey>,
    sealing: Vec<TimedSealingKey>,
    /// Those in force when this was made.
    in_force: SealingKeys,
}

/// What may be told of a key.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeyFacts {
    /// Its name: the `kid` of a signing key.
    pub id: String,
    /// What it signs with; `None` if it seals.
    pub algorithm: Option<Algorithm>,
    /// When it begins to sign or to seal; the beginning of time if that is not known.
    pub from: Timestamp,
    /// Whether it was revoked: it opens stored records and nothing else.
    pub is_revoked: bool,
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
        let signing = vec![TimedKey {
            key: SigningKey::generate(algorithm)?,
            signs_from: now,
        }];
        let key = SealingKey::generate(random);
        Ok(Self {
            signing,
            in_force: SealingKeys::new(key.clone()),
            sealing: vec![TimedSealingKey {
                key,
                seals_from: now,
                is_revoked: false,
            }],
        })
    }

    /// No keys: nothing is signed or sealed, nothing opens, and no tag holds.
    pub(crate) const fn none() -> Self {
        Self {
            signing: Vec::new(),
            sealing: Vec::new(),
            in_force: SealingKeys::none(),
        }
    }

    /// Whether there are keys.
    pub(crate) fn is_there(&self) -> bool {
        !self.signing.is_empty()
    }

    /// The ring of these keys as it is at `now`; `None` if there is none of a kind.
    pub(crate) fn from_parts(
        signing: Vec<TimedKey>,
        sealing: Vec<TimedSealingKey>,
        now: Timestamp,
    ) -> Option<Self> {
        let in_force = in_force(&sealing, now)?;
        (!signing.is_empty()).then_some(Self {
            signing,
            sealing,
            in_force,
        })
    }

    pub(crate) fn signing(&self) -> &[TimedKey] {
        &self.signing
    }

    pub(crate) fn sealing_keys(&self) -> &[TimedSealingKey] {
        &self.sealing
    }

    /// What seals records.
    pub(crate) fn sealing(&self) -> &SealingKeys {
        &self.in_force
    }

    /// The ring with a new key of each kind and without those that are over.
    ///
    /// The new keys are put to use after [`PUBLISH_AHEAD`], when whoever shares the ring has them. A
    /// signing key that was replaced is honoured for [`HONOUR_AFTER`], a sealing key kept for
    /// [`KEEP_SEALING`].
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
        let from = now + PUBLISH_AHEAD;
        let signed_until = |at: usize| self.signing.get(at + 1).map(|next| next.signs_from);
        let mut signing = within(&self.signing, signed_until, HONOUR_AFTER, now);
        signing.push(TimedKey {
            key: SigningKey::generate(algorithm)?,
            signs_from: from,
        });
        // Where it is not known when a key was replaced, it was before the next of which it is.
        let sealed_until = |at: usize| {
            let mut later = self.sealing.iter().skip(at + 1);
            let known = later.find(|next| next.seals_from > Timestamp::default());
            known.map(|next| next.seals_from)
        };
        let mut sealing = within(&self.sealing, sealed_until, KEEP_SEALING, now);
        sealing.push(TimedSealingKey {
            key: SealingKey::generate(random),
            seals_from: from,
            is_revoked: false,
        });
        Ok(Self {
            in_force: in_force(&sealing, now).unwrap_or_else(|| self.in_force.clone()),
            signing,
            sealing,
        })
    }

    /// The ring after its keys became known to somebody: one new signing key, in use at once, and
    /// none of the old, so that no token signed with them is good any more. A new sealing key seals
    /// from now on; the old ones open the records in the store, and nothing that is shown to us.
    ///
    /// # Errors
    ///
    /// [`SigningKeyError`] if `algorithm` is none we sign with.
    pub fn revoked(
        &self,
        algorithm: Algorithm,
        random: &dyn SecureRandom,
        now: Timestamp,
    ) -> Result<Self, SigningKeyError> {
        let fresh = Self::generate(algorithm, random, now)?;
        // Those that were to seal later would seal again.
        let older = self.sealing.iter().map(|timed| TimedSealingKey {
            seals_from: timed.seals_from.min(now),
            is_revoked: true,
            key: timed.key.clone(),
        });
        let sealing: Vec<_> = older.chain(fresh.sealing).collect();
        Ok(Self {
            in_force: in_force(&sealing, now).unwrap_or(fresh.in_force),
            signing: fresh.signing,
            sealing,
        })
    }

    /// The same keys, those in force that are so at `now`.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Self {
        Self {
            in_force: in_force(&self.sealing, now).unwrap_or_else(|| self.in_force.clone()),
            ..self.clone()
        }
    }

    /// For how long the newest signing key has signed.
    pub(crate) fn age(&self, now: Timestamp) -> Option<Duration> {
        let from = self.signing.iter().map(|timed| timed.signs_from);
        let newest = from.filter(|from| *from <= now).max()?;
        Some(now.since(newest))
    }

    /// Whether the newest signing key has signed for `every`, or longer, at `now`.
    pub fn is_due(&self, every: Duration, now: Timestamp) -> bool {
        let newest = self.signing.last().map(|timed| timed.signs_from);
        newest.is_some_and(|from| from <= now && now.since(from) >= every)
    }

    /// What may be told of the keys, the signing keys first, the newest of each kind last.
    pub fn facts(&self) -> impl Iterator<Item = KeyFacts> {
        let signing = self.signing.iter().map(|timed| KeyFacts {
            id: timed.key.kid().to_owned(),
            algorithm: Some(timed.key.algorithm()),
            from: timed.signs_from,
            is_revoked: false,
        });
        let sealing = self.sealing.iter().map(|timed| KeyFacts {
            id: timed.key.name(),
            algorithm: None,
            from: timed.seals_from,
            is_revoked: timed.is_revoked,
        });
        signing.chain(sealing)
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

/// The sealing keys as they are at `now`: the newest whose time has come seals, or the oldest there is.
/// One that was revoked never does, even if the clock of whoever revoked it is ahead of ours.
fn in_force(keys: &[TimedSealingKey], now: Timestamp) -> Option<SealingKeys> {
    let due = keys
        .iter()
        .rposition(|timed| !timed.is_revoked && timed.seals_from <= now);
    let first = || keys.iter().position(|timed| !timed.is_revoked);
    let sealing = due.or_else(first)?;
    let others = keys.iter().enumerate().filter(|(at, _)| *at != sealing);
    let others = others.rev().map(|(_, timed)| timed);
    let (revoked, older): (Vec<_>, Vec<_>) = others.partition(|timed| timed.is_revoked);
    let keys_of =
        |timed: Vec<&TimedSealingKey>| timed.iter().map(|timed| timed.key.clone()).collect();
    let newest = keys.get(sealing)?.key.clone();
    Some(SealingKeys::opening_too(
        newest,
        keys_of(older),
        keys_of(revoked),
    ))
}

/// Of keys that each were used until `until`, those that are not over by `kept` at `now`.
fn within<K: Clone>(
    keys: &[K],
    until: impl Fn(usize) -> Option<Timestamp>,
    kept: Duration,
    now: Timestamp,
) -> Vec<K> {
    let keys = keys.iter().enumerate();
    let keys = keys.filter(|(at, _)| until(*at).is_none_or(|until| now.since(until) <= kept));
    keys.map(|(_, key)| key.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::SystemRandom;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    #[test]
    fn a_sealing_key_seals_once_everybody_has_it_and_opens_for_years() {
        let random = SystemRandom::default();
        let first = KeyRing::generate(Algorithm::Es256, &random, at(0)).unwrap();
        let second = first.rotated(Algorithm::Es256, &random, at(1000)).unwrap();
        let purpose = Purpose::new("x", b"");
        let seal = |ring: &KeyRing| ring.sealing().seal(purpose, b"y", &random).unwrap();
        let opens = |ring: &KeyRing, sealed: &[u8]| ring.sealing().open(purpose, sealed).is_ok();
        // Whoever has not seen the new ring yet can read what is sealed meanwhile.
        assert!(opens(&first, &seal(&second)));
        assert!(opens(&first, &seal(&second.at(at(1599)))));
        let later = second.at(at(1600));
        assert!(!opens(&first, &seal(&later)));
        assert!(opens(&second, &seal(&later)));
        let kept = KEEP_SEALING.as_secs();
        for (now, expected) in [(1600 + kept, true), (1601 + kept, false)] {
            let next = later.rotated(Algorithm::Es256, &random, at(now)).unwrap();
            assert_eq!(opens(&next, &seal(&first)), expected, "{now}");
        }
    }

    #[test]
    fn a_revoked_ring_vouches_for_nothing_old_and_opens_it() {
        let random = SystemRandom::default();
        let first = KeyRing::generate(Algorithm::Es256, &random, at(0)).unwrap();
        let second = first.rotated(Algorithm::Es256, &random, at(1000)).unwrap();
        let revoked = second.revoked(Algorithm::Es256, &random, at(1001)).unwrap();
        assert_eq!(revoked.published().count(), 1);
        for old in second.published() {
            assert!(
                revoked
                    .verification_key(old.kid.as_deref().unwrap())
                    .is_none()
            );
        }
        assert!(revoked.signer(at(1001)).is_some());
        let purpose = Purpose::new("x", b"");
        let seal = |ring: &KeyRing| ring.sealing().seal(purpose, b"y", &random).unwrap();
        let next = revoked
            .rotated(Algorithm::Es256, &random, at(2000))
            .unwrap();
        for ring in [&revoked, &next.at(at(9999))] {
            let keys = ring.sealing();
            let (old, tag) = (seal(&first), first.sealing().authenticate("x", b"y"));
            assert!(keys.open(purpose, &old).is_ok());
            assert!(keys.open_shown(purpose, &old).is_err());
            assert!(keys.may_be_authentic("x", b"y", &tag));
            assert!(!keys.is_authentic("x", b"y", &tag));
            assert!(keys.open_shown(purpose, &seal(&revoked)).is_ok());
        }
        // The one that was to seal from 1600 on never does, nor do the old ones where a clock is behind.
        for now in [941, 1001, 1600, 9999] {
            let sealed = seal(&revoked.at(at(now)));
            assert!(second.sealing().open(purpose, &sealed).is_err(), "{now}");
        }
    }

    #[test]
    fn a_ring_is_due_by_the_time_its_newest_key_has_signed() {
        let random = SystemRandom::default();
        let every = Duration::from_secs(100);
        let first = KeyRing::generate(Algorithm::Es256, &random, at(1000)).unwrap();
        assert!(!first.is_due(every, at(1099)));
        assert!(first.is_due(every, at(1100)));
        let second = first.rotated(Algorithm::Es256, &random, at(1100)).unwrap();
        assert!(!second.is_due(every, at(1799)));
        assert!(second.is_due(every, at(1800)));
        assert!(!second.is_due(every, at(0)));
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
