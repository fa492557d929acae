//! Key sets and the keys in them.

use std::fmt;

use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::unverified::UnverifiedJwt;

/// A signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1). There is no symmetric one and no `none`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256: what Entra signs with.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256: what we sign with.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519: what we can be told to sign with.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    /// The `alg` of the algorithm.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl Algorithm {
    /// Whether it signs the SHA-256 of a message rather than the message.
    const fn signs_sha256(self) -> bool {
        match self {
            Self::Rs256 | Self::Es256 => true,
            Self::EdDsa => false,
        }
    }
}

/// A public key, parsed once.
///
/// The algorithm belongs to the key; what a token says of itself is only compared with it
/// (RFC 8725 §3.1).
#[derive(Clone)]
pub struct VerificationKey {
    kid: Option<String>,
    algorithm: Algorithm,
    issuer: Option<String>,
    key: ParsedPublicKey,
}

/// A JSON Web Key as it is published (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Jwk {
    pub(crate) kty: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kid: Option<String>,
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) alg: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) crv: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) n: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) e: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) x: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) y: Option<String>,
    /// Whose tokens the key signs: Entra's own extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<String>,
}

/// A set of keys (RFC 7517 §5).
#[derive(Clone, Debug, Default)]
pub struct Jwks(Vec<VerificationKey>);

/// The text is no key set.
#[derive(Debug, thiserror::Error)]
#[error("not a JSON Web Key Set")]
#[non_exhaustive]
pub struct JwksError(#[source] serde_json::Error);

impl Jwks {
    /// Reads a key set, leaving out keys that are not ours to use: one odd key must not spoil the
    /// rest (RFC 7517 §5).
    ///
    /// # Errors
    ///
    /// [`JwksError`] if there is no `keys` array.
    pub fn parse(json: &[u8]) -> Result<Self, JwksError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<serde_json::Value>,
        }
        let document: Document = serde_json::from_slice(json).map_err(JwksError)?;
        let jwks = document
            .keys
            .into_iter()
            .filter_map(|key| serde_json::from_value(key).ok());
        Ok(jwks
            .filter_map(|jwk: Jwk| VerificationKey::from_jwk(&jwk))
            .collect())
    }

    /// The key named `kid`.
    pub fn key(&self, kid: &str) -> Option<&VerificationKey> {
        self.iter().find(|key| key.kid() == Some(kid))
    }

    /// The keys.
    pub fn iter(&self) -> impl Iterator<Item = &VerificationKey> {
        self.0.iter()
    }
}

impl FromIterator<VerificationKey> for Jwks {
    fn from_iter<I: IntoIterator<Item = VerificationKey>>(keys: I) -> Self {
        Self(keys.into_iter().collect())
    }
}

impl VerificationKey {
    /// Parses a key; `None` if it is for something else than checking our kinds of signature.
    pub(crate) fn from_jwk(jwk: &Jwk) -> Option<Self> {
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let (algorithm, key) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => (Algorithm::Rs256, rsa(jwk)?),
            ("EC", Some("P-256")) => (Algorithm::Es256, p256(jwk)?),
            ("OKP", Some("Ed25519")) => (Algorithm::EdDsa, ed25519(jwk)?),
            _ => return None,
        };
        // Entra's keys have no `alg`; where there is one it must be the algorithm of the key.
        let agrees = jwk
            .alg
            .as_deref()
            .is_none_or(|alg| alg == algorithm.as_str());
        let (kid, issuer) = (jwk.kid.clone(), jwk.issuer.clone());
        agrees.then_some(Self {
            kid,
            algorithm,
            issuer,
            key,
        })
    }

    /// The key's name.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// What it verifies.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whose tokens it signs, where the set says so; may hold `{tenantid}`.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Whether the token's signature was made with this key.
    pub(super) fn signed(&self, jwt: &UnverifiedJwt<'_>) -> bool {
        let digest = jwt.digest.filter(|_| self.algorithm.signs_sha256());
        let digest = digest.and_then(|digest| Digest::import_less_safe(&digest, &SHA256).ok());
        let verified = if let Some(digest) = digest {
            self.key.verify_digest_sig(&digest, &jwt.signature)
        } else {
            let message = jwt.signing_input.as_bytes();
            self.key.verify_sig(message, &jwt.signature)
        };
        verified.is_ok()
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

fn decoded(member: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(member?.trim_end_matches('=')).ok()
}

fn rsa(jwk: &Jwk) -> Option<ParsedPublicKey> {
    let number = |member| {
        // The crypto library takes no leading zeros, and some publishers write them.
        decoded(member).map(|bytes| bytes.into_iter().skip_while(|byte| *byte == 0).collect())
    };
    let (n, e): (Vec<u8>, Vec<u8>) = (number(jwk.n.as_ref())?, number(jwk.e.as_ref())?);
    RsaPublicKeyComponents { n, e }
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .ok()
}

fn p256(jwk: &Jwk) -> Option<ParsedPublicKey> {
    let (x, y) = (decoded(jwk.x.as_ref())?, decoded(jwk.y.as_ref())?);
    // RFC 7518 §6.2.1.2: both coordinates have the full size of the field.
    let point = (x.len() == 32 && y.len() == 32).then(|| [&[4], x.as_slice(), &y].concat())?;
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()
}

fn ed25519(jwk: &Jwk) -> Option<ParsedPublicKey> {
    ParsedPublicKey::new(&ED25519, decoded(jwk.x.as_ref())?).ok()
}
