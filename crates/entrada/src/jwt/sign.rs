//! Keys that sign our own tokens.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use zeroize::Zeroizing;

use super::jwks::{Algorithm, Jwk, VerificationKey};
use super::thumbprint::JwkThumbprint;

/// A private key of ours, named by its thumbprint (RFC 7638).
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    key: Arc<KeyPair>,
    pkcs8: Zeroizing<Vec<u8>>,
    public: VerificationKey,
    jwk: Jwk,
}

enum KeyPair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

/// How long a signature is, by either algorithm (RFC 7518 §3.4, RFC 8032 §5.1.6).
const SIGNATURE_BYTES: usize = 64;

/// A key could not be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SigningKeyError {
    /// The bytes are no private key of that algorithm.
    #[error("not a private key of that algorithm in PKCS#8")]
    Rejected,
    /// We do not sign with that algorithm.
    #[error("tokens are signed with ES256 or EdDSA")]
    Algorithm,
    /// The crypto library failed.
    #[error("signing failed")]
    Failed,
}

impl SigningKey {
    /// Makes a new key.
    ///
    /// # Errors
    ///
    /// [`SigningKeyError::Algorithm`] for an algorithm we do not sign with.
    pub fn generate(algorithm: Algorithm) -> Result<Self, SigningKeyError> {
        let rng = SystemRandom::new();
        let pkcs8 = match algorithm {
            Algorithm::Es256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng)
            }
            Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&rng),
            Algorithm::Rs256 => return Err(SigningKeyError::Algorithm),
        };
        Self::from_pkcs8(
            algorithm,
            pkcs8.map_err(|_| SigningKeyError::Failed)?.as_ref(),
        )
    }

    /// Reads a key.
    ///
    /// # Errors
    ///
    /// [`SigningKeyError`] if it is not a private key of `algorithm`.
    pub fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, SigningKeyError> {
        let encode = |bytes: &[u8]| Some(URL_SAFE_NO_PAD.encode(bytes));
        let (key, mut jwk) = match algorithm {
            Algorithm::Es256 => {
                let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
                    .map_err(|_| SigningKeyError::Rejected)?;
                let point = key.public_key().as_ref();
                let (x, y) = point
                    .get(1..33)
                    .zip(point.get(33..65))
                    .ok_or(SigningKeyError::Rejected)?;
                let jwk = Jwk {
                    kty: "EC".to_owned(),
                    crv: Some("P-256".to_owned()),
                    x: encode(x),
                    y: encode(y),
                    ..Jwk::default()
                };
                (KeyPair::Es256(key), jwk)
            }
            Algorithm::EdDsa => {
                let key =
                    Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| SigningKeyError::Rejected)?;
                let jwk = Jwk {
                    kty: "OKP".to_owned(),
                    crv: Some("Ed25519".to_owned()),
                    x: encode(key.public_key().as_ref()),
                    ..Jwk::default()
                };
                (KeyPair::EdDsa(key), jwk)
            }
            Algorithm::Rs256 => return Err(SigningKeyError::Algorithm),
        };
        let kid = JwkThumbprint::of(&jwk).ok_or(SigningKeyError::Rejected)?;
        let kid = kid.to_string();
        jwk.kid = Some(kid.clone());
        jwk.usage = Some("sig".to_owned());
        jwk.alg = Some(algorithm.as_str().to_owned());
        let public = VerificationKey::from_jwk(&jwk).ok_or(SigningKeyError::Rejected)?;
        Ok(Self {
            kid,
            key: Arc::new(key),
            pkcs8: Zeroizing::new(pkcs8.to_vec()),
            public,
            jwk,
        })
    }

    /// The key's name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// The public half, to verify with.
    pub fn verification_key(&self) -> VerificationKey {
        self.public.clone()
    }

    /// The public half as a key set (RFC 7517 §5), for whoever is to trust it.
    ///
    /// # Errors
    ///
    /// [`SigningKeyError::Failed`] if it cannot be written.
    pub fn jwks(&self) -> Result<String, SigningKeyError> {
        let document = serde_json::json!({ "keys": [self.jwk] });
        serde_json::to_string(&document).map_err(|_| SigningKeyError::Failed)
    }

    /// The public half, to publish.
    pub(crate) fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// The private half, to keep in a key file.
    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Signs `claims` as a token of kind `typ` (RFC 7515 §5.1).
    ///
    /// # Errors
    ///
    /// [`SigningKeyError::Failed`] if the crypto library fails.
    pub fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, SigningKeyError> {
        #[derive(Serialize)]
        struct Header<'a> {
            alg: &'a str,
            typ: &'a str,
            kid: &'a str,
        }
        let header = Header {
            alg: self.algorithm().as_str(),
            typ,
            kid: &self.kid,
        };
        self.sign_under(&header, claims)
    }

    /// Signs `claims` as a proof that somebody has this key (RFC 9449 §4.2).
    ///
    /// # Errors
    ///
    /// [`SigningKeyError::Failed`] if the crypto library fails.
    #[cfg(any(test, feature = "test-util"))]
    pub fn prove(&self, claims: &impl Serialize) -> Result<String, SigningKeyError> {
        let Jwk { kty, crv, x, y, .. } = self.jwk.clone();
        let jwk = Jwk {
            kty,
            crv,
            x,
            y,
            ..Jwk::default()
        };
        let alg = self.algorithm().as_str();
        let header = serde_json::json!({ "alg": alg, "typ": "dpop+jwt", "jwk": jwk });
        self.sign_under(&header, claims)
    }

    /// Signs `claims` under `header`.
    pub(super) fn sign_under(
        &self,
        header: &impl Serialize,
        claims: &impl Serialize,
    ) -> Result<String, SigningKeyError> {
        let header = serde_json::to_vec(header).map_err(|_| SigningKeyError::Failed)?;
        let claims = serde_json::to_vec(claims).map_err(|_| SigningKeyError::Failed)?;
        // No longer than it must be, for some are kept.
        let parts =
            [header.len(), claims.len(), SIGNATURE_BYTES].map(|bytes| (bytes * 4).div_ceil(3));
        let mut token = String::with_capacity(parts.iter().sum::<usize>() + 2);
        URL_SAFE_NO_PAD.encode_string(header, &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = match &*self.key {
            KeyPair::Es256(key) => key
                .sign(&SystemRandom::new(), token.as_bytes())
                .map_err(|_| SigningKeyError::Failed)?,
            KeyPair::EdDsa(key) => key
                .try_sign(token.as_bytes())
                .map_err(|_| SigningKeyError::Failed)?,
        };
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_a_round_trip_and_keep_their_name() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            let key = SigningKey::generate(algorithm).unwrap();
            let again = SigningKey::from_pkcs8(algorithm, key.pkcs8()).unwrap();
            assert_eq!(key.kid(), again.kid());
        }
        assert!(SigningKey::generate(Algorithm::Rs256).is_err());
        assert!(SigningKey::from_pkcs8(Algorithm::Es256, b"junk").is_err());
    }

    #[test]
    fn what_is_signed_has_room_for_no_more() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            let key = SigningKey::generate(algorithm).unwrap();
            for claims in ["", "a", "ab", "abc"] {
                let token = key.sign("t", &claims).unwrap();
                assert_eq!(token.capacity(), token.len());
            }
        }
    }

    #[test]
    fn debug_hides_the_private_half() {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        assert_eq!(
            format!("{key:?}"),
            format!("SigningKey {{ kid: {:?}, .. }}", key.kid())
        );
    }
}
