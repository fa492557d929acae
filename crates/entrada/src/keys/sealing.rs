//! Authenticated encryption of records, and message authentication, under keys with names.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::platform::SecureRandom;

/// The layout: `version ‖ key id ‖ salt ‖ ciphertext ‖ tag`.
const VERSION: u8 = 1;
const ID_LEN: usize = 4;
const SALT_LEN: usize = 32;
/// Half of an HMAC, which leaves 128 bits to guess.
const TAG_LEN: usize = 16;
const HEADER_LEN: usize = 1 + ID_LEN + SALT_LEN;

/// What something is sealed for: it opens for nothing else.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Purpose<'a> {
    /// The kind of record.
    pub collection: &'static str,
    /// Which record of that kind.
    pub key: &'a [u8],
}

impl<'a> Purpose<'a> {
    /// The record `key` of `collection`.
    pub const fn new(collection: &'static str, key: &'a [u8]) -> Self {
        Self { collection, key }
    }

    /// Both, so that no other pair gives the same bytes.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.collection.len() + 1 + self.key.len());
        bytes.extend_from_slice(self.collection.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(self.key);
        bytes
    }
}

/// A 256-bit key from which every record's own key is derived.
#[derive(Clone)]
pub struct SealingKey {
    id: [u8; ID_LEN],
    bytes: Zeroizing<[u8; 32]>,
    /// Derived once, for tags are made and checked on the path of every request.
    mac: hmac::Key,
}

/// It was sealed under no key of ours, for another purpose, or was tampered with.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the sealed bytes do not open")]
#[non_exhaustive]
pub struct Unopened;

impl SealingKey {
    /// Draws a new key.
    pub fn generate(random: &dyn SecureRandom) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        random.fill(&mut *bytes);
        Self::new(*bytes)
    }

    /// Uses `bytes` as a key. They must be uniformly random.
    pub fn new(bytes: [u8; 32]) -> Self {
        let mut id = [0; ID_LEN];
        let name = digest(&SHA256, &[b"entrada key id".as_slice(), &bytes].concat());
        for (to, from) in id.iter_mut().zip(name.as_ref()) {
            *to = *from;
        }
        // A key of its own for tags: HMAC is a pseudo-random function of the key it is given.
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), b"entrada mac");
        Self {
            id,
            bytes: Zeroizing::new(bytes),
            mac: hmac::Key::new(hmac::HMAC_SHA256, mac.as_ref()),
        }
    }

    /// What it may be called.
    pub(super) fn name(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.id)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The key for one record: a fresh one each time, so that a nonce can never be used twice.
    fn record_key(&self, salt: &[u8], purpose: &[u8]) -> Result<LessSafeKey, Unopened> {
        let info = [purpose];
        let prk = Salt::new(HKDF_SHA256, salt).extract(self.bytes.as_slice());
        let okm = prk.expand(&info, &AES_256_GCM).map_err(|_| Unopened)?;
        Ok(LessSafeKey::new(UnboundKey::from(okm)))
    }

    /// The tag of `message`; `collection` holds no zero byte, so no other pair gives the same.
    fn tag(&self, collection: &'static str, message: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.mac);
        context.update(collection.as_bytes());
        context.update(&[0]);
        context.update(message);
        context.sign()
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Sealing keys: the newest seals, all of them open what is stored.
///
/// Somebody else may know those that were revoked, and seal and tag with them whatever they like. So
/// they vouch for nothing that is shown to us, and open only what lies in our own store.
#[derive(Clone, Debug)]
pub struct SealingKeys {
    /// Those that nobody else knows, the newest first.
    trusted: Vec<SealingKey>,
    revoked: Vec<SealingKey>,
}

impl SealingKeys {
    /// A ring of one.
    pub fn new(key: SealingKey) -> Self {
        Self {
            trusted: vec![key],
            revoked: Vec::new(),
        }
    }

    /// No keys: nothing is sealed and nothing opens.
    pub(super) const fn none() -> Self {
        Self {
            trusted: Vec::new(),
            revoked: Vec::new(),
        }
    }

    /// The same ring, sealing with `key` from now on.
    #[must_use]
    pub fn with(&self, key: SealingKey) -> Self {
        Self::opening_too(key, self.trusted.clone(), self.revoked.clone())
    }

    /// A ring that seals with `newest`, and opens what `older` sealed, too, and the records that
    /// `revoked` did.
    pub(super) fn opening_too(
        newest: SealingKey,
        older: Vec<SealingKey>,
        revoked: Vec<SealingKey>,
    ) -> Self {
        let trusted = std::iter::once(newest).chain(older).collect();
        Self { trusted, revoked }
    }

    fn all(&self) -> impl Iterator<Item = &SealingKey> {
        self.trusted.iter().chain(&self.revoked)
    }

    /// The names of those that nobody else knows, the newest first.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.trusted.iter().map(SealingKey::name)
    }

    /// Whether `sealed` names one of these keys: then it opens now, or never.
    pub(crate) fn know(&self, sealed: &[u8]) -> bool {
        let id = key_id(sealed);
        id.is_some_and(|id| self.all().any(|key| key.id == id))
    }

    /// Whether `sealed` names the newest of these keys.
    pub(super) fn is_by_newest(&self, sealed: &[u8]) -> bool {
        let newest = self.trusted.first().map(|key| key.id.as_slice());
        newest.is_some() && key_id(sealed) == newest
    }

    /// Encrypts `plain` so that it opens for `purpose` alone.
    ///
    /// # Errors
    ///
    /// [`Unopened`] if there is no key, or the crypto library fails.
    pub fn seal(
        &self,
        purpose: Purpose<'_>,
        plain: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, Unopened> {
        let newest = self.trusted.first().ok_or(Unopened)?;
        let mut sealed = Vec::with_capacity(HEADER_LEN + plain.len() + 16);
        sealed.push(VERSION);
        sealed.extend_from_slice(&newest.id);
        let mut salt = [0; SALT_LEN];
        random.fill(&mut salt);
        sealed.extend_from_slice(&salt);
        let purpose = purpose.bytes();
        let mut record = Zeroizing::new(plain.to_vec());
        let tag = newest
            .record_key(&salt, &purpose)?
            .seal_in_place_separate_tag(
                zero_nonce(),
                Aad::from([&sealed, &*purpose].concat()),
                &mut record,
            )
            .map_err(|_| Unopened)?;
        sealed.extend_from_slice(&record);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Decrypts what [`seal`](Self::seal) made for `purpose` and lay in our own store.
    ///
    /// # Errors
    ///
    /// [`Unopened`] if any bit differs, or the key is gone.
    pub fn open(
        &self,
        purpose: Purpose<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        open_with(self.all(), purpose, sealed)
    }

    /// Decrypts what [`seal`](Self::seal) made for `purpose` and others bring: a form, a link.
    ///
    /// # Errors
    ///
    /// [`Unopened`] if any bit differs, or the key is gone or was revoked.
    pub fn open_shown(
        &self,
        purpose: Purpose<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        open_with(self.trusted.iter(), purpose, sealed)
    }

    /// Authenticates `message` with the newest key (RFC 2104). Without keys the tag is one that holds
    /// nowhere.
    pub fn authenticate(&self, collection: &'static str, message: &[u8]) -> [u8; TAG_LEN] {
        let mut tag = [0; TAG_LEN];
        if let Some(newest) = self.trusted.first() {
            let full = newest.tag(collection, message);
            for (to, from) in tag.iter_mut().zip(full.as_ref()) {
                *to = *from;
            }
        }
        tag
    }

    /// Whether a key of the ring that was not revoked authenticated `message`, compared in constant
    /// time.
    pub fn is_authentic(&self, collection: &'static str, message: &[u8], tag: &[u8]) -> bool {
        is_tagged_with(self.trusted.iter(), collection, message, tag)
    }

    /// The same, by keys that were revoked, too.
    ///
    /// # Security
    ///
    /// The tag may be a thief's: what it stands on must be proven by a secret of its own.
    pub(crate) fn may_be_authentic(
        &self,
        collection: &'static str,
        message: &[u8],
        tag: &[u8],
    ) -> bool {
        is_tagged_with(self.all(), collection, message, tag)
    }
}

fn is_tagged_with<'k>(
    mut keys: impl Iterator<Item = &'k SealingKey>,
    collection: &'static str,
    message: &[u8],
    tag: &[u8],
) -> bool {
    keys.any(|key| {
        let full = key.tag(collection, message);
        let expected = full.as_ref().get(..TAG_LEN).unwrap_or_default();
        verify_slices_are_equal(expected, tag).is_ok()
    })
}

fn open_with<'k>(
    mut keys: impl Iterator<Item = &'k SealingKey>,
    purpose: Purpose<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Unopened> {
    let (header, ciphertext) = sealed.split_at_checked(HEADER_LEN).ok_or(Unopened)?;
    let (_, salt) = header.split_at_checked(1 + ID_LEN).ok_or(Unopened)?;
    let id = key_id(sealed).ok_or(Unopened)?;
    let key = keys.find(|key| key.id == id).ok_or(Unopened)?;
    let purpose = purpose.bytes();
    let mut record = Zeroizing::new(ciphertext.to_vec());
    let length = key
        .record_key(salt, &purpose)?
        .open_in_place(
            zero_nonce(),
            Aad::from([header, &purpose].concat()),
            &mut record,
        )
        .map_err(|_| Unopened)?
        .len();
    record.truncate(length);
    Ok(record)
}

/// The name of the key that `sealed` was sealed under, by its own word; `None` if it is no such thing.
fn key_id(sealed: &[u8]) -> Option<&[u8]> {
    let (version, rest) = sealed.split_first()?;
    rest.get(..ID_LEN).filter(|_| *version == VERSION)
}

/// Every record has a key of its own, so the nonce need not vary.
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::SystemRandom;

    fn ring() -> SealingKeys {
        SealingKeys::new(SealingKey::generate(&SystemRandom::default()))
    }

    const PURPOSE: Purpose<'_> = Purpose::new("grant", b"1");

    #[test]
    fn what_is_sealed_opens_for_its_purpose_alone() {
        let ring = ring();
        let sealed = ring
            .seal(PURPOSE, b"secret", &SystemRandom::default())
            .unwrap();
        assert_eq!(&**ring.open(PURPOSE, &sealed).unwrap(), b"secret");
        for other in [Purpose::new("grant", b"2"), Purpose::new("gran", b"t\x001")] {
            assert_eq!(ring.open(other, &sealed).unwrap_err(), Unopened);
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(
                ring.open(PURPOSE, &changed).unwrap_err(),
                Unopened,
                "byte {at}"
            );
        }
        for length in 0..sealed.len() {
            assert!(
                ring.open(PURPOSE, &sealed[..length]).is_err(),
                "length {length}"
            );
        }
    }

    #[test]
    fn older_keys_still_open_and_foreign_ones_do_not() {
        let random = SystemRandom::default();
        let old = ring();
        let new = old.with(SealingKey::generate(&random));
        let sealed = old.seal(PURPOSE, b"secret", &random).unwrap();
        assert!(new.open(PURPOSE, &sealed).is_ok());
        assert!(
            old.open(PURPOSE, &new.seal(PURPOSE, b"x", &random).unwrap())
                .is_err()
        );
        assert!(ring().open(PURPOSE, &sealed).is_err());
    }

    #[test]
    fn without_keys_nothing_is_sealed_and_no_tag_holds() {
        let (none, random) = (SealingKeys::none(), SystemRandom::default());
        assert_eq!(none.seal(PURPOSE, b"secret", &random), Err(Unopened));
        let sealed = ring().seal(PURPOSE, b"secret", &random).unwrap();
        assert!(none.open(PURPOSE, &sealed).is_err());
        assert!(!none.know(&sealed));
        let tag = none.authenticate("session", b"message");
        for keys in [&none, &ring()] {
            assert!(!keys.is_authentic("session", b"message", &tag));
            assert!(!keys.may_be_authentic("session", b"message", &tag));
        }
    }

    #[test]
    fn it_is_told_whether_a_key_is_known_and_the_newest() {
        let random = SystemRandom::default();
        let old = ring();
        let new = old.with(SealingKey::generate(&random));
        let sealed = |keys: &SealingKeys| keys.seal(PURPOSE, b"x", &random).unwrap();
        let (by_old, by_new) = (sealed(&old), sealed(&new));
        assert!(new.know(&by_old) && new.know(&by_new) && !old.know(&by_new));
        assert!(!new.is_by_newest(&by_old) && new.is_by_newest(&by_new));
        assert!(!new.know(b"") && !new.is_by_newest(b"") && !new.know(&by_old[..4]));
    }

    #[test]
    fn tags_hold_for_their_message_and_collection() {
        let ring = ring();
        let tag = ring.authenticate("session", b"message");
        assert!(ring.is_authentic("session", b"message", &tag));
        assert!(
            ring.with(SealingKey::generate(&SystemRandom::default()))
                .is_authentic("session", b"message", &tag)
        );
        assert!(!ring.is_authentic("session", b"other", &tag));
        assert!(!ring.is_authentic("refresh", b"message", &tag));
        assert!(!ring.is_authentic("session", b"message", &tag[..15]));
        assert!(!ring.is_authentic("session", b"message", b""));
    }
}
