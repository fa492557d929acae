//! PFX files (PKCS #12, RFC 7292), and the encryption of keys in them and in PEM (RFC 8018 §6.2).
//!
//! What is encrypted with AES and PBKDF2 can be read: what OpenSSL 3 and Windows' `AES256_SHA256`
//! write. The MAC over the whole is not checked: whoever can write the file can write another, and a
//! wrong password shows in what is decrypted.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use zeroize::Zeroizing;

use super::CertificateError;
use super::der::{Der, EXPLICIT_0, IMPLICIT_0, OBJECT_IDENTIFIER, OCTET_STRING};
use crate::secret::CertificatePassword;

/// What a PFX file holds.
pub(super) struct Contents {
    /// Private keys, PKCS#8.
    pub(super) keys: Vec<Zeroizing<Vec<u8>>>,
    /// Certificates, DER.
    pub(super) certificates: Vec<Vec<u8>>,
}

/// More rounds than any program writes; with as many a password takes a second.
const MOST_ITERATIONS: u32 = 1_000_000;

/// Bags in bags end somewhere.
const DEEPEST: usize = 4;

/// Reads a PFX file.
///
/// # Errors
///
/// [`CertificateError`] says what is wrong with it.
pub(super) fn read(
    bytes: &[u8],
    password: Option<&CertificatePassword>,
) -> Result<Contents, CertificateError> {
    let safe = authenticated_safe(bytes).ok_or(CertificateError::Malformed)?;
    let mut contents = Contents {
        keys: Vec::new(),
        certificates: Vec::new(),
    };
    let mut infos = Der::new(safe).sequence();
    let infos = infos.as_mut().ok_or(CertificateError::Malformed)?;
    while !infos.is_empty() {
        let (kind, mut content) = content_info(infos).ok_or(CertificateError::Malformed)?;
        let decrypted;
        let bags = match kind {
            oid::DATA => content.take(OCTET_STRING),
            oid::ENCRYPTED_DATA => {
                let (algorithm, encrypted) =
                    encrypted_content(content).ok_or(CertificateError::Malformed)?;
                decrypted = decrypt(algorithm, encrypted, password)?;
                Some(&**decrypted)
            }
            _ => return Err(CertificateError::Malformed),
        };
        let bags = bags.ok_or(CertificateError::Malformed)?;
        contents.add(Der::new(bags), password, DEEPEST)?;
    }
    Ok(contents)
}

impl Contents {
    fn add(
        &mut self,
        mut bags: Der<'_>,
        password: Option<&CertificatePassword>,
        depth: usize,
    ) -> Result<(), CertificateError> {
        let depth = depth.checked_sub(1).ok_or(CertificateError::Malformed)?;
        let mut bags = bags.sequence().ok_or(CertificateError::Malformed)?;
        while !bags.is_empty() {
            let (kind, mut value) = content_info(&mut bags).ok_or(CertificateError::Malformed)?;
            match kind {
                oid::KEY_BAG => {
                    let key = value.rest();
                    self.keys.push(Zeroizing::new(key.to_vec()));
                }
                oid::SHROUDED_KEY_BAG => {
                    self.keys.push(decrypt_key(value.rest(), password)?);
                }
                oid::CERTIFICATE_BAG => {
                    let certificate = certificate(value).ok_or(CertificateError::Malformed)?;
                    self.certificates.push(certificate);
                }
                oid::SAFE_CONTENTS_BAG => self.add(value, password, depth)?,
                // Secrets and revocation lists are no concern of ours.
                _ => drop(value.any()),
            }
        }
        Ok(())
    }
}

/// Decrypts an `EncryptedPrivateKeyInfo` (RFC 5958 §3).
///
/// # Errors
///
/// [`CertificateError`]: it is none, or the password is missing or wrong.
pub(super) fn decrypt_key(
    der: &[u8],
    password: Option<&CertificatePassword>,
) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let parts = || {
        let mut info = Der::new(der).sequence()?;
        Some((info.sequence()?, info.take(OCTET_STRING)?))
    };
    let (algorithm, encrypted) = parts().ok_or(CertificateError::Malformed)?;
    decrypt(algorithm, encrypted, password)
}

fn authenticated_safe(bytes: &[u8]) -> Option<&[u8]> {
    let mut pfx = Der::new(bytes).sequence()?;
    if pfx.number()? != 3 {
        return None;
    }
    let (kind, mut content) = content_info(&mut pfx)?;
    (kind == oid::DATA).then(|| content.take(OCTET_STRING))?
}

/// What kind of thing, and the thing: `ContentInfo` and `SafeBag` alike.
fn content_info<'a>(from: &mut Der<'a>) -> Option<(&'a [u8], Der<'a>)> {
    let mut info = from.sequence()?;
    Some((info.take(OBJECT_IDENTIFIER)?, info.open(EXPLICIT_0)?))
}

fn encrypted_content(mut content: Der<'_>) -> Option<(Der<'_>, &[u8])> {
    let mut data = content.sequence()?;
    let _version = data.number()?;
    let mut info = data.sequence()?;
    let _kind = info.take(OBJECT_IDENTIFIER)?;
    Some((info.sequence()?, info.take(IMPLICIT_0)?))
}

/// The certificate in a bag: X.509, for nobody uses the other kind.
fn certificate(mut value: Der<'_>) -> Option<Vec<u8>> {
    let mut bag = value.sequence()?;
    let kind = bag.take(OBJECT_IDENTIFIER)?;
    let der = bag.open(EXPLICIT_0)?.take(OCTET_STRING)?;
    (kind == oid::X509_CERTIFICATE).then(|| der.to_vec())
}

/// How something is encrypted: PBES2 (RFC 8018 §6.2) with PBKDF2 and AES.
struct Encryption<'a> {
    prf: pbkdf2::Algorithm,
    salt: &'a [u8],
    iterations: NonZeroU32,
    cipher: &'static aws_lc_rs::cipher::Algorithm,
    key_length: usize,
    iv: [u8; 16],
}

fn encryption(mut algorithm: Der<'_>) -> Option<Encryption<'_>> {
    if algorithm.take(OBJECT_IDENTIFIER)? != oid::PBES2 {
        return None;
    }
    let mut parameters = algorithm.sequence()?;
    let mut derivation = parameters.sequence()?;
    if derivation.take(OBJECT_IDENTIFIER)? != oid::PBKDF2 {
        return None;
    }
    let mut derivation = derivation.sequence()?;
    let salt = derivation.take(OCTET_STRING)?;
    let iterations = derivation.number().filter(|n| *n <= MOST_ITERATIONS)?;
    let _key_length = derivation.number();
    let prf = match derivation.sequence() {
        None => pbkdf2::PBKDF2_HMAC_SHA1,
        Some(mut prf) => match prf.take(OBJECT_IDENTIFIER)? {
            oid::HMAC_SHA1 => pbkdf2::PBKDF2_HMAC_SHA1,
            oid::HMAC_SHA256 => pbkdf2::PBKDF2_HMAC_SHA256,
            oid::HMAC_SHA384 => pbkdf2::PBKDF2_HMAC_SHA384,
            oid::HMAC_SHA512 => pbkdf2::PBKDF2_HMAC_SHA512,
            _ => return None,
        },
    };
    let mut scheme = parameters.sequence()?;
    let (cipher, key_length) = match scheme.take(OBJECT_IDENTIFIER)? {
        oid::AES_128_CBC => (&AES_128, 16),
        oid::AES_192_CBC => (&AES_192, 24),
        oid::AES_256_CBC => (&AES_256, 32),
        _ => return None,
    };
    Some(Encryption {
        prf,
        salt,
        iterations: NonZeroU32::new(iterations)?,
        cipher,
        key_length,
        iv: scheme.take(OCTET_STRING)?.try_into().ok()?,
    })
}

fn decrypt(
    algorithm: Der<'_>,
    encrypted: &[u8],
    password: Option<&CertificatePassword>,
) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let encryption = encryption(algorithm).ok_or(CertificateError::Encryption)?;
    let wrong = || match password {
        Some(_) => CertificateError::WrongPassword,
        None => CertificateError::NoPassword,
    };
    // Without a password there may be an empty one, as in what Azure Key Vault exports.
    let password = password.map_or("", CertificatePassword::expose).as_bytes();
    let mut key = Zeroizing::new([0; 32]);
    let key = key
        .get_mut(..encryption.key_length)
        .ok_or(CertificateError::Encryption)?;
    let Encryption { salt, iv, .. } = encryption;
    pbkdf2::derive(encryption.prf, encryption.iterations, salt, password, key);
    let key = UnboundCipherKey::new(encryption.cipher, key)
        .and_then(PaddedBlockDecryptingKey::cbc_pkcs7)
        .map_err(|_| CertificateError::Encryption)?;
    let mut bytes = Zeroizing::new(encrypted.to_vec());
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    let length = key.decrypt(&mut bytes, context).map_err(|_| wrong())?.len();
    bytes.truncate(length);
    // One wrong password in 256 leaves a padding that looks right.
    let sound = Der::new(&bytes).sequence().is_some();
    if sound { Ok(bytes) } else { Err(wrong()) }
}

/// Object identifiers, as DER has them.
mod oid {
    pub(super) const DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
    pub(super) const ENCRYPTED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x06";
    pub(super) const KEY_BAG: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x01";
    pub(super) const SHROUDED_KEY_BAG: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x02";
    pub(super) const CERTIFICATE_BAG: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x03";
    pub(super) const SAFE_CONTENTS_BAG: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01\x06";
    pub(super) const X509_CERTIFICATE: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x16\x01";
    pub(super) const PBES2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d";
    pub(super) const PBKDF2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c";
    pub(super) const HMAC_SHA1: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x02\x07";
    pub(super) const HMAC_SHA256: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x02\x09";
    pub(super) const HMAC_SHA384: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x02\x0a";
    pub(super) const HMAC_SHA512: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x02\x0b";
    pub(super) const AES_128_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x02";
    pub(super) const AES_192_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x16";
    pub(super) const AES_256_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a";
}
