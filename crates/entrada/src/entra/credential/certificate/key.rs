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

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    use entra_emulator::builtin::{DAEMON_CERTIFICATE, DAEMON_PRIVATE_KEY};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    macro_rules! fixture {
        ($name:literal) => {
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/fixtures/",
                $name
            ))
            .as_slice()
        };
    }

    fn read(bytes: &[u8], password: &str) -> Result<CertifiedKey, CertificateError> {
        let password = Some(CertificatePassword::new(password));
        CertifiedKey::read(
            bytes,
            password.filter(|given| !given.expose().is_empty()).as_ref(),
        )
    }

    fn pem(parts: &[&[u8]]) -> Vec<u8> {
        parts.join(&b"\n"[..])
    }

    fn daemon() -> Vec<u8> {
        pem(&[DAEMON_CERTIFICATE.as_bytes(), DAEMON_PRIVATE_KEY.as_bytes()])
    }

    #[test]
    fn keys_are_read_in_every_wrapping() {
        let certificate = DAEMON_CERTIFICATE.as_bytes();
        let thumbprint = read(&daemon(), "").unwrap().thumbprint();
        let other = fixture!("other.crt.pem");
        for (name, bytes, password) in [
            ("PKCS#8", daemon(), ""),
            ("a password too many", daemon(), "hush"),
            (
                "the key first",
                pem(&[DAEMON_PRIVATE_KEY.as_bytes(), certificate]),
                "",
            ),
            (
                "PKCS#1",
                pem(&[certificate, fixture!("daemon.pkcs1.pem")]),
                "",
            ),
            (
                "encrypted",
                pem(&[fixture!("daemon.encrypted.pem"), certificate]),
                "hush",
            ),
            ("a chain", pem(&[other, &daemon()]), ""),
            ("PFX", fixture!("daemon.aes.pfx").to_vec(), "hush"),
            ("PFX without", fixture!("daemon.empty.pfx").to_vec(), ""),
            ("PFX in the open", fixture!("daemon.plain.pfx").to_vec(), ""),
        ] {
            let key = read(&bytes, password).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(key.thumbprint(), thumbprint, "{name}");
            assert!(key.not_after() > Timestamp::from_unix(1_800_000_000));
        }
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        use CertificateError as Error;
        let certificate = DAEMON_CERTIFICATE.as_bytes();
        let encrypted = pem(&[fixture!("daemon.encrypted.pem"), certificate]);
        let aes = fixture!("daemon.aes.pfx").to_vec();
        for (bytes, password, expected) in [
            (vec![], "", Error::Malformed),
            (b"hush".to_vec(), "", Error::Malformed),
            (b"-----BEGIN X-----".to_vec(), "", Error::Malformed),
            (aes[..aes.len() / 2].to_vec(), "hush", Error::Malformed),
            (certificate.to_vec(), "", Error::NoKey),
            (
                DAEMON_PRIVATE_KEY.as_bytes().to_vec(),
                "",
                Error::NoCertificate,
            ),
            (
                pem(&[&daemon(), fixture!("other.key.pem")]),
                "",
                Error::ManyKeys,
            ),
            (
                pem(&[fixture!("ec.crt.pem"), fixture!("ec.key.pem")]),
                "",
                Error::NotRsa,
            ),
            (
                pem(&[fixture!("other.crt.pem"), DAEMON_PRIVATE_KEY.as_bytes()]),
                "",
                Error::AnotherKey,
            ),
            (encrypted.clone(), "", Error::NoPassword),
            (encrypted, "wrong", Error::WrongPassword),
            (aes.clone(), "", Error::NoPassword),
            (aes, "wrong", Error::WrongPassword),
            (
                fixture!("daemon.legacy.pfx").to_vec(),
                "hush",
                Error::Encryption,
            ),
        ] {
            let error = read(&bytes, password).map(drop).unwrap_err();
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn entra_can_verify_what_is_signed() {
        let key = read(&pem(&[&daemon(), fixture!("other.crt.pem")]), "").unwrap();
        let now = Timestamp::from_unix(1_800_000_000);
        let claims = Claims {
            aud: "https://login.example/t/oauth2/v2.0/token",
            iss: "app",
            sub: "app",
            jti: "1",
            nbf: now,
            iat: now,
            exp: now,
        };
        let json = |part: &str| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        for (chain, length) in [(Chain::Kept, None), (Chain::Sent, Some(2))] {
            let token = key.sign(&claims, chain).unwrap();
            let (signed, signature) = token.expose().rsplit_once('.').unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let public = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, &key.leaf.public_key);
            public.verify(signed.as_bytes(), &signature).unwrap();
            let (header, claims) = signed.split_once('.').unwrap();
            let header = json(header);
            assert_eq!(header["alg"], "PS256");
            assert_eq!(header["typ"], "JWT");
            assert_eq!(header["x5t#S256"], json!(key.thumbprint()));
            assert_eq!(header["x5c"].as_array().map(Vec::len), length);
            assert!(header.get("kid").is_none());
            assert_eq!(json(claims)["aud"], claims_audience());
            assert_eq!(json(claims)["exp"], json!(1_800_000_000));
        }
    }

    fn claims_audience() -> Value {
        json!("https://login.example/t/oauth2/v2.0/token")
    }

    #[test]
    fn debug_hides_the_private_half() {
        let key = read(&daemon(), "").unwrap();
        let shown = format!("{key:?}");
        assert!(shown.starts_with("CertifiedKey { x5t#S256: "), "{shown}");
        assert!(shown.len() < 150, "{shown}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn damaged_files_are_refused_or_read(
            which in 0..3_usize, at in any::<prop::sample::Index>(), byte: u8, keep in any::<prop::sample::Index>()
        ) {
            let files = [
                fixture!("daemon.plain.pfx").to_vec(),
                fixture!("daemon.legacy.pfx").to_vec(),
                daemon(),
            ];
            let mut bytes = files[which].clone();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            drop(read(&bytes, "hush"));
            bytes.truncate(keep.index(bytes.len()));
            drop(read(&bytes, "hush"));
        }
    }
}
