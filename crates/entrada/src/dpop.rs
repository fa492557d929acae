//! Tokens bound to a key of the client's (RFC 9449), which are of no use to whoever steals them.
//!
//! A client that sends a proof with its token request gets an access token that the guard takes with
//! a proof alone, made with the same key for that very request.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::jwt::dpop::{ALGORITHMS, DpopError, ExpectedProof, verify};
use crate::jwt::jwks::Algorithm;
use crate::jwt::thumbprint::JwkThumbprint;
use crate::jwt::unverified::MalformedJwt;
use crate::keys::Keys;
use crate::platform::Timestamp;

mod nonce;
mod used;

use nonce::Nonces;
pub(crate) use used::UsedProofs;

/// `DPoP` (RFC 9449 §4.1).
pub(crate) const DPOP: HeaderName = HeaderName::from_static("dpop");

/// `DPoP-Nonce` (RFC 9449 §8.1).
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// Whether clients bind their tokens to a key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Dpop {
    /// None does, and nobody is told that it could: a proof is overlooked.
    Off,
    /// Those do that send a proof; to the others nothing changes.
    #[default]
    Optional,
    /// All do: without a proof nobody gets a token, and no token gets anybody in.
    Required,
}

/// Why a request proves nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// There is no proof: `invalid_dpop_proof`.
    #[error("there is no DPoP header")]
    Missing,
    /// There is more than one: `invalid_dpop_proof`.
    #[error("there is more than one DPoP header")]
    Several,
    /// It does not hold: `invalid_dpop_proof`, and `invalid_token` where the token is bound to another
    /// key.
    #[error(transparent)]
    Wrong(#[from] DpopError),
    /// It was used before: `invalid_dpop_proof`.
    #[error("the proof was used before")]
    Replayed,
    /// Its nonce is missing, old, or none of ours: `use_dpop_nonce`.
    #[error("the proof has no nonce of ours, or an old one")]
    Nonce,
}

/// Judges the proofs of one server; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Proofs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    required: bool,
    nonces: Option<Nonces>,
    used: Arc<UsedProofs>,
}

impl Proofs {
    /// What judges proofs where they are wanted as `mode` says; with `nonce_keys`, each must hold a
    /// nonce made with them. Those in `used` are taken no more, whoever took them.
    pub(crate) fn wanted(
        mode: Dpop,
        nonce_keys: Option<Keys>,
        used: Arc<UsedProofs>,
    ) -> Option<Self> {
        let required = match mode {
            Dpop::Off => return None,
            Dpop::Optional => false,
            Dpop::Required => true,
        };
        Some(Self(Arc::new(Inner {
            required,
            nonces: nonce_keys.map(Nonces::new),
            used,
        })))
    }

    /// Whether nobody goes without.
    pub(crate) fn are_required(&self) -> bool {
        self.0.required
    }

    /// Checks the one proof in `headers`, and uses it up (RFC 9449 §4.3).
    ///
    /// # Errors
    ///
    /// [`ProofError`], the first rule that is broken.
    pub(crate) fn prove(
        &self,
        headers: &HeaderMap,
        expected: &ExpectedProof<'_>,
        now: Timestamp,
    ) -> Result<JwkThumbprint, ProofError> {
        let mut presented = headers.get_all(DPOP).iter();
        let proof = match (presented.next(), presented.next()) {
            (Some(proof), None) => proof,
            (None, _) => return Err(ProofError::Missing),
            (Some(_), Some(_)) => return Err(ProofError::Several),
        };
        let proof = proof.to_str().map_err(|_| MalformedJwt::Parts);
        let proof = verify(proof.map_err(DpopError::from)?, expected, now)?;
        if let Some(nonces) = &self.0.nonces {
            let nonce = proof.nonce.as_deref();
            nonce
                .filter(|nonce| nonces.are_fresh(nonce, now))
                .ok_or(ProofError::Nonce)?;
        }
        if self.0.used.spend(&proof, now) {
            Ok(proof.key)
        } else {
            Err(ProofError::Replayed)
        }
    }

    /// Gives the client what its next proof must hold, where proofs must hold something.
    pub(crate) fn give_nonce(&self, headers: &mut HeaderMap, now: Timestamp) {
        let nonce = self.0.nonces.as_ref().map(|nonces| nonces.fresh(now));
        if let Some(Ok(nonce)) = nonce.map(HeaderValue::try_from) {
            headers.insert(DPOP_NONCE, nonce);
        }
    }
}

/// What may sign a proof, for the metadata (RFC 9449 §5.1).
pub(crate) fn algorithms() -> Vec<&'static str> {
    ALGORITHMS.map(Algorithm::as_str).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_proof_comes_in_one_header() {
        let proofs = Proofs::wanted(Dpop::Optional, None, Arc::default()).unwrap();
        let url = url::Url::parse("https://h/token").unwrap();
        let target = crate::jwt::dpop::ProofTarget::of(&url);
        let expected = ExpectedProof::new("POST", &target);
        let malformed = ProofError::Wrong(MalformedJwt::Parts.into());
        for (values, error) in [
            (&[][..], ProofError::Missing),
            (&["a", "b"], ProofError::Several),
            (&["a", "a"], ProofError::Several),
            (&["a, b"], malformed),
            (&[""], malformed),
            (&["\u{e9}"], malformed),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(DPOP, HeaderValue::from_str(value).unwrap());
            }
            let proven = proofs.prove(&headers, &expected, Timestamp::from_unix(1));
            assert_eq!(proven, Err(error), "{values:?}");
        }
    }

    #[test]
    fn they_are_judged_where_they_are_wanted() {
        let required = |mode| {
            let proofs = Proofs::wanted(mode, None, Arc::default());
            proofs.map(|proofs| proofs.are_required())
        };
        assert_eq!(required(Dpop::Off), None);
        assert_eq!(required(Dpop::Optional), Some(false));
        assert_eq!(required(Dpop::Required), Some(true));
        assert_eq!(algorithms(), ["ES256", "EdDSA", "RS256"]);
    }
}
