//! Proofs that a client holds the key its tokens are bound to (RFC 9449 §4).

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::jwks::{Algorithm, Jwk, VerificationKey};
use super::thumbprint::JwkThumbprint;
use super::unverified::{MalformedJwt, UnverifiedJwt};
use super::verify::{ExpectedType, JwtError, authentic_payload};
use crate::platform::Timestamp;

mod target;

pub use target::ProofTarget;

/// What may sign a proof; the key in it decides which it was.
pub(crate) const ALGORITHMS: [Algorithm; 3] =
    [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256];

/// How far `iat` may lie from now, either way: a proof is made for one request, so this is for the
/// clocks of devices alone, which nobody sets. A proof that leaked is good for no longer.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// How long a proof may be: longer than one with an RSA key of 8192 bits, and with everything in it
/// as long as it may be.
const LONGEST_PROOF: usize = 8 * 1024;

/// How long its identifier may be.
const LONGEST_ID: usize = 256;

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DpopError {
    /// It is longer than any is.
    #[error("the proof is too long")]
    TooLong,
    /// It is no JWT, or its signature, type or claims do not hold.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// Its header holds no key, or none of a kind we take.
    #[error("the proof holds no public key we take")]
    Key,
    /// Its header holds a private key, which is then nobody's secret.
    #[error("the proof holds a private key")]
    PrivateKey,
    /// The token it comes with is bound to another key.
    #[error("the token is bound to another key")]
    OtherKey,
    /// It is for another method.
    #[error("htm is another method")]
    Method,
    /// It is for another URL.
    #[error("htu is another url")]
    Target,
    /// It was made too long ago, or in the future.
    #[error("iat is more than five minutes away")]
    Time,
    /// It has no identifier, and so could be used again.
    #[error("jti is missing or too long")]
    NoId,
    /// It is for another access token, or for none.
    #[error("ath is another access token")]
    OtherToken,
}

impl From<MalformedJwt> for DpopError {
    fn from(error: MalformedJwt) -> Self {
        Self::Jwt(error.into())
    }
}

/// The request a proof must be for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ExpectedProof<'a> {
    /// Its method.
    pub method: &'a str,
    /// Where it was sent, as the client knows it.
    pub target: &'a ProofTarget,
    /// The token it comes with, where it comes with one.
    pub token: Option<BoundToken<'a>>,
}

/// An access token and the key it is bound to.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct BoundToken<'a> {
    /// The token.
    pub token: &'a str,
    /// The key.
    pub key: JwkThumbprint,
}

impl<'a> ExpectedProof<'a> {
    /// Expects a proof for a request with `method` to `target`.
    pub const fn new(method: &'a str, target: &'a ProofTarget) -> Self {
        Self {
            method,
            target,
            token: None,
        }
    }

    /// The same, for a request with `token`, which is bound to `key`.
    #[must_use]
    pub const fn with_token(self, token: &'a str, key: JwkThumbprint) -> Self {
        Self {
            token: Some(BoundToken { token, key }),
            ..self
        }
    }
}

// It is a secret.
impl std::fmt::Debug for BoundToken<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundToken")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// A proof that was verified, to be used once.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct VerifiedProof {
    /// The key it was made with.
    pub key: JwkThumbprint,
    /// What the client calls it.
    pub id: String,
    /// What the server gave the client to put into it (RFC 9449 §8).
    pub nonce: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    htm: String,
    htu: String,
    iat: Timestamp,
    jti: Option<String>,
    ath: Option<String>,
    nonce: Option<String>,
}

/// The header, read for what `K` has of its key.
#[derive(Deserialize)]
struct Header<K> {
    jwk: K,
}

/// The members of a key that nobody else may know (RFC 7518 §6.2.2, §6.3.2 and §6.4, RFC 8037 §2).
#[derive(Deserialize)]
struct PrivateMembers {
    d: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
    q: Option<IgnoredAny>,
    dp: Option<IgnoredAny>,
    dq: Option<IgnoredAny>,
    qi: Option<IgnoredAny>,
    oth: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
}

impl PrivateMembers {
    fn is_empty(&self) -> bool {
        let Self {
            d,
            p,
            q,
            dp,
            dq,
            qi,
            oth,
            k,
        } = self;
        [d, p, q, dp, dq, qi, oth, k].iter().all(|it| it.is_none())
    }
}

/// Checks a proof (RFC 9449 §4.3). That there was one, that it was not used before, and whether its
/// nonce is ours, the caller sees to.
///
/// # Errors
///
/// [`DpopError`], the first rule that is broken.
pub fn verify(
    proof: &str,
    expected: &ExpectedProof<'_>,
    now: Timestamp,
) -> Result<VerifiedProof, DpopError> {
    use DpopError as E;
    if proof.len() > LONGEST_PROOF {
        return Err(E::TooLong);
    }
    let jwt = UnverifiedJwt::parse(proof)?;
    let (key, thumbprint) = key(&jwt)?;
    // Before the signature: who stole a token finds this out, and costs us nothing.
    if expected.token.is_some_and(|token| token.key != thumbprint) {
        return Err(E::OtherKey);
    }
    let payload = authentic_payload(&jwt, &key, &ALGORITHMS, ExpectedType::Proof)?;
    let claims: Claims = serde_json::from_slice(payload).map_err(|_| JwtError::Claims)?;
    if claims.htm != expected.method {
        return Err(E::Method);
    }
    if ProofTarget::parse(&claims.htu).as_ref() != Some(expected.target) {
        return Err(E::Target);
    }
    if now.since(claims.iat) > TOLERANCE || claims.iat.since(now) > TOLERANCE {
        return Err(E::Time);
    }
    if let Some(BoundToken { token, .. }) = expected.token
        && claims.ath.as_deref() != Some(&hash_of(token))
    {
        return Err(E::OtherToken);
    }
    let id = claims
        .jti
        .filter(|id| !id.is_empty() && id.len() <= LONGEST_ID);
    Ok(VerifiedProof {
        key: thumbprint,
        id: id.ok_or(E::NoId)?,
        nonce: claims.nonce,
    })
}

/// The public key in the header.
fn key(jwt: &UnverifiedJwt<'_>) -> Result<(VerificationKey, JwkThumbprint), DpopError> {
    let secret: Header<PrivateMembers> = jwt.header().ok_or(DpopError::Key)?;
    if !secret.jwk.is_empty() {
        return Err(DpopError::PrivateKey);
    }
    let Header { jwk } = jwt.header::<Header<Jwk>>().ok_or(DpopError::Key)?;
    let key = VerificationKey::from_jwk(&jwk).zip(JwkThumbprint::of(&jwk));
    key.ok_or(DpopError::Key)
}

/// `ath` of an access token (RFC 9449 §4.2).
fn hash_of(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()))
}

#[cfg(test)]
mod tests;
