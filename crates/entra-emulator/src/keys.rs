//! The keys tokens are signed with, and the certificates clients authenticate with.

use std::fmt::{self, Write as _};
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::signature::{KeyPair, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ParsedCertificate;
use serde::Serialize;

macro_rules! signing_key {
    ($name:literal) => {
        Fixture {
            pkcs8: include_bytes!(concat!("../fixtures/", $name, ".pk8")),
            certificate: include_bytes!(concat!("../fixtures/", $name, ".crt")),
        }
    };
}

/// An RSA key and the certificate it is published with.
pub(crate) struct SigningKey {
    pkcs8: Vec<u8>,
    /// Parsed when it is first used: checking a private key takes longer than signing with it.
    pair: OnceLock<RsaKeyPair>,
    certificate: Certificate,
    /// `kid` and `x5t`: the SHA-1 of the certificate.
    kid: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    fn new(pkcs8: &[u8], certificate: &[u8]) -> Self {
        let certificate = Certificate::from_der(certificate.to_vec())
            .expect("the certificate was made for an RSA key");
        Self {
            pkcs8: pkcs8.to_vec(),
            pair: OnceLock::new(),
            kid: URL_SAFE_NO_PAD.encode(&certificate.sha1),
            certificate,
        }
    }

    // User flows call their keys by the SHA-256.
    fn of_user_flows(pkcs8: &[u8], certificate: &[u8]) -> Self {
        let key = Self::new(pkcs8, certificate);
        Self {
            kid: URL_SAFE_NO_PAD.encode(&key.certificate.sha256),
            ..key
        }
    }

    fn generate() -> Self {
        let pair =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
                .expect("an RSA key of 2048 bits can be made");
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(
            rcgen::DnType::CommonName,
            "accounts.accesscontrol.windows.net",
        );
        let certificate = params
            .self_signed(&pair)
            .expect("a key can sign its own certificate");
        Self::new(&pair.serialize_der(), certificate.der())
    }

    /// A key no document shows.
    pub(crate) fn unpublished() -> &'static Self {
        static KEY: OnceLock<SigningKey> = OnceLock::new();
        KEY.get_or_init(|| {
            let Fixture { pkcs8, certificate } = signing_key!("unpublished");
            Self::new(pkcs8, certificate)
        })
    }

    pub(crate) fn pair(&self) -> &RsaKeyPair {
        self.pair.get_or_init(|| {
            RsaKeyPair::from_pkcs8(&self.pkcs8).expect("the key was made as PKCS#8 RSA")
        })
    }

    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    pub(crate) fn public_key(&self) -> &[u8] {
        &self.certificate.public_key
    }

    /// Modulus and exponent.
    pub(crate) fn public_numbers(&self) -> (Vec<u8>, Vec<u8>) {
        let public = self.pair().public_key();
        (
            public.modulus().big_endian_without_leading_zero().to_vec(),
            public.exponent().big_endian_without_leading_zero().to_vec(),
        )
    }

    /// The key as it stands in a key document.
    pub(crate) fn jwk(&self, issuer: Option<String>, cloud_instance: &'static str) -> Jwk {
        let (modulus, exponent) = self.public_numbers();
        Jwk {
            kty: "RSA",
            r#use: "sig",
            kid: self.kid.clone(),
            x5t: self.kid.clone(),
            n: URL_SAFE_NO_PAD.encode(modulus),
            e: URL_SAFE_NO_PAD.encode(exponent),
            x5c: [STANDARD.encode(&self.certificate.der)],
            cloud_instance_name: issuer.as_ref().map(|_| cloud_instance),
            issuer,
        }
    }
}

/// One member of a key document. It has no `alg`: Entra's have none.
#[derive(Debug, Serialize)]
pub(crate) struct Jwk {
    kty: &'static str,
    r#use: &'static str,
    kid: String,
    x5t: String,
    n: String,
    e: String,
    x5c: [String; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud_instance_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
}

impl Jwk {
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }
}

/// The published keys, one of which signs.
#[derive(Debug, Clone)]
pub(crate) struct KeyRing {
    published: Vec<Arc<SigningKey>>,
    active: Arc<SigningKey>,
    spare: Vec<Arc<SigningKey>>,
}

impl KeyRing {
    /// Four keys of organisations, of which the second signs.
    pub(crate) fn new() -> Self {
        Self::of(
            &[
                signing_key!("signing-1"),
                signing_key!("signing-2"),
                signing_key!("signing-3"),
                signing_key!("signing-4"),
            ],
            &[
                signing_key!("signing-8"),
                signing_key!("signing-7"),
                signing_key!("signing-6"),
                signing_key!("signing-5"),
            ],
        )
    }

    /// The keys of personal accounts.
    pub(crate) fn personal() -> Self {
        Self::of(
            &[signing_key!("personal-1"), signing_key!("personal-2")],
            &[],
        )
    }

    /// The key of the US Government's cloud that the public one shows.
    pub(crate) fn us_government() -> Self {
        Self::of(&[signing_key!("us-government")], &[])
    }

    /// The key of the pretend workload issuer.
    pub(crate) fn workloads() -> Self {
        Self::of(&[signing_key!("workload")], &[])
    }

    /// The keys of user flows.
    pub(crate) fn user_flows() -> Self {
        let fixtures = [signing_key!("b2c-1"), signing_key!("b2c-2")];
        Self::made(&fixtures, &[], SigningKey::of_user_flows)
    }

    fn of(published: &[Fixture], spare: &[Fixture]) -> Self {
        Self::made(published, spare, SigningKey::new)
    }

    fn made(
        published: &[Fixture],
        spare: &[Fixture],
        make: fn(&[u8], &[u8]) -> SigningKey,
    ) -> Self {
        let load = |fixtures: &[Fixture]| -> Vec<Arc<SigningKey>> {
            fixtures
                .iter()
                .map(|fixture| Arc::new(make(fixture.pkcs8, fixture.certificate)))
                .collect()
        };
        let published = load(published);
        let active = published.get(1).or_else(|| published.first());
        Self {
            active: Arc::clone(active.expect("no ring is empty")),
            published,
            spare: load(spare),
        }
    }

    /// The key that signs.
    pub(crate) fn active(&self) -> &SigningKey {
        &self.active
    }

    /// Every published key.
    pub(crate) fn published(&self) -> impl Iterator<Item = &SigningKey> {
        self.published.iter().map(AsRef::as_ref)
    }

    /// The published key with this id.
    pub(crate) fn by_kid(&self, kid: &str) -> Option<&SigningKey> {
        self.published().find(|key| key.kid() == kid)
    }

    /// Publishes a new key and signs with it from now on; the old ones stay published.
    pub(crate) fn rotate(&mut self) -> String {
        let next = self
            .spare
            .pop()
            .unwrap_or_else(|| Arc::new(SigningKey::generate()));
        self.published.push(Arc::clone(&next));
        self.active = next;
        self.active.kid().to_owned()
    }

    /// Stops publishing a key, and says whether it was published.
    ///
    /// The key that signs can go too: its tokens then verify nowhere, as after a rollover whose
    /// key document has not arrived yet.
    pub(crate) fn retire(&mut self, kid: &str) -> bool {
        let before = self.published.len();
        self.published.retain(|key| key.kid() != kid);
        self.published.len() < before
    }
}

struct Fixture {
    pkcs8: &'static [u8],
    certificate: &'static [u8],
}

/// Bytes as capital hexadecimal digits, as portals show thumbprints.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// A certificate with an RSA key.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    der: Vec<u8>,
    /// `SubjectPublicKeyInfo`, DER.
    pub(crate) public_key: Vec<u8>,
    pub(crate) sha1: Vec<u8>,
    pub(crate) sha256: Vec<u8>,
}

impl Certificate {
    pub(crate) fn from_der(der: Vec<u8>) -> Option<Self> {
        let parsed = CertificateDer::from(der.as_slice());
        let public_key = ParsedCertificate::try_from(&parsed)
            .ok()?
            .subject_public_key_info()
            .to_vec();
        Some(Self {
            public_key,
            sha1: digest(&SHA1_FOR_LEGACY_USE_ONLY, &der).as_ref().to_vec(),
            sha256: digest(&SHA256, &der).as_ref().to_vec(),
            der,
        })
    }

    pub(crate) fn from_pem(pem: &str) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        Self::from_der(der.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_publishes_a_new_key_beside_the_old_ones() {
        let mut ring = KeyRing::new();
        let before = ring.active().kid().to_owned();
        for _ in 0..5 {
            let kid = ring.rotate();
            assert_ne!(kid, before);
            assert_eq!(ring.active().kid(), kid);
        }
        assert_eq!(ring.published().count(), 9);
        assert!(ring.by_kid(&before).is_some());
    }

    #[test]
    fn a_retired_key_is_published_no_more() {
        let mut ring = KeyRing::new();
        let kid = ring.active().kid().to_owned();
        assert!(ring.retire(&kid));
        assert!(!ring.retire(&kid));
        assert!(ring.by_kid(&kid).is_none());
    }
}
