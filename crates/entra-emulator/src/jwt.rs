//! JSON Web Signatures, made as Entra makes them and read as leniently as Entra reads them.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
};
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use crate::keys::SigningKey;

/// Claims in the order Entra writes them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims(Vec<(Cow<'static, str>, Value)>);

impl Claims {
    /// Adds the claim, or changes it when it is there: an optional claim may be a default one too.
    pub(crate) fn put(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// Adds the claim when it has a value.
    pub(crate) fn put_some(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// Adds the claim when there is something to list.
    pub(crate) fn put_list(&mut self, name: &'static str, values: Vec<String>) {
        if !values.is_empty() {
            self.put(name, values);
        }
    }

    /// Takes the claim away.
    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// The claim, if it is there.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }
}

impl Serialize for Claims {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A token that is not signed yet.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) header: Claims,
    pub(crate) claims: Claims,
    /// Whether it is signed as what only Microsoft Graph may read.
    pub(crate) for_graph: bool,
}

impl Draft {
    /// Signs it with RS256, whatever its header says.
    pub(crate) fn sign(&self, key: &SigningKey) -> String {
        let signature = signature(&self.signed_text(), key);
        format!("{}.{signature}", self.sent_text())
    }

    /// Signs it with HMAC-SHA256.
    pub(crate) fn sign_with_secret(&self, secret: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let tag = hmac::sign(&key, self.signed_text().as_bytes());
        format!("{}.{}", self.sent_text(), URL_SAFE_NO_PAD.encode(tag))
    }

    /// Leaves the signature empty.
    pub(crate) fn unsigned(&self) -> String {
        format!("{}.", self.sent_text())
    }

    fn sent_text(&self) -> String {
        format!("{}.{}", encode(&self.header), encode(&self.claims))
    }

    // What is signed for Graph is not what is sent: the header's `nonce` is replaced by its SHA-256
    // before signing, so that whoever does not know this finds the signature wrong.
    fn signed_text(&self) -> String {
        let nonce = self.header.get("nonce").and_then(Value::as_str);
        let Some(nonce) = nonce.filter(|_| self.for_graph) else {
            return self.sent_text();
        };
        let mut header = self.header.clone();
        header.put("nonce", hashed(nonce));
        format!("{}.{}", encode(&header), encode(&self.claims))
    }
}

fn hashed(nonce: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, nonce.as_bytes()))
}

fn encode(claims: &Claims) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).unwrap_or_default())
}

fn signature(input: &str, key: &SigningKey) -> String {
    let mut signature = vec![0; key.pair().public_modulus_len()];
    key.pair()
        .sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            input.as_bytes(),
            &mut signature,
        )
        .expect("the buffer is as long as the modulus");
    URL_SAFE_NO_PAD.encode(signature)
}

/// A JWS taken apart, its signature not yet checked.
#[derive(Debug)]
pub(crate) struct Unverified<'a> {
    pub(crate) header: Value,
    pub(crate) claims: Value,
    header_part: &'a str,
    claims_part: &'a str,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Takes `token` apart, or finds that it is no JWS.
    pub(crate) fn parse(token: &'a str) -> Option<Self> {
        let mut parts = token.split('.');
        let (header_part, claims_part, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let json = |part: &str| -> Option<Value> {
            let value: Value = serde_json::from_slice(&decode(part)?).ok()?;
            value.is_object().then_some(value)
        };
        Some(Self {
            header: json(header_part)?,
            claims: json(claims_part)?,
            header_part,
            claims_part,
            signature: decode(signature)?,
        })
    }

    pub(crate) fn header_text(&self, name: &str) -> Option<&str> {
        self.header.get(name)?.as_str()
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// A time, which may have a fraction (RFC 7519 §2): msal's do.
    pub(crate) fn seconds(&self, name: &str) -> Option<u64> {
        let value = self.claims.get(name)?;
        value.as_u64().or_else(|| whole_seconds(value.as_f64()?))
    }

    /// Whether `public_key` signed it, with the algorithm its header names.
    pub(crate) fn is_signed_by(&self, public_key: &[u8]) -> bool {
        let message = format!("{}.{}", self.header_part, self.claims_part);
        self.verifies(public_key, &message)
    }

    /// The same, undoing first what [`Draft::sign`] did for Graph to the header.
    pub(crate) fn is_signed_for_graph_by(&self, public_key: &[u8]) -> bool {
        let Some(nonce) = self.header_text("nonce") else {
            return self.is_signed_by(public_key);
        };
        let Some(header) = decode(self.header_part).and_then(|json| String::from_utf8(json).ok())
        else {
            return false;
        };
        let signed = header.replace(&format!("\"{nonce}\""), &format!("\"{}\"", hashed(nonce)));
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(signed), self.claims_part);
        self.verifies(public_key, &message)
    }

    fn verifies(&self, public_key: &[u8], message: &str) -> bool {
        let algorithm = match self.header_text("alg") {
            Some("RS256") => &RSA_PKCS1_2048_8192_SHA256,
            Some("PS256") => &RSA_PSS_2048_8192_SHA256,
            _ => return false,
        };
        UnparsedPublicKey::new(algorithm, public_key)
            .verify(message.as_bytes(), &self.signature)
            .is_ok()
    }
}

fn whole_seconds(value: f64) -> Option<u64> {
    let duration = std::time::Duration::try_from_secs_f64(value).ok()?;
    Some(duration.as_secs())
}

/// Reads base64url, with padding or without.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const EITHER: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, CONFIG);
    EITHER.decode(text).ok()
}

/// Reads base64 of either alphabet, with padding or without: thumbprints come in all four.
pub(crate) fn decode_thumbprint(text: &str) -> Option<Vec<u8>> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
    decode(text).or_else(|| PLAIN.decode(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyRing;

    fn draft(alg: &str, for_graph: bool) -> Draft {
        let (mut header, mut claims) = (Claims::default(), Claims::default());
        header.put("typ", "JWT");
        if for_graph {
            header.put("nonce", "n");
        }
        header.put("alg", alg);
        claims.put("aud", "x");
        Draft {
            header,
            claims,
            for_graph,
        }
    }

    #[test]
    fn a_signature_holds_for_its_own_key_alone() {
        let ring = KeyRing::new();
        let mut keys = ring.published();
        let (first, second) = (keys.next().unwrap(), keys.next().unwrap());
        let token = draft("RS256", false).sign(first);
        let parsed = Unverified::parse(&token).unwrap();
        assert!(parsed.is_signed_by(first.public_key()));
        assert!(!parsed.is_signed_by(second.public_key()));
    }

    #[test]
    fn a_graph_token_fails_the_ordinary_check_and_passes_graphs_own() {
        let ring = KeyRing::new();
        let key = ring.active();
        let token = draft("RS256", true).sign(key);
        let parsed = Unverified::parse(&token).unwrap();
        assert!(!parsed.is_signed_by(key.public_key()));
        assert!(parsed.is_signed_for_graph_by(key.public_key()));
    }

    #[test]
    fn padding_and_unsigned_tokens() {
        let ring = KeyRing::new();
        let key = ring.active();
        let token = draft("none", false).sign(key);
        assert!(
            !Unverified::parse(&token)
                .unwrap()
                .is_signed_by(key.public_key())
        );
        assert_eq!(decode("YQ==").unwrap(), b"a");
        assert_eq!(decode("YQ").unwrap(), b"a");
        assert_eq!(
            decode_thumbprint("+/8=").unwrap(),
            decode_thumbprint("-_8").unwrap()
        );
        for not_a_jws in ["", "a.b", "a.b.c.d", "e30.e30.!", "W10.e30.AA"] {
            assert!(Unverified::parse(not_a_jws).is_none(), "{not_a_jws}");
        }
    }
}
