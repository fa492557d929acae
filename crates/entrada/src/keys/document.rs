//! A key ring as it is written down, for its file and for the store.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{KeyRing, SealingKey, TimedKey, TimedSealingKey};
use crate::jwt::jwks::Algorithm;
use crate::jwt::sign::{SigningKey, SigningKeyError};
use crate::platform::Timestamp;

/// The only version there is.
const FORMAT: u32 = 1;

/// A ring in JSON.
#[derive(Deserialize, Serialize)]
pub(crate) struct RingDocument {
    format: u32,
    signing: Vec<SigningRecord>,
    sealing: Vec<Zeroizing<String>>,
    /// When each of these begins to seal; those of before have none.
    #[serde(default)]
    seals_from: Vec<Timestamp>,
    /// Whether each of these was revoked; those of before do not say.
    #[serde(default)]
    revoked: Vec<bool>,
}

#[derive(Deserialize, Serialize)]
struct SigningRecord {
    algorithm: Algorithm,
    signs_from: Timestamp,
    pkcs8: Zeroizing<String>,
}

/// Why what was written down is no ring.
#[derive(Debug)]
pub(crate) enum RingDocumentError {
    /// It is of another version, or not what it should be.
    Format,
    /// A key in it is none.
    Key(SigningKeyError),
}

impl RingDocument {
    /// Writes `ring` down.
    pub(crate) fn of(ring: &KeyRing) -> Self {
        let signing = ring.signing().iter().map(|timed| SigningRecord {
            algorithm: timed.key.algorithm(),
            signs_from: timed.signs_from,
            pkcs8: Zeroizing::new(STANDARD.encode(timed.key.pkcs8())),
        });
        let sealing = ring.sealing_keys().iter();
        Self {
            format: FORMAT,
            signing: signing.collect(),
            seals_from: sealing.clone().map(|timed| timed.seals_from).collect(),
            revoked: sealing.clone().map(|timed| timed.is_revoked).collect(),
            sealing: sealing
                .map(|timed| Zeroizing::new(STANDARD.encode(timed.key.bytes())))
                .collect(),
        }
    }

    /// The ring, as it is at `now`.
    pub(crate) fn into_ring(self, now: Timestamp) -> Result<KeyRing, RingDocumentError> {
        use RingDocumentError as E;
        if self.format != FORMAT {
            return Err(E::Format);
        }
        let mut signing = Vec::new();
        for record in self.signing {
            let pkcs8 = STANDARD.decode(&*record.pkcs8).map(Zeroizing::new);
            let pkcs8 = pkcs8.map_err(|_| E::Format)?;
            signing.push(TimedKey {
                key: SigningKey::from_pkcs8(record.algorithm, &pkcs8).map_err(E::Key)?,
                signs_from: record.signs_from,
            });
        }
        let mut sealing = Vec::new();
        let mut seals_from = self.seals_from.into_iter();
        let mut revoked = self.revoked.into_iter();
        for text in self.sealing {
            let bytes = key_in(&text).ok_or(E::Format)?;
            sealing.push(TimedSealingKey {
                key: SealingKey::new(*bytes),
                seals_from: seals_from.next().unwrap_or_default(),
                is_revoked: revoked.next().unwrap_or_default(),
            });
        }
        KeyRing::from_parts(signing, sealing, now).ok_or(E::Format)
    }
}

/// The 32 bytes that `text` is in base64; `None` if it is anything else.
pub(super) fn key_in(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    (STANDARD.decode_slice(text, &mut *bytes) == Ok(32)).then_some(bytes)
}
