//! Refresh tokens: `grant ‖ secret ‖ tag` in base64url.
//!
//! The first part finds the grant without an index. The tag proves that we issued the token, so a
//! token from before the last rotation is told from a forgery: the former revokes the grant, the
//! latter is merely refused and costs no store read.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::GrantId;
use crate::keys::SealingKeys;
use crate::platform::{SecureRandom, Timestamp};
use crate::secret::{Hashed, RefreshToken};

const ID_LEN: usize = 16;
const SECRET_LEN: usize = 32;
const TAG_LEN: usize = 16;
const LENGTH: usize = ID_LEN + SECRET_LEN + TAG_LEN;
const COLLECTION: &str = "refresh-token";

pub(super) fn issue(id: GrantId, keys: &SealingKeys, random: &dyn SecureRandom) -> RefreshToken {
    let mut bytes = Zeroizing::new(id.as_bytes().to_vec());
    let mut secret = Zeroizing::new([0; SECRET_LEN]);
    random.fill(&mut *secret);
    bytes.extend_from_slice(&*secret);
    let tag = keys.authenticate(COLLECTION, &bytes);
    bytes.extend_from_slice(&tag);
    RefreshToken::new(URL_SAFE_NO_PAD.encode(&*bytes))
}

/// A refresh token proven to be one we issued; whether it is still good, its grant decides.
///
/// Only [`PresentedRefreshToken::authenticate`] makes one.
#[derive(Clone, Debug)]
pub(crate) struct PresentedRefreshToken {
    grant: GrantId,
    token: RefreshToken,
}

impl PresentedRefreshToken {
    /// Proves that `token` is one we issued; `None` if it is not.
    pub(crate) fn authenticate(token: RefreshToken, keys: &SealingKeys) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; LENGTH]);
        let length = URL_SAFE_NO_PAD
            .decode_slice(token.expose(), &mut *bytes)
            .ok()?;
        if length != LENGTH {
            return None;
        }
        let (message, tag) = bytes.split_at(ID_LEN + SECRET_LEN);
        // Revoking keys signs nobody out. A thief who tags a token has not its secret, which the grant
        // asks for, and could at most end a grant whose id they know.
        if !keys.may_be_authentic(COLLECTION, message, tag) {
            return None;
        }
        let id = message.first_chunk()?;
        Some(Self {
            grant: GrantId::from_stored(*id),
            token,
        })
    }

    /// The grant it belongs to.
    pub(crate) fn grant(&self) -> GrantId {
        self.grant
    }

    pub(super) fn token(&self) -> &RefreshToken {
        &self.token
    }

    /// Makes `next` the successor of this token, with a copy of it that only a holder of this one
    /// opens. `None` if the crypto library fails.
    ///
    /// `salt` is fresh randomness.
    pub(crate) fn succeeded_by(
        &self,
        next: &RefreshToken,
        expires_at: Timestamp,
        salt: [u8; 32],
    ) -> Option<Succession> {
        let mut bytes = Zeroizing::new(next.expose().as_bytes().to_vec());
        let key = successor_key(&self.token, &salt)?;
        let tag = key
            .seal_in_place_separate_tag(zero_nonce(), Aad::empty(), &mut bytes)
            .ok()?;
        bytes.extend_from_slice(tag.as_ref());
        Some(Succession {
            presented: self.token.hashed(),
            next: RefreshTerm::new(next, expires_at),
            sealed: SealedSuccessor {
                salt,
                ciphertext: URL_SAFE_NO_PAD.encode(&*bytes),
            },
        })
    }

    /// Opens the copy of the token that followed this one.
    pub(super) fn open_successor(&self, sealed: &SealedSuccessor) -> Option<RefreshToken> {
        let mut bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(&sealed.ciphertext).ok()?);
        let key = successor_key(&self.token, &sealed.salt)?;
        let plain = key
            .open_in_place(zero_nonce(), Aad::empty(), &mut bytes)
            .ok()?;
        str::from_utf8(plain).ok().map(RefreshToken::new)
    }
}

/// A refresh token's digest and when it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefreshTerm {
    pub(super) token: Hashed<RefreshToken>,
    pub(super) expires_at: Timestamp,
}

impl RefreshTerm {
    /// The term of `token`.
    pub(crate) fn new(token: &RefreshToken, expires_at: Timestamp) -> Self {
        Self {
            token: token.hashed(),
            expires_at,
        }
    }
}

/// One refresh token put in place of another.
#[derive(Clone, Debug)]
pub(crate) struct Succession {
    pub(super) presented: Hashed<RefreshToken>,
    pub(super) next: RefreshTerm,
    pub(super) sealed: SealedSuccessor,
}

/// A refresh token encrypted under the one before it: the store alone cannot open it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct SealedSuccessor {
    salt: [u8; 32],
    ciphertext: String,
}

/// One key for one successor: the salt is fresh, so the nonce need not vary.
fn successor_key(token: &RefreshToken, salt: &[u8]) -> Option<LessSafeKey> {
    let info = [b"entrada successor".as_slice()];
    let prk = Salt::new(HKDF_SHA256, salt).extract(token.expose().as_bytes());
    let okm = prk.expand(&info, &AES_256_GCM).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(okm)))
}

fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}
