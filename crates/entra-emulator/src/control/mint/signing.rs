//! The last step of minting: edits, and a signature by whoever was ordered.

use crate::control::mint::MintError;
use crate::control::order::{Edits, Signer, TokenOrder};
use crate::jwt::{Claims, Draft};
use crate::keys::{KeyRing, SigningKey};
use crate::state::State;

impl Edits {
    pub(super) fn apply(&self, claims: &mut Claims) {
        for (name, value) in &self.set {
            claims.put(name.clone(), value.clone());
        }
        for name in &self.remove {
            claims.remove(name);
        }
    }
}

/// Edits the header and signs with whatever the order says.
pub(super) fn sign(
    mut draft: Draft,
    order: &TokenOrder,
    state: &State,
    ring: &KeyRing,
) -> Result<String, MintError> {
    let key = match &order.signed_by {
        Signer::Active | Signer::Nobody | Signer::SecretOf(_) => ring.active(),
        Signer::Personal => named(&mut draft, state.personal_keys.active()),
        Signer::Published(kid) => {
            let key = state.published_key(kid);
            let key = key.ok_or_else(|| MintError::UnknownKey(kid.clone()))?;
            named(&mut draft, key)
        }
        Signer::Unpublished => SigningKey::unpublished(),
    };
    if matches!(order.signed_by, Signer::SecretOf(_)) {
        draft.header.put("alg", "HS256");
    }
    order.header.apply(&mut draft.header);
    Ok(match &order.signed_by {
        Signer::Nobody => draft.unsigned(),
        Signer::SecretOf(secret) => draft.sign_with_secret(secret.as_bytes()),
        Signer::Active | Signer::Personal | Signer::Published(_) | Signer::Unpublished => {
            draft.sign(key)
        }
    })
}

// The header names the key that signs.
fn named<'k>(draft: &mut Draft, key: &'k SigningKey) -> &'k SigningKey {
    for name in ["x5t", "kid"] {
        if draft.header.get(name).is_some() {
            draft.header.put(name, key.kid());
        }
    }
    key
}
