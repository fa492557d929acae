//! A certificate with its private key, and what they sign.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Serialize;
use zeroize::Zeroizing;

use super::pfx;
use super::x509::Certificate;
use super::{CertificateError, pem};
use crate::platform::Timestamp;
use crate::secret::{CertificatePassword, ClientAssertion};

/// A certificate, its private key, and the authorities above it.
pub(super) struct CertifiedKey {
    key: RsaKeyPair,
    leaf: Certificate,
    /// The leaf first.
    chain: Vec<Vec<u8>>,
}

/// What the assertion says (Microsoft, *certificate credentials*; RFC 7523 §3).
#[derive(Serialize)]
pub(super) struct Claims<'a> {
    pub(super) aud: &'a str,
    pub(super) iss: &'a str,
    pub(super) sub: &'a str,
    pub(super) jti: &'a str,
    pub(super) nbf: Timestamp,
    pub(super) iat: Timestamp,
    pub(super) exp: Timestamp,
}

/// Its header (RFC 7515 §4.1).
#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    #[serde(rename = "x5t#S256")]
    thumbprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    x5c: Option<Vec<String>>,
}

impl CertifiedKey {
    /// Reads a PEM or a PFX file.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] says what is wrong with it.
    pub(super) fn read(
        bytes: &[u8],
        password: Option<&CertificatePassword>,
    ) -> Result<Self, CertificateError> {
        let text = std::str::from_utf8(bytes).ok();
        let (keys, certificates) = match text.filter(|text| text.contains("-----BEGIN ")) {
            Some(text) => from_pem(text, password)?,
            None => from_pfx(bytes, password)?,
        };
        Self::put_together(keys, certificates)
    }

    /// Finds the key, and the certificate that is for it.
    fn put_together(
        keys: Vec<RsaKeyPair>,
        mut certificates: Vec<Certificate>,
    ) -> Result<Self, CertificateError> {
        if certificates.is_empty() {
            return Err(CertificateError::NoCertificate);
        }
        let mut keys = keys.into_iter();
        let key = keys.next().ok_or(CertificateError::NoKey)?;
        if keys.next().is_some() {
            return Err(CertificateError::ManyKeys);
        }
        let public = key.public_key().as_ref();
        let own = |certificate: &Certificate| certificate.public_key == public;
        let leaf = certificates.iter().position(own);
        let leaf = certificates.remove(leaf.ok_or(CertificateError::AnotherKey)?);
        let above = certificates.into_iter().map(|above| above.der);
        let chain = [leaf.der.clone()].into_iter().chain(above).collect();
        Ok(Self { key, leaf, chain })
    }

    /// The last second in which Entra accepts it.
    pub(super) fn not_after(&self) -> Timestamp {
        self.leaf.not_after
    }

    /// Its name: base64url of its SHA-256.
    pub(super) fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.leaf.der))
    }

    /// Signs with PS256 (RFC 7518 §3.5).
    ///
    /// # Errors
    ///
    /// [`CertificateError::Signing`] if the crypto library fails.
    pub(super) fn sign(
        &self,
        claims: &Claims<'_>,
        chain: Chain,
    ) -> Result<ClientAssertion, CertificateError> {
        let x5c = || self.chain.iter().map(|der| STANDARD.encode(der)).collect();
        let header = Header {
            alg: "PS256",
            typ: "JWT",
            thumbprint: self.thumbprint(),
            x5c: (chain == Chain::Sent).then(x5c),
        };
        let part = |json: serde_json::Result<Vec<u8>>| {
            json.map(|json| URL_SAFE_NO_PAD.encode(json))
                .map_err(|_| CertificateError::Signing)
        };
        let mut token = part(serde_json::to_vec(&header))?;
        token.push('.');
        token.push_str(&part(serde_json::to_vec(claims))?);
        let mut signature = vec![0; self.key.public_modulus_len()];
        let random = SystemRandom::new();
        self.key
            .sign(&RSA_PSS_SHA256, &random, token.as_bytes(), &mut signature)
            .map_err(|_| CertificateError::Signing)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(ClientAssertion::new(token))
    }
}

/// Whether the certificate and those above it go along with each assertion.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Chain {
    #[default]
    Kept,
    Sent,
}

type Found = (Vec<RsaKeyPair>, Vec<Certificate>);

fn from_pem(text: &str, password: Option<&CertificatePassword>) -> Result<Found, CertificateError> {
    let mut found = (Vec::new(), Vec::new());
    for section in pem::sections(text).ok_or(CertificateError::Malformed)? {
        let der = &*section.der;
        match section.label {
            "CERTIFICATE" => found.1.push(certificate(der.clone())?),
            "PRIVATE KEY" => found.0.push(pkcs8(der)?),
            "RSA PRIVATE KEY" => {
                let key = RsaKeyPair::from_der(der);
                found.0.push(key.map_err(|_| CertificateError::NotRsa)?);
            }
            "ENCRYPTED PRIVATE KEY" => {
                let key: Zeroizing<_> = pfx::decrypt_key(der, password)?;
                found.0.push(pkcs8(&key)?);
            }
            "EC PRIVATE KEY" => return Err(CertificateError::NotRsa),
            // Parameters, requests, revocation lists.
            _ => {}
        }
    }
    Ok(found)
}

fn from_pfx(
    bytes: &[u8],
    password: Option<&CertificatePassword>,
) -> Result<Found, CertificateError> {
    let pfx::Contents { keys, certificates } = pfx::read(bytes, password)?;
    let keys = keys
        .iter()
        .map(|key| pkcs8(key))
        .collect::<Result<_, _>>()?;
    let certificates = certificates.into_iter().map(certificate);
    Ok((keys, certificates.collect::<Result<_, _>>()?))
}

fn pkcs8(der: &[u8]) -> Result<RsaKeyPair, CertificateError> {
    RsaKeyPair::from_pkcs8(der).map_err(|_| CertificateError::NotRsa)
}

fn certificate(der: Vec<u8>) -> Result<Certificate, CertificateError> {
    Certificate::from_der(der).ok_or(CertificateError::Malformed)
}

impl fmt::Debug for CertifiedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertifiedKey")
            .field("x5t#S256", &self.thumbprint())
            .field("not_after", &self.leaf.not_after)
            .finish_non_exhaustive()
    }
}
